# SPDX-License-Identifier: GPL-3.0-or-later
"""An animated head -> the motion (T,106) that it plays, whatever plays it: Actions, NLA, drivers, constraints.

What counts is what Blender evaluates. A scene of our own, into which only the head is put, is stepped through time
and its dependency graph read: an artist's scene keeps its frame, unkeyed changes and all, and nothing else in it has to
be computed. Where nothing but plain F-curves plays, they are read directly, which gives the same much faster.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Quaternion
from numpy.typing import NDArray

from .. import compat
from ..engine.rotations import chained, continuous, from_matrices, to_axis_angle
from ..errors import ArtalkError
from ..head.handle import Head, head_of
from ..head.joints import CONSTRAINT
from ..head.names import BONES, JAW, ROOT
from ..motion.layout import EXPRESSION, HEAD_ROTATION, JAW_POSE, MOTION_FPS
from .fcurves import bone_path, key_path

NECK, EYES = BONES.index("neck"), (BONES.index("eye_left"), BONES.index("eye_right"))
_MOST_FRAMES = 2_700_000  # of motion: 30 hours
_EVALUATED, _FROM_CURVES = 8, 100  # frames in one step
_STILL = 1e-7  # radians
_ROTATIONS = ("rotation_quaternion", "rotation_euler", "rotation_axis_angle")

Floats = NDArray[np.float64]
_Key = tuple[str, str | None]


@dataclass(frozen=True)
class HeadMotion:
    """What a head plays, at 25 frames a second. Axis-angle in radians.

    `motion` (T,106) with the root bone's turn as the head's rotation; `neck` (T,3); `eyes` (T,6: left, right);
    `frames` (T,) the scene frames where it was read; `direct` whether plain F-curves were read.
    """

    motion: NDArray[np.float32]
    neck: NDArray[np.float32]
    eyes: NDArray[np.float32]
    frames: Floats
    direct: bool

    @property
    def neck_moves(self) -> bool:
        return bool(np.abs(self.neck).max(initial=0.0) > _STILL)

    @property
    def eyes_move(self) -> bool:
        return bool(np.abs(self.eyes).max(initial=0.0) > _STILL)

    def joined(self) -> NDArray[np.float32]:
        """The motion (T,106) whose head rotation is root times neck: the face looks where it looks in the scene."""
        if not self.neck_moves:
            return self.motion
        motion = self.motion.copy()
        motion[:, HEAD_ROTATION] = continuous(chained(motion[:, HEAD_ROTATION], self.neck))
        return motion


def read_head(head: Head, scene: Any, first: float, last: float, scene_fps: float, direct: bool | None = None,
              ) -> HeadMotion:
    """The motion between the scene frames `first` and `last`, both included, its first frame at `first`.

    `direct`: True reads F-curves, False what Blender evaluates, None the former where it gives the same.
    Raises ArtalkError where the range makes no sense.
    """
    steps = read_in_steps(head, scene, first, last, scene_fps, direct)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def read_in_steps(head: Head, scene: Any, first: float, last: float, scene_fps: float, direct: bool | None = None,
                  ) -> Generator[float, None, HeadMotion]:
    """`read_head` as a generator of short steps, at most some 10 ms but for the first; yields the part that is done.

    Between two steps it holds no Blender data. Raises ArtalkError where the head is gone after one.
    """
    if not (np.isfinite([first, last]).all() and first <= last):
        raise ArtalkError("The range to export ends before it begins.", "Set its first and last frame.")
    step = scene_fps / MOTION_FPS
    count = int(np.floor((last - first) / step + 1e-4)) + 1
    if count > _MOST_FRAMES:
        raise ArtalkError("The range to export is longer than 30 hours.", "Set its first and last frame.")
    frames = first + np.arange(count) * step
    if direct is None:
        direct = is_plain(head, scene)
    read, where = _curves_in_steps if direct else _evaluated_in_steps, (_key(head.armature), _key(scene))
    del head, scene
    values, turns = yield from read(*where, frames)
    return _motion_of(values, turns, frames, direct)


def _motion_of(values: Floats, turns: Floats, frames: Floats, direct: bool) -> HeadMotion:
    """From expression values (T,100) and the bones' local rotations (T,5,4)."""
    motion = np.zeros((len(frames), 106), np.float32)
    rotation = [continuous(to_axis_angle(turns[:, bone])) for bone in range(5)]
    motion[:, EXPRESSION], motion[:, HEAD_ROTATION], motion[:, JAW_POSE] = values, rotation[ROOT], rotation[JAW]
    eyes = np.concatenate([rotation[eye] for eye in EYES], 1)
    return HeadMotion(motion, rotation[NECK].astype(np.float32), eyes.astype(np.float32), frames, direct)


def read_now(head: Head, depsgraph: Any) -> HeadMotion:
    """One frame: what Blender has evaluated of the head in this dependency graph, unkeyed changes too."""
    row = np.empty(len(head.shape_keys.key_blocks), np.float32)
    values, matrices = _evaluated(head, depsgraph, row)
    frame = depsgraph.scene.frame_current_final
    return _motion_of(values[None], _local(head, matrices[None]), np.array([frame]), False)


def _key(block: Any) -> _Key:
    """What finds a data-block again: its name and the library it is linked from."""
    return block.name, block.library.filepath if block.library is not None else None


def _still_there(head: _Key, scene: _Key) -> tuple[Head, Any]:
    found, where = head_of(bpy.data.objects.get(head)), bpy.data.scenes.get(scene)
    if found is None or where is None:
        raise ArtalkError("The head was changed while it was read.", "Export it again.")
    return found, where


def animated_range(head: Head) -> tuple[float, float] | None:
    """First and last scene frame of what plays on the head, or None where nothing does."""
    ends: list[float] = []
    for owner in (head.shape_keys, head.armature):
        data = owner.animation_data
        if data is None:
            continue
        ends += [end for track in data.nla_tracks if not track.mute for strip in track.strips if not strip.mute
                 for end in (strip.frame_start, strip.frame_end)]
        ends += [end for curve in _curves(data) for end in curve.range() if len(curve.keyframe_points)]
    return (min(ends), max(ends)) if ends else None


def is_plain(head: Head, scene: Any) -> bool:
    """Whether the head plays nothing but F-curves, on the bones that we built, so that reading those is enough."""
    armature = head.armature
    if armature.data.pose_position != "POSE" or scene.render.frame_map_old != scene.render.frame_map_new:
        return False
    for owner, ours in ((head.shape_keys, {key_path(name) for name in head.expression_keys}), (armature, None)):
        data = owner.animation_data
        if data is None:
            continue
        paths = [curve.data_path for curve in data.drivers]
        driven = any("rotation" in path if ours is None else path in ours for path in paths)
        layered = data.use_tweak_mode or any(track.strips for track in data.nla_tracks if not track.mute)
        blended = data.action_blend_type != "REPLACE" or data.action_influence != 1.0
        if driven or layered or blended or any(curve.modifiers for curve in _curves(data)):
            return False
    parents = [bone.parent.name if bone.parent else "" for bone in (armature.pose.bones[name] for name in BONES)]
    if parents != ["", BONES[ROOT], BONES[NECK], BONES[NECK], BONES[NECK]]:
        return False
    return all(all(constraint.name == CONSTRAINT for constraint in bone.constraints)
               and bone.bone.use_inherit_rotation and _rests_straight(bone.bone)
               for bone in (armature.pose.bones[name] for name in BONES))


def _rests_straight(bone: Any) -> bool:
    return bool(np.abs(np.array(bone.matrix_local.to_3x3()) - np.eye(3)).max() < 1e-5)


def _curves(data: Any) -> list[Any]:
    """F-curves of the Action that an animation_data plays."""
    if data.action is None or data.action_slot is None:
        return []
    bag = compat.channelbag(data.action, data.action_slot)
    return [curve for curve in bag.fcurves if not curve.mute and not (curve.group and curve.group.mute)] if bag else []


# -- what Blender evaluates --------------------------------------------------------------------------------------------

@contextmanager
def _stage(head: Head, scene: Any) -> Iterator[_Key]:
    """The key of a scene with nothing but the head in it; in no window, what is evaluated in it is not written back.

    The mesh, which would take most of the time, is not in it: an empty object that depends on the shape keys' values
    has Blender evaluate those and not the vertices. What is hidden would not be evaluated either: for as long as this
    lasts, the armature is not.
    """
    stage = bpy.data.scenes.new("ARTalk Export")
    asks = bpy.data.objects.new("ARTalk Export", None)
    hidden, armature, ours = head.armature.hide_viewport, _key(head.armature), (_key(stage), _key(asks))
    try:
        stage.render.fps, stage.render.fps_base = scene.render.fps, scene.render.fps_base
        stage.render.frame_map_old, stage.render.frame_map_new = scene.render.frame_map_old, scene.render.frame_map_new
        if hidden:
            head.armature.hide_viewport = False
        driver = asks.driver_add("location", 0).driver
        driver.type = "SUM"
        for name in head.expression_keys:
            variable = driver.variables.new()
            variable.targets[0].id_type = "KEY"
            variable.targets[0].id = head.shape_keys
            variable.targets[0].data_path = key_path(name)
        stage.collection.objects.link(head.armature)
        stage.collection.objects.link(asks)
        del head, scene, stage, asks, driver, variable
        yield ours[0]
    finally:
        for known, key in zip((bpy.data.scenes, bpy.data.objects), ours, strict=True):
            if (left := known.get(key)) is not None:
                known.remove(left)
        if hidden and (found := bpy.data.objects.get(armature)) is not None:
            found.hide_viewport = True


def _evaluated_in_steps(head: _Key, scene: _Key, frames: Floats) -> Generator[float, None, tuple[Floats, Floats]]:
    """Expression values (T,100) and local rotations of the five bones, quaternions (T,5,4)."""
    there, where = _still_there(head, scene)
    values = np.zeros((len(frames), len(there.expression_keys)))
    matrices = np.zeros((len(frames), 5, 3, 3))
    with _stage(there, where) as stage:
        for first in range(0, len(frames), _EVALUATED):
            there, where = _still_there(head, stage)
            row = np.empty(len(there.shape_keys.key_blocks), np.float32)
            for index, frame in enumerate(frames[first : first + _EVALUATED], first):
                whole = int(np.floor(frame))
                where.frame_set(whole, subframe=float(frame) - whole)
                values[index], matrices[index] = _evaluated(there, where.view_layers[0].depsgraph, row)
            del there, where
            yield min(1.0, (first + _EVALUATED) / len(frames))
    there, _ = _still_there(head, scene)
    return values, _local(there, matrices)


def _evaluated(head: Head, graph: Any, row: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Expression values (100,) and the bones' rotations in the armature (5,3,3); `row` holds all keys' values."""
    head.shape_keys.evaluated_get(graph).key_blocks.foreach_get("value", row)
    keys = head.shape_keys.key_blocks
    wanted = [keys.find(name) for name in head.expression_keys]
    pose = head.armature.evaluated_get(graph).pose
    turned = np.array([pose.bones[name].matrix.to_3x3().normalized() for name in BONES])
    return row[wanted] * np.array([not keys[index].mute for index in wanted]), turned


def _local(head: Head, matrices: Floats) -> Floats:
    """Bones' rotations in the armature (T,5,3,3) -> turns against the parent from rest, about FLAME's axes (T,5,4)."""
    result = np.zeros((len(matrices), 5, 4))
    turned = {}
    for index, name in enumerate(BONES):
        rest = np.array(head.armature.data.bones[name].matrix_local.to_3x3().normalized())
        # from its rest to where it is, in the armature's axes, which are FLAME's
        turned[name] = matrices[:, index] @ rest.T
        parent = head.armature.data.bones[name].parent
        while parent is not None and parent.name not in turned:
            parent = parent.parent
        above = turned[parent.name] if parent is not None else np.eye(3)[None]
        result[:, index] = from_matrices(above.transpose(0, 2, 1) @ turned[name])
    return result


# -- plain F-curves ----------------------------------------------------------------------------------------------------

def _curves_in_steps(head: _Key, scene: _Key, frames: Floats) -> Generator[float, None, tuple[Floats, Floats]]:
    """The same from F-curves."""
    parts = []
    for first in range(0, len(frames), _FROM_CURVES):
        parts.append(_read_curves(*_still_there(head, scene), frames[first : first + _FROM_CURVES]))
        yield min(1.0, (first + _FROM_CURVES) / len(frames))
    values, turns = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(turns)


def _read_curves(head: Head, scene: Any, frames: Floats) -> tuple[Floats, Floats]:
    """The same from F-curves; what has none keeps its present value."""
    found: dict[tuple[str, int], Any] = {}
    for owner in (head.shape_keys, head.armature):
        if owner.animation_data is not None:
            found.update({(curve.data_path, curve.array_index): curve for curve in _curves(owner.animation_data)})

    def sample(path: str, index: int, still: float) -> Floats:
        curve = found.get((path, index))
        if curve is None or not len(curve.keyframe_points):
            return np.full(len(frames), still)
        evaluate = curve.evaluate
        return np.fromiter((evaluate(frame) for frame in frames), np.float64, len(frames))

    values = np.zeros((len(frames), len(head.expression_keys)))
    for channel, name in enumerate(head.expression_keys):
        key = head.shape_keys.key_blocks[name]
        if not key.mute:
            # Blender clamps to the slider's range as well
            values[:, channel] = np.clip(sample(key_path(name), 0, key.value), key.slider_min, key.slider_max)
    turns = np.zeros((len(frames), 5, 4))
    for index, name in enumerate(BONES):
        bone = head.armature.pose.bones[name]
        kind = {"QUATERNION": _ROTATIONS[0], "AXIS_ANGLE": _ROTATIONS[2]}.get(bone.rotation_mode, _ROTATIONS[1])
        still = getattr(bone, kind)
        path = bone_path(name, kind)
        numbers = np.stack([sample(path, i, still[i]) for i in range(len(still))], 1)
        turns[:, index] = _quaternions(numbers, bone.rotation_mode)
    return values, turns


def _quaternions(numbers: Floats, mode: str) -> Floats:
    """A bone's rotation property (T,4) or (T,3) in its mode -> unit quaternions (T,4)."""
    if mode == "QUATERNION":
        length = np.linalg.norm(numbers, axis=1, keepdims=True)
        return np.where(length > 0.0, numbers / np.maximum(length, 1e-30), (1.0, 0.0, 0.0, 0.0))
    if mode == "AXIS_ANGLE":
        return np.array([Quaternion(row[1:], row[0]) for row in numbers.tolist()]).reshape(-1, 4)
    return np.array([Euler(row, mode).to_quaternion() for row in numbers.tolist()]).reshape(-1, 4)
