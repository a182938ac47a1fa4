# SPDX-License-Identifier: GPL-3.0-or-later
"""The 68 iBUG landmarks and two pupils as faces with barycentric weights.

Boundary: numpy; millimetres. iBUG counts from the head's right (x < 0) to its left.
"""

from __future__ import annotations

import numpy as np

from .assemble import Head
from .primitives import Array

# jaw line from the ear (0) to the chin (8), left half; the nearest skin vertex is taken
CONTOUR = [
    (67, -12, 14),
    (65, -27, 20),
    (61, -43, 24),
    (57, -60, 26),
    (49, -77, 34),
    (39, -91, 48),
    (27, -101, 62),
    (13, -109, 76),
    (0, -112, 84),
]
BROW = [(51, 16, 72), (43, 22, 81), (34, 24, 88), (25, 23, 92), (15, 19, 95)]  # outer to inner
BRIDGE = [(0, 3, 96), (0, -9, 101), (0, -21, 108), (0, -34, 114)]
NOSTRILS = [(13, -43, 98), (6.5, -46, 101), (0, -46.5, 103)]  # outer to middle
LIP_COLUMNS = {"corner": 16, "outer_high": (10, 5, 0), "outer_low": (22, 27, 32), "inner": 8}


def _nearest(head: Head, points: list[tuple[float, float, float]]) -> list[int]:
    skin = head.tables["skin"]
    at = head.points[skin]
    return [int(skin[np.argmin(((at - p) ** 2).sum(1))]) for p in np.array(points, float)]


def landmark_vertices(head: Head) -> list[int]:
    """The 70 vertices in iBUG order, then right and left pupil."""
    mirror, tab = head.mirror, head.tables
    mouth, eye = tab["mouth"], tab["eye"]

    def right(vertices: list[int]) -> list[int]:
        return [int(mirror[v]) for v in vertices]

    contour, brow = _nearest(head, CONTOUR), _nearest(head, BROW)
    bridge, base = _nearest(head, BRIDGE), _nearest(head, NOSTRILS)
    lids = [int(eye[0, k]) for k in (0, 5, 11, 16, 21, 27)]  # inner, upper, upper, outer, lower, lower
    high = [int(mouth[4, k]) for k in LIP_COLUMNS["outer_high"]]
    low = [int(mouth[4, k]) for k in LIP_COLUMNS["outer_low"]]
    inner = LIP_COLUMNS["inner"]
    corner, seal_corner = int(mouth[4, 16]), int(mouth[0, 16])
    up, down = int(mouth[0, inner]), int(mouth[0, 32 - inner])
    out = right(contour[:8]) + contour[::-1]
    out += right(brow) + brow[::-1]
    out += bridge + right(base[:2]) + base[::-1]
    out += right([lids[3], lids[2], lids[1], lids[0], lids[5], lids[4]]) + lids
    out += right([corner, *high[:2]]) + [high[2], high[1], high[0], corner]
    out += [low[0], low[1], low[2], *right([low[1], low[0]])]
    out += right([seal_corner, up]) + [int(mouth[0, 0]), up, seal_corner]
    out += [down, int(mouth[0, 32]), int(mirror[down])]
    pupil = int(tab["eye_pole"][0])
    return [*out, int(mirror[pupil]), pupil]


def landmarks(head: Head, triangles: np.ndarray) -> tuple[np.ndarray, Array]:
    """Triangle (70,) and barycentric weights (70,3) of every landmark."""
    faces, bary = [], []
    for vertex in landmark_vertices(head):
        face, corner = np.argwhere(triangles == vertex)[0]
        faces.append(face)
        bary.append(np.eye(3)[corner])
    return np.array(faces), np.array(bary)
