# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed-distance primitives and smooth joins. Plain numpy; points are (N,3), results (N,)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def ellipsoid(p: Array, centre: ArrayLike, radii: ArrayLike, power: float = 2.0, tilt: float = 0.0) -> Array:
    """Distance to a superellipsoid; `tilt` (radians) turns it about x, top backwards for positive values."""
    q = p - np.asarray(centre, float)
    if tilt:
        c, s = np.cos(tilt), np.sin(tilt)
        q = np.stack([q[:, 0], c * q[:, 1] - s * q[:, 2], s * q[:, 1] + c * q[:, 2]], 1)
    r = np.asarray(radii, float)
    a = np.abs(q / r) + 1e-9
    k = (a**power).sum(1) ** (1.0 / power)
    grad = (k ** (1.0 - power))[:, None] * a ** (power - 1.0) / r
    return (k - 1.0) / np.linalg.norm(grad, axis=1).clip(1e-6)


def chain(p: Array, points: ArrayLike, radii: ArrayLike) -> Array:
    """Distance to capsules joined end to end, the radius running linearly along each."""
    pts = np.asarray(points, float)
    rad = np.broadcast_to(np.asarray(radii, float), (len(pts),))
    best = np.full(len(p), np.inf)
    for a, b, ra, rb in zip(pts[:-1], pts[1:], rad[:-1], rad[1:], strict=True):
        ab = b - a
        t = np.clip((p - a) @ ab / (ab @ ab), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(p - a - t[:, None] * ab, axis=1) - (ra + t * (rb - ra)))
    return best


def join(a: Array, b: Array, k: float) -> Array:
    """Smooth union with the cubic blend of radius `k`."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h**3 * k / 6.0


def cut(a: Array, b: Array, k: float) -> Array:
    """`a` without `b`, smooth."""
    return -join(-a, b, k)


def smoothstep(x: Array | float, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((np.asarray(x, float) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))
