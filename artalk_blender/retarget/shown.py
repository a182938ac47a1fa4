# SPDX-License-Identifier: GPL-3.0-or-later
"""What a target shows of its F-curves, for taking out keys that nobody would miss.

Shape keys and controls add up; bones that the solver knows turn the skin, of all others the turn itself is bounded.
Where source and target are not prepared, the lips are not known: then the whole face is held to their bound.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..animation.fcurves import bone_path, key_path
from ..animation.shown import Place, Posed, Shown, most_moved
from ..errors import ArtalkError
from ..runner import Work
from .face import TargetFace
from .faces import face_axes_in_world, pair_of, preparing_transfer, remembered, slider_rows, target_face
from .mapping import AXIS, KEY, TURN, Row
from .player import Retarget
from .targets import ERROR_PROPERTY
from .transfer import Transfer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ERROR_PATH = f'["{ERROR_PROPERTY}"]'


def knowing_lips(made: Retarget) -> Work[None]:
    """Prepares source and target where that can be done, so that the lips are known."""
    with suppress(ArtalkError):
        pair = pair_of(made.target, made.table, made.source.found(), made.source.head)
        del made
        yield from preparing_transfer(pair)


class TargetSkin:
    """The points of a target that stand for all others, and what moves them, as plain arrays; nothing of Blender's is
    kept.

    points (N,) vertices of all meshes, one after the other; lips (N,) which of them are the lips'; moves (C,3,N) metres
    by one unit of each channel, levers: bone -> (3,3,N) by a radian about each of its own axes at rest; gaps (C,S) and
    gap_levers the same for the distance of S pairs of opposite lips, none where the lips are not known; gap_at_rest
    (S,); size: of the head, times a human's.
    """

    def __init__(self, made: Retarget, places: list[Place], still: dict[Place, float]) -> None:
        """places: of the C channels; still: what others hold."""
        target, table = made.target, made.table
        transfer: Transfer | None = None
        try:
            pair = pair_of(target, table, made.source.found(), made.source.head)
            face, transfer = pair.target, remembered(pair)
        except ArtalkError:
            face = target_face(target, table)
        self.bones, self.modes, levers = "", {}, {}
        if target.armature is not None:
            self.bones, self.modes = target.kind_of(target.armature), _modes(made)
            levers = _levers(made, face)
        moved_by = _mover(made, face)
        moves = np.stack([moved_by(place) for place in places])
        self.columns = {place[1:]: column for column, place in enumerate(places) if place[0] == self.bones}
        self.still = {place[1:]: value for place, value in still.items() if place[0] == self.bones}
        self.error = next((column for column, place in enumerate(places) if place[1] == _ERROR_PATH), None)
        lips = np.zeros(0, np.int64)
        seam, up, self.size, self.gap_at_rest = None, np.zeros(3), 1.0, np.zeros(0)
        if transfer is not None:
            found = transfer.found
            lips, self.size, up = np.unique(found.places[found.samples.lips].corners), found.scale, found.mouth.axes[1]
            if found.seams is not None:
                seam, self.gap_at_rest = found.seams[1], 1e-3 * self.size * transfer.system.rest_gap
                lips = np.unique(np.concatenate([lips, seam.upper.corners.ravel(), seam.lower.corners.ravel()]))

        def gaps(some: NDArray[np.float32]) -> Floats:
            """Moves (n,V,3) -> (n,S)."""
            if seam is None:
                return np.zeros((len(some), 0))
            return (seam.upper.of_keys(some) - seam.lower.of_keys(some)) @ up

        self.gap_at_rest = self.gap_at_rest + sum(
            (value * gaps(moved_by(place)[None])[0] for place, value in still.items()), 0.0)
        far = np.concatenate([np.linalg.norm(some, axis=2) for some in (moves, *levers.values())])
        far = far[far.max(1, initial=0.0) > 0.0]
        others = np.unique(most_moved(far, np.setdiff1d(np.unique(face.triangles), lips)))
        self.points = np.concatenate([lips, others])
        self.lips = np.arange(len(self.points)) < len(lips) if len(lips) else np.ones(len(others), bool)
        self.moves, self.gaps = moves[:, self.points].transpose(0, 2, 1), gaps(moves)
        self.levers = {bone: lever[:, self.points].transpose(0, 2, 1) for bone, lever in levers.items()}
        self.gap_levers = {bone: gaps(lever) for bone, lever in levers.items()}

    def shown(self, values: Floats, metres: float, radians: float) -> TargetShown:
        """values (S,C) of the channels; metres on a head of a human's size."""
        return TargetShown(self, values, metres, radians)


def _turned(made: Retarget) -> list[Row]:
    """Rows that turn bones."""
    bones = set(made.target.bone_names())
    return [row for row in made.table.rows if row.target in bones and not row.mute
            and (row.kind == TURN or row.path == "rotation")]


def _modes(made: Retarget) -> dict[str, str]:
    pose = made.target.armature.pose.bones
    return {row.target: pose[row.target].rotation_mode for row in _turned(made)}


def _levers(made: Retarget, face: TargetFace) -> dict[str, NDArray[np.float32]]:
    """Bone -> (3,V,3) metres that a radian about each of its own axes at rest moves; where that is known."""
    result: dict[str, NDArray[np.float32]] = {}
    for index, row in enumerate(slider_rows(made.table, made.target)):
        if row.kind == AXIS and row.path == "rotation":
            lever = result.setdefault(row.target, np.zeros((3, *face.neutral.shape), np.float32))
            lever[row.index] += face.deltas[index]
    name = next((row.target for row in _turned(made) if row.source in ("jaw", "jaw_bone")), "")
    if face.jaw is not None and name:
        armature = made.target.armature
        world = np.array(armature.matrix_world.to_3x3().normalized())
        rest = np.array(armature.data.bones[name].matrix_local.to_3x3().normalized())
        axes = face_axes_in_world(made.target, made.table).T @ world @ rest
        arm = face.jaw.weight[:, None] * (face.neutral - face.jaw.joint)
        lever = result.setdefault(name, np.zeros((3, *arm.shape), np.float32))
        lever += np.stack([np.cross(axis, arm) for axis in axes.T]).astype(np.float32)
    return result


def _mover(made: Retarget, face: TargetFace) -> Callable[[Place], NDArray[np.float32]]:
    """Place -> (V,3) metres that one unit of its channel moves; nothing where it moves no skin by itself."""
    target, rows = made.target, slider_rows(made.table, made.target)
    keys = {key_path(row.target): index for index, row in enumerate(rows) if row.kind == KEY}
    controls = {(bone_path(row.target, row.path), row.index): index for index, row in enumerate(rows)
                if row.kind == AXIS and row.path != "rotation"}
    starts = np.cumsum([0, *(len(mesh.data.vertices) for mesh in target.meshes)]).tolist()
    parts = {target.kind_of(mesh.data.shape_keys): slice(start, end)
             for mesh, start, end in zip(target.meshes, starts, starts[1:])}
    bones = target.kind_of(target.armature) if target.armature is not None else ""

    def moved_by(place: Place) -> NDArray[np.float32]:
        kind, path, index = place
        if kind == bones and (path, index) in controls:
            return face.deltas[controls[path, index]]
        result = np.zeros(face.neutral.shape, np.float32)
        if kind in parts and path in keys:
            result[parts[kind]] = face.deltas[keys[path], parts[kind]]
        return result

    return moved_by


class TargetShown(Shown):
    """What channels (S,C) make a target show."""

    def __init__(self, skin: TargetSkin, values: Floats, metres: float, radians: float) -> None:
        super().__init__(values, Posed(skin.columns, skin.still, skin.modes), metres, radians, skin.size)
        self.skin, self.lips = skin, skin.lips
        self.spread = self.parts_of_allowed(skin.moves, _mean(skin.gaps))
        self.levers = {bone: self.parts_of_allowed(lever, _mean(skin.gap_levers[bone]))
                       for bone, lever in skin.levers.items() if bone in self.turns}
        self.tolerance = self.tolerances()
        if skin.error is not None:
            self.tolerance[skin.error] = 1e3 * self.size * self.metres

    def aperture(self, values: Floats) -> Floats | None:
        """To first order."""
        if not len(self.skin.gap_at_rest):
            return None
        gaps = values @ self.skin.gaps + self.skin.gap_at_rest
        for bone in self.levers:
            turn = self.posed.turn(bone, values)
            assert turn is not None
            gaps += 2.0 * np.where(turn[:, :1] < 0.0, -1.0, 1.0) * turn[:, 1:] @ self.skin.gap_levers[bone]
        return np.maximum(gaps, 0.0).mean(1) / self.size

    def moved(self, values: Floats, rows: Ints) -> tuple[Floats, NDArray[np.float32]]:
        worst, moved = super().moved(values, rows)
        error = self.skin.error
        if error is not None:
            off = np.abs(values[:, error] - self.values[rows, error]) / self.tolerance[error]
            worst = np.maximum(worst, off)
        return worst, moved

    def far(self, values: Floats, rows: Ints) -> Floats:
        """To first order: keys add up, and errors of turns are small."""
        moved = self.moved(values, rows)[1][:, :-1].reshape(len(rows), 3, -1)
        return np.linalg.norm(moved, axis=1) * self.allowed

    def verify(self, values: Floats, rows: Ints) -> Floats:
        return self.measure(values, rows)


def _mean(gaps: Floats) -> Floats:
    """(n,S) -> (n,), 0 where no lips are known."""
    return gaps.sum(1) / max(gaps.shape[1], 1)
