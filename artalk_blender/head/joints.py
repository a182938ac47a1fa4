# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a head's bones turn where FLAME's joints are, which move with the expression, whoever moves face and bones.

A mesh of five points, one a joint, has the head's expressions as shape keys as well, each driven by the head's own: its
points are where the expression takes the joints. Every bone has a Pivot constraint to its point, in the bone's own
space, which is FLAME's: it turns the bone about rest joint + dJ. All of it is live and needs no Python; nothing is
keyed, and `location` stays the artist's, along the axes of the turned bone. (Drivers that add up 100 products for each
of 15 numbers cost more, addon_tests/benchmarks/bench_head.py; and a bone that is driven by its own rotation is, to
Blender, a dependency cycle.)

The mesh is in no collection: it goes when the head goes, and comes along where the head is linked or appended.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..animation.fcurves import key_path
from .handle import Head
from .names import BONES, JOINTS_KEY, ROLE_KEY

CONSTRAINT = "FLAME Joint"
_SMALLEST_SHIFT = 1e-8  # metres: an expression that moves a joint by less, at 1, doesn't


def add_joints(head: Head) -> None:
    """Gives a head that has none its live joints; nothing at all where no expression moves a joint."""
    shift = head.joint_shift
    moving = np.flatnonzero(np.abs(shift).max((0, 1)) > _SMALLEST_SHIFT)
    if len(moving) == 0:
        return
    joints = _make_points(head, shift, moving.tolist())
    for name in BONES:
        constraint = head.armature.pose.bones[name].constraints.new("PIVOT")
        constraint.name, constraint.subtarget = CONSTRAINT, name
        # the mesh stands at the origin, so its points in the world are numbers in the bone's space
        constraint.owner_space, constraint.target_space = "LOCAL", "WORLD"
        constraint.rotation_range = "ALWAYS_ACTIVE"
    follow(head, joints)


def _make_points(head: Head, shift: NDArray[np.float64], moving: list[int]) -> Any:
    """The mesh of five points, its vertex groups, keys and drivers."""
    name = f"{head.mesh.name} Joints"
    data = bpy.data.meshes.new(name)
    data.from_pydata([(0.0, 0.0, 0.0)] * len(BONES), [], [])
    joints = bpy.data.objects.new(name, data)
    joints[ROLE_KEY] = "joints"
    for index, bone in enumerate(BONES):
        joints.vertex_groups.new(name=bone).add([index], 1.0, "REPLACE")
    joints.shape_key_add(name="Basis", from_mix=False)
    names = head.expression_keys
    for channel in moving:
        source = head.shape_keys.key_blocks[names[channel]]
        key = joints.shape_key_add(name=source.name, from_mix=False)
        key.slider_min, key.slider_max = source.slider_min, source.slider_max
        key.points.foreach_set("co", shift[:, :, channel].astype(np.float32).ravel())
        driver = key.driver_add("value").driver
        driver.type = "SUM"
        target = driver.variables.new().targets[0]
        target.id_type, target.data_path = "KEY", key_path(source.name)
    return joints


def follow(head: Head, joints: Any) -> None:
    """Makes the joints' points follow the head's expressions, and its bones turn about them."""
    for curve in joints.data.shape_keys.animation_data.drivers:
        curve.driver.variables[0].targets[0].id = head.shape_keys
    for name in BONES:
        constraint = head.armature.pose.bones[name].constraints.get(CONSTRAINT)
        if constraint is not None:
            constraint.target = joints
    head.armature[JOINTS_KEY] = joints  # a constraint's target alone would not be saved


def joints_of(armature: Any) -> Any:
    """The object with the joints' points that an armature's bones turn about, or None."""
    for name in BONES:
        bone = armature.pose.bones.get(name)
        constraint = bone.constraints.get(CONSTRAINT) if bone is not None else None
        if constraint is not None and constraint.type == "PIVOT" and constraint.target is not None:
            return constraint.target
    return None


def are_live(head: Head) -> bool:
    """Whether the joints follow this very head; those of a head that was duplicated still follow the first."""
    joints = joints_of(head.armature)
    if joints is None:
        return not (np.abs(head.joint_shift) > _SMALLEST_SHIFT).any()
    keys = joints.data.shape_keys
    drivers = keys.animation_data.drivers if keys is not None and keys.animation_data is not None else ()
    return bool(drivers) and all(
        target.id == head.shape_keys
        for curve in drivers for variable in curve.driver.variables for target in variable.targets)


def renew_joints(head: Head) -> None:
    """Gives the head joints of its own in place of missing or shared ones."""
    for name in BONES:
        constraints = head.armature.pose.bones[name].constraints
        old = constraints.get(CONSTRAINT)
        if old is not None:
            constraints.remove(old)
    add_joints(head)
