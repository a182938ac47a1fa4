# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of many frames: axis-angle in radians (T,3), quaternions w x y z (T,4), matrices (T,3,3). numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def to_quaternions(axis_angle: NDArray[np.floating[Any]]) -> Floats:
    """(T,3) -> unit quaternions (T,4)."""
    vector = np.asarray(axis_angle, np.float64)
    half = 0.5 * np.linalg.norm(vector, axis=1)
    # np.sinc(x) is sin(pi x)/(pi x): no division by zero
    return np.concatenate([np.cos(half)[:, None], 0.5 * np.sinc(half / np.pi)[:, None] * vector], 1)


def to_axis_angle(quaternions: NDArray[np.floating[Any]]) -> Floats:
    """(T,4), of any length but zero -> (T,3), angles up to pi."""
    values = np.asarray(quaternions, np.float64)
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    values = np.where(values[:, :1] < 0, -values, values)
    sine = np.linalg.norm(values[:, 1:], axis=1)
    angle = 2.0 * np.arctan2(sine, values[:, 0])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return scale[:, None] * values[:, 1:]


def continuous(axis_angle: NDArray[np.floating[Any]]) -> Floats:
    """The same rotations, each written with the turn (angle + 2 pi k) that lies nearest to the frame before."""
    result = np.array(axis_angle, np.float64)
    if len(result) < 2 or np.abs(np.diff(result, axis=0)).max() < 1.0:
        return result
    for frame in range(1, len(result)):
        before, angle = result[frame - 1], np.linalg.norm(result[frame])
        axis = result[frame] / angle if angle > 1e-9 else before / max(np.linalg.norm(before), 1e-9)
        turns = np.round((before @ axis - angle) / (2 * np.pi))
        result[frame] = (angle + 2 * np.pi * turns) * axis
    return result


def multiply(left: NDArray[np.floating[Any]], right: NDArray[np.floating[Any]]) -> Floats:
    """Quaternions (T,4) each: first `right`, then `left`."""
    w, x, y, z = np.asarray(left, np.float64).T
    a, b, c, d = np.asarray(right, np.float64).T
    return np.stack([w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c,
                     w * c - x * d + y * a + z * b, w * d + x * c - y * b + z * a], 1)


def chained(parent: NDArray[np.floating[Any]], child: NDArray[np.floating[Any]]) -> Floats:
    """Axis-angle (T,3) of a child joint's rotation as the world sees it: parent times child."""
    return to_axis_angle(multiply(to_quaternions(parent), to_quaternions(child)))


def from_matrices(matrices: NDArray[np.floating[Any]]) -> Floats:
    """Rotation matrices (T,3,3) -> quaternions (T,4). Of the four ways to divide, each frame takes the safest."""
    m = np.asarray(matrices, np.float64)
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    # 4 q q^T, whose every row is a multiple of q
    products = np.empty((len(m), 4, 4))
    products[:, 0, 0] = 1 + xx + yy + zz
    products[:, 1, 1], products[:, 2, 2], products[:, 3, 3] = 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        products[:, 0, k + 1] = products[:, k + 1, 0] = m[:, j, i] - m[:, i, j]
        products[:, i + 1, j + 1] = products[:, j + 1, i + 1] = m[:, j, i] + m[:, i, j]
    best = np.argmax(np.einsum("tii->ti", products), 1)
    rows = products[np.arange(len(m)), best]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def slerp(axis_angle: NDArray[np.floating[Any]], places: NDArray[np.floating[Any]]) -> Floats:
    """Rotations (N,3) of (T,3) at fractional frames `places` (N,): the short way round at an even speed.

    Written with the turn that is nearest to the frame before, so that angles beyond half a turn stay continuous.
    """
    quaternions = to_quaternions(axis_angle)
    before = np.clip(np.floor(places).astype(np.int64), 0, max(len(quaternions) - 2, 0))
    after = np.minimum(before + 1, len(quaternions) - 1)
    share = (places - before)[:, None]
    start, end = quaternions[before], quaternions[after]
    end = np.where((start * end).sum(1, keepdims=True) < 0, -end, end)
    # atan2 of chord lengths keeps its precision for the small steps that motion is made of
    angle = 2.0 * np.arctan2(np.linalg.norm(end - start, axis=1), np.linalg.norm(end + start, axis=1))[:, None]
    back = 1.0 - share
    mixed = back * np.sinc(back * angle / np.pi) * start + share * np.sinc(share * angle / np.pi) * end
    return continuous(to_axis_angle(mixed / np.sinc(angle / np.pi)))    # np.sinc(x / pi) is sin(x)/x
