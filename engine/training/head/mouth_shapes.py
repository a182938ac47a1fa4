# SPDX-License-Identifier: GPL-3.0-or-later
"""Expression shapes of the mouth, jaw and cheeks as displacement fields (V,3), millimetres.

Displacements are given on the lip rings and spread by the biharmonic solver; the same
displacement on both seal rings keeps the lips closed. Boundary: numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .assemble import Head
from .fields import Solver, symmetric
from .parts import tongue_grid
from .primitives import Array, smoothstep

BAG_FOLLOW = np.array([1.0, 0.95, 0.65, 0.1])
OPEN = 0.26  # radians of jaw rotation that make jawOpen 1


@dataclass(frozen=True)
class Lips:
    """Lip rings 0..4 of the left half, flattened: rest points, closeness to the middle, side, ring."""

    index: np.ndarray  # (5,33)
    points: Array  # (5,33,3)
    middle: Array  # (5,33): 0 at the corner, 1 at the middle
    upper: np.ndarray  # (5,33) True on the upper lip, corner excluded
    lower: np.ndarray
    ring: Array  # (5,33)
    seal: Array  # (5,33,3): the seal point of the same column


Shape = Callable[[Lips], Array]


def stack(x: Array | float, y: Array | float, z: Array | float) -> Array:
    return np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.asarray(z, float)), -1)


def bump(t: Array, width: float) -> Array:
    """1 at the corner (t = 0), fading over `width` of the way to the middle."""
    return np.asarray(np.exp(-((t / width) ** 2)))


def rise(t: Array, width: float = 0.7) -> Array:
    """0 at the corner, 1 from `width` on, round."""
    return np.asarray(np.sin(np.pi / 2 * np.minimum(1.0, t / width)))


class MouthStage:
    """Turns functions of the lips into fields on the whole head."""

    def __init__(self, head: Head, solver: Solver) -> None:
        self.head, self.solver = head, solver
        index = head.tables["mouth"][:5]
        t = np.linspace(-1, 1, 33)[None].repeat(5, 0)
        ring = np.arange(5.0)[:, None].repeat(33, 1)
        points = head.points[index]
        self.lips = Lips(index, points, np.abs(t), t < 0, t > 0, ring, points[:1].repeat(5, 0))
        self.anchors = self._anchors()

    def _anchors(self) -> np.ndarray:
        p = self.head.points
        away = np.linalg.norm((p - [0, -68, 92]) * [1.0, 1.0, 0.8], axis=1) > 76
        nose = self.head.tables["nose"][:18].ravel()
        fixed = away | (p[:, 1] > -14)
        fixed[nose] = fixed[self.head.mirror[nose]] = True
        fixed[self.head.tables["bag_back"]] = fixed[self.head.mirror[self.head.tables["bag_back"]]] = True
        return np.flatnonzero(fixed & self.solver.skin)

    def near(self, centre: tuple[float, float, float], radius: float) -> np.ndarray:
        """Skin vertices of the left half within `radius` of a point, outside the lip rings."""
        far = np.linalg.norm(self.head.points - np.asarray(centre, float), axis=1)
        ok = np.isin(np.arange(len(far)), self.head.tables["skin"]) & (far < radius)
        ok[self.head.tables["mouth"][:5]] = False
        return np.flatnonzero(ok)

    def solve(
        self,
        shape: Shape | None,
        spots: list[tuple[tuple[float, float, float], float, tuple[float, float, float]]] = (),
        mirrored: bool = True,
        free: np.ndarray | None = None,
    ) -> Array:
        """Field (V,3) of a lip function and spot handles (centre, radius, displacement), both sides alike.

        Without `mirrored` the displacements' x is taken as it is on both sides (a shift to one side).
        `free` lists vertices that are no anchors this time.
        """
        head, tab = self.head, self.head.tables
        index, value = [], []
        if shape is not None:
            d = shape(self.lips)
            bag = d[0][None] * BAG_FOLLOW[:, None, None]
            index += [tab["mouth"][:5].ravel(), tab["bag"].ravel()]
            value += [d.reshape(-1, 3), bag.reshape(-1, 3)]
        for centre, radius, move in spots:
            found = self.near(centre, radius)
            index.append(found)
            value.append(np.tile(np.asarray(move, float), (len(found), 1)))
        left, disp = np.concatenate(index), np.concatenate(value)
        sign = np.array([-1.0, 1, 1]) if mirrored else np.ones(3)
        disp[np.abs(head.points[left, 0]) < 1e-9, 0] *= 0.0 if mirrored else 1.0
        both = np.concatenate([left, head.mirror[left]])
        anchors = self.anchors if free is None else np.setdiff1d(self.anchors, free)
        out = self.solver.field(both, np.concatenate([disp, disp * sign]), np.setdiff1d(anchors, both))
        return symmetric(head, out) if mirrored else out


def _smile(q: Lips) -> Array:
    out = (1 - q.middle).clip(0)
    thin = q.middle * 0.2 * (q.seal[..., 1] - q.points[..., 1])
    return stack(
        6.3 * out + 0.05 * q.points[..., 0] * q.middle,
        6.4 * out**1.8 - 0.3 + thin,
        -3.6 * out**1.4 - 1.2 * q.middle,
    )


def _stretch(q: Lips) -> Array:
    out = (1 - q.middle).clip(0)
    thin = 0.22 * (q.seal[..., 1] - q.points[..., 1]) * q.middle
    return stack(7.0 * out, -1.0 * out**1.5 + thin, -3.2 * out**1.4 - 1.0 * q.middle)


def _pucker(q: Lips) -> Array:
    x = -(1 - 0.58) * q.points[..., 0]
    y = 0.16 * (q.points[..., 1] - q.seal[..., 1]) * q.middle
    forward = 5.2 + 3.6 * rise(q.middle, 1.0)
    roll = np.where(q.upper | q.lower, 0.45 * (1.5 - q.ring) * (q.ring > 0) * q.middle, 0.0)
    return stack(x, y + 0.2, forward * (1 - 0.07 * q.ring) + roll)


def _funnel(q: Lips) -> Array:
    side = np.where(q.upper, 1.0, np.where(q.lower, -1.0, 0.0)) * rise(q.middle, 0.75) ** 0.72
    x = -(1 - 0.66) * q.points[..., 0]
    return stack(x, side * (4.1 - 0.45 * q.ring), (4.6 + 2.2 * q.middle) * (1 - 0.05 * q.ring))


def _frown(q: Lips) -> Array:
    b = bump(q.middle, 0.5)
    return stack(0.8 * b, -5.0 * b + 0.4 * q.middle, -1.2 * b)


def _dimple(q: Lips) -> Array:
    b = bump(q.middle, 0.5)
    return stack(3.4 * b, 0.7 * b, -4.2 * b - 0.5 * q.middle)


def _roll(upper: bool) -> Shape:
    def shape(q: Lips) -> Array:
        on = np.where(q.upper if upper else q.lower, rise(q.middle, 0.8), 0.0)
        back = np.array([0.0, -1.6, -3.0, -3.6, -2.6])[q.ring.astype(int)]
        toward = np.array([0.0, 0.45, 1.5, 2.8, 3.2])[q.ring.astype(int)] * (-1 if upper else 1)
        keep = rise(q.middle, 0.8) * -0.6 * (q.ring == 0)
        return stack(0.0, on * toward, on * back + keep)

    return shape


def _press(q: Lips) -> Array:
    on = rise(q.middle, 0.5)
    inner = np.array([0.0, 0.40, 0.46, 0.46, 0.38])[q.ring.astype(int)]
    y = inner * (q.seal[..., 1] - q.points[..., 1])
    z = np.array([-0.8, -1.5, -2.1, -1.9, -1.0])[q.ring.astype(int)]
    return stack(1.1 * bump(q.middle, 0.5), y * on, z * on - 1.0 * bump(q.middle, 0.4))


def _shrug_lower(q: Lips) -> Array:
    on = rise(q.middle, 0.9)
    low = np.where(q.lower, np.array([0.0, 0.5, 1.1, 1.5, 1.7])[q.ring.astype(int)], 0.0)
    return stack(0.0, (2.2 + low * 0.7) * on - 0.9 * bump(q.middle, 0.4), (0.7 + low) * on)


def _shrug_upper(q: Lips) -> Array:
    on = rise(q.middle, 0.9)
    high = np.where(q.upper, np.array([0.0, 0.8, 1.2, 1.2, 1.0])[q.ring.astype(int)], 0.0)
    return stack(0.0, (1.5 + 0.5 * high) * on, (0.7 + high) * on)


def _lower_down(q: Lips) -> Array:
    on = np.where(q.lower, rise(q.middle, 0.7), 0.0)
    return stack(0.0, on * -(5.6 - 0.35 * q.ring), on * (0.3 + 0.25 * q.ring))


def _upper_up(q: Lips) -> Array:
    on = np.where(q.upper, rise(q.middle, 0.7), 0.0)
    return stack(0.0, on * (5.0 - 0.3 * q.ring), on * (0.3 + 0.1 * q.ring))


def _puff(q: Lips) -> Array:
    on = rise(q.middle, 0.6)
    return stack(-0.4 * bump(q.middle, 0.4), 0.0, 1.2 * on + 1.4 * bump(q.middle, 0.5))


def _constant(x: float, y: float, z: float) -> Shape:
    return lambda q: stack(np.full(q.ring.shape, x), y, z)


def split(head: Head, field: Array, width: float = 22.0) -> tuple[Array, Array]:
    """Left and right halves of a symmetric field, by a smooth step across the middle."""
    left = smoothstep(head.points[:, 0], -width / 2, width / 2)[:, None] * field
    return left, left[head.mirror] * [-1, 1, 1]


# from the wing of the nose past the corner of the mouth, left half, mm
FOLD = np.array([(17.5, -37, 92), (23, -43.5, 89), (28.5, -51, 85), (33.5, -60, 79), (37, -69, 74), (38, -76, 70)])


def smile_fold(head: Head) -> Array:
    """The fold beside nose and mouth: a crease along FOLD with the cheek swelling outside it; (V,3)."""
    p = head.points * np.sign(head.points[:, :1] + 1e-12) ** np.array([1, 0, 0])
    steps = np.linspace(0, 1, 40)[:, None]
    curve = np.concatenate([a + steps * (b - a) for a, b in pairwise(FOLD)])
    part = np.linspace(0, 1, len(curve))
    gap = p[:, None] - curve[None]
    near = (gap**2).sum(2).argmin(1)
    away = gap[np.arange(len(p)), near]
    side = away @ np.array([0.85, 0.50, 0.15])
    along = np.sin(np.pi * (0.16 + 0.84 * part[near])) ** 0.8
    off = np.sqrt(((away**2).sum(1) - side**2).clip(0))
    depth = 3.4 * np.exp(-(((side - 6.5) / 4.6) ** 2)) - 2.3 * np.exp(-(((side + 0.4) / 3.6) ** 2))
    amount = depth * along * np.exp(-((off / 6.0) ** 2))
    skin = np.zeros(len(p))
    skin[head.tables["skin"]] = 1.0
    skin[head.tables["mouth"][:7].ravel()] = np.repeat([0, 0, 0, 0, 0, 0.3, 0.7], 33)
    skin = np.maximum(skin, skin[head.mirror])
    out = (amount * skin)[:, None] * np.array([0.45, 0.0, 0.9])
    out[head.points[:, 0] < 0, 0] *= -1
    return symmetric(head, out)


# middle and reach of the puffed cheek, left half, mm, and how far it swells
CHEEK = ((48.0, -56.0, 58.0), (18.0, 15.0, 20.0), 8.5)


def swelling(head: Head, where: tuple[tuple[float, float, float], tuple[float, float, float], float]) -> Array:
    """A round swelling of the skin outside the lips along its normal, both sides; (V,3)."""
    centre, reach, height = where
    p = np.abs(head.points) * [1, 0, 0] + head.points * [0, 1, 1]
    amount = height * np.exp(-0.5 * (((p - centre) / np.asarray(reach)) ** 2).sum(1))
    skin = np.zeros(len(p))
    skin[head.tables["skin"]] = 1.0
    skin[head.tables["ear"]] = 0.0
    for ring in range(9):  # nothing on the lips, all of it from the fifth ring outside them
        skin[head.tables["mouth"][ring]] = smoothstep(float(ring), 3.5, 8.5)
    skin = np.maximum(skin, skin[head.mirror])
    normal = (p - [0, -50, 20]) / np.linalg.norm(p - [0, -50, 20], axis=1, keepdims=True)
    normal[:, 0] *= np.sign(head.points[:, 0])
    return symmetric(head, (amount * skin)[:, None] * normal)


def mouth_shapes(stage: MouthStage, jaw: Array) -> dict[str, Array]:
    """All shapes of mouth, jaw and cheeks but jawOpen and mouthClose; `jaw` are the jaw weights (V,)."""
    head = stage.head
    cheek, chin = (37, -40, 74), (0, -97, 92)
    pairs = {
        "mouthSmile": stage.solve(_smile, [(cheek, 7, (2.0, 4.6, 2.8)), ((44, -26, 70), 5, (0.8, 2.2, 1.6))]),
        "mouthFrown": stage.solve(_frown, [((34, -84, 74), 4, (0.4, -2.2, 0.0))]),
        "mouthDimple": stage.solve(_dimple),
        "mouthStretch": stage.solve(_stretch, [((42, -74, 66), 5, (2.8, -0.8, -0.4))]),
        "mouthPress": stage.solve(_press, [((0, -92, 92), 5, (0, 1.2, 0.9))]),
        "mouthLowerDown": stage.solve(_lower_down, [((0, -94, 92), 4, (0, -1.2, 0.3))]),
        "mouthUpperUp": stage.solve(_upper_up, [((21, -52, 90), 3.5, (0.3, 2.6, 0.4))]),
        "cheekSquint": stage.solve(_constant(0, 0, 0), [((37, -28, 77), 8, (0.8, 5.0, 2.6))]),
    }
    out = {
        "mouthFunnel": stage.solve(_funnel),
        "mouthPucker": stage.solve(_pucker),
        "mouthRollLower": stage.solve(_roll(False)),
        "mouthRollUpper": stage.solve(_roll(True)),
        "mouthShrugLower": stage.solve(_shrug_lower, [(chin, 7, (0, 2.6, 0.8))]),
        "mouthShrugUpper": stage.solve(_shrug_upper),
        "cheekPuff": stage.solve(
            _puff,
        )
        + swelling(head, CHEEK),
    }
    pairs["mouthSmile"] += smile_fold(head)
    for name, field in pairs.items():
        out[f"{name}Left"], out[f"{name}Right"] = split(head, field)
    sideways = stage.solve(_constant(6.5, 0, 0), [(chin, 8, (1.5, 0, 0))], mirrored=False)
    out["mouthLeft"], out["mouthRight"] = sideways, sideways[head.mirror] * [-1, 1, 1]
    out |= jaw_slides(stage, jaw)
    return out


def jaw_slides(stage: MouthStage, jaw: Array) -> dict[str, Array]:
    """jawForward, jawLeft and jawRight: the jaw's weights moved, both lips kept on each other."""
    head, tab = stage.head, stage.head.tables
    share = jaw.copy()
    lip = np.concatenate([tab["mouth"][:5].ravel(), tab["bag"].ravel()])
    ring = np.concatenate([np.repeat(np.arange(5), 33), np.zeros(4 * 33, int)])
    mix = 0.55 + (share[lip] - 0.55) * ring / 6
    share[lip] = mix
    share[head.mirror[lip]] = mix
    keep = np.concatenate([lip, head.mirror[lip]])
    known = np.flatnonzero((jaw > 0.85) & stage.solver.skin)
    chin = known[(head.points[known, 1] < -86)]
    handles = np.unique(np.concatenate([keep, chin]))
    anchors = np.flatnonzero((jaw == 0) & stage.solver.skin)
    smooth = stage.solver.field(handles, share[handles, None], np.setdiff1d(anchors, handles))[:, 0]
    smooth[~stage.solver.skin] = jaw[~stage.solver.skin]
    smooth = 0.5 * (smooth + smooth[head.mirror])[:, None]
    left = smooth * [6.5, 0.0, 0.0]
    return {
        "jawForward": smooth * [0.0, -0.4, 6.5],
        "jawLeft": left,
        "jawRight": left[head.mirror] * [-1, 1, 1],
    }


# tongueOut: the middle of each of the tongue's rows, z, y and half width, mm: between the teeth, over the lip, down
TONGUE_OUT = np.array(
    [(46, -80, 15), (54, -76, 16), (64, -72.5, 16), (76, -71.0, 15.5), (88, -70.7, 14.5), (98, -70.8, 13.8),
     (107, -72.6, 12.8), (113, -76.0, 10.6), (115.5, -79.4, 7.0), (113, -80.6, 8), (104, -77.6, 12), (90, -76.0, 13)],
    float,
)  # fmt: skip
TONGUE_JAW = 0.30  # of jawOpen goes with it, or the teeth would be in its way


def tongue_out(head: Head, opened: Array) -> Array:
    """The tongue comes out between the teeth over the lower lip; `opened` is the field of jawOpen (V,3)."""
    index = head.tables["tongue"]
    target = tongue_grid(TONGUE_OUT)
    rest = head.points[index]
    move = TONGUE_JAW * opened
    move[index] = target - rest
    move[head.mirror[index]] = move[index] * [-1, 1, 1]
    return move
