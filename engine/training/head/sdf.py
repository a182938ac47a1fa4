# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the head as a distance field: everything larger than a centimetre.

Head frame, millimetres: +x the head's left, +y up, +z forward; origin on the mid-plane at
the height of the eye centres. One sign serves both sides because x enters as |x|.
Boundary: numpy and scipy; knows nothing of meshes.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

from .primitives import Array, chain, cut, ellipsoid, join

EYE = np.array([31.5, 0.0, 70.0])
EYE_RADIUS = 13.3
LID_RADIUS = EYE_RADIUS + 1.9

GRID_STEP = 3.0
GRID_LOW = np.array([-24.0, -210.0, -135.0])
GRID_HIGH = np.array([114.0, 141.0, 138.0])
BLUR = 5.5

# Points the soft base must pass through (the nose, lips and lids come later): midline
# profile first, then breadths. Found by eye on renders, around adult averages.
PINS = np.array(
    [
        [0, 108.5, -6],
        [42, 90, -6],
        [58, 68, -8],
        [0, 94, 50],
        [0, 80, 75.5],
        [0, 60, 91.5],
        [0, 40, 96],
        [0, 15, 95.8],
        [0, 3, 92.5],
        [0, -54, 98.0],
        [0, -63, 97.6],
        [0, -73, 95.8],
        [0, -87, 91.6],
        [0, -98, 92.8],
        [0, -106, 90],
        [0, -112.5, 82],
        [0, -114, 68],
        [0, -113.5, 54],
        [14, -111, 64],
        [0, -123, 29],
        [0, -150, 12],
        [0, -172, 6],
        [0, 40, -98],
        [0, 5, -97],
        [0, -40, -80.5],
        [0, -62, -73.5],
        [0, -100, -74],
        [0, -150, -87],
        [72.5, 30, -12],
        [69.5, 0, 2],
        [66, -20, 18],
        [62, -42, 15],
        [58, -62, 16],
        [52, -79, 22],
        [60, -12, 48],
        [52, -12, 62],
        [49.5, -52, 60],
        [43.2, -70, 62],
        [34.8, -88, 62],
        [20, -103, 74],
        [31, -14, 80.3],
        [42, -14, 75.5],
        [22, -14, 83],
        [52, -3, 64.5],
        [30, 20, 89.5],
        [28, -30, 82],
        [38.5, -30, 77],
        [31, -52, 80],
        [56, 25, 62],
        [40, 45, 83],
    ],
    dtype=float,
)


def _bones(p: Array) -> Array:
    d = ellipsoid(p, (0, 32, -4.5), (72.5, 77, 95), 2.2)
    d = join(d, ellipsoid(p, (0, 40, 26), (60, 56, 70), 2.2), 20)
    d = join(d, ellipsoid(p, (0, -30, 32), (56, 70, 59), 2.2), 22)
    d = join(d, ellipsoid(p, (0, -66, 52), (36, 40, 45)), 18)
    d = join(d, ellipsoid(p, (0, -97.5, 75), (17.5, 15, 20)), 16)
    jaw = [(10, -98.5, 71), (31, -88, 42), (43.5, -67, 12), (50, -30, 3)]
    d = join(d, chain(p, jaw, 11.5), 16)
    d = join(d, chain(p, [(49, -24, 22), (44, -66, 20)], (10, 11)), 16)
    d = join(d, chain(p, [(50, 10, 5), (52, -25, 8)], 14), 18)
    d = join(d, chain(p, [(32, -24, 72.5), (44, -19, 58), (53, -14, 26)], (12.5, 13, 12)), 15)
    d = join(d, ellipsoid(p, (33, -46, 62), (19, 24, 20)), 18)
    d = join(d, chain(p, [(11, -22, 86), (19, -42, 80)], 8), 15)
    d = join(d, ellipsoid(p, (0, -97.5, 48), (27, 13, 34)), 16)
    return d


def _neck(p: Array) -> Array:
    d = chain(p, [(0, -60, -22), (0, -200, -45)], (47, 49))
    d = join(d, chain(p, [(42, -50, -12), (12, -185, 6)], (10, 8)), 14)
    return join(d, chain(p, [(18, -80, -58), (27, -135, -60), (58, -200, -60)], (18, 20, 25)), 28)


def base(points: Array) -> Array:
    """Bones, soft fillers, brow and sockets before the blur; (N,3) -> (N,)."""
    p = points.copy()
    p[:, 0] = np.abs(p[:, 0])
    d = join(_bones(p), _neck(p), 26)
    d = join(d, chain(p, [(6, 13, 84), (22, 18, 80), (42, 14, 70), (53, 6, 55)], (9, 9.5, 9, 8)), 14)
    d = cut(d, ellipsoid(p, (31, -3, 93), (17.5, 13, 17)), 14)
    d = cut(d, ellipsoid(p, (86, 18, 52), (20, 26, 26)), 20)
    return d


class HeadField:
    """The finished field. Calling it with (N,3) gives (N,) signed distances, negative inside."""

    def __init__(self) -> None:
        axes = [
            np.arange(lo, hi + 0.5 * GRID_STEP, GRID_STEP) for lo, hi in zip(GRID_LOW, GRID_HIGH, strict=True)
        ]
        shape = tuple(len(a) for a in axes)
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        soft = gaussian_filter(base(grid).reshape(shape), BLUR / GRID_STEP, mode="nearest")
        self._grid = spline_filter(soft, order=3)
        miss = self.soft(PINS)
        both = np.concatenate([PINS, (PINS * [-1, 1, 1])[PINS[:, 0] > 0]])
        fit = RBFInterpolator(
            both,
            np.concatenate([miss, miss[PINS[:, 0] > 0]]),
            kernel="gaussian",
            epsilon=1 / 22.0,
            smoothing=0.12,
            degree=-1,
        )
        coarse = [a[::3] for a in axes]
        cgrid = np.stack(np.meshgrid(*coarse, indexing="ij"), -1)
        corr = fit(cgrid.reshape(-1, 3)).reshape(cgrid.shape[:3])
        where = np.meshgrid(*[np.arange(n) / 3.0 for n in shape], indexing="ij")
        self._grid = spline_filter(soft - map_coordinates(corr, where, order=3, mode="nearest"), order=3)
        self.pin_miss = miss

    def soft(self, points: Array) -> Array:
        """The blurred base with its corrections, without nose, lids and lips."""
        q = np.abs(points[:, 0])
        at = (np.stack([q, points[:, 1], points[:, 2]], 0) - GRID_LOW[:, None]) / GRID_STEP
        return map_coordinates(self._grid, at, order=3, mode="nearest", prefilter=False)

    def __call__(self, points: Array, lips: bool = True) -> Array:
        p = np.array(points, float)
        p[:, 0] = np.abs(p[:, 0])
        d = self.soft(p)
        d = join(d, np.linalg.norm(p - EYE, axis=1) - LID_RADIUS, 9)
        d = join(d, self._nose(p), 6)
        return self._mouth(p, d) if lips else d

    @staticmethod
    def _nose(p: Array) -> Array:
        d = chain(p, [(0, 7, 88), (0, -4, 91.4), (0, -14, 96.6), (0, -25, 103.4)], (4.6, 4.2, 4.7, 6.0))
        d = join(d, chain(p, [(3.4, -6, 86), (6.2, -25, 91)], (5.0, 5.6)), 14)
        d = join(d, ellipsoid(p, (0, -33.6, 104.6), (8.2, 8.0, 9.6)), 9)
        d = join(d, ellipsoid(p, (0, -37.2, 96.5), (10.6, 5.6, 9)), 6)
        d = join(d, ellipsoid(p, (10.2, -37.6, 95.5), (5.4, 6.2, 8.6)), 9)
        return join(d, chain(p, [(0, -38.5, 106.6), (0, -43.2, 99.5)], (3.8, 3.6)), 5)

    @staticmethod
    def _mouth(p: Array, d: Array) -> Array:
        d = join(d, ellipsoid(p, (0, -62.5, 84), (21, 7.5, 15)), 8)
        d = join(d, ellipsoid(p, (0, -74.5, 83), (18, 6.5, 14)), 8)
        return cut(d, chain(p, [(0, -50, 103.9), (0, -58, 103.1)], 2.6), 6)

    def gradient(self, points: Array, lips: bool = True) -> Array:
        """Numeric outward gradient (N,3), unit length."""
        h = 0.3
        g = np.empty_like(points, dtype=float)
        for k in range(3):
            e = np.zeros(3)
            e[k] = h
            g[:, k] = self(points + e, lips) - self(points - e, lips)
        return g / np.linalg.norm(g, axis=1, keepdims=True).clip(1e-9)

    def project(self, points: Array, rounds: int = 6, lips: bool = True) -> Array:
        """Newton steps along the gradient, at most 6 mm each, until the points lie on the surface."""
        p = np.array(points, float)
        for _ in range(rounds):
            step = np.clip(self(p, lips), -6.0, 6.0)
            p -= step[:, None] * self.gradient(p, lips)
        return p

    def cast(self, xy: Array, lips: bool = True, start: float = 128.0) -> Array:
        """First surface point below z = `start` over each (x, y); (N,2) -> (N,3)."""
        p = np.column_stack([xy, np.full(len(xy), start)])
        for _ in range(60):
            p[:, 2] -= np.clip(self(p, lips), -4.0, 6.0) * 0.8
        return p
