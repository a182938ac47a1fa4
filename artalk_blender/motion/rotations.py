# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations as Blender keeps them: quaternions (T,4) w, x, y, z, axis-angle vectors, Euler angles. Plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.rotations import multiply

Floats = NDArray[np.float64]


def quaternions_to_axis_angle(quaternions: NDArray[np.floating[Any]]) -> Floats:
    """(T,4) w, x, y, z -> (T,3) radians; what axis_angle_to_quaternions undoes."""
    q = np.asarray(quaternions, np.float64)
    length = np.linalg.norm(q[:, 1:], axis=1)
    angle = 2.0 * np.arctan2(length, q[:, 0])
    # 2/w where the rotation vanishes
    scale = np.where(length > 1e-12, angle / np.maximum(length, 1e-300), 2.0 / np.where(q[:, 0] == 0.0, 1.0, q[:, 0]))
    return q[:, 1:] * scale[:, None]


def turn_between(before: Floats, after: Floats) -> Floats:
    """The small rotations (T,3), radians, that lead from unit quaternions (T,4) to others; exact to the third order."""
    turned = multiply(after, before * (1.0, -1.0, -1.0, -1.0))
    return 2.0 * turned[:, 1:] * np.where(turned[:, :1] < 0.0, -1.0, 1.0)


def normalised(quaternions: NDArray[np.floating[Any]]) -> Floats:
    """Quaternions (T,4) at length 1, as bones take them; no rotation where there is none."""
    q = np.asarray(quaternions, np.float64)
    length = np.linalg.norm(q, axis=1, keepdims=True)
    return np.where(length > 1e-12, q / np.maximum(length, 1e-12), (1.0, 0.0, 0.0, 0.0))


def euler_to_quaternions(angles: NDArray[np.floating[Any]], order: str) -> Floats:
    """Euler angles (T,3) about x, y, z in radians -> (T,4). Order "XYZ" turns about X first, as in Blender."""
    half = 0.5 * np.asarray(angles, np.float64)
    result = np.tile((1.0, 0.0, 0.0, 0.0), (len(half), 1))
    for letter in order:
        axis = "XYZ".index(letter)
        single = np.zeros((len(half), 4))
        single[:, 0], single[:, 1 + axis] = np.cos(half[:, axis]), np.sin(half[:, axis])
        result = multiply(single, result)
    return result
