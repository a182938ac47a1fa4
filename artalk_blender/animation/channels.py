# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion -> the F-curves of one head: which properties it animates, in the rotation modes that its bones have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mathutils import Euler, Quaternion
from numpy.typing import NDArray

from ..head.handle import Head
from ..head.names import BONES, JAW, ROOT
from ..motion.layout import EXPRESSION, HEAD_ROTATION, JAW_POSE
from ..motion.process import axis_angle_to_quaternions
from ..motion.timing import Keying
from .fcurves import KEY, OBJECT, Channel, bone_path, key_path

NECK = BONES.index("neck")
_NO_TURN = 1e-6  # radians: below this a rotation has no axis

Floats = NDArray[np.floating[Any]]


def channels_of(head: Head, motion: NDArray[np.float32], keying: Keying) -> list[Channel]:
    """All F-curves that motion (T,106), already on the frames to be keyed, becomes on this head."""
    channels = [Channel(KEY, key_path(name), 0, "Expression", values)
                for name, values in zip(head.expression_keys, motion[:, EXPRESSION].T, strict=True)]
    root, neck = keying.shares
    turned = ((ROOT, motion[:, HEAD_ROTATION] * np.float32(root), root > 0.0),
              (NECK, motion[:, HEAD_ROTATION] * np.float32(neck), neck > 0.0),
              (JAW, motion[:, JAW_POSE], True))
    for bone, rotation, wanted in turned:
        if wanted:
            channels += _rotation(head, bone, rotation)
    return channels


def _rotation(head: Head, bone: int, rotation: Floats) -> list[Channel]:
    """Curves in the bone's own rotation mode; quaternions as well where correctives are driven by them."""
    name = BONES[bone]
    mode = head.armature.pose.bones[name].rotation_mode
    quaternions = axis_angle_to_quaternions(rotation)
    curves = {}
    if mode == "AXIS_ANGLE":
        curves["rotation_axis_angle"] = continuous_axis_angle(rotation)
    elif mode != "QUATERNION":
        curves["rotation_euler"] = continuous_euler(quaternions, mode)
    if mode == "QUATERNION" or _drives(head, bone_path(name, "rotation_quaternion")):
        curves["rotation_quaternion"] = quaternions
    return [Channel(OBJECT, bone_path(name, property_name), index, name, values[:, index])
            for property_name, values in curves.items() for index in range(values.shape[1])]


def _drives(head: Head, path: str) -> bool:
    """Whether a shape key of the head is driven by that property of the armature."""
    data = head.shape_keys.animation_data
    return data is not None and any(
        target.data_path.startswith(path)
        for curve in data.drivers for variable in curve.driver.variables for target in variable.targets)


def continuous_euler(quaternions: Sequence[Any] | Floats, order: str) -> NDArray[np.float64]:
    """(T,4) -> Euler angles (T,3) in radians, each the equal of its rotation that is nearest to the one before."""
    result = np.zeros((len(quaternions), 3))
    before = Euler((0.0, 0.0, 0.0), order)
    for row, quaternion in enumerate(np.asarray(quaternions).tolist()):
        before = Quaternion(quaternion).to_euler(order, before)
        result[row] = before
    return result


def continuous_axis_angle(rotation: Floats) -> NDArray[np.float64]:
    """Axis-angle vectors (T,3) -> angle, x, y, z (T,4), whose axis neither flips nor jumps where the angle is zero.

    The angle is negative where that keeps the axis; a rotation by nothing keeps the axis before it.
    """
    vector = np.asarray(rotation, np.float64)
    angle = np.linalg.norm(vector, axis=1)
    turns = np.flatnonzero(angle > _NO_TURN)
    result = np.zeros((len(vector), 4))
    result[:, 2] = 1.0  # Blender's own axis of no rotation
    if len(turns) == 0:
        return result
    axis = vector[turns] / angle[turns, None]
    sign = np.where((axis[1:] * axis[:-1]).sum(1) < 0.0, -1.0, 1.0)
    sign = np.concatenate([[1.0], np.cumprod(sign)])
    # the turning frame at or before each frame; those before the first take its axis
    latest = np.maximum(np.searchsorted(turns, np.arange(len(vector)), "right") - 1, 0)
    result[:, 1:] = (axis * sign[:, None])[latest]
    result[turns, 0] = angle[turns] * sign
    return result
