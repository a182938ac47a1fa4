# SPDX-License-Identifier: GPL-3.0-or-later
"""UVs of the default head: one chart for skin, ears, lids and mouth bag, small ones for eyes, teeth and tongue.

The face lies in the chart by its longitude and height, so that it looks like a face; what does not face outwards
(nostrils, ears, under the chin, the mouth bag) and the crown is filled in by a biharmonic solve. Where that folds,
vertices become the mean of their neighbours, which cannot (Tutte, "How to draw a graph", 1963). The seam runs over
the crown and down the back. Boundary: numpy and scipy.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from .assemble import Head
from .primitives import Array
from .sdf import EYE

FLOOR, TOP, RIGHT = 0.17, 0.994, 0.988  # the chart's borders; the small parts lie below it
EVEN = 0.45  # a UV edge goes with its length to this power: 0 gives every quad the same room, 1 every mm
FACE = 1.45  # how much more room the front has than the back
HEIGHTS = ([-176.0, -108, 45, 75, 130], [0.0, 0.23, 0.78, 0.87, 0.97])  # mm to share of the chart's height
EAR_ROOM = (2.1, 1.35)  # by which the ear's hole is spread
LIP_GAP = 0.020  # v by which each lip is moved off the other, to make room for the mouth bag
TOP_FRONT, TOP_BACK = 45.0, -72.0  # z of the outline's upper corners on the midline
EYE_SPREAD = 0.62  # UV radius on an eyeball goes with its angle to this power: the iris gets most
TURNS = 36  # of untangling, at most
SMALLEST = 1e-8  # twice the area of a triangle that is as good as folded
BOXES = {  # lower left, upper right; rows run from the first named height to the second
    "teeth_upper": ((0.20, 0.090), (0.58, 0.160)),
    "teeth_lower": ((0.20, 0.078), (0.58, 0.008)),
    "tongue": ((0.60, 0.008), (0.80, 0.160)),
}


def _edges(points: Array, quads: np.ndarray) -> csc_matrix:
    """(V,V) weights of the mean of neighbours: length to the power -EVEN."""
    pairs = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1).clip(0.2)
    w = csc_matrix((length**-EVEN, (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    return csc_matrix(w + w.T)


def normals(points: Array, quads: np.ndarray) -> Array:
    """(V,3) unit normals, area weighted."""
    q = points[quads]
    face = np.cross(q[:, 2] - q[:, 0], q[:, 3] - q[:, 1])
    out = np.zeros_like(points)
    for k in range(4):
        np.add.at(out, quads[:, k], face)
    return out / np.linalg.norm(out, axis=1, keepdims=True).clip(1e-9)


def outline(quads: np.ndarray, start: int) -> list[int]:
    """The border loop through `start`, in the order of its faces' edges."""
    edges = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)]).tolist()
    have = {(a, b) for a, b in edges}
    follow = {a: b for a, b in edges if (b, a) not in have}
    loop, at = [start], follow[start]
    while at != start:
        loop.append(at)
        at = follow[at]
    return loop


def _along(points: Array, a: tuple[float, float], b: tuple[float, float]) -> Array:
    """UVs (N,2) of a row of points on the line from `a` to `b`."""
    step = np.linalg.norm(np.diff(points, axis=0), axis=1).clip(0.2) ** EVEN
    t = np.concatenate([[0.0], np.cumsum(step)]) / step.sum()
    return np.asarray(a) * (1 - t[:, None]) + np.asarray(b) * t[:, None]


def flat(points: Array) -> Array:
    """UVs (N,2) of points on the head by its longitude and height, the face given more room than the back."""
    axis = np.interp(points[:, 1], [-150, -95], [-36.0, 0.0])
    turn = np.arctan2(points[:, 0], points[:, 2] - axis) / np.pi
    u = 0.5 + (RIGHT - 0.5) * (1 - np.exp(-FACE * turn)) / (1 - np.exp(-FACE))
    rise = np.arctan2(points[:, 1] - 20, np.hypot(points[:, 0], points[:, 2]))
    height = np.where(points[:, 1] > 20, 20 + 78 * rise, points[:, 1])
    v = np.interp(height, *HEIGHTS)
    return np.column_stack([u, FLOOR + (TOP - FLOOR) * v])


def _pinned(head: Head, normal: Array) -> Array:
    """UVs (V,2) of the left half's skin where it faces outwards, of the lips parted and the lids, else NaN."""
    p, tab = head.points, head.tables
    radial = p * [1, 0.25, 1]
    radial /= np.linalg.norm(radial, axis=1, keepdims=True).clip(1e-9)
    skin = np.zeros(len(p), bool)
    skin[tab["skin"]] = True
    skin[tab["ear"]] = False
    ok = skin & ((normal * radial).sum(1) > 0.72) & (p[:, 1] < 74) & (p[:, 1] > np.where(p[:, 2] > 45, -92, -88))
    lips, lids = tab["mouth"], tab["eye"]
    ok[np.concatenate([lips.ravel(), lids.ravel()])] = True
    uv = np.where(ok[:, None], flat(p), np.nan)
    hole = flat(p[tab["ear_hole"]])
    uv[tab["ear_hole"]] = hole.mean(0) + (hole - hole.mean(0)) * EAR_ROOM
    ring, t = np.arange(9.0)[:, None], np.linspace(-1, 1, 33)[None]
    apart = LIP_GAP * np.sin(np.pi / 2 * np.minimum(1, 1.5 * np.abs(t))) * (1 - ring / 8)
    uv[lips, 1] -= np.sign(t) * apart
    middle = uv[lids[0]].mean(0)
    for k, share in enumerate((0.82, 0.62)):
        uv[tab["lid_inner"][k]] = middle + (uv[lids[0]] - middle) * share
    return uv


def _fill(values: Array, system: csc_matrix, mine: np.ndarray) -> None:
    """Solves for the NaN among the values (V,) of the vertices in `mine`, in place."""
    free, known = np.flatnonzero(mine & np.isnan(values)), np.flatnonzero(mine & ~np.isnan(values))
    values[free] = splu(csc_matrix(system[free][:, free])).solve(-(system[free][:, known] @ values[known]))


def folded(uv: Array, quads: np.ndarray) -> np.ndarray:
    """Mask of quads (Q,) of which a triangle is turned over or empty, given those the right way are the most."""
    def area(a: int, b: int, c: int) -> Array:
        p, q, r = uv[quads[:, a]], uv[quads[:, b]], uv[quads[:, c]]
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])

    least = np.stack([area(0, 1, 2), area(0, 2, 3)], 1)
    sign = np.sign(np.median(least))
    return np.asarray((least * sign).min(1) < SMALLEST)


def _untangle(uv: Array, quads: np.ndarray, lap: csc_matrix, held: np.ndarray) -> None:
    """Makes vertices around folded quads the mean of their neighbours, further and further around, in place."""
    for turn in range(TURNS):
        # the mirrored quad has its diagonal the other way
        bad = np.unique(quads[folded(uv, quads) | folded(uv, quads[:, ::-1])])
        if not len(bad):
            return
        loose = np.zeros(len(uv), bool)
        loose[bad] = True
        for _ in range(1 + turn // 3):
            loose[quads[loose[quads].any(1)]] = True
        uv[loose & ~held] = np.nan
        mine = ~np.isnan(uv).any(1) | loose
        for axis in (0, 1):
            _fill(uv[:, axis], lap, mine)


def _border(head: Head, quads: np.ndarray, uv: Array) -> tuple[np.ndarray, np.ndarray]:
    """Lays the half head's outline round the chart, in place; returns its vertices and those on the seam."""
    p, rim = head.points, head.tables["neck"]
    loop = outline(quads, int(rim[0]))
    if loop[1] in rim:  # first up the front, last along the rim
        loop = [loop[0], *loop[:0:-1]]
    border = np.array(loop)
    neck = loop.index(int(rim[-1]))
    high, z = p[border, 1] > 40, p[border, 2]
    front, back = int(np.argmax(high & (z < TOP_FRONT))), int(np.argmax(high & (z < TOP_BACK)))
    place = flat(p[border])
    uv[border[: front + 1], 0] = 0.5  # heights are left to the solve
    uv[border[front : back + 1]] = _along(p[border[front : back + 1]], (0.5, TOP), (RIGHT, TOP))
    uv[border[back + 1 : neck]] = np.column_stack([np.full(neck - back - 1, RIGHT), place[back + 1 : neck, 1]])
    uv[border[neck:]] = np.column_stack([place[neck:, 0], np.full(len(loop) - neck, FLOOR)])
    uv[[rim[0], rim[-1]]] = (0.5, FLOOR), (RIGHT, FLOOR)
    return border, border[front + 1 : neck + 1]


def skin_chart(head: Head, quads: np.ndarray) -> tuple[Array, np.ndarray]:
    """UVs (V,2) of the left half's skin, NaN elsewhere, and the midline vertices on the seam."""
    uv = _pinned(head, normals(head.points, quads))
    border, seam = _border(head, quads, uv)
    weights = _edges(head.points, quads)
    _, label = connected_components(weights)
    mine = label == label[border[0]]
    degree = np.asarray(weights.sum(1)).ravel()
    lap = csc_matrix(diags(degree) - weights)
    smooth = csc_matrix(lap.T @ diags(1 / degree.clip(1e-9)) @ lap)
    for axis in (0, 1):
        _fill(uv[:, axis], smooth, mine)
    held = np.zeros(len(uv), bool)
    held[border] = True
    _untangle(uv, quads[mine[quads].all(1)], lap, held)
    return uv, seam


def _eye(points: Array, centre: tuple[float, float], radius: float) -> Array:
    """UVs of an eyeball seen from the front, all of it spread into a disc."""
    q = points - EYE
    angle = np.arctan2(np.hypot(q[:, 0], q[:, 1]), q[:, 2])
    turn = np.arctan2(q[:, 1], q[:, 0])
    r = radius * (angle / np.pi) ** EYE_SPREAD
    return np.column_stack([centre[0] + r * np.cos(turn), centre[1] + r * np.sin(turn)])


def _strip(points: Array, low: tuple[float, float], high: tuple[float, float]) -> Array:
    """UVs (R,C,2) of a half grid (R,C,3) whose first column is the midline: from the middle of a box to its right."""
    middle = 0.5 * (low[0] + high[0])
    across = np.linalg.norm(np.diff(points, axis=1), axis=2).mean(0)
    down = np.linalg.norm(np.diff(points, axis=0), axis=2)[:, 0]
    u = np.concatenate([[0.0], np.cumsum(across)]) / across.sum()
    v = np.concatenate([[0.0], np.cumsum(down)]) / down.sum()
    grid = np.meshgrid(middle + u * (high[0] - middle), high[1] - v * (high[1] - low[1]), indexing="xy")
    return np.stack(grid, -1)


def unwrap(head: Head) -> tuple[Array, np.ndarray]:
    """UV points (N,2) in the unit square and the quads' corners in them (Q,4)."""
    half = len(head.quads) // 2
    quads, tab = head.quads[:half], head.tables
    uv, seam = skin_chart(head, quads)
    ball = tab["eyeball"]
    uv[ball] = _eye(head.points[ball], (0.915, 0.5 * FLOOR), 0.47 * FLOOR)
    # mirrored parts: the strips about their own middle, all else about the texture's
    axis = np.full(len(uv), 0.5)
    for name, (low, high) in BOXES.items():
        uv[tab[name]] = _strip(head.points[tab[name]], low, high)
        axis[tab[name]] = 0.5 * (low[0] + high[0])
    left = ~np.isnan(uv[:, 0])
    twin = np.flatnonzero(left & (head.mirror != np.arange(len(uv))))
    uv[head.mirror[twin]] = np.column_stack([2 * axis[twin] - uv[twin, 0], uv[twin, 1]])
    extra = np.arange(len(uv))
    extra[seam] = len(uv) + np.arange(len(seam))
    points = np.concatenate([uv, np.column_stack([1 - uv[seam, 0], uv[seam, 1]])])
    corners = np.concatenate([quads, extra[head.quads[half:]]])
    return points, corners
