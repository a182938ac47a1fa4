# SPDX-License-Identifier: GPL-3.0-or-later
"""The eyebrow as some three hundred painted hairs. Boundary: numpy; millimetres, seen from the front, left side."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from .primitives import Array, smoothstep

HAIRS = 340
LENGTH = 5.2  # mm
WIDTH = 0.14  # half width of a hair, mm


def brow_edges() -> tuple[Array, Array]:
    """Upper and lower edge of the eyebrow, (10,2) each, from the inner to the outer end."""
    at = np.linspace(0, 4, 10)
    upper = np.array([(13.8, 20.3), (22, 22.3), (32, 23.9), (42, 22.8), (50.5, 17.6)])
    lower = np.array([(14.4, 15.6), (22, 17.4), (32, 19.4), (42, 19.8), (50.0, 16.8)])
    return np.asarray(CubicSpline(range(5), upper)(at)), np.asarray(CubicSpline(range(5), lower)(at))


def _strokes() -> tuple[Array, Array]:
    """Roots and tips (HAIRS,2) of the hairs: upwards at the inner end, lying down along the brow further out."""
    rng = np.random.default_rng(5)
    upper, lower = brow_edges()
    at = np.linspace(0, 1, len(upper))
    high, low = CubicSpline(at, upper), CubicSpline(at, lower)
    u = rng.uniform(0.0, 0.985, HAIRS)
    u = np.where(u < 0.14, 0.14 * (u / 0.14) ** 0.55, u) - 0.02
    across = rng.uniform(0.04, 0.96, HAIRS)
    narrow = 0.44 + (across - 0.5) * (0.5 + 0.5 * smoothstep(u, -0.02, 0.2))
    root = low(u) + (high(u) - low(u)) * narrow[:, None]
    tangent = 0.5 * (high(u, 1) + low(u, 1))
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    lean = np.radians(np.interp(u, [0, 0.12, 0.35, 1.0], [70, 50, 24, 4])) - np.radians(30) * (across - 0.35)
    lean += rng.normal(0, 0.10, HAIRS)
    c, s = np.cos(lean), np.sin(lean)
    way = np.column_stack([c * tangent[:, 0] - s * tangent[:, 1], s * tangent[:, 0] + c * tangent[:, 1]])
    long = LENGTH * np.interp(u, [0, 0.15, 0.6, 1], [0.62, 0.9, 1.0, 0.7]) * rng.uniform(0.75, 1.1, HAIRS)
    return root - 0.3 * way * long[:, None], root + 0.7 * way * long[:, None]


def brow_ink(p: Array) -> Array:
    """How much brow covers each place (P,3), 0 to 1."""
    out = np.zeros(len(p))
    near = np.flatnonzero((np.abs(p[:, 1] - 20) < 12) & (p[:, 0] > 7) & (p[:, 0] < 58) & (p[:, 2] > 45))
    at = p[near, :2]
    clear = np.ones(len(near))
    for a, b in zip(*_strokes(), strict=True):
        box = np.flatnonzero((np.abs(at - 0.5 * (a + b)) < 0.5 * np.abs(b - a) + 0.8).all(1))
        t = ((at[box] - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
        far = np.linalg.norm(at[box] - a - t[:, None] * (b - a), axis=1)
        thin = WIDTH * (1.15 - 0.7 * t)
        clear[box] *= 1 - 0.62 * np.exp(-0.5 * (far / thin) ** 2)
    upper, lower = brow_edges()
    middle = np.interp(at[:, 0], 0.5 * (upper + lower)[:, 0], 0.5 * (upper + lower)[:, 1])
    wide = np.interp(at[:, 0], upper[:, 0], 0.5 * (upper - lower)[:, 1])
    under = np.exp(-(((at[:, 1] - middle) / (0.75 * wide + 0.3)) ** 2))
    under *= smoothstep(at[:, 0], 12.5, 20) * (1 - smoothstep(at[:, 0], 45, 52))
    out[near] = 1 - clear * (1 - 0.34 * under)
    return 0.93 * out
