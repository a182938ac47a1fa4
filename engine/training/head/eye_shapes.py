# SPDX-License-Identifier: GPL-3.0-or-later
"""Expression shapes of lids, gaze, brows and nose as displacement fields (V,3), millimetres.

Boundary: numpy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .assemble import Head
from .fields import Solver, symmetric
from .primitives import Array, smoothstep
from .sdf import EYE
from .surface import BROW

UPPER_FOLLOW = np.array([1.0, 0.93, 0.72, 0.42, 0.17, 0.06])
LOWER_FOLLOW = np.array([1.0, 0.85, 0.55, 0.28, 0.10, 0.03])
MEET = 0.15  # where the lids meet, from the lower margin upwards
GAZE = {
    "Down": (np.radians(24), 0.0),
    "Up": (np.radians(-22), 0.0),
    "In": (0.0, np.radians(-30)),
    "Out": (0.0, np.radians(30)),
}


def _elevation(p: Array) -> Array:
    q = p - EYE
    return np.asarray(np.arctan2(q[..., 1], q[..., 2]))


def _turned(p: Array, angle: Array) -> Array:
    """Points turned up by `angle` (...,) about the left eye's own x axis, the distance kept."""
    q = p - EYE
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([q[..., 0], c * q[..., 1] + s * q[..., 2], c * q[..., 2] - s * q[..., 1]], -1) + EYE


class EyeStage:
    """Lid and brow fields of the left side, mirrored for the right."""

    def __init__(self, head: Head, solver: Solver) -> None:
        self.head, self.solver = head, solver
        self.rings = head.tables["eye"]
        self.inner = head.tables["lid_inner"]
        p = head.points
        lid = np.zeros(len(p), bool)
        lid[self.rings[:8]] = True
        lid[self.inner] = True
        self.outside = np.flatnonzero(~lid & solver.skin)
        margin = p[self.rings[0]]
        top, low = margin[:17], margin[[16, *range(17, 32), 0]][::-1]
        self.open = _elevation(top) - _elevation(low)  # (17,) angle between the margins, 0 at the corners
        self.top, self.low = top, low

    def lids(self, upper: float, lower: float, meet: bool = False) -> Array:
        """Lids turned by shares of the opening (negative upper closes); fields of the left eye (V,3)."""
        p = self.head.points
        index, value = [], []
        up, down = np.arange(0, 17), np.array([0, *range(31, 15, -1)])
        for columns, share, follow in ((up, upper, UPPER_FOLLOW), (down, lower, LOWER_FOLLOW)):
            for ring in range(6):
                at = self.rings[ring][columns]
                index.append(at)
                value.append(_turned(p[at], self.open * share * follow[ring]) - p[at])
            for ring in range(2):
                at = self.inner[ring][columns]
                index.append(at)
                value.append(_turned(p[at], self.open * share * (1.0, 0.8)[ring]) - p[at])
        if meet:
            both = 0.5 * (self.top + value[0] + self.low + value[8])
            value[0], value[8] = both - self.top, both - self.low
        flat, disp = np.concatenate(index), np.concatenate(value)
        flat, first = np.unique(flat, return_index=True)
        return self.solver.field(flat, disp[first], np.setdiff1d(self.outside, flat))

    def brow(self, move: Callable[[Array], Array], middle: tuple[float, float]) -> Array:
        """Symmetric field that moves the brow.

        `move` maps 0 (inner end) .. 1 (outer end) to displacements (N,3); `middle` = (y, z)
        is what the skin between the brows does.
        """
        head, p = self.head, self.head.points
        index = self.rings[6:9, BROW]
        value = np.broadcast_to(move(np.linspace(0, 1, len(BROW))), (*index.shape, 3)).reshape(-1, 3)
        glabella = np.flatnonzero((np.abs(p[:, 0]) < 4) & (np.abs(p[:, 1] - 20) < 4) & (p[:, 2] > 80))
        fixed = (
            np.linalg.norm((np.abs(p) * [1, 0, 0] + p * [0, 1, 1] - [26, 24, 88]) / [1.3, 1, 1.6], axis=1)
            > 36
        )
        close = np.concatenate([self.rings[:3].ravel(), self.inner.ravel()])
        fixed[close] = fixed[head.mirror[close]] = True
        return self._mirrored(
            np.concatenate([index.ravel(), glabella]),
            np.concatenate([value, np.tile([0.0, *middle], (len(glabella), 1))]),
            fixed,
        )

    def spots(
        self,
        spots: list[tuple[tuple[float, float, float], float, tuple[float, float, float]]],
        reach: float,
        lids_free: bool = False,
    ) -> Array:
        """Symmetric field of spot handles; everything further than `reach` from all of them is fixed."""
        p, head = self.head.points, self.head
        skin = np.isin(np.arange(len(p)), head.tables["skin"])
        index, value = [], []
        nearest = np.full(len(p), np.inf)
        for centre, radius, move in spots:
            far = np.linalg.norm(np.abs(p) * [1, 0, 0] + p * [0, 1, 1] - np.asarray(centre), axis=1)
            nearest = np.minimum(nearest, far)
            found = np.flatnonzero(skin & (far < radius) & (p[:, 0] > -1e-9))
            index.append(found)
            value.append(np.tile(np.asarray(move, float), (len(found), 1)))
        fixed = nearest > reach
        if not lids_free:
            close = np.concatenate([self.rings[:3].ravel(), self.inner.ravel()])
            fixed[close] = fixed[head.mirror[close]] = True
        return self._mirrored(np.concatenate(index), np.concatenate(value), fixed)

    def _mirrored(self, index: np.ndarray, value: Array, fixed: np.ndarray) -> Array:
        head = self.head
        left, first = np.unique(index, return_index=True)
        disp = value[first]
        disp[np.abs(head.points[left, 0]) < 1e-9, 0] = 0.0
        both = np.concatenate([left, head.mirror[left]])
        fixed[both] = False
        anchors = np.flatnonzero(fixed & self.solver.skin)
        return symmetric(head, self.solver.field(both, np.concatenate([disp, disp * [-1, 1, 1]]), anchors))

    def gaze(self, pitch: float, yaw: float) -> Array:
        """The left eyeball turned about its centre (radians; +pitch down, +yaw to the head's left)."""
        ball = self.head.tables["eyeball"]
        cy, sy, cx, sx = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array(
            [[1, 0, 0], [0, cx, -sx], [0, sx, cx]]
        )
        out = np.zeros((len(self.head.points), 3))
        q = self.head.points[ball] - EYE
        out[ball] = q @ turn.T - q
        return out


def _ridges(head: Head, depth: Callable[[Array, Array], Array], reach: tuple[float, float]) -> Array:
    """Symmetric relief of the forehead, `depth` (x >= 0, y) mm along z, between two heights; (V,3)."""
    x, y, z = np.abs(head.points[:, 0]), head.points[:, 1], head.points[:, 2]
    skin = np.isin(np.arange(len(x)), np.concatenate([head.tables["skin"], head.mirror[head.tables["skin"]]]))
    band = smoothstep(y, reach[0], reach[0] + 6) * (1 - smoothstep(y, reach[1] - 8, reach[1])) * (z > 60) * skin
    return np.stack([0 * x, 0 * x, depth(x, y) * band], 1)


def frown_lines(x: Array, y: Array) -> Array:
    """The two upright lines between the brows, the swelling between and beside them."""
    line = -1.1 * np.exp(-(((x - 5.5 - 0.06 * (y - 14)) / 2.0) ** 2))
    return np.asarray(line + 0.7 * np.exp(-((x / 2.6) ** 2)) + 0.5 * np.exp(-(((x - 11.5) / 3.5) ** 2)))


def forehead_lines(x: Array, y: Array) -> Array:
    """Two or three lines across the forehead, bowed like the brows."""
    return np.asarray(0.85 * np.sin(2 * np.pi * (y - 1.5 * np.cos(x / 14.0)) / 15.0) * (1 - smoothstep(x, 22, 46)))


def eye_shapes(stage: EyeStage) -> dict[str, Array]:
    """Lids, gaze, brows and nose; a pair's right side is the mirror image of its left."""
    mirror = stage.head.mirror
    left = {
        "eyeBlink": stage.lids(-(1 - MEET), MEET, meet=True),
        "eyeSquint": stage.lids(-0.16, 0.24),
        "eyeWide": stage.lids(0.26, -0.10),
        "eyeLookDown": stage.gaze(*GAZE["Down"]) + stage.lids(-0.42, -0.16),
        "eyeLookUp": stage.gaze(*GAZE["Up"]) + stage.lids(0.22, 0.06),
        "eyeLookIn": stage.gaze(*GAZE["In"]),
        "eyeLookOut": stage.gaze(*GAZE["Out"]),
    }
    positive = (stage.head.points[:, 0] > 0)[:, None]
    soft = smoothstep(stage.head.points[:, :1], -7, 7)
    squeeze = stage.spots([((37, -24, 79), 5, (0.3, 1.8, 0.9))], 22, lids_free=True)
    left["eyeSquint"] = left["eyeSquint"] + squeeze * positive
    down = stage.brow(lambda u: np.stack([-1.8 * (1 - u), -4.6 + 2.6 * u, 0.9 * (1 - u)], 1), (-2.8, 0.8))
    up = stage.brow(
        lambda u: np.stack([0.4 * u, 6.2 * smoothstep(u, -0.1, 0.75), -0.4 - 0.6 * u], 1), (0.0, 0.0)
    )
    sneer = stage.spots(
        [
            ((14, -38, 97), 5, (1.2, 4.8, 1.0)),
            ((12, -18, 92), 4, (0.3, 3.6, 1.9)),
            ((21, -49, 90), 5, (0.9, 4.6, 1.4)),
        ],
        16,
    )
    down = down + _ridges(stage.head, frown_lines, (4.0, 32.0))
    lines = _ridges(stage.head, forehead_lines, (26.0, 66.0))
    up = up + 0.6 * lines
    left |= {"browDown": down * soft, "browOuterUp": up * soft, "noseSneer": sneer * soft}
    out = {
        "browInnerUp": stage.brow(
            lambda u: np.stack([0.3 * (1 - u), 6.8 * (1 - u) ** 1.3, -0.4 * (1 - u)], 1), (6.0, -0.4)
        )
        + lines
    }
    for name, field in left.items():
        out[f"{name}Left"], out[f"{name}Right"] = field, field[mirror] * [-1, 1, 1]
    return out
