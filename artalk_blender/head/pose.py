# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses a head exactly as FLAME does, and makes exact what an artist has posed by hand.

FLAME's joints move with the expression, a bone's rest joint does not: a bone that turns by R has to be moved by
(I - R) dJ, where dJ = joint_shift of the expression. Takes key that. Live it can't be: to Blender, a bone that moves
by its own rotation is a dependency cycle, and even to add up 100 products for each of 15 numbers by simple expressions
makes a frame dearer than 136 plain keys (addon_tests/benchmarks/bench_head.py, Blender 4.5). So, where somebody turns
neck, jaw or eyes by hand, `fix_joints` writes the moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mathutils import Quaternion
from numpy.typing import NDArray

from .. import compat
from ..animation.fcurves import bone_path, fill, key_path
from ..errors import ArtalkError
from ..motion.process import axis_angle_to_quaternions, joint_shift
from .handle import Head
from .names import BONES
from .stage import Pose, staged

_EXACT = 1e-6  # metres: a bone this near to where it should be is left alone
_SLACK = 1e-3  # metres: a bone further off than any expression brings it by more than this was moved on purpose

Floats = NDArray[np.float64]


def pose_head(head: Head, pose: Pose, frame: float | None = None) -> None:
    """Gives the head's keys and bones these values, each bone moved along with its joint; keyed, if a frame is given.

    Bones are turned in the rotation mode they have. Expressions beyond -10..10 are cut off there, by Blender.
    """
    keys = head.shape_keys.key_blocks
    for name, value in zip(head.expression_keys, pose.expression, strict=True):
        keys[name].value = value
        if frame is not None:
            keys[name].keyframe_insert("value", frame=frame)
    moves = _wanted(head, pose.expression[None], pose.turns[None])[0]
    for name, turn, move in zip(BONES, pose.turns, moves, strict=True):
        bone = head.armature.pose.bones[name]
        path = _turn(bone, turn)
        bone.location = move
        if frame is not None:
            bone.keyframe_insert(path, frame=frame)
            bone.keyframe_insert("location", frame=frame)


def fix_joints(head: Head) -> tuple[list[str], float]:
    """Moves the bones along with their joints: keyed at every frame where face or bones have a key, or, where nothing
    is animated, as the head is posed now. Bones that are where they should be, or were moved on purpose, stay.

    Returns the names of the bones it moved, and the largest distance in metres by which one was off.
    Raises ArtalkError where the bones' animation can't be written.
    """
    frames = key_frames(head)
    with staged(head, animated=bool(frames)) as stage:
        poses, found = [], []
        for frame in frames or [None]:
            if frame is not None:
                stage.go_to(frame)
            poses.append(stage.pose())
            found.append(stage.moves())
    expression, turns = np.stack([pose.expression for pose in poses]), np.stack([pose.turns for pose in poses])
    wanted = _wanted(head, expression, turns)
    off = np.linalg.norm(wanted - np.stack(found), axis=2).max(0)
    # a rotation about a joint that dJ moved displaces by 2 dJ at most
    reach = 2.0 * np.linalg.norm(np.einsum("jck,tk->tjc", head.joint_shift, expression), axis=2).max(0) + _SLACK
    bones = [bone for bone in range(len(BONES)) if _EXACT < off[bone] <= reach[bone]]
    for bone in bones:
        if frames:
            _key_location(head, BONES[bone], frames, wanted[:, bone])
        else:
            head.armature.pose.bones[BONES[bone]].location = wanted[0, bone]
    return [BONES[bone] for bone in bones], float(off[bones].max()) if bones else 0.0


def key_frames(head: Head) -> list[float]:
    """Scene frames at which an expression or a bone's rotation has a key in the Actions that play."""
    faces = {key_path(name) for name in head.expression_keys}
    bones = tuple(bone_path(name, "rotation_") for name in BONES)
    frames: list[NDArray[np.float32]] = []
    for owner in (head.shape_keys, head.armature):
        for curve in _curves(owner):
            if curve.data_path in faces or curve.data_path.startswith(bones):
                points = np.empty(2 * len(curve.keyframe_points), np.float32)
                curve.keyframe_points.foreach_get("co", points)
                frames.append(points[::2])
    return np.unique(np.concatenate(frames)).tolist() if frames else []


def _curves(owner: Any) -> list[Any]:
    data = owner.animation_data
    if data is None or data.action is None or data.action_slot is None:
        return []
    bag = compat.channelbag(data.action, data.action_slot)
    return list(bag.fcurves) if bag is not None else []


def _wanted(head: Head, expression: Floats, turns: Floats) -> Floats:
    """Expressions (T,100), turns (T,5,3) -> locations (T,5,3) of the bones, metres."""
    shifts = head.joint_shift
    return np.stack([joint_shift(expression, turns[:, bone], shifts[bone]) for bone in range(len(BONES))], 1)


def _turn(bone: Any, turn: Floats) -> str:
    """Turns a pose bone by an axis-angle vector (3,) in its own rotation mode; returns the property that was set."""
    quaternion = Quaternion(axis_angle_to_quaternions(turn[None])[0])
    if bone.rotation_mode == "QUATERNION":
        bone.rotation_quaternion = quaternion
        return "rotation_quaternion"
    if bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = quaternion.to_axis_angle()
        bone.rotation_axis_angle = (angle, *axis)
        return "rotation_axis_angle"
    bone.rotation_euler = quaternion.to_euler(bone.rotation_mode)
    return "rotation_euler"


def _key_location(head: Head, name: str, frames: list[float], locations: Floats) -> None:
    """Keys a bone's location (T,3) at frames (T,), in the Action that plays or in a new one."""
    armature = head.armature
    data = armature.animation_data
    if data is not None and data.action is None and data.nla_tracks:
        raise ArtalkError("The bones' animation lies in NLA strips, where it can't be corrected.",
                          "Tweak the strip (Tab in the Nonlinear Animation editor), or bake it into an Action.")
    if not armature.pose.bones[name].keyframe_insert("location", frame=frames[0], group=name):
        raise ArtalkError(f"The location of the bone “{name}” can't be keyed.",
                          "Make the armature's Action local and unlock it.")
    data = armature.animation_data
    bag = compat.ensure_channelbag(data.action, data.action_slot)
    points = np.empty((len(frames), 2), np.float32)
    points[:, 0] = frames
    for axis in range(3):
        curve = bag.fcurves.find(bone_path(name, "location"), index=axis)
        points[:, 1] = locations[:, axis]
        fill(curve, points)
    data.action.update_tag()
