# SPDX-License-Identifier: GPL-3.0-or-later
"""What a head shows of its F-curves, and how far another version of them is from that.

The bound is on what is seen: how far the lips go astray in the head's own frame, how far the rest of the face (twice
that), and by what angle head and jaw are turned wrongly. Where the lips touch, their gap is within the bound as well,
so that closures survive.
"""

from __future__ import annotations

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


class Shown:
    """The lips, face and turns that channels (S,C) at `places` make a head show; `still` channels hold one value.

    metres, radians: the bound. tolerance (C,): by how much each channel alone may be off.
    """

    def __init__(self, head: Head, places: list[Place], still: dict[Place, float], values: Floats,
                 metres: float, radians: float) -> None:
        self.values, self.metres, self.radians = values, metres, radians
        self.columns = {place[1:]: column for column, place in enumerate(places)}
        self.still = {place[1:]: value for place, value in still.items()}
        self.names = [key_path(name) for name in head.expression_keys]
        self.modes = {bone: head.armature.pose.bones[bone].rotation_mode for bone in BONES}
        self.turns = {bone: self._turn(bone, values) for bone in BONES}
        offsets = expression_offsets(head)
        lips, face = self._choose(head, offsets)
        self.points = face_points(head, np.concatenate([lips, face]), offsets)
        self.lips = np.arange(len(self.points.rest)) < len(lips) if len(lips) else np.ones(len(face), bool)
        self.allowed = np.where(self.lips, 1.0, _FACE) * metres * _MARGIN
        self.mouth = mouth_of(head)
        self.contacts = np.zeros(0, np.int64)
        self.touching = np.zeros(len(values), np.float32)
        self.spread, self.jaw = self._linear()
        self.tolerance = self._tolerances()

    def mind_contacts(self) -> None:
        """Bounds the lips' gap too from now on, where they touch."""
        if self.mouth is not None:
            self.aperture = self.mouth.aperture(self._motion(self.values))
            self.contacts = closures(self.aperture)
            self.touching[self.contacts] = 1.0

    def _choose(self, head: Head, offsets: NDArray[np.float32]) -> tuple[Ints, Ints]:
        """Vertices that stand for the lips, and for the rest of the face."""
        ring = lip_vertices(head, "ring")
        used = [index for index, path in enumerate(self.names) if (path, 0) in self.columns]
        far = np.linalg.norm(offsets[used], axis=2)

        def most_moved(vertices: Ints) -> Ints:
            if len(vertices) == 0 or not used:
                return np.zeros(0, np.int64)
            return vertices[np.argsort(-far[:, vertices], axis=1)[:, :_MOST_MOVED].ravel()]

        around = ring[:: max(1, len(ring) // _LIP_POINTS)]
        inner = [lip_vertices(head, "upper"), lip_vertices(head, "lower")]
        lips = np.unique(np.concatenate([most_moved(ring), around, *inner]))
        self.inner = [np.searchsorted(lips, vertices) for vertices in inner]
        others = np.setdiff1d(np.arange(offsets.shape[1]), ring)
        return lips, np.unique(most_moved(others))

    def _linear(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Errors of channels (C,3N+1), and of the jaw's turning (3,3N+1), to displacements as parts of what is allowed.

        Small ones, to first order; the jaw's lever is that of the face at rest. All x come first, then y, then z, and
        at last the gap between the lips.
        """
        spread = np.zeros((self.values.shape[1], 3, len(self.points.rest)))
        for index, path in enumerate(self.names):
            column = self.columns.get((path, 0))
            if column is not None:
                spread[column] = self.points.expression[:, :, index].T
        arm = self.points.rest - self.points.joint
        jaw = np.stack([(np.cross(axis, arm) * self.points.jaw_weight[:, None]).T for axis in np.eye(3)])
        result = []
        for moves in (spread, jaw):
            upper, lower = (moves[:, 1, points] for points in self.inner)
            gap = (upper - lower).sum(1) / (max(upper.shape[1], 1) * _MARGIN * self.metres)
            result.append(np.column_stack([(moves / self.allowed).reshape(len(moves), -1), gap]).astype(np.float32))
        return result[0], result[1]

    def _tolerances(self) -> Floats:
        """(C,) what each channel alone may be off by."""
        reach = np.linalg.norm(self.spread[:, :-1].reshape(len(self.spread), 3, -1), axis=1).max(1, initial=0.0)
        tolerance = np.where(reach > 0.0, 1.0 / np.maximum(reach, 1e-30), self.metres)
        lever = float(np.linalg.norm(self.jaw[:, :-1].reshape(3, 3, -1), axis=1).max(initial=0.0))
        for (path, index), column in self.columns.items():
            radians = self.radians
            if path.startswith(bone_path(_JAW, "")):
                radians = min(radians, 1.0 / max(lever, 1e-9))
            if path.endswith("rotation_quaternion"):
                tolerance[column] = 0.5 * radians  # half the angle is what a quaternion holds
            elif path.endswith("rotation_euler") or (path.endswith("rotation_axis_angle") and index == 0):
                tolerance[column] = radians
            elif path.endswith("rotation_axis_angle"):
                largest = float(np.abs(self._column(path, 0, self.values)).max())
                tolerance[column] = radians / max(largest, radians)
        return tolerance

    def measure(self, values: Floats, rows: Ints) -> Floats:
        """Error of `values` (R,C) at `rows` (R,) as a part of the bound (R,), to first order."""
        result = np.empty(len(rows))
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            result[part] = self._measure(values[part], rows[part])
        return result

    def _measure(self, values: Floats, rows: Ints) -> Floats:
        off = values - self.values[rows]
        moved = off.astype(np.float32) @ self.spread
        worst = np.zeros(len(rows))
        for bone in BONES:
            turn = self._off_turn(bone, values, rows, exact=False)
            if turn is None:
                continue
            worst = np.maximum(worst, np.linalg.norm(turn, axis=1) / self.radians)
            if bone == _JAW:
                moved += turn.astype(np.float32) @ self.jaw
        moved *= moved
        count = len(self.points.rest)
        far = moved[:, :count] + moved[:, count : 2 * count]
        far += moved[:, 2 * count : -1]
        squared = np.maximum(far.max(1, initial=0.0), moved[:, -1] * self.touching[rows])
        return np.maximum(worst, np.sqrt(squared))

    def verify(self, values: Floats, rows: Ints) -> Floats:
        """The same by full skinning."""
        far = (self._far(values, rows) / self.allowed).max(1, initial=0.0)
        turns = [turn for bone in BONES if (turn := self._off_turn(bone, values, rows)) is not None]
        return np.maximum(far, np.max([np.linalg.norm(turn, axis=1) for turn in turns], axis=0) / self.radians)

    def errors(self, values: Floats) -> tuple[float, float]:
        """Largest error of the lips, metres (of the face, where they are not known), and of any turn, radians."""
        rows = np.arange(len(values))
        turns = [turn for bone in BONES if (turn := self._off_turn(bone, values, rows)) is not None]
        angle = max((float(np.linalg.norm(turn, axis=1).max(initial=0.0)) for turn in turns), default=0.0)
        near = self.measure(values, rows)
        rows = np.flatnonzero(near >= _WORST * near.max(initial=0.0))
        return float(self._far(values[rows], rows)[:, self.lips].max(initial=0.0)), angle

    def kept(self, values: Floats) -> tuple[int, int]:
        """Closures of the lips, and how many of them are open no further than the bound more than they were."""
        if self.mouth is None or len(self.contacts) == 0:
            return 0, 0
        opening = self.mouth.aperture(self._motion(values[self.contacts]))
        return len(self.contacts), int((opening <= self.aperture[self.contacts] + self.metres).sum())

    def _far(self, values: Floats, rows: Ints) -> Floats:
        """How far each point (R,N) is off, metres."""
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
            motion[:, EXPRESSION.start + index] = self._column(path, 0, values)
        turn = self._turn(_JAW, values)
        if turn is not None:
            motion[:, JAW_POSE] = quaternions_to_axis_angle(turn)
        return motion

    def _column(self, path: str, index: int, values: Floats) -> Floats | float:
        """(R,) of one property: its column, or what it holds still at."""
        column = self.columns.get((path, index))
        if column is not None:
            return values[:, column]
        rest = 1.0 if path.endswith("quaternion") and index == 0 else 0.0
        return self.still.get((path, index), rest)

    def _turn(self, bone: str, values: Floats, exact: bool = True) -> Floats | None:
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
            parts[:, index] = self._column(path, index, values)
        if mode == "QUATERNION":
            return normalised(parts) if exact else parts
        if mode == "AXIS_ANGLE":
            axis = parts[:, 1:] / np.maximum(np.linalg.norm(parts[:, 1:], axis=1, keepdims=True), 1e-12)
            return np.concatenate([np.cos(0.5 * parts[:, :1]), np.sin(0.5 * parts[:, :1]) * axis], 1)
        return euler_to_quaternions(parts, mode)

    def _off_turn(self, bone: str, values: Floats, rows: Ints, exact: bool = True) -> Floats | None:
        """By what rotations (R,3), radians, a bone is turned wrongly."""
        dense = self.turns[bone]
        turn = self._turn(bone, values, exact) if dense is not None else None
        return None if dense is None or turn is None else turn_between(dense[rows], turn)
