# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays the refined half cage on the head's surface and shapes lips, lids and nostrils by rings.

Boundary: numpy and scipy. Millimetres, head frame; the half mesh has x >= 0.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_matrix

from . import cage
from .primitives import Array, smoothstep
from .sdf import EYE, EYE_RADIUS, LID_RADIUS, HeadField

LIP_RINGS = (0.0, 0.13, 0.42, 0.73)  # the seal's neighbour lies close, so that closed lips show a thin line
LIP_UPPER = np.array([-0.6, 0.9, 1.9, 1.9, 0.9, 0.35])
LIP_LOWER = np.array([-0.6, 1.4, 2.9, 2.3, 0.7, 0.0])
MARGIN_RADIUS = EYE_RADIUS + 1.4
BROW = np.arange(4, 14)  # eye columns that carry the eyebrow, about rings 7 and 8
NOSTRIL = np.array([7.6, -43.8, 99.9])
NOSTRIL_LONG, NOSTRIL_SHORT = 4.5, 2.6  # semi-axes of its rim
NOSTRIL_AXIS = np.array([0.72, -0.69])  # x, z of the long axis, backwards and outwards
TURNS = 100
# the chin's edge from below the corner of the mouth to the middle: the loop that carries it makes its outline round
JAW_LINE = np.array([(38, -88, 55), (26, -101.5, 66), (13, -110, 77), (0, -112.5, 80.5)], float)
JAW_AT = np.arange(4)
EVEN = 1.0
# where quads are drawn together, mm: middle, reach and by how much; the nose's tip and wings, the corner of the jaw
DENSE = (
    (np.array([8.0, -37.0, 100.0]), np.array([10.0, 8.0, 14.0]), 1.0),
    (np.array([46.0, -84.0, 36.0]), np.array([14.0, 14.0, 22.0]), 2.0),
)


def loop_curve(points: Array, sharp: bool, count: int = 16) -> Array:
    """Spline one half mouth loop (9 points, midline to midline) at 2*count+1 places; (n,3).

    The other half is mirrored in before fitting so that no seam shows at x = 0. A sharp loop
    breaks at the corner (index 4).
    """
    mirror = points * [-1, 1, 1]
    at = np.linspace(0, 8, 2 * count + 1)
    if not sharp:
        ring = np.concatenate([points, mirror[-2:0:-1], points[:1]])
        return np.asarray(CubicSpline(np.arange(17), ring, bc_type="periodic")(at))
    upper = CubicSpline(np.arange(-4, 5), np.concatenate([mirror[4:0:-1], points[:5]]))
    lower = CubicSpline(np.arange(4, 13), np.concatenate([points[4:], mirror[-2:3:-1]]))
    return np.where((at <= 4)[:, None], upper(at), lower(at))


def eye_curve(points: Array, sharp: bool) -> Array:
    """Spline an eye loop of 8 points at 32 places; sharp loops break at both corners."""
    ring = np.concatenate([points, points[:1]])
    at = np.linspace(0, 8, 33)[:-1]
    if not sharp:
        return np.asarray(CubicSpline(np.arange(9), ring, bc_type="periodic")(at))
    upper = CubicSpline(np.arange(5), ring[:5])
    lower = CubicSpline(np.arange(4, 9), ring[4:])
    return np.where((at <= 4)[:, None], upper(at), lower(at))


def ramp(loops: list[Array], inner: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)) -> list[Array]:
    """Nine rings from three: straight lines between the loops; `inner` places the first four."""
    a, b, c = loops
    return [a + (b - a) * k for k in inner] + [b + (c - b) * k / 4 for k in range(5)]


def nostril_rim() -> Array:
    """Twelve points of the left nostril's rim (12,3), from its front end over the outer side."""
    a = np.radians(180 - 30 * np.arange(12))[:, None]
    cross = np.array([-NOSTRIL_AXIS[1], NOSTRIL_AXIS[0]])
    xz = NOSTRIL[[0, 2]] + np.cos(a) * NOSTRIL_LONG * NOSTRIL_AXIS + np.sin(a) * NOSTRIL_SHORT * cross
    return np.column_stack([xz[:, 0], np.full(12, NOSTRIL[1]), xz[:, 1]])


def midline(points: Array) -> np.ndarray:
    """Mask of the vertices on the mirror plane."""
    return np.asarray(np.abs(points[:, 0]) < 1e-9)


class Smoothing:
    """Neighbour averages of the half mesh, the mirrored half counted in.

    Rim vertices see only the rim; `pull` (N,) is 1 or, where a vertex draws its neighbours closer, more.
    """

    def __init__(self, quads: np.ndarray, mid: np.ndarray, rim: np.ndarray, pull: Array) -> None:
        pairs = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
        pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
        # across the corners of a hole too, or the vertex diagonally behind a corner stays far off
        near = pull > 1
        lone = quads[near[quads].sum(1) == 1]
        lone = np.array([np.roll(q, -int(np.flatnonzero(near[q])[0])) for q in lone], int).reshape(-1, 4)
        pairs = np.concatenate([pairs, lone[:, [2, 0]]])
        on_rim = np.zeros(len(mid), bool)
        on_rim[rim] = True
        self.pairs = pairs[~on_rim[pairs[:, 0]] | on_rim[pairs[:, 1]]]
        a, b = self.pairs.T
        self.weight = np.where(mid[a] & ~mid[b], 2.0, 1.0) * pull[b]
        self.count = len(mid)

    def mean(self, points: Array, share: Array | float = 1.0) -> Array:
        """Each vertex's mean of its neighbours (N,3), `share` (pairs,) weighting them."""
        w = csr_matrix((self.weight * share, self.pairs.T), shape=(self.count, self.count))
        return np.asarray((w @ points) / np.asarray(w.sum(1)))

    def pulls(self, points: Array) -> Array:
        """(pairs,) how hard each edge pulls: behind the face by its length, so that the quads there become alike in
        size; in the DENSE places harder, so that they become small where the outline bends most.
        """
        a, b = self.pairs.T
        middle = 0.5 * (points[a] + points[b])
        behind = EVEN * (1 - smoothstep(middle[:, 2], -10, 50))
        dense = 1 + sum(
            more * np.exp(-0.5 * (((middle - centre) / reach) ** 2).sum(1)) for centre, reach, more in DENSE
        )
        length = np.linalg.norm(points[a] - points[b], axis=1).clip(0.1) / 8.0
        return np.asarray(length**behind * dense)


class HalfHead:
    """The half skin on the surface: `points` (N,3), the refined tables and the lid rings."""

    def __init__(self, field: HeadField) -> None:
        self.field = field
        self.skin = cage.half_skin()
        self.points = self.skin.points.copy()
        self.mid = midline(self.points)
        self.hole = ear_hole(self.skin.ear_faces)
        nose = self.skin.nose
        self.rim = np.array([nose[18, 2], *nose[17, 2:7], nose[18, 6], *nose[19, 6:1:-1]])
        self._place()
        self._relax()
        self._columella()
        self._lips()
        self._lids()
        self._nostril()
        self._hair()
        self.points[self.mid, 0] = 0.0

    def _place(self) -> None:
        p, s = self.points, self.skin
        front = p[:, 2] > 78
        loops = [loop_curve(np.array(r, float), k < 2) for k, r in enumerate(cage.MOUTH)]
        mouth = ramp(loops, LIP_RINGS)
        eye = ramp([eye_curve(np.array(r, float), k == 0) for k, r in enumerate(cage.EYE_LOOPS)])
        p[s.mouth.ravel()] = np.concatenate(mouth)
        p[s.eye.ravel()] = np.concatenate(eye)
        front[s.mouth.ravel()] = True
        front[s.eye[:7].ravel()] = True
        p[s.jaw] = CubicSpline(JAW_AT, JAW_LINE)(np.linspace(0, JAW_AT[-1], len(s.jaw)))
        front[s.jaw] = False
        p[self.mid, 0] = 0.0
        p[~front] = self.field.project(p[~front], 10)
        p[front] = self.field.cast(p[front, :2])
        p[self.hole] = ear_ellipse(self.field)
        p[self.rim] = self.field.project(nostril_rim(), 10)

    def _relax(self) -> None:
        p, s = self.points, self.skin
        pinned = np.zeros(len(p), bool)
        lids = [s.eye[:5].ravel(), s.eye[8]]
        pinned[np.concatenate([s.mouth[:6].ravel(), *lids, s.jaw[8:], self.hole, self.rim])] = True
        pull = np.ones(len(p))
        pull[self.hole], pull[self.rim] = 5.0, 1.4
        smooth = Smoothing(s.quads, self.mid, s.neck, pull)
        for turn in range(TURNS):
            normal = self.field.gradient(p)
            move = (smooth.mean(p, smooth.pulls(p)) - p) * 0.5
            move[pinned] = 0.0
            move -= (move * normal).sum(1, keepdims=True) * normal
            move[self.mid, 0] = 0.0
            move[s.neck, 1] = 0.0
            p += move
            if turn % 5 == 4:
                free = ~pinned
                p[free] = self.field.project(p[free], 2)
                p[self.mid, 0] = 0.0
                p[s.neck, 1] = cage.NECK[1][0][1]

    def _columella(self) -> None:
        """Round the hollow between nose and upper lip, which is narrower than its quads."""
        p, near = self.points, self.skin.mouth[6:9, :10].ravel()
        smooth = Smoothing(self.skin.quads, self.mid, self.skin.neck, np.ones(len(p)))
        for _ in range(12):
            p[near] += 0.5 * (smooth.mean(p) - p)[near]
        p[self.mid, 0] = 0.0

    def _lips(self) -> None:
        """Pillow the rings along the blurred normal and let both seal rings meet exactly."""
        p, m = self.points, self.skin.mouth
        normal = self.field.gradient(p[m.ravel()], lips=False).reshape(9, 33, 3)
        normal = normal[:6] * 0.5 + normal[4:5] * 0.3 + normal[[8]] * 0.2
        normal[:, :, 0] *= 0.6
        normal /= np.linalg.norm(normal, axis=2, keepdims=True)
        t = np.abs(np.linspace(-1, 1, 33))
        full = np.sin(np.pi / 2 * np.minimum(1.0, 1.25 * t))
        upper = np.arange(33) < 16
        height = np.where(upper[None], LIP_UPPER[:, None], LIP_LOWER[:, None]) * full
        p[m[:6]] += normal * height[:, :, None]
        seal = 0.5 * (p[m[0]] + p[m[0, ::-1]])
        x = seal[:, 0]
        # a slight tubercle at the middle, and corners that do not hang
        seal[:, 1] += (
            1.2 * smoothstep(x, 12, 24)
            - 0.35 * np.exp(-((x / 5.0) ** 2))
            + 0.3 * np.exp(-(((x - 12) / 6.0) ** 2))
        )
        p[m[0]] = seal

    def _lids(self) -> None:
        p, e = self.points, self.skin.eye
        upper = np.zeros(32)
        upper[1:16] = np.sin(np.pi * np.arange(1, 16) / 16) ** 1.3
        for ring, radius in ((0, MARGIN_RADIUS), (1, LID_RADIUS)):
            q = p[e[ring]]
            rest = np.sqrt((radius**2 - ((q[:, :2] - EYE[:2]) ** 2).sum(1)).clip(9.0)) + EYE[2]
            q[:, 2] = np.maximum(rest, q[:, 2] - 1.2) if ring == 0 else np.maximum(rest, q[:, 2] - 0.6)
            p[e[ring]] = q
        brow = np.zeros(32)
        brow[BROW] = np.sin(np.pi * np.arange(1, 11) / 11)
        for ring, depth, share in ((3, -0.4, upper), (4, -0.9, upper), (5, -0.3, upper), (7, 0.7, brow)):
            normal = self.field.gradient(p[e[ring]])
            p[e[ring]] += normal * (depth * share)[:, None]

    def _nostril(self) -> None:
        """Sink the three vertices inside the nostril's rim, and round the rim a little."""
        p, grid = self.points, self.skin.nose
        inside = grid[18, 3:6]
        along = np.array([-1.0, 0.0, 1.0])[:, None] * 0.5 * NOSTRIL_LONG * NOSTRIL_AXIS
        p[inside] = p[self.rim].mean(0) + np.stack([along[:, 0], [4.2, 5.2, 4.0], along[:, 1] - 0.8], 1)
        p[self.rim, 1] += 0.5
        self.dark = (np.isin(self.skin.quads, np.concatenate([self.rim, inside]))).all(1)

    def _hair(self) -> None:
        """Lift the scalp into short hair, rising from nothing at the hairline."""
        quads, p = self.skin.quads, self.points
        edge = np.unique(quads[~self.skin.hair])
        level = np.full(len(p), 9)
        level[edge] = 0
        for step in range(1, 5):
            near = quads[(level[quads] < step).any(1)]
            level[near] = np.minimum(level[near], step)
        normal = self.field.gradient(p)
        lift = np.interp(level, [0, 1, 2, 3, 4], [0, 1.3, 2.6, 3.4, 3.8]) * (1 + 0.6 * smoothstep(p[:, 1], 30, 85))
        p += normal * lift[:, None]
        p[self.mid, 0] = 0.0

    def lid_rings(self) -> Array:
        """Two rings inside the lid margin, (2, 32, 3): the inner edge and one hidden behind the lid."""
        d = self.points[self.skin.eye[0]] - EYE
        # the corners are webbed, or the gap beside the ball shows; the inner one so becomes the caruncle
        web = np.zeros(32)
        web[[0, 1, 31, 2, 30, 3, 29, 4, 28]] = 1.0, 0.9, 0.9, 0.64, 0.64, 0.34, 0.34, 0.1, 0.1
        web[[16, 15, 17, 14, 18]] = 0.7, 0.5, 0.5, 0.16, 0.16
        flat = d[:, :2] * ((EYE_RADIUS + 0.65) / MARGIN_RADIUS - 0.13 * web[:, None])
        deep = np.sqrt(((EYE_RADIUS + 0.65) ** 2 - (flat**2).sum(1)).clip(1.0))
        near = EYE + np.column_stack([flat, deep])
        q = d.copy()
        q[:, :2] *= 1.22
        q[:, 2] -= 4.2
        far = EYE + q / np.linalg.norm(q, axis=1, keepdims=True) * (EYE_RADIUS + 0.75)
        return np.stack([near, far])


def ear_hole(grid: np.ndarray) -> np.ndarray:
    """The 24 border vertices of the (5,9) ear grid, in order round it, starting at front top."""
    return np.concatenate([grid[:-1, 0], grid[-1, :-1], grid[:0:-1, -1], grid[0, :0:-1]])


EAR_CENTRE = np.array([-15.5, -8.0])  # y, z
EAR_TILT = np.radians(8.0)


def ear_frame(back: Array, up: Array) -> tuple[Array, Array]:
    """Ear-plane coordinates (back, up; mm) to (y, z); the top leans backwards."""
    c, s = np.cos(EAR_TILT), np.sin(EAR_TILT)
    return EAR_CENTRE[0] + c * up + s * back, EAR_CENTRE[1] - c * back - s * up


def skull_x(field: HeadField, y: Array, z: Array) -> Array:
    """x of the head's side over (y, z)."""
    p = np.column_stack([np.full(len(y), 100.0), y, z])
    for _ in range(40):
        p[:, 0] -= np.clip(field(p), -3.0, 5.0) * 0.8
    return p[:, 0]


def ear_angles() -> Array:
    """Angle of the 24 hole vertices; 0 points backwards, pi/2 up, starting at front top."""
    return np.asarray(np.radians(90 + 30) - np.arange(24) * np.pi / 12)


def ear_ellipse(field: HeadField) -> Array:
    """The hole ring of the ear: an ellipse on the skull, points at equal angle."""
    a = ear_angles()
    y, z = ear_frame(10.5 * np.cos(a), 20.5 * np.sin(a) - 0.5)
    return np.column_stack([skull_x(field, y, z), y, z])
