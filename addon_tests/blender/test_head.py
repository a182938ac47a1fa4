# SPDX-License-Identifier: GPL-3.0-or-later
"""A built head evaluates to what the engine's FLAME skinning gives."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.flame.skinning import motion_vertices, skin
from synthetic_head import make_head

from artalk_blender.animation.takes import Provenance, new_take
from artalk_blender.head.build import build_head, find_head
from artalk_blender.head.names import BONES
from artalk_blender.motion.process import ProcessSettings, axis_angle_to_quaternions

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)
TOLERANCE = 1e-5  # metres


def evaluated(mesh):
    """(V,3) of a mesh object after shape keys and modifiers, in its own coordinates."""
    result = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty(3 * len(result.vertices), np.float32)
    result.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def worst_error(scene, head, frames, expected):
    """Largest distance, metres, over scene frames (fractional) against vertices (T,V,3)."""
    worst = 0.0
    for frame, vertices in zip(frames, expected, strict=True):
        whole = int(np.floor(frame))
        scene.frame_set(whole, subframe=float(frame - whole))
        worst = max(worst, float(np.linalg.norm(evaluated(head.mesh) - vertices, axis=1).max()))
    return worst


def test_motion_matches_skinning_on_every_frame(scene, head, model, motion):
    scene.render.fps, scene.render.fps_base = 25, 1.0
    new_take(head, motion, 1, 25.0, Provenance(), AS_IT_IS)
    error = worst_error(scene, head, 1 + np.arange(len(motion)), motion_vertices(model, motion))
    assert error < TOLERANCE


def test_the_default_head_matches_skinning(scene, motion):
    default = read_flame(DEFAULT_HEAD)
    head = build_head(default, bpy.context)
    new_take(head, motion[:15], 1, 25.0, Provenance(), AS_IT_IS)
    error = worst_error(scene, head, 1 + np.arange(15), motion_vertices(default, motion[:15]))
    assert error < TOLERANCE
    assert {material.name for material in head.mesh.data.materials} >= {"skin", "lips", "sclera", "iris", "pupil"}


@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (30, 1.001), (60, 1.0)])
def test_motion_matches_on_the_fractional_frames_of_other_rates(scene, head, model, motion, fps, base):
    scene.render.fps, scene.render.fps_base = fps, base
    new_take(head, motion, 11.5, fps / base, Provenance(), AS_IT_IS)
    frames = 11.5 + np.arange(len(motion)) * (fps / base / 25)
    assert worst_error(scene, head, frames, motion_vertices(model, motion)) < TOLERANCE


def test_every_bone_posed_by_hand_matches_skinning(scene, head, model):
    random = np.random.default_rng(5)
    turns = random.normal(0, 0.4, (5, 3))
    for name, quaternion in zip(BONES, axis_angle_to_quaternions(turns), strict=True):
        head.armature.pose.bones[name].rotation_quaternion = quaternion
    expected = skin(model, np.zeros((1, 100)), root=turns[0], neck=turns[1], jaw=turns[2], eyes=turns[3:].ravel())
    assert np.abs(evaluated(head.mesh) - expected[0]).max() < TOLERANCE


def test_correctives_need_no_python(head):
    drivers = head.shape_keys.animation_data.drivers
    assert len(drivers) == 36
    assert all(curve.driver.is_simple_expression and curve.driver.is_valid for curve in drivers)


def test_correctives_that_do_nothing_are_left_out(scene, model, tmp_path):
    path = make_head(tmp_path / "head.npz")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["posedirs"][:] = 0
    arrays["posedirs"][:, :, 14] = 0.001
    np.savez(path, **arrays)
    head = build_head(read_flame(path), bpy.context)
    drivers = head.shape_keys.animation_data.drivers
    assert [curve.data_path for curve in drivers] == ['key_blocks["pose_jaw_12"].value']


def test_the_head_stands_upright_and_faces_front(head, model):
    bpy.context.view_layer.update()
    world = np.array(head.mesh.matrix_world)
    top = np.append(model.v_template[np.argmax(model.v_template[:, 1])], 1.0)
    front = np.append(model.v_template[np.argmax(model.v_template[:, 2])], 1.0)
    assert (world @ top)[2] == pytest.approx(top[1], abs=1e-6)
    assert (world @ front)[1] == pytest.approx(-front[2], abs=1e-6)


def test_mesh_parts(head, model):
    data = head.mesh.data
    assert len(data.polygons) == len(model.quads)
    assert all(polygon.use_smooth for polygon in data.polygons)
    names = [key.name for key in head.shape_keys.key_blocks]
    assert names[0] == "Basis"
    assert tuple(names[1:101]) == model.expression_names
    assert all((key.slider_min, key.slider_max) == (-10.0, 10.0) for key in head.shape_keys.key_blocks[1:])
    assert {material.name for material in data.materials} == {"skin", "eye_white", "eye_iris", "eye_pupil"}
    for bone in head.armature.data.bones:
        assert np.allclose(np.array(bone.matrix_local)[:3, :3], np.eye(3), atol=1e-6)


def test_a_head_of_triangles_builds_too(scene, tmp_path):
    model = read_flame(make_head(tmp_path / "head.npz", quads=False))
    head = build_head(model, bpy.context)
    assert len(head.mesh.data.polygons) == len(model.faces)


def test_the_head_is_found(scene, head, model):
    assert find_head(bpy.context).mesh == head.mesh
    bpy.context.view_layer.objects.active = None
    head.armature.select_set(False)
    assert find_head(bpy.context).mesh == head.mesh
    other = build_head(model, bpy.context)
    bpy.context.view_layer.objects.active = other.mesh
    assert find_head(bpy.context).armature == other.armature
    bpy.context.view_layer.objects.active = None
    other.armature.select_set(False)
    assert find_head(bpy.context) is None
