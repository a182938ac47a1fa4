# SPDX-License-Identifier: GPL-3.0-or-later
"""Short hair as painted strands, combed from the crown. Boundary: numpy; millimetres in the head frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from .primitives import Array, smoothstep

# the hairline: longitude in degrees and height, from the middle of the forehead to the nape
HAIRLINE = np.array(
    [(0, 67), (10, 68), (19, 67.5), (27, 64.5), (34, 58.5), (41, 49.5), (48, 36), (54, 22), (59, 8), (64, -4),
     (70, -15), (76, -19), (80, -14), (84, 0), (90, 5), (97, 5), (103, -3), (108, -18), (113, -33), (122, -46),
     (140, -56), (160, -62), (180, -64)],
    float,
)  # fmt: skip
# how far in from the line the hair is full, by the same longitude: clean at the forehead, shorn at temple and nape
FADE = np.array(
    [(0, 4.5), (30, 6.5), (50, 11), (66, 15), (76, 15), (84, 6), (97, 7), (108, 13), (130, 22), (180, 24)], float
)
MIDDLE, CROWN = np.array([0.0, 20.0, -5.0]), np.array([0.0, 0.80, -0.60])  # of the skull; where the strands begin
STRANDS = 95.0  # mm: radius of the circle by which strands are told apart


def inside_line(p: Array, ear: Array) -> tuple[Array, Array]:
    """Distance (P,) of places (P,3; x >= 0) to the hairline, negative on bare skin, and how far in the hair is full."""
    turn = np.degrees(np.arctan2(p[:, 0], p[:, 2] + 5))
    at = np.column_stack([turn * 1.25, p[:, 1]])
    line = HAIRLINE * [1.25, 1]
    way = np.full(len(p), np.inf)
    for s, e in pairwise(line):
        t = (((at - s) @ (e - s)) / ((e - s) @ (e - s))).clip(0, 1)
        way = np.minimum(way, np.linalg.norm(at - s - t[:, None] * (e - s), axis=1))
    sign = np.where(p[:, 1] > np.interp(turn, *HAIRLINE.T), 1.0, -1.0)
    return way * sign * (1 - ear) - 20 * ear, np.interp(turn, *FADE.T)


def combed(places: Array, sway: Array) -> tuple[Array, Array]:
    """Strand coordinates (P,3) of places (P,3), two across the strands and one along, mm; and the angle from the crown.

    `sway` (P,) turns strands aside, radians.
    """
    d = places - MIDDLE
    d = d / np.linalg.norm(d, axis=1, keepdims=True).clip(1e-9)
    ahead = np.cross([1.0, 0.0, 0.0], CROWN)
    away = np.arccos((d @ CROWN).clip(-1, 1))
    turn = np.arctan2(d[:, 0], d @ ahead) + sway
    return np.column_stack([STRANDS * np.cos(turn), STRANDS * np.sin(turn), STRANDS * away]), away


def cover(inside: Array, fade: Array, strand: Array) -> Array:
    """How much hair covers each place (P,): single strands at the line, ever more inwards; `strand` is normal noise."""
    full = smoothstep(inside / fade, -0.30, 1.0)
    drawn = smoothstep(full - ndtr(strand), -0.22, 0.38) * smoothstep(full, 0.0, 0.15)
    return np.asarray(np.maximum(drawn, smoothstep(full, 0.75, 1.0)) * 0.74 + 0.26 * full)


def sheen(away: Array) -> Array:
    """The light band round the crown (P,)."""
    return np.asarray(np.exp(-(((away - 0.62) / 0.20) ** 2)))
