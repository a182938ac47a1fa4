# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is sewn into the half skin: ear, lid edges, mouth bag, eyeball, teeth, tongue.

Each part adds vertices and quads to a half mesh with x >= 0. Boundary: numpy; millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .primitives import Array, smoothstep
from .sdf import EYE, EYE_RADIUS
from .surface import HalfHead, ear_angles, ear_frame, skull_x

MATERIALS = (
    "skin",
    "lips",
    "sclera",
    "iris",
    "pupil",
    "mouth",
    "teeth",
    "tongue",
    "brows",
    "lashes",
    "hair",
    "nostrils",
)
COLOURS = {  # linear RGB
    "skin": (0.72, 0.47, 0.36),
    "lips": (0.56, 0.25, 0.22),
    "sclera": (0.86, 0.85, 0.82),
    "iris": (0.16, 0.26, 0.30),
    "pupil": (0.01, 0.01, 0.01),
    "mouth": (0.20, 0.04, 0.04),
    "teeth": (0.82, 0.78, 0.68),
    "tongue": (0.50, 0.18, 0.17),
    "brows": (0.14, 0.085, 0.06),
    "lashes": (0.05, 0.03, 0.025),
    "hair": (0.13, 0.08, 0.055),
    "nostrils": (0.16, 0.08, 0.06),
}
EYE_ANGLES = np.array([0.20, 0.345, 0.49, 0.60, 0.80, 1.05, 1.35, 1.65, 1.95, 2.25])
EYE_AROUND = 16
TEETH_HALF = 9  # columns besides the midline
ARCH = np.array([25.0, 43.0])  # half width and depth of the dental arch
# by which each column's edge is shorter, mm: the gap between the first teeth, a tooth, a gap, the shorter second tooth
NOTCH = np.array([0.45, -0.05, 0.35, 0.55, 0.45, -0.1, 0.4, 0.2, 0.3, 0.2])
TONGUE_HALF, TONGUE_ROWS = 4, 12


@dataclass
class Half:
    """A growing half mesh with its named index tables."""

    points: list[Array] = field(default_factory=list)
    quads: list[tuple[int, ...]] = field(default_factory=list)
    material: list[int] = field(default_factory=list)
    tables: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, points: Array) -> np.ndarray:
        first = len(self.points)
        self.points += list(np.asarray(points, float).reshape(-1, 3))
        return np.arange(first, len(self.points)).reshape(np.asarray(points).shape[:-1])

    def face(self, quads: np.ndarray, material: str) -> None:
        self.quads += [tuple(int(v) for v in q) for q in np.asarray(quads).reshape(-1, 4)]
        self.material += [MATERIALS.index(material)] * (np.asarray(quads).size // 4)

    def sheet(self, grid: np.ndarray, material: str, flip: bool = False, closed: bool = False) -> None:
        """Quads of an index grid (rows, columns); the front is where rows x columns points."""
        g = np.concatenate([grid, grid[:, :1]], 1) if closed else grid
        q = np.stack([g[:-1, :-1], g[1:, :-1], g[1:, 1:], g[:-1, 1:]], -1)
        self.face(q[..., ::-1] if flip else q, material)


# the ear's rings from its rim to the edge of the concha: how far out from EAR_MIDDLE, share of the height of the rim,
# relief in mm on the ear and on the lobe, how much they carry the tragus, how much the root of the helix
EAR_RINGS = (
    (1.00, 1.0, -0.6, -1.6, 0.0, 0.0),  # rim
    (0.95, 1.0, 2.2, 0.6, 0.0, 0.0),  # helix
    (0.865, 1.0, 0.8, 1.9, 0.0, 0.3),  # its inner wall
    (0.80, 0.90, -3.8, 2.2, 0.1, 0.6),  # scapha
    (0.61, 0.86, 2.4, 1.8, 0.7, 0.9),  # antihelix
    (0.47, 0.40, -2.0, -0.8, 1.0, 0.7),  # edge of the concha
)
EAR_MIDDLE = np.array([-0.5, -2.0])
# the rim in ear-plane coordinates (back, up), mm, at the angles of `ear_angles`: front top, back, lobe, front
EAR_RIM = np.array(
    [(-7.2, 20.5), (-3.0, 25.4), (2.6, 28.4), (9.0, 28.4), (14.2, 25.8), (17.6, 21.4), (19.2, 15.8), (19.4, 9.6),
     (18.6, 3.4), (17.2, -2.8), (15.2, -8.8), (13.4, -14.6), (12.2, -20.0), (10.2, -25.0), (5.8, -28.2), (0.2, -28.2),
     (-4.6, -25.2), (-7.6, -19.6), (-9.0, -12.8), (-9.6, -7.0), (-10.2, -1.6), (-10.8, 3.8), (-10.8, 9.4), (-9.8, 15.2)]
)  # fmt: skip


def ear_heights(angle: Array) -> tuple[Array, Array, Array, Array]:
    """Height of the rim over the skull in mm, and how much each column is lobe, tragus and root of the helix."""
    degrees = np.degrees(angle) % 360

    def around(middle: float, width: float) -> Array:
        return np.asarray(np.exp(-((((degrees - middle + 180) % 360 - 180) / width) ** 2)))

    stand = 1.6 + 11.8 * np.clip((np.cos(angle) + 0.62) / 1.5, 0, 1) ** 1.1
    stand *= np.interp(np.sin(angle), [-1, -0.5, 0.2, 1], [0.85, 0.95, 1.0, 1.25])
    lobe = 1 - smoothstep(np.sin(angle), -0.93, -0.55)
    return stand, lobe, around(190, 19), around(148, 20)


def add_ear(half: Half, head: HalfHead) -> None:
    """Six rings of 24 on the hole ring; the 21 inner vertices become the floor of the concha."""
    stand, lobe, tragus, root = ear_heights(ear_angles())
    rings = []
    for scale, share, relief, on_lobe, flap, crus in EAR_RINGS:
        back, up = (EAR_MIDDLE + scale * (EAR_RIM - EAR_MIDDLE)).T
        y, z = ear_frame(back + 3.0 * flap * tragus, up)
        plain = np.clip(stand / 7, 0.3, 1) * relief * (1 - lobe) + on_lobe * lobe
        height = stand * share + plain + 3.6 * flap * tragus + 2.0 * crus * root
        if scale > 0.75:  # the upper ear lies over the hair
            height = np.maximum(height, 4.8 * smoothstep(up, 6.0, 16.0))
        x = skull_x(head.field, y, z) + height
        rings.append(np.column_stack([x, y, z]))
    index = half.add(np.stack(rings))
    half.sheet(np.vstack([head.hole[None], index]), "skin", flip=False, closed=True)
    grid = head.skin.ear_faces
    inner = grid[1:-1, 1:-1]
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 5)[1:-1], np.linspace(0.5, -0.5, 9)[1:-1], indexing="ij")
    y, z = ear_frame(u * 11 + 1.6, v * 20.5 - 1.8)
    floor = skull_x(head.field, y.ravel(), z.ravel()) + 1.0
    for k, flat in enumerate(inner.ravel()):
        half.points[flat] = np.array([floor[k], y.ravel()[k], z.ravel()[k]])
    swap = dict(zip(head.hole.tolist(), index[-1].tolist(), strict=True))
    cells = {
        frozenset(c)
        for c in np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], -1)
        .reshape(-1, 4)
        .tolist()
    }
    for k, q in enumerate(half.quads):
        if frozenset(q) in cells:
            half.quads[k] = tuple(swap.get(v, v) for v in q)
    half.tables["ear"] = np.concatenate([index.ravel(), inner.ravel()])
    half.tables["ear_rings"] = index


def add_lids(half: Half, head: HalfHead) -> None:
    index = half.add(head.lid_rings())
    half.sheet(index[::-1], "skin", flip=True, closed=True)
    edge = np.vstack([index[:1], head.skin.eye[:1]])
    half.sheet(edge[:, 3:17], "lashes", flip=True)
    half.sheet(edge[:, :4], "skin", flip=True)
    half.sheet(np.concatenate([edge[:, 16:], edge[:, :1]], 1), "skin", flip=True)
    half.tables["lid_inner"] = index


def add_bag(half: Half, head: HalfHead) -> None:
    """Four rows behind the seal and a back seam; upper and lower lip keep their own rows."""
    seal_index = head.skin.mouth[0]
    seal = np.array(half.points)[seal_index]
    side = np.where(np.arange(33) <= 16, 1.0, -1.0)
    t = np.abs(np.linspace(-1, 1, 33))
    open_ = np.sin(np.pi / 2 * np.minimum(1.0, 1.4 * t))
    rows = []
    for dy, dz, wide in ((1.5, 2.4, 0.98), (4.6, 5.4, 0.94), (10.5, 14.0, 0.98), (12.0, 32.0, 1.05)):
        row = seal.copy()
        row[:, 0] *= wide
        row[:, 1] += side * dy * open_
        row[:, 2] -= dz * (0.55 + 0.45 * open_)
        rows.append(row)
    index = half.add(np.stack(rows))
    seam = seal[:17].copy()
    seam[:, 2] = 50.0 + 6.0 * (seam[:, 0] / 24.0) ** 2
    back = half.add(seam)
    grid = np.vstack([seal_index, index])
    half.sheet(grid[:2], "lips")
    half.sheet(grid[1:], "mouth")
    half.sheet(np.vstack([index[-1, :17], back]), "mouth")
    half.sheet(np.vstack([index[-1, 16:], back[::-1]]), "mouth")
    half.tables["bag"], half.tables["bag_back"] = index, back


def add_eye(half: Half) -> None:
    """Eyeball: a front pole and rings; pupil, iris and white are material faces."""
    turn = np.arange(EYE_AROUND) * 2 * np.pi / EYE_AROUND
    a = EYE_ANGLES[:, None]
    r = EYE_RADIUS * (1 + 0.045 * np.clip(1 - (a / 0.6) ** 2, 0, 1))
    r = np.where((a > 0.1) & (a < 0.4), r - 0.25, r)
    ring = np.stack(
        [r * np.sin(a) * np.cos(turn), r * np.sin(a) * np.sin(turn), r * np.cos(a) + 0 * turn], -1
    )
    pole = half.add(EYE + [[0, 0, EYE_RADIUS * 1.045 - 0.3]])
    index = half.add(EYE + ring)
    for k in range(0, EYE_AROUND, 2):
        first = index[0]
        half.face(np.array([pole[0], first[k], first[k + 1], first[(k + 2) % EYE_AROUND]]), "pupil")
    half.sheet(index[:3], "iris", closed=True)
    half.sheet(index[2:], "sclera", closed=True)
    half.tables["eyeball"] = np.concatenate([pole, index.ravel()])
    half.tables["eye_rings"], half.tables["eye_pole"] = index, pole


def add_teeth(half: Half) -> None:
    """Two arches, three rows each: gum, middle, edge. The columns lie alternately in a tooth and in a gap."""
    u = np.linspace(0, 1.4, TEETH_HALF + 1)
    for name, rows, depth in (
        ("teeth_upper", ((-61.0, 0.6), (-66.0, 0.9), (-69.9, 0.0)), 0.0),
        ("teeth_lower", ((-79.0, 0.2), (-74.5, 0.5), (-70.6, -0.3)), 1.6),
    ):
        grid = np.stack(
            [
                np.stack(
                    [
                        ARCH[0] * np.sin(u) * (1 - depth / 40),
                        np.full_like(u, y) + 0.6 * (1 - np.cos(u)) + edge * NOTCH * (1 if depth == 0 else -0.6),
                        90.5 - depth + out - ARCH[1] * (1 - np.cos(u)) - (0.5 + edge) * 0.6 * NOTCH.clip(0),
                    ],
                    1,
                )
                for (y, out), edge in zip(rows, (0.0, 0.0, 1.0), strict=True)
            ]
        )
        index = half.add(grid)
        half.sheet(index, "teeth", flip=name == "teeth_lower")
        half.tables[name] = index


def tongue_grid(rows: Array) -> Array:
    """The left half of a tongue (R,C,3) from the middles of its rows: z, y and half width, (R,3) mm, root to tip.

    Rows after the foremost are its underside, which meets the upper side at the edges.
    """
    t = np.linspace(0, 1, TONGUE_HALF + 1)
    tip = int(rows[:, 0].argmax())
    z, y, wide = rows[:, :1], rows[:, 1:2], rows[:, 2:]
    drop = (1.2 * t - 4.0 * t**3) * (wide / 16) ** 1.5
    out = np.stack(np.broadcast_arrays(wide * np.sin(t * np.pi / 2), y + drop, z - 5.0 * t**2), -1)
    near = np.arange(len(rows)) > tip
    edge = out[: tip + 1, -1]
    for k in np.flatnonzero(near):
        x, low = (np.interp(out[k, :, 2], edge[:, 2], edge[:, axis]) for axis in (0, 1))
        out[k, :, 0] = x * np.sin(t * np.pi / 2)
        out[k, :, 1] = rows[k, 1] + (low - rows[k, 1]) * t**4
    return np.asarray(out)


def add_tongue(half: Half) -> None:
    """A sheet from the root over the back to the tip and back underneath."""
    s = np.linspace(0, 1, TONGUE_ROWS)
    at = [0, 0.3, 0.62, 0.74, 0.80, 0.88, 1]
    z = np.interp(s, at, [44, 57, 78, 83.5, 84.6, 83, 72])
    y = np.interp(s, at, [-80, -70.5, -70.8, -73, -74.6, -76, -78.5])
    wide = np.interp(s, at, [15, 17.5, 15, 10, 8, 10, 14])
    index = half.add(tongue_grid(np.column_stack([z, y, wide])))
    half.sheet(index, "tongue")
    half.tables["tongue"] = index
