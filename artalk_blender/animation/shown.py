# SPDX-License-Identifier: GPL-3.0-or-later
"""What a face shows of its F-curves, and how far another version of them is from that.

The bound is on what is seen: how far the lips go astray in the head's own frame, how far the rest of the face (twice
that), and by what angle head and jaw are turned wrongly. Where the lips touch, their gap is within the bound as well,
so that closures survive. `Shown` is what heads (`HeadShown`) and retarget's targets have in common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..head.handle import Head
from ..head.names import BONES, JAW
from ..motion.layout import CHANNELS, EXPRESSION, JAW_POSE
from ..motion.resample import closures
from ..motion.rotations import euler_to_quaternions, normalised, quaternions_to_axis_angle, turn_between
from .fcurves import bone_path, key_path
from .mouth import expression_offsets, face_points, lip_vertices, mouth_of

Place = tuple[str, str, int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FACE = 2.0  # times the lips' bound for the rest of the face
_MARGIN = 0.87  # of the bound at the points looked at, for all those between them
_MOST_MOVED = 3  # vertices of the lips and of all others, that each expression moves most, stand for them
_LIP_POINTS = 32  # and so many all around the mouth
_AT_ONCE = 2048  # rows
_WORST = 0.7  # of the largest error to first order: the largest true one is not below it
_JAW = BONES[JAW]
_TURN = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}  # else rotation_euler


class Posed:
    """What channels (S,C) hold, and how the rotation channels among them turn bones.

    columns: (data path, array index) -> column; still: the same -> the one value that a channel holds; modes: bone ->
    its rotation mode.
    """

    def __init__(self, columns: Mapping[tuple[str, int], int], still: Mapping[tuple[str, int], float],
                 modes: dict[str, str]) -> None:
        self.columns, self.still, self.modes = columns, still, modes

    def column(self, path: str, index: int, values: Floats) -> Floats | float:
        """(R,) of one property: its column, or what it holds still at."""
        column = self.columns.get((path, index))
        if column is not None:
            return values[:, column]
        rest = 1.0 if path.endswith("quaternion") and index == 0 else 0.0
        return self.still.get((path, index), rest)

    def turn(self, bone: str, values: Floats, exact: bool = True) -> Floats | None:
        """Quaternions (R,4) of a bone from the channels of its rotation mode; None where it has none.

        If they need not be exact they may be a little longer or shorter than 1.
        """
        mode = self.modes[bone]
        path = bone_path(bone, _TURN.get(mode, "rotation_euler"))
        width = 4 if mode in _TURN else 3
        if not any((path, index) in self.columns or (path, index) in self.still for index in range(width)):
            return None
        parts = np.empty((len(values), width))
        for index in range(width):
            parts[:, index] = self.column(path, index, values)
        if mode == "QUATERNION":
            return normalised(parts) if exact else parts
        if mode == "AXIS_ANGLE":
            axis = parts[:, 1:] / np.maximum(np.linalg.norm(parts[:, 1:], axis=1, keepdims=True), 1e-12)
            return np.concatenate([np.cos(0.5 * parts[:, :1]), np.sin(0.5 * parts[:, :1]) * axis], 1)
        return euler_to_quaternions(parts, mode)


class Shown(ABC):
    """The lips, face and turns that channels (S,C) make a face show.

    metres, radians: the bound, the former on a head of a human's size; this one is `size` times as large. tolerance
    (C,): by how much each channel alone may be off. Who makes one sets: lips (N,) which of the points looked at are
    the lips'; spread (C,3N+1) and levers, bone -> (3,3N+1): what errors of channels, and small turns of a bone,
    displace, as parts of what is allowed, to first order: all x, then y, then z, at last the gap between the lips.
    """

    lips: NDArray[np.bool_]
    spread: NDArray[np.float32]
    levers: dict[str, NDArray[np.float32]]

    def __init__(self, values: Floats, posed: Posed, metres: float, radians: float, size: float = 1.0) -> None:
        self.values, self.posed, self.metres, self.radians, self.size = values, posed, metres, radians, size
        turns = {bone: posed.turn(bone, values) for bone in posed.modes}
        self.turns = {bone: turn for bone, turn in turns.items() if turn is not None}
        self.contacts = np.zeros(0, np.int64)
        self.touching = np.zeros(len(values), np.float32)

    @abstractmethod
    def aperture(self, values: Floats) -> Floats | None:
        """(R,) metres, on a head of a human's size, by which channels (R,C) open the lips; None where nobody knows."""

    @abstractmethod
    def far(self, values: Floats, rows: Ints) -> Floats:
        """How far each point (R,N) is off, metres, where channels hold `values` (R,C) at `rows` (R,)."""

    @property
    def allowed(self) -> Floats:
        """(N,) metres by which each point may be off."""
        return np.where(self.lips, 1.0, _FACE) * self.size * self.metres * _MARGIN

    def mind_contacts(self) -> None:
        """Bounds the lips' gap too from now on, where they touch."""
        aperture = self.aperture(self.values)
        if aperture is not None:
            self.opening = aperture
            self.contacts = closures(aperture)
            self.touching[self.contacts] = 1.0

    def parts_of_allowed(self, moves: Floats, gap: Floats) -> NDArray[np.float32]:
        """Displacements (C,3,N) and gaps (C,), metres -> (C,3N+1)."""
        return np.column_stack([(moves / self.allowed).reshape(len(moves), -1),
                                gap / (_MARGIN * self.size * self.metres)]).astype(np.float32)

    def tolerances(self) -> Floats:
        """(C,) what each channel alone may be off by."""
        reach = _reach(self.spread)
        tolerance = np.where(reach > 0.0, 1.0 / np.maximum(reach, 1e-30), self.metres)
        for bone in self.turns:
            lever = float(_reach(self.levers[bone]).max(initial=0.0)) if bone in self.levers else 0.0
            radians = min(self.radians, 1.0 / max(lever, 1e-9))
            mode = self.posed.modes[bone]
            path = bone_path(bone, _TURN.get(mode, "rotation_euler"))
            for index in range(4 if mode in _TURN else 3):
                column = self.posed.columns.get((path, index))
                if column is None:
                    continue
                if mode == "QUATERNION":
                    tolerance[column] = 0.5 * radians  # half the angle is what a quaternion holds
                elif mode == "AXIS_ANGLE" and index > 0:
                    largest = float(np.abs(self.posed.column(path, 0, self.values)).max())
                    tolerance[column] = radians / max(largest, radians)
                else:
                    tolerance[column] = radians
        return tolerance

    def measure(self, values: Floats, rows: Ints) -> Floats:
        """Error of `values` (R,C) at `rows` (R,) as a part of the bound (R,), to first order."""
        result = np.empty(len(rows))
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            result[part] = self._measure(values[part], rows[part])
        return result

    def _measure(self, values: Floats, rows: Ints) -> Floats:
        worst, moved = self.moved(values, rows)
        moved *= moved
        count = len(self.lips)
        far = moved[:, :count] + moved[:, count : 2 * count]
        far += moved[:, 2 * count : -1]
        squared = np.maximum(far.max(1, initial=0.0), moved[:, -1] * self.touching[rows])
        return np.maximum(worst, np.sqrt(squared))

    def moved(self, values: Floats, rows: Ints) -> tuple[Floats, NDArray[np.float32]]:
        """Error (R,) of turns, as a part of the bound, and displacements (R,3N+1), as parts of what is allowed."""
        moved = (values - self.values[rows]).astype(np.float32) @ self.spread
        worst = np.zeros(len(rows))
        for bone in self.turns:
            turn = self._off_turn(bone, values, rows, exact=False)
            worst = np.maximum(worst, np.linalg.norm(turn, axis=1) / self.radians)
            if bone in self.levers:
                moved += turn.astype(np.float32) @ self.levers[bone]
        return worst, moved

    def verify(self, values: Floats, rows: Ints) -> Floats:
        """The same by true displacements."""
        far = (self.far(values, rows) / self.allowed).max(1, initial=0.0)
        return np.maximum(far, self._turned(values, rows) / self.radians)

    def errors(self, values: Floats) -> tuple[float, float]:
        """Largest error of the lips (of the face, where they are not known), metres on a head of a human's size, and of
        any turn, radians."""
        rows = np.arange(len(values))
        angle = float(self._turned(values, rows).max(initial=0.0))
        near = self.measure(values, rows)
        rows = np.flatnonzero(near >= _WORST * near.max(initial=0.0))
        return float(self.far(values[rows], rows)[:, self.lips].max(initial=0.0)) / self.size, angle

    def kept(self, values: Floats) -> tuple[int, int]:
        """Closures of the lips, and how many of them are open no further than the bound more than they were."""
        opening = self.aperture(values[self.contacts]) if len(self.contacts) else None
        if opening is None:
            return 0, 0
        return len(self.contacts), int((opening <= self.opening[self.contacts] + self.metres).sum())

    def _turned(self, values: Floats, rows: Ints) -> Floats:
        """(R,) radians by which any bone is turned wrongly, at most."""
        turns = [np.linalg.norm(self._off_turn(bone, values, rows), axis=1) for bone in self.turns]
        return np.max(turns, axis=0) if turns else np.zeros(len(rows))

    def _off_turn(self, bone: str, values: Floats, rows: Ints, exact: bool = True) -> Floats:
        """By what rotations (R,3), radians, in its own axes at rest, a bone is turned wrongly."""
        turn = self.posed.turn(bone, values, exact)
        assert turn is not None
        return turn_between(self.turns[bone][rows], turn)


def _reach(spread: NDArray[np.floating]) -> Floats:
    """(C,) largest displacement of any point, as a part of what is allowed."""
    return np.linalg.norm(spread[:, :-1].reshape(len(spread), 3, -1), axis=1).max(1, initial=0.0).astype(np.float64)


def most_moved(far: Floats, vertices: Ints) -> Ints:
    """The `vertices` that each of the channels moves most, where they move each vertex by `far` (C,V)."""
    if len(vertices) == 0 or not len(far):
        return np.zeros(0, np.int64)
    return vertices[np.argsort(-far[:, vertices], axis=1)[:, :_MOST_MOVED].ravel()]


class HeadShown(Shown):
    """What channels (S,C) at `places` make a head show."""

    def __init__(self, head: Head, places: list[Place], still: dict[Place, float], values: Floats,
                 metres: float, radians: float) -> None:
        columns = {place[1:]: column for column, place in enumerate(places)}
        modes = {bone: head.armature.pose.bones[bone].rotation_mode for bone in BONES}
        super().__init__(values, Posed(columns, {place[1:]: value for place, value in still.items()}, modes),
                         metres, radians)
        self.names = [key_path(name) for name in head.expression_keys]
        offsets = expression_offsets(head)
        lips, face = self._choose(head, offsets)
        self.points = face_points(head, np.concatenate([lips, face]), offsets)
        self.lips = np.arange(len(self.points.rest)) < len(lips) if len(lips) else np.ones(len(face), bool)
        self.mouth = mouth_of(head)
        self._linear()
        self.tolerance = self.tolerances()

    def _choose(self, head: Head, offsets: NDArray[np.float32]) -> tuple[Ints, Ints]:
        """Vertices that stand for the lips, and for the rest of the face."""
        ring = lip_vertices(head, "ring")
        used = [index for index, path in enumerate(self.names) if (path, 0) in self.posed.columns]
        far = np.linalg.norm(offsets[used], axis=2)
        around = ring[:: max(1, len(ring) // _LIP_POINTS)]
        inner = [lip_vertices(head, "upper"), lip_vertices(head, "lower")]
        lips = np.unique(np.concatenate([most_moved(far, ring), around, *inner]))
        self.inner = [np.searchsorted(lips, vertices) for vertices in inner]
        return lips, np.unique(most_moved(far, np.setdiff1d(np.arange(offsets.shape[1]), ring)))

    def _linear(self) -> None:
        """Small errors, to first order; the jaw's lever is that of the face at rest."""
        spread = np.zeros((self.values.shape[1], 3, len(self.points.rest)))
        for index, path in enumerate(self.names):
            column = self.posed.columns.get((path, 0))
            if column is not None:
                spread[column] = self.points.expression[:, :, index].T
        arm = self.points.rest - self.points.joint
        jaw = np.stack([(np.cross(axis, arm) * self.points.jaw_weight[:, None]).T for axis in np.eye(3)])
        self.spread = self.parts_of_allowed(spread, self._gap(spread))
        self.levers = {_JAW: self.parts_of_allowed(jaw, self._gap(jaw))}

    def _gap(self, moves: Floats) -> Floats:
        upper, lower = (moves[:, 1, points] for points in self.inner)
        return (upper - lower).sum(1) / max(upper.shape[1], 1)

    def aperture(self, values: Floats) -> Floats | None:
        return None if self.mouth is None else self.mouth.aperture(self._motion(values))

    def far(self, values: Floats, rows: Ints) -> Floats:
        """By full skinning."""
        result = np.empty((len(rows), len(self.points.rest)))
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            new, old = values[part], self.values[rows[part]]
            off = self.points.positions(self._motion(new)) - self.points.positions(self._motion(old))
            result[part] = np.sqrt((off * off) @ np.ones(3))
        return result

    def _motion(self, values: Floats) -> NDArray[np.float32]:
        """Channels (R,C) -> motion (R,106) without the head's turning."""
        motion = np.zeros((len(values), CHANNELS), np.float32)
        for index, path in enumerate(self.names):
            motion[:, EXPRESSION.start + index] = self.posed.column(path, 0, values)
        turn = self.posed.turn(_JAW, values)
        if turn is not None:
            motion[:, JAW_POSE] = quaternions_to_axis_angle(turn)
        return motion
