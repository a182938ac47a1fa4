# SPDX-License-Identifier: GPL-3.0-or-later
"""A source and a target as one least-squares system: what sliders do, and what each frame of a motion asks for.

numpy only, no `bpy` use. Lengths are millimetres of the source's size, so that strengths mean the same on a head of
any size. A slider is a column; the jaw bone's angle, where there is one, is the last. A bone turns: what its angle
does beyond its column, and to the sliders' moves, is known in closed form and taken off the right-hand side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contact import STATIONS
from .correspond import OPEN_JAW, Correspondence
from .face import SourceFace, TargetFace
from .features import fields, times
from .regions import REGIONS, sample_weights
from .surface import Places, at_vertices, join

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAP, SHAPE = "gap", "shape"
BLOCKS = (*REGIONS, GAP, SHAPE)
JAW_UNIT = 0.3  # radians that count as much as a slider's 1
_REST_SLACK = 0.02  # of the mouth's width: how far lips that touch at rest may be apart in a mesh
_ERROR_POINTS = 90  # on the lips


@dataclass(frozen=True)
class Reduced:
    """What a motion asks for, whatever the options: right (blocks) (T,C), gap (T,S) mm, below 0 where lips cross,
    wish (T,L,3) mm at the lips."""

    right: dict[str, Floats]
    gap: Floats
    wish: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.gap)


@dataclass(frozen=True)
class _Turned:
    """What a jaw bone does to rows: to each slider's (C-1,R) and to the resting face (R,), by sine and 1 - cosine."""

    sliders: tuple[Floats, Floats]
    rest: tuple[Floats, Floats]


class System:
    """Rows in blocks: the samples of three regions, the lips' gaps along the head's up, and the lips' shape."""

    def __init__(self, source: SourceFace, target: TargetFace, found: Correspondence) -> None:
        self.source, self.target, self.found = source, target, found
        self.size = 1e-3 * found.scale  # metres of the target in a millimetre of the source
        self.has_jaw = target.jaw is not None
        self.columns = len(target.names) + self.has_jaw
        self.samples = len(found.samples.vertices)
        self.weights = sample_weights(source, found)
        own, other = self._points()
        self._wishes(own)
        self._sliders(other)
        self._blocks()

    # points: the samples, then upper and lower ends of the gaps, then two ends of the mouth
    def _points(self) -> tuple[Places, Places]:
        found = self.found
        own, other = at_vertices(found.samples.vertices), found.places
        self.stations = 0
        if found.seams is not None:
            mine, its = found.seams
            own = join(join(own, mine.upper), mine.lower)
            other = join(join(other, its.upper), its.lower)
            self.stations = STATIONS
        lips = np.flatnonzero(found.samples.lips) if found.samples.lips.any() else np.arange(self.samples)
        across = self.source.neutral[found.samples.vertices[lips], 0]
        ends = lips[[int(across.argmin()), int(across.argmax())]]
        self.shown = lips[np.linspace(0, len(lips) - 1, min(_ERROR_POINTS, len(lips))).astype(int)]
        return join(own, own[ends]), join(other, other[ends])

    def rows(self, moves: Floats) -> dict[str, Floats]:
        """Moves (..., points, 3) -> each block's rows (..., R), in millimetres of the source's size."""
        lead, count = moves.shape[:-2], self.stations
        mm = moves / self.size
        samples = mm[..., : self.samples, :].reshape(*lead, 3 * self.samples)
        gap = (mm[..., self.samples : self.samples + count, :]
               - mm[..., self.samples + count : self.samples + 2 * count, :]) @ self.found.mouth.axes.T
        spread = (mm[..., -1, :] - mm[..., -2, :]) @ self.found.mouth.axes.T
        shape = np.concatenate([gap.reshape(*lead, 3 * count), spread * np.sqrt(max(count, 1))], -1)
        return {**dict.fromkeys(REGIONS, samples), GAP: gap[..., 1], SHAPE: shape}

    def row_weights(self, block: str) -> Floats:
        """(R,) of a block."""
        if block in REGIONS:
            return np.repeat(self.weights[REGIONS.index(block)], 3)
        share = np.sin(np.pi * (np.arange(self.stations) + 0.5) / max(self.stations, 1)) ** 2
        share /= max(float(share.sum()), 1.0)  # near the corners it is less sure which place is which
        return share if block == GAP else np.append(np.repeat(share, 3), [1.0 / max(self.stations, 1)] * 3)

    def _wishes(self, own: Places) -> None:
        """What each of the motion's numbers moves, in the target's frames."""
        found = self.found
        vertices, corners = np.unique(own.corners, return_inverse=True)
        local = Places(corners.reshape(own.corners.shape), own.weights)
        moved = fields(self.source, vertices)
        at = sum(moved[:, local.corners[:, k]] * local.weights[:, k, None] for k in range(3))
        mouth = np.broadcast_to(found.mouth_frame, (len(own.corners) - self.samples, 3, 3))
        frames = np.concatenate([found.frames, mouth])
        self._field_rows = self.rows(np.einsum("pyx,fpx->fpy", frames, at, optimize=True))
        self._frames = frames
        self._own = own
        self._shown_fields = self._field_rows[REGIONS[0]].reshape(len(moved), -1, 3)[:, self.shown].reshape(
            len(moved), -1)

    def _sliders(self, other: Places) -> None:
        """What each column moves, at a jaw's first degrees; and what the jaw turns."""
        target = self.target
        moves = other.of_keys(target.deltas)
        self.turned: dict[str, _Turned] = {}
        if target.jaw is not None:
            jaw, names = target.jaw, np.unique(other.corners)
            x, y, z = jaw.axis / np.linalg.norm(jaw.axis)
            cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
            arms = np.zeros_like(target.neutral)
            arms[names] = jaw.weight[names, None] * (target.neutral[names] - jaw.joint)
            weighted = Places(other.corners, other.weights * jaw.weight[other.corners])
            keys = weighted.of_keys(target.deltas)
            rest = other.of(arms)
            twice = cross @ cross
            parts = [(self.rows(keys @ m.T), self.rows(rest @ m.T)) for m in (cross, twice)]
            self.turned = {block: _Turned((parts[0][0][block], parts[1][0][block]),
                                          (parts[0][1][block], parts[1][1][block])) for block in BLOCKS}
            chord = (np.sin(OPEN_JAW) * rest @ cross.T + (1.0 - np.cos(OPEN_JAW)) * rest @ twice.T) / OPEN_JAW
            moves = np.concatenate([moves, chord[None]])
        self.moves = moves
        self.columns_rows = self.rows(moves)
        rest_gap = np.zeros(self.stations)
        if self.found.seams is not None:
            rest_gap = self.found.seams[1].rest @ self.found.mouth.axes[1] / self.size
        slack = _REST_SLACK * self.found.mouth.width / self.size
        self.rest_gap = _parted(rest_gap, slack)
        own = np.zeros((STATIONS, 3)) if self.found.seams is None else self.found.seams[0].rest
        own_gap = (own @ self.found.mouth_frame.T @ self.found.mouth.axes[1] / self.size)[: self.stations]
        self.own_gap = _parted(own_gap, slack)

    def _blocks(self) -> None:
        """Each block's Hessian (C,C), what projects rows on columns (R,C), and what numbers ask of columns."""
        self.hessians: dict[str, Floats] = {}
        self.project: dict[str, Floats] = {}
        self.asked: dict[str, Floats] = {}
        self.turned_asked: dict[str, tuple[list[Floats], list[Floats]]] = {}
        for block in BLOCKS:
            rows = self.columns_rows[block]
            self.project[block] = (rows * self.row_weights(block)).T
            self.hessians[block] = rows @ self.project[block]
            if self.has_jaw:
                turned = self.turned[block]
                self.turned_asked[block] = ([part @ self.project[block] for part in turned.sliders],
                                            [part @ self.project[block] for part in turned.rest])
            if block != GAP:
                self.asked[block] = self._field_rows[block] @ self.project[block]

    def limits(self) -> Floats:
        limits = np.array(self.target.limits, np.float64)
        return limits if self.target.jaw is None else np.concatenate([limits, [self.target.jaw.limits]])

    def units(self) -> Floats:
        """(C,) what counts as one of each column."""
        return np.append(np.ones(len(self.target.names)), [JAW_UNIT] * self.has_jaw)

    def reduce(self, motion: NDArray[np.floating[Any]]) -> Reduced:
        """What a motion (T,106) asks for."""
        blocks = [block for block in BLOCKS if block != GAP]
        *right, gap, wish = times(motion, *(self.asked[block] for block in blocks), self._field_rows[GAP],
                                  self._shown_fields)
        return Reduced(dict(zip(blocks, right, strict=True)), gap + self.own_gap,
                       wish.reshape(len(motion), len(self.shown), 3).astype(np.float32))

    def wishes(self, motion: NDArray[np.floating[Any]]) -> Floats:
        """(T,points,3) metres, straight from the source's vertices: the plain way to what `reduce` does at once."""
        names, corners = np.unique(self._own.corners, return_inverse=True)
        moved = self.source.positions(motion, names).astype(np.float64) - self.source.neutral[names]
        corners = corners.reshape(self._own.corners.shape)
        at = np.einsum("tpcx,pc->tpx", moved[:, corners], self._own.weights)
        return np.einsum("pyx,tpx->tpy", self._frames, at)

    def beyond(self, x: Floats, block: str) -> Floats:
        """(T,R) what a turned jaw bone does to a block's rows beyond the columns, for sliders x (T,C)."""
        turned, angle = self.turned[block], x[:, -1:]
        sine, rest = np.sin(angle), 1.0 - np.cos(angle)
        return (sine * (x[:, :-1] @ turned.sliders[0] + turned.rest[0])
                + rest * (x[:, :-1] @ turned.sliders[1] + turned.rest[1]) - angle * self.columns_rows[block][-1])

    def turned_on_columns(self, counts: dict[str, float]) -> Callable[[Floats], Floats]:
        """Sliders x (T,C) -> (T,C): `beyond` projected on the columns, without the rows in between, of all blocks
        together, each as often as it counts."""
        parts = [[sum(count * self.turned_asked[block][whose][k] for block, count in counts.items()) for k in (0, 1)]
                 for whose in (0, 1)]
        column = sum(count * self.hessians[block][-1] for block, count in counts.items())

        def turned(x: Floats) -> Floats:
            angle = x[:, -1:]
            sine, rest = np.sin(angle), 1.0 - np.cos(angle)
            both = x[:, :-1] @ np.concatenate(parts[0], 1)
            width = both.shape[1] // 2
            return (sine * (both[:, :width] + parts[1][0]) + rest * (both[:, width:] + parts[1][1])
                    - angle * column)

        return turned

    def gaps(self, x: Floats) -> Floats:
        """(T,S) mm between the lips, below 0 where they cross, for sliders x (T,C)."""
        moved = x @ self.columns_rows[GAP] + self.rest_gap
        return moved + self.beyond(x, GAP) if self.has_jaw else moved

    def reached(self, x: Floats, points: Ints | None = None) -> Floats:
        """(T,P,3) mm that sliders x (T,C) move the samples (or some of them), the jaw turned."""
        block = REGIONS[0]
        rows = self.columns_rows[block] if points is None else _some(self.columns_rows[block], points)
        result = x @ rows
        if self.has_jaw:
            turned, angle = self.turned[block], x[:, -1:]
            for amount, sliders, rest in zip((np.sin(angle), 1.0 - np.cos(angle)), turned.sliders, turned.rest,
                                             strict=True):
                if points is not None:
                    sliders, rest = _some(sliders, points), _some(rest, points)
                result += amount * (x[:, :-1] @ sliders + rest)
            result -= angle * rows[-1]
        return result.reshape(len(x), rows.shape[1] // 3, 3)


def _parted(gap: Floats, slack: float) -> Floats:
    """The gaps of lips at rest (S,), without those that a coarse mesh or a station off the lips alone makes.

    A parted mouth is a lens, which Tukey's running median of three leaves as it is (“Exploratory data analysis”, 1977,
    with his rule for the ends); a station that has missed its lip is not.
    """
    if len(gap) > 2:
        ends = 3.0 * gap[[1, -2]] - 2.0 * gap[[2, -3]]
        beside = np.stack([np.append(ends[0], gap[:-1]), gap, np.append(gap[1:], ends[1])])
        gap = np.median(beside, axis=0)
    beyond = np.clip(np.abs(gap) / slack - 0.5, 0.0, 1.0)
    return gap * beyond * beyond * (3.0 - 2.0 * beyond)


def _some(rows: Floats, points: Ints) -> Floats:
    """Of rows (...,3P) those of some points."""
    lead = rows.shape[:-1]
    return rows.reshape(*lead, rows.shape[-1] // 3, 3)[..., points, :].reshape(*lead, 3 * len(points))
