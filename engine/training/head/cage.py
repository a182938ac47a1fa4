# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand-made half cage (x >= 0) with its loops, and its refinement by 4.

The cage only fixes topology and a rough place in the head frame (millimetres); the surface
comes from `sdf.py`. Boundary: numpy; knows neither the field nor the finished mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .primitives import Array

# Half loops. Mouth: index 0 = upper midline, 4 = corner, 8 = lower midline.
MOUTH = [
    [
        (0, -68, 99),
        (6.5, -68, 98),
        (13, -68, 96),
        (19, -68, 93),
        (24, -68, 90),
        (19, -68.3, 93),
        (13, -68.3, 96),
        (6.5, -68.3, 98),
        (0, -68.3, 99),
    ],
    [
        (0, -60.7, 100),
        (6, -60.2, 100),
        (13, -62.0, 98),
        (20.5, -65.0, 94),
        (26.5, -68, 90),
        (20.2, -72.9, 93),
        (13, -76, 95),
        (6.5, -77.8, 96),
        (0, -78, 96),
    ],
    [
        (0, -48.5, 100),
        (7, -48, 100),
        (15.5, -47, 94),
        (27.5, -54, 88),
        (35, -69, 82),
        (31.5, -82, 81),
        (21, -88.5, 87),
        (10.5, -90.5, 91),
        (0, -90.5, 92),
    ],
]
# Eye loops: index 0 = inner corner, then over the upper lid to 4 = outer corner, and back below.
EYE_LOOPS = [
    [
        (17.6, -1.6, 80),
        (22.5, 2.7, 83),
        (30.6, 4.7, 84),
        (39.6, 3.9, 82),
        (45.4, 1, 77),
        (40, -3.4, 81),
        (31.5, -5.2, 83),
        (23, -4.2, 83),
    ],
    [
        (14.5, -1.5, 84),
        (19.5, 8.5, 86),
        (31, 11.0, 85),
        (43, 9, 80),
        (49.6, 1.5, 72),
        (43.5, -8, 78),
        (32, -10.5, 82),
        (20.5, -8.5, 84),
    ],
    [
        (11.5, 0, 88),
        (14, 17, 92),
        (31, 22.3, 90),
        (46.5, 18.5, 78),
        (57.5, 2, 64),
        (48.5, -15, 70),
        (32.5, -20, 81),
        (17, -14, 85),
    ],
]
NOSE = [  # columns 0 and 1, rows 0..4 from the nasion down; column 2 is shared with eye and mouth loops
    [(0, 16, 96), (0, 0, 95), (0, -14, 102), (0, -26, 110), (0, -37, 114)],
    [(7.5, 16, 95), (5.8, 0, 91), (6.5, -14, 97), (8, -26, 104), (9, -38, 108)],
]
NOSE_SIDE = [(16.5, -26, 90), (17.4, -38, 92)]
CHEEK = {"c1": (32, -31, 82), "c2": (30, -43, 84), "d1": (47.5, -31, 71), "d2": (44, -49, 72)}
RING_A = [
    (0, 43, 96),
    (11, 43, 95),
    (24, 43, 91),
    (39, 41, 83),
    (54, 30, 66),
    (63, 5, 55),
    (61, -13, 56),
    (59, -31, 52),
    (56, -51, 50),
    (47, -72, 54),
    (37, -87, 60),
    (25, -97, 72),
    (12.5, -104, 86),
    (0, -106, 90),
]
RING_T = [
    (0, 69, 86),
    (28, 66, 78),
    (53, 42, 54),
    (67, 0, 33),
    (63, -22, 36),
    (55, -62, 34),
    (30, -100, 54),
    (0, -114, 76),
]
RING_S = [
    (0, 108, 5),
    (32, 99, 5),
    (60, 66, 2),
    (70, 0, -3),
    (66, -20.5, 2.5),
    (60, -37.5, 2.5),
    (34, -99, 32),
    (0, -114, 52),
]
SKULL = [  # rows i = 0..3 from the midline to above the ear, columns 1..3 backwards from ring S
    [(0, 96, -52), (0, 55, -93), (0, 3, -98)],
    [(30, 86, -48), (26, 50, -87), (19, 3, -95)],
    [(58, 56, -36), (48, 38, -70), (37, 3, -84)],
    [(68, 1, -17), (63, 2, -45), (52, 3, -68)],
]
EAR_ROWS = [
    [(65, -16.5, -17), (57, -18, -45), (46, -19, -66), (33, -19, -79), (17, -19, -86), (0, -19, -88)],
    [(58, -35.5, -9), (51, -42, -38), (42, -46, -60), (30, -47, -72), (15, -48, -78), (0, -48, -79)],
]
NECK = [
    [
        (0, -126, 22),
        (30, -116, 16),
        (45, -86, -4),
        (48, -85, -24),
        (46, -85, -42),
        (39, -86, -60),
        (28, -86, -72),
        (14, -86, -79),
        (0, -86, -80),
    ],
    [
        (0, -176, 11),
        (24, -176, 6),
        (43, -176, -8),
        (50, -176, -27),
        (52, -176, -45),
        (48, -176, -63),
        (36, -176, -77),
        (18, -176, -86),
        (0, -176, -88),
    ],
]


@dataclass(frozen=True)
class Refined:
    """The half skin after refinement: points (N,3), quads (Q,4), and the loops by index."""

    points: Array
    quads: np.ndarray
    mouth: (
        np.ndarray
    )  # (9, 33): ring from the seal outwards, upper midline over the corner (16) to lower midline
    eye: (
        np.ndarray
    )  # (9, 32): ring from the lid margin outwards, inner corner, upper lid, outer corner (16), lower
    ear_faces: (
        np.ndarray
    )  # (5, 9): grid of the two cage faces that carry the ear, front to back, top to bottom
    neck: np.ndarray  # (33,) rim, front midline to back midline
    hair: np.ndarray  # (Q,) True on the scalp
    jaw: np.ndarray  # (13,) the chin's edge, the lower end of ring A to the midline
    nose: np.ndarray  # (21, 9): rows nasion to mouth ring 8, columns midline to nose side


class _Cage:
    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []
        self.quads: list[tuple[int, int, int, int]] = []

    def add(self, points: list[tuple[float, float, float]]) -> list[int]:
        self.points += points
        return list(range(len(self.points) - len(points), len(self.points)))

    def strip(self, inner: list[int], outer: list[int]) -> list[int]:
        """Quads between two equally long rows; returns the face numbers."""
        first = len(self.quads)
        for k in range(len(inner) - 1):
            self.quads.append((inner[k], inner[k + 1], outer[k + 1], outer[k]))
        return list(range(first, len(self.quads)))


def _face_part(c: _Cage) -> tuple[list[list[int]], list[list[int]], list[list[int]], list[int]]:
    """Mouth, eye, nose and cheek; returns their face numbers by loop and the outer boundary."""
    m = [c.add(r) for r in MOUTH]
    e = [c.add(r) for r in EYE_LOOPS]
    n0, n1 = (c.add(r) for r in NOSE)
    n23, n24 = c.add(NOSE_SIDE)
    c1, c2, d1, d2 = (c.add([v])[0] for v in CHEEK.values())
    mouth = [c.strip(m[k], m[k + 1]) for k in range(2)]
    eye = [c.strip([*e[k], e[k][0]], [*e[k + 1], e[k + 1][0]]) for k in range(2)]
    p, o = e[2], m[2]
    n0, n1, n2 = [*n0, o[0]], [*n1, o[1]], [p[1], p[0], p[7], n23, n24, o[2]]
    nose = [c.strip(n0, n1), c.strip(n1, n2)]
    c.strip([p[7], n23, n24, o[2]], [p[6], c1, c2, o[3]])
    c.strip([p[6], c1, c2, o[3]], [p[5], d1, d2, o[4]])
    loop = [n0[0], n1[0], p[1], p[2], p[3], p[4], p[5], d1, d2, o[4], o[5], o[6], o[7], o[8]]
    return mouth, eye, nose, loop


def _outer_part(c: _Cage, loop: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Rings round the face, skull, ear rows and neck; returns ear, neck, scalp and chin faces."""
    a, t, s = c.add(RING_A), c.add(RING_T), c.add(RING_S)
    chin = c.strip(loop, a)[-3:]
    # three folds take the ring from 13 edges to 7: A2, A7 and A11 end there
    c.strip([a[0], a[1]], [t[0], t[1]])
    c.quads.append((a[1], a[2], a[3], t[1]))
    c.strip([a[3], a[4], a[5], a[6]], [t[1], t[2], t[3], t[4]])
    c.quads.append((a[6], a[7], a[8], t[4]))
    c.strip([a[8], a[9], a[10]], [t[4], t[5], t[6]])
    c.quads.append((a[10], a[11], a[12], t[6]))
    c.strip([a[12], a[13]], [t[6], t[7]])
    hair = c.strip(t, s)[:3]
    g = [[s[i], *c.add(SKULL[i])] for i in range(4)]
    for j in range(3):
        hair += c.strip([g[i][j] for i in range(4)], [g[i][j + 1] for i in range(4)])
    row0 = [*g[3], g[2][3], g[1][3], g[0][3]]
    row1 = [s[4], *c.add(EAR_ROWS[0])]
    row2 = [s[5], *c.add(EAR_ROWS[1])]
    beside, below = c.strip(row0, row1), c.strip(row1, row2)
    hair += beside[1:] + below[1:]
    n1, n2 = c.add(NECK[0]), c.add(NECK[1])
    c.strip([s[7], s[6], *row2], n1)
    return [beside[0], below[0]], c.strip(n1, n2), hair, chin


def _refine(points: Array, quads: np.ndarray, n: int = 4) -> tuple[Array, np.ndarray, np.ndarray]:
    """Split every quad n x n (bilinear). Returns points, quads and the index grids (F, n+1, n+1)."""
    out: list[Array] = []
    known: dict[tuple[int, ...], int] = {}

    def index(key: tuple[int, ...], value: Array) -> int:
        if key not in known:
            known[key] = len(out)
            out.append(value)
        return known[key]

    grids = np.zeros((len(quads), n + 1, n + 1), int)
    small = []
    for f, q in enumerate(quads):
        corner = points[q]
        for i in range(n + 1):
            for j in range(n + 1):
                u, v = i / n, j / n
                w = ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
                value = sum(wk * ck for wk, ck in zip(w, corner, strict=True))
                used = {int(q[k]): round(w[k] * n * n) for k in range(4) if w[k] > 1e-9}
                key = tuple(x for kv in sorted(used.items()) for x in kv) if len(used) < 4 else (-1 - f, i, j)
                grids[f, i, j] = index(key, value)
        for i in range(n):
            for j in range(n):
                small.append((grids[f, i, j], grids[f, i + 1, j], grids[f, i + 1, j + 1], grids[f, i, j + 1]))
    return np.array(out), np.array(small), grids


def _ring_table(grids: np.ndarray, strips: list[list[int]], closed: bool) -> np.ndarray:
    """Index table (rings, around) from the grids of concentric strips."""
    rows = []
    for level, faces in enumerate(strips):
        for j in range(0 if level == 0 else 1, 5):
            row = [grids[f][i][j] for f in faces for i in range(4)]
            rows.append(row if closed else [*row, grids[faces[-1]][4][j]])
    return np.array(rows)


def outward(quads: np.ndarray, points: Array) -> np.ndarray:
    """Turn all quads of one connected surface alike, facing away from the head's middle."""
    owner: dict[tuple[int, int], list[int]] = {}
    for f, q in enumerate(quads):
        for a, b in zip(q, np.roll(q, -1), strict=True):
            owner.setdefault((min(a, b), max(a, b)), []).append(f)
    out, seen, queue = quads.copy(), {0}, [0]
    while queue:
        f = queue.pop()
        edges = set(zip(out[f].tolist(), np.roll(out[f], -1).tolist(), strict=True))
        for a, b in list(edges):
            for g in owner[(min(a, b), max(a, b))]:
                if g in seen:
                    continue
                if (a, b) in set(zip(out[g].tolist(), np.roll(out[g], -1).tolist(), strict=True)):
                    out[g] = out[g][::-1]
                seen.add(g)
                queue.append(g)
    p = points[out]
    normal = np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1])
    return out if (normal * (p.mean(1) - [0, -20, 10])).sum() > 0 else out[:, ::-1]


def half_skin() -> Refined:
    """Build and refine the half cage."""
    c = _Cage()
    mouth, eye, nose, loop = _face_part(c)
    ear, neck, hair, chin = _outer_part(c, loop)
    points, quads, grids = _refine(np.array(c.points, float), np.array(c.quads))
    quads = outward(quads, points)
    columns = _ring_table(grids, nose, closed=False)
    return Refined(
        points,
        quads,
        _ring_table(grids, mouth, False),
        _ring_table(grids, eye, True),
        _ear_grid(grids, ear),
        np.array([grids[f][i][4] for f in neck for i in range(4)] + [grids[neck[-1]][4][4]]),
        np.isin(np.arange(len(quads)) // 16, hair),
        np.array([grids[f][i][4] for f in chin for i in range(4)] + [grids[chin[-1]][4][4]]),
        columns.T,
    )


def _ear_grid(grids: np.ndarray, ear: list[int]) -> np.ndarray:
    """(5, 9) indices: first axis front to back, second top to bottom."""
    return np.concatenate([grids[ear[0]], grids[ear[1]][:, 1:]], 1)
