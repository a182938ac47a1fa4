# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses a head as FLAME does: values of its expressions, turns of its bones."""

from __future__ import annotations

from typing import Any

import numpy as np
from mathutils import Quaternion
from numpy.typing import NDArray

from ..motion.process import axis_angle_to_quaternions
from .handle import Head
from .names import BONES
from .stage import Pose

Floats = NDArray[np.float64]


def pose_head(head: Head, pose: Pose, frame: float | None = None) -> None:
    """Gives the head's keys and bones these values; keyed, if a frame is given.

    Bones are turned in the rotation mode they have. Expressions beyond -10..10 are cut off there, by Blender.
    """
    keys = head.shape_keys.key_blocks
    for name, value in zip(head.expression_keys, pose.expression, strict=True):
        keys[name].value = value
        if frame is not None:
            keys[name].keyframe_insert("value", frame=frame)
    for name, turn in zip(BONES, pose.turns, strict=True):
        bone = head.armature.pose.bones[name]
        path = _turn(bone, turn)
        if frame is not None:
            bone.keyframe_insert(path, frame=frame)


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
