# SPDX-License-Identifier: GPL-3.0-or-later
"""What a target shows of its F-curves, for taking out keys that nobody would miss.

Shape keys and controls add up; bones that the solver knows turn the skin, of all others the turn itself is bounded.
Where source and target are not prepared, the lips are not known: then the whole face is held to their bound.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..animation.fcurves import bone_path, key_path
from ..animation.shown import Place, Posed, Shown, most_moved
from ..errors import ArtalkError
from ..runner import Work
from .faces import face_axes_in_world, pair_of, preparing_transfer, slider_rows, target_face, transfer_for
from .mapping import AXIS, KEY, TURN
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
    """The skin of a target and what moves it, as plain arrays; nothing of Blender's is kept."""

    def __init__(self, made: Retarget) -> None:
        target, table = made.target, made.table
        self.face = target_face(target, table)
        self.transfer: Transfer | None = None
        with suppress(ArtalkError):
            self.transfer = transfer_for(target, table, made.source.found(), made.source.head, only_known=True)
        rows = slider_rows(table, target)
        self.keys = {key_path(row.target): index for index, row in enumerate(rows) if row.kind == KEY}
        self.moves = {(bone_path(row.target, row.path), row.index): index for index, row in enumerate(rows)
                      if row.kind == AXIS and row.path != "rotation"}
        starts = np.cumsum([0, *(len(mesh.data.vertices) for mesh in target.meshes)])
        self.parts = {target.kind_of(mesh.data.shape_keys): slice(int(start), int(end))
                      for mesh, start, end in zip(target.meshes, starts, starts[1:])}
        self.bones, self.modes, self.levers = "", {}, {}
        if target.armature is not None:
            self.bones = target.kind_of(target.armature)
            self._bones(made, rows)

    def _bones(self, made: Retarget, rows: list[Any]) -> None:
        """The modes of the bones that are turned, and what a turn about each of their own axes moves (3,V,3)."""
        target, pose = made.target, made.target.armature.pose.bones
        turned = {row.target: row for row in made.table.rows if row.target in pose and not row.mute and (
            row.kind == TURN or row.path == "rotation")}
        self.modes = {name: pose[name].rotation_mode for name in turned}
        for index, row in enumerate(rows):
            if row.kind == AXIS and row.path == "rotation":
                lever = self.levers.setdefault(row.target, np.zeros((3, *self.face.neutral.shape), np.float32))
                lever[row.index] += self.face.deltas[index]
        jaw = self.face.jaw
        name = next((row.target for row in turned.values() if row.source in ("jaw", "jaw_bone")), "")
        if jaw is not None and name:
            world = np.array(target.armature.matrix_world.to_3x3().normalized())
            rest = np.array(target.armature.data.bones[name].matrix_local.to_3x3().normalized())
            axes = face_axes_in_world(target, made.table).T @ world @ rest
            arm = jaw.weight[:, None] * (self.face.neutral - jaw.joint)
            lever = self.levers.setdefault(name, np.zeros((3, *arm.shape), np.float32))
            lever += np.stack([np.cross(axis, arm) for axis in axes.T]).astype(np.float32)

    def moved_by(self, place: Place) -> NDArray[np.float32]:
        """(V,3) metres that one unit of a channel moves; nothing where it moves no skin by itself."""
        kind, path, index = place
        result = np.zeros(self.face.neutral.shape, np.float32)
        if kind in self.parts and path in self.keys:
            part = self.parts[kind]
            result[part] = self.face.deltas[self.keys[path], part]
        elif kind == self.bones and (path, index) in self.moves:
            result = self.face.deltas[self.moves[path, index]]
        return result

    def shown(self, places: list[Place], still: dict[Place, float], values: Floats, metres: float,
              radians: float) -> TargetShown:
        """metres are of the source's size, where source and target are prepared."""
        return TargetShown(self, places, still, values, metres, radians)


class TargetShown(Shown):
    """What channels (S,C) at `places` make a target show."""

    def __init__(self, skin: TargetSkin, places: list[Place], still: dict[Place, float], values: Floats,
                 metres: float, radians: float) -> None:
        columns = {place[1:]: column for column, place in enumerate(places) if place[0] == skin.bones}
        fixed = {place[1:]: value for place, value in still.items() if place[0] == skin.bones}
        known = skin.transfer
        super().__init__(values, Posed(columns, fixed, skin.modes), metres, radians,
                         known.found.scale if known is not None else 1.0)
        moves = np.stack([skin.moved_by(place) for place in places])
        chosen, self.lips = self._choose(skin, moves)
        self.seam = known.found.seams[1] if known is not None and known.found.seams is not None else None
        self.up = known.found.mouth.axes[1] if known is not None else np.zeros(3)
        self.spread = self.parts_of_allowed(moves[:, chosen].transpose(0, 2, 1), self._gaps(moves).mean(1))
        self.levers = {bone: self.parts_of_allowed(lever[:, chosen].transpose(0, 2, 1), self._gaps(lever).mean(1))
                       for bone, lever in skin.levers.items() if bone in self.turns}
        self.gaps = self._gaps(moves)
        self.gap_levers = {bone: self._gaps(skin.levers[bone]) for bone in self.levers}
        self.gap_at_rest = np.zeros(self.gaps.shape[1])
        if known is not None and self.seam is not None:
            held = sum((value * self._gaps(skin.moved_by(place)[None])[0] for place, value in still.items()), 0.0)
            self.gap_at_rest = 1e-3 * self.size * known.system.rest_gap + held
        self.error = next((column for column, place in enumerate(places) if place[1] == _ERROR_PATH), None)
        self.tolerance = self.tolerances()
        if self.error is not None:
            self.tolerance[self.error] = 1e3 * self.size * self.metres

    def _choose(self, skin: TargetSkin, moves: NDArray[np.float32]) -> tuple[Ints, NDArray[np.bool_]]:
        """Vertices that stand for all others, and which of them are the lips'."""
        used = np.unique(skin.face.triangles)
        far = np.linalg.norm(moves, axis=2)
        far = np.concatenate([far, *(np.linalg.norm(lever, axis=2) for lever in skin.levers.values())])
        far = far[far.max(1, initial=0.0) > 0.0]
        lips = np.zeros(0, np.int64)
        if skin.transfer is not None:
            found = skin.transfer.found
            corners = [found.places[found.samples.lips].corners]
            corners += [] if found.seams is None else [found.seams[1].upper.corners, found.seams[1].lower.corners]
            lips = np.unique(np.concatenate(corners))
        face = np.unique(most_moved(far, np.setdiff1d(used, lips)))
        chosen = np.concatenate([lips, face])
        return chosen, np.arange(len(chosen)) < len(lips) if len(lips) else np.ones(len(face), bool)

    def _gaps(self, moves: NDArray[np.float32]) -> Floats:
        """Moves (N,V,3) -> how far each pair of opposite lips comes apart (N,S), metres; (N,1) zeros without lips."""
        if self.seam is None:
            return np.zeros((len(moves), 1))
        return (self.seam.upper.of_keys(moves) - self.seam.lower.of_keys(moves)) @ self.up

    def aperture(self, values: Floats) -> Floats | None:
        """To first order."""
        if self.seam is None:
            return None
        gaps = values @ self.gaps + self.gap_at_rest
        for bone, lever in self.gap_levers.items():
            turn = self.posed.turn(bone, values)
            assert turn is not None
            gaps += 2.0 * np.where(turn[:, :1] < 0.0, -1.0, 1.0) * turn[:, 1:] @ lever
        return np.maximum(gaps, 0.0).mean(1) / self.size

    def moved(self, values: Floats, rows: Ints) -> tuple[Floats, NDArray[np.float32]]:
        worst, moved = super().moved(values, rows)
        if self.error is not None:
            off = np.abs(values[:, self.error] - self.values[rows, self.error]) / self.tolerance[self.error]
            worst = np.maximum(worst, off)
        return worst, moved

    def far(self, values: Floats, rows: Ints) -> Floats:
        """To first order: keys add up, and errors of turns are small."""
        moved = self.moved(values, rows)[1][:, :-1].reshape(len(rows), 3, -1)
        return np.linalg.norm(moved, axis=1) * self.allowed

    def verify(self, values: Floats, rows: Ints) -> Floats:
        return self.measure(values, rows)
