# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads posed by us and by hand are exact, joints included; measured without a trace."""

from __future__ import annotations

import dataclasses

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame

from artalk_blender.animation.takes import Provenance, new_take
from artalk_blender.head.build import build_head, head_of
from artalk_blender.head.identity import random_coefficients, set_identity
from artalk_blender.head.joints import are_live, joints_of
from artalk_blender.head.names import BONES
from artalk_blender.head.parity import measure_frames, measure_parity, measure_pose, random_poses
from artalk_blender.head.pose import pose_head
from artalk_blender.head.stage import Pose
from artalk_blender.motion.process import ProcessSettings

TOLERANCE = 1e-5  # metres
AS_IT_IS = ProcessSettings(smooth=False, clamp=False)
COLLECTIONS = ("objects", "meshes", "armatures", "scenes", "actions", "shape_keys", "collections", "materials")


def everything() -> dict[str, list[str]]:
    return {name: [item.name_full for item in getattr(bpy.data, name)] for name in COLLECTIONS}


def state_of(head) -> list[float]:
    values = [key.value for key in head.shape_keys.key_blocks]
    for bone in head.armature.pose.bones:
        values += [*bone.location, *bone.rotation_quaternion, *bone.rotation_euler, *bone.scale]
    return values


def talking(head, motion, frames=20):
    bpy.context.scene.render.fps = 25
    return new_take(head, motion[:frames], 1, 25.0, Provenance(), AS_IT_IS)


def nod(head, name, frames=(1, 10, 20), axis=0, mode="QUATERNION") -> None:
    """Turns a bone by hand, keyed as an artist keys it."""
    bone = head.armature.pose.bones[name]
    bone.rotation_mode = "QUATERNION" if mode == "QUATERNION" else mode
    for frame, angle in zip(frames, (0.0, 0.5, -0.3), strict=False):
        if mode == "QUATERNION":
            quaternion = [np.cos(angle / 2), 0.0, 0.0, 0.0]
            quaternion[1 + axis] = np.sin(angle / 2)
            bone.rotation_quaternion = quaternion
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        else:
            bone.rotation_euler[axis] = angle
            bone.keyframe_insert("rotation_euler", frame=frame)


@pytest.mark.parametrize("which", ["synthetic", "default"])
def test_measured_over_fifty_poses_without_a_trace(scene, model, motion, which):
    head = build_head(model if which == "synthetic" else read_flame(DEFAULT_HEAD), bpy.context)
    set_identity(head, random_coefficients(1), bpy.context)
    talking(head, motion)
    scene.frame_set(7)
    head.mesh.modifiers.new("Subdivision", "SUBSURF")
    head.mesh.shape_key_add(name="scar", from_mix=False).value = 0.5
    bpy.ops.object.mode_set(mode="POSE")
    before, values = everything(), state_of(head)
    assert measure_parity(head, bpy.context, 50) < TOLERANCE
    assert (everything(), state_of(head)) == (before, values)
    assert (scene.frame_current, bpy.context.mode, bpy.context.window.scene) == (7, "POSE", scene)
    assert bpy.context.view_layer.objects.active == head.armature


def test_the_measure_sees_what_is_wrong(scene, head):
    assert measure_parity(head, bpy.context, 3) < TOLERANCE
    key = head.shape_keys.key_blocks["shape_3"]
    key.points[5].co.x += 0.001
    assert measure_parity(head, bpy.context, 10) > 1e-4
    assert measure_pose(head, bpy.context) < TOLERANCE
    key.value = 1.0
    assert measure_pose(head, bpy.context) == pytest.approx(0.001, rel=0.01)
    head.shape_keys.animation_data.drivers[0].mute = True
    key.points[5].co.x -= 0.001
    assert measure_parity(head, bpy.context, 10) > TOLERANCE


def test_keyed_frames_and_all_between_are_exact(scene, head, motion):
    talking(head, motion)
    assert measure_frames(head, np.arange(1, 20.5, 0.75)) < TOLERANCE
    scene.frame_set(9)
    assert measure_pose(head, bpy.context) < TOLERANCE


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE"])
def test_poses_are_exact_in_every_rotation_mode(scene, head, mode):
    for bone in head.armature.pose.bones:
        bone.rotation_mode = mode
    for frame, pose in enumerate(random_poses(5), 1):
        pose_head(head, pose, frame=frame)
    assert measure_frames(head, range(1, 6)) < TOLERANCE
    assert measure_parity(head, bpy.context, 5) < TOLERANCE


def test_a_pose_is_what_it_was_given(scene, head):
    pose = random_poses(1, seed=9)[0]
    pose_head(head, pose)
    assert measure_pose(head, bpy.context) < TOLERANCE
    from artalk_blender.head.stage import staged
    with staged(head, animated=False) as stage:
        found = stage.pose()
    assert np.allclose(found.expression, pose.expression, atol=1e-6)
    assert np.allclose(found.turns, pose.turns, atol=1e-5)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
def test_bones_turned_by_hand_over_a_take_are_exact(scene, head, motion, mode):
    take = talking(head, motion)
    nod(head, "neck", mode=mode)
    nod(head, "eye_left", axis=1, mode=mode)
    assert not any("location" in curve.data_path or "constraint" in curve.data_path for curve in curves(head))
    assert measure_frames(head, [1, 2, 7, 7.5, 20]) < TOLERANCE
    assert head.armature.animation_data.action == take


def curves(head):
    data = head.armature.animation_data
    return data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves


def test_bones_and_sliders_set_by_hand_are_exact(scene, head):
    random = np.random.default_rng(3)
    for name in head.expression_keys:
        head.shape_keys.key_blocks[name].value = random.normal(0.0, 0.7)
    for name in BONES:
        head.armature.pose.bones[name].rotation_quaternion = random.normal(0.0, 1.0, 4) * (1, 0.3, 0.3, 0.3)
    assert measure_pose(head, bpy.context) < TOLERANCE
    for name in BONES:
        head.armature.pose.bones[name].constraints[0].mute = True
    assert measure_pose(head, bpy.context) > 1e-4


def test_location_is_the_artists_along_the_turned_axes(scene, head, motion):
    talking(head, motion)
    scene.frame_set(7)
    before = evaluated(head)
    root = head.armature.pose.bones["root"]
    root.location = (0.5, 0.0, 0.0)
    moved = evaluated(head) - before
    assert np.allclose(moved, 0.5 * np.array(root.rotation_quaternion.to_matrix().col[0]), atol=1e-6)


def evaluated(head):
    bpy.context.view_layer.update()
    vertices = head.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
    points = np.empty((len(vertices), 3), np.float32)
    vertices.foreach_get("co", points.ravel())
    return points


def test_a_duplicate_gets_joints_of_its_own(scene, extension, head):
    for thing in (head.armature, head.mesh):
        thing.select_set(True)
    bpy.ops.object.duplicate()
    copy = head_of(bpy.context.view_layer.objects.active)
    assert copy.armature != head.armature
    pose_head(copy, random_poses(1)[0])
    assert not are_live(copy)
    assert measure_pose(copy, bpy.context) > TOLERANCE
    assert bpy.ops.artalk.fix_joints() == {"FINISHED"}
    assert are_live(copy)
    assert are_live(head)
    assert measure_pose(copy, bpy.context) < TOLERANCE
    assert measure_pose(head, bpy.context) < TOLERANCE
    assert not bpy.ops.artalk.fix_joints.poll()


def test_joints_go_with_the_head(scene, head):
    joints = joints_of(head.armature)
    assert (joints.users_collection, joints.users) == ((), 1)
    bpy.ops.object.select_all(action="DESELECT")
    for thing in (head.mesh, head.armature):
        thing.select_set(True)
    bpy.ops.object.delete()
    assert joints.users == 0


@pytest.mark.parametrize("link", [True, False], ids=["overridden", "appended"])
def test_joints_come_along_from_another_file(scene, head, tmp_path, link):
    character = bpy.data.collections.new("Character")
    scene.collection.children.link(character)
    for thing in (head.armature, head.mesh):
        scene.collection.objects.unlink(thing)
        character.objects.link(thing)
    library = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(library), link=link) as (_, wanted):
        wanted.collections = ["Character"]
    scene, root = bpy.context.scene, bpy.data.collections["Character"]
    if link:
        root = root.override_hierarchy_create(scene, bpy.context.view_layer)
    else:
        scene.collection.children.link(root)
    head = head_of(next(thing for thing in root.all_objects if thing.type == "ARMATURE"))
    assert are_live(head)
    pose_head(head, random_poses(1)[0])
    bpy.context.view_layer.update()
    assert measure_pose(head, bpy.context) < TOLERANCE


def test_a_head_whose_joints_stand_still_needs_no_more(scene, model):
    head = build_head(dataclasses.replace(model, expressiondirs=np.zeros_like(model.expressiondirs)), bpy.context)
    assert joints_of(head.armature) is None
    assert are_live(head)
    assert not any(bone.constraints for bone in head.armature.pose.bones)


def test_operators_report(scene, extension):
    bpy.ops.artalk.add_head()
    head = head_of(bpy.context.view_layer.objects.active)
    assert head.armature.artalk_face.checked == -1.0
    assert bpy.ops.artalk.check_head(count=5) == {"FINISHED"}
    assert 0.0 < head.armature.artalk_face.checked < TOLERANCE
    head.shape_keys.key_blocks["jawOpen"].value = 1.0
    head.armature.pose.bones["neck"].rotation_quaternion = (0.96, 0.28, 0.0, 0.0)
    assert measure_pose(head, bpy.context) < TOLERANCE
    bpy.ops.artalk.random_identity(seed=1)
    assert head.armature.artalk_face.checked == -1.0


def test_operators_without_a_head_say_so(scene, extension):
    for name in ("check_head", "fix_joints", "random_identity", "neutral_identity", "apply_identity"):
        assert not getattr(bpy.ops.artalk, name).poll()


def test_poses_name_every_bone():
    pose = random_poses(1)[0]
    assert isinstance(pose, Pose)
    assert pose.turns.shape == (len(BONES), 3)
