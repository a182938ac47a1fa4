# SPDX-License-Identifier: GPL-3.0-or-later
"""A head takes any identity, keeps what artists did to it, and equals FLAME's skinning afterwards."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.flame.skinning import motion_vertices, skin
from synthetic_head import make_head

from artalk_blender.animation.takes import Provenance, new_take
from artalk_blender.errors import ArtalkError
from artalk_blender.head import settings
from artalk_blender.head.build import Head, build_head, head_of
from artalk_blender.head.identity import random_coefficients, set_identity
from artalk_blender.head.names import BONES, IDENTITY_KEY
from artalk_blender.head.parity import measure_frames, measure_parity, random_poses
from artalk_blender.head.pose import pose_head
from artalk_blender.motion.process import ProcessSettings

TOLERANCE = 1e-5  # metres


def evaluated(mesh) -> np.ndarray:
    """(V,3) of a mesh object after shape keys and modifiers."""
    result = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty((len(result.vertices), 3), np.float32)
    result.vertices.foreach_get("co", points.ravel())
    return points


def points_of(key) -> np.ndarray:
    points = np.empty((len(key.points), 3), np.float32)
    key.points.foreach_get("co", points.ravel())
    return points


def joints_of(head) -> np.ndarray:
    return np.array([head.armature.data.bones[name].head_local for name in BONES])


def neutral(model, shape) -> np.ndarray:
    return model.v_template + model.shapedirs[:, :, : len(shape)] @ shape


def distance(a, b) -> float:
    return float(np.linalg.norm(a - b, axis=-1).max())


@pytest.mark.parametrize("which", ["synthetic", "default"])
def test_fifty_random_shapes_and_poses_equal_flame(scene, model, which):
    model = model if which == "synthetic" else read_flame(DEFAULT_HEAD)
    head = build_head(model, bpy.context)
    for seed, pose in enumerate(random_poses(50, seed=3)):
        shape = random_coefficients(seed)
        set_identity(head, shape, bpy.context)
        pose_head(head, pose)
        root, neck, jaw, left, right = pose.turns
        expected = skin(model, pose.expression[None], root, neck, jaw, np.concatenate([left, right]), shape)[0]
        assert distance(evaluated(head.mesh), expected) < TOLERANCE
    # tables and joints are FLAME's own, not merely near
    assert np.abs(joints_of(head) - model.J_regressor @ neutral(model, shape)).max() < 1e-6


def test_neutral_again_is_the_very_head_it_was(head):
    before = [points_of(key) for key in head.shape_keys.key_blocks]
    joints = joints_of(head)
    for seed in range(5):
        set_identity(head, random_coefficients(seed, 2.0), bpy.context)
    assert distance(points_of(head.shape_keys.reference_key), before[0]) > 0.001
    set_identity(head, np.zeros(0), bpy.context)
    after = [points_of(key) for key in head.shape_keys.key_blocks]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.abs(joints_of(head) - joints).max() < 1e-8


def test_identity_keeps_what_others_did(scene, head, model, motion):
    """A take, a sculpted basis, an edited and an own shape key, a vertex group, material, modifier, bone, child."""
    take = new_take(head, motion, 1, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
    data, keys = head.mesh.data, head.shape_keys.key_blocks
    basis = points_of(keys[0])
    for key, vertex in ((keys[0], 10), (keys[5], 20)):
        moved = points_of(key)
        moved[vertex, 2] += 0.01
        key.points.foreach_set("co", moved.ravel())
    own = head.mesh.shape_key_add(name="scar", from_mix=False)
    own.points.foreach_set("co", (basis + np.float32(0.002)).ravel())
    group = head.mesh.vertex_groups.new(name="hair")
    group.add([1, 2], 0.5, "REPLACE")
    head.mesh.modifiers.new("Subdivision", "SUBSURF").levels = 0
    data.materials.append(bpy.data.materials.new("paint"))
    hat = bpy.data.objects.new("hat", None)
    scene.collection.objects.link(hat)
    hat.parent, hat.parent_type, hat.parent_bone = head.armature, "BONE", "neck"
    bpy.ops.object.mode_set(mode="EDIT")
    antenna = head.armature.data.edit_bones.new("antenna")
    antenna.head, antenna.tail = (0, 0.2, 0), (0, 0.3, 0)
    antenna.parent = head.armature.data.edit_bones["jaw"]
    bpy.ops.object.mode_set(mode="POSE")
    names, curves = [key.name for key in keys], len(head.shape_keys.animation_data.drivers)

    shape = random_coefficients(1)
    set_identity(head, shape, bpy.context)

    after = neutral(model, shape)
    keys = head.shape_keys.key_blocks
    expected = after.copy()
    expected[10, 2] += 0.01
    assert distance(points_of(keys[0]), expected) < 1e-6
    expected = after + model.expressiondirs[:, :, 4]
    expected[20, 2] += 0.01
    assert distance(points_of(keys[5]), expected) < 1e-6
    assert distance(points_of(keys["scar"]), after + 0.002) < 1e-6
    assert [key.name for key in keys] == names
    assert len(head.shape_keys.animation_data.drivers) == curves
    assert head.shape_keys.animation_data.action == take == head.armature.animation_data.action
    assert head.mesh.vertex_groups["hair"].weight(2) == 0.5
    assert [modifier.type for modifier in head.mesh.modifiers] == ["ARMATURE", "SUBSURF"]
    assert data.materials[-1].name == "paint"
    assert (hat.parent, hat.parent_bone) == (head.armature, "neck")
    jaw = model.J_regressor[2] @ (after - model.v_template)
    assert np.allclose(head.armature.data.bones["antenna"].head_local, np.array([0, 0.2, 0]) + jaw, atol=1e-6)
    assert bpy.context.mode == "POSE"
    assert {thing.name for thing in bpy.data.objects} == {
        head.armature.name, head.mesh.name, head.armature["artalk_joints"].name, "hat"}


def test_animation_plays_on_another_person(scene, head, model, motion):
    scene.render.fps = 25
    new_take(head, motion[:20], 1, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
    shape = random_coefficients(8)
    set_identity(head, shape, bpy.context)
    expected = motion_vertices(model, motion[:20], shape)
    for frame in (1, 7, 20):
        scene.frame_set(frame)
        assert distance(evaluated(head.mesh), expected[frame - 1]) < TOLERANCE


def test_a_hidden_head_takes_an_identity_too(scene, head, model):
    head.armature.hide_set(True)
    scene.collection.children.link(hidden := bpy.data.collections.new("hidden"))
    hidden.objects.link(head.mesh)
    scene.collection.objects.unlink(head.mesh)
    hidden.hide_viewport = True
    shape = random_coefficients(2)
    set_identity(head, shape, bpy.context)
    assert np.abs(joints_of(head) - model.J_regressor @ neutral(model, shape)).max() < 1e-6


def test_sliders_and_operators(scene, extension):
    bpy.ops.artalk.add_head()
    head = head_of(bpy.context.view_layer.objects.active)
    model = read_flame(DEFAULT_HEAD)
    face = head.armature.artalk_face
    face.first[3] = 2.0
    assert list(head.armature[IDENTITY_KEY][:5]) == [0, 0, 0, 2.0, 0]
    assert distance(points_of(head.shape_keys.reference_key), neutral(model, [0, 0, 0, 2.0])) < 1e-6
    assert bpy.ops.artalk.random_identity(seed=4) == {"FINISHED"}
    assert np.allclose(face.first, random_coefficients(4)[:10])
    assert bpy.ops.artalk.neutral_identity() == {"FINISHED"}
    assert distance(points_of(head.shape_keys.reference_key), model.v_template) == 0.0
    # a script's way
    head.armature[IDENTITY_KEY][1] = 1.5
    assert bpy.ops.artalk.apply_identity() == {"FINISHED"}
    assert distance(points_of(head.shape_keys.reference_key), neutral(model, [0, 1.5])) < 1e-6
    assert len(head.armature[IDENTITY_KEY]) == 300


def test_identity_from_a_file(scene, extension, tmp_path):
    bpy.ops.artalk.add_head()
    head = head_of(bpy.context.view_layer.objects.active)
    np.save(tmp_path / "shape.npy", np.array([[0.5, -1.0]], np.float32))
    assert bpy.ops.artalk.apply_identity(filepath=str(tmp_path / "shape.npy")) == {"FINISHED"}
    assert np.allclose(head.identity[:3], [0.5, -1.0, 0.0])
    np.save(tmp_path / "long.npy", np.zeros(301))
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("not an array")
    for name in ("long.npy", "object.npy", "text.npy", "missing.npy"):
        with pytest.raises(RuntimeError, match=name):
            bpy.ops.artalk.apply_identity(filepath=str(tmp_path / name))
    assert np.allclose(head.identity[:3], [0.5, -1.0, 0.0])


def test_one_undo_takes_an_identity_back(scene, extension):
    bpy.ops.ed.undo_push(message="start")
    bpy.ops.artalk.add_head()
    bpy.ops.ed.undo_push(message="head")
    head = head_of(bpy.context.view_layer.objects.active)
    before, joints = points_of(head.shape_keys.reference_key), joints_of(head)
    bpy.ops.artalk.random_identity(seed=4)
    bpy.ops.ed.undo_push(message="random")
    bpy.ops.ed.undo()
    head = head_of(bpy.context.view_layer.objects.active)
    assert np.array_equal(points_of(head.shape_keys.reference_key), before)
    assert np.array_equal(joints_of(head), joints)
    assert not head.identity.any()


def refusal(head, shape=(1.0,)) -> str:
    before = points_of(head.shape_keys.reference_key)
    with pytest.raises(ArtalkError) as caught:
        set_identity(head, np.array(shape), bpy.context)
    assert np.array_equal(points_of(head.shape_keys.reference_key), before)
    assert not head.identity.any()
    return caught.value.message


def test_what_cannot_be_changed_says_why(scene, head, model):
    assert "300 numbers" in refusal(head, np.zeros(301))
    assert "300 numbers" in refusal(head, [np.nan])
    twin = bpy.data.objects.new("twin", head.mesh.data)
    assert "twin" in refusal(head)
    bpy.data.objects.remove(twin)
    bpy.ops.object.mode_set(mode="EDIT")
    assert "Object Mode" in refusal(head)
    bpy.ops.object.mode_set(mode="OBJECT")
    set_identity(head, np.array([1.0]), bpy.context)


def test_other_vertices_are_refused(scene, head):
    head.mesh.shape_key_clear()
    head.mesh.data.vertices.add(1)
    head.mesh.shape_key_add(name="Basis")
    assert "no longer has" in refusal(head)


def test_a_moved_file_is_asked_for_and_found(scene, extension, tmp_path):
    path = make_head(tmp_path / "female_model.npz", seed=4)
    assert bpy.ops.artalk.import_head(filepath=str(path)) == {"FINISHED"}
    head = head_of(bpy.context.view_layer.objects.active)
    assert head.mesh.name == "FLAME Female Head"
    moved = path.rename(tmp_path / "elsewhere.npz")
    with pytest.raises(RuntimeError, match=r"female_model\.npz.*Find Head File"):
        bpy.ops.artalk.random_identity(seed=1)
    head.armature.artalk_face.first[0] = 1.0
    assert "Find Head File" in settings.problem
    assert not head.identity.any()
    other = make_head(tmp_path / "other.npz", seed=5)
    with pytest.raises(RuntimeError, match="not the file"):
        bpy.ops.artalk.find_head_file(filepath=str(other))
    bpy.ops.artalk.find_head_file(filepath=str(moved))
    bpy.ops.artalk.random_identity(seed=1)
    assert head.identity.any()


def test_a_linked_head_is_left_alone(scene, extension, tmp_path):
    bpy.ops.artalk.add_head()
    name = bpy.context.view_layer.objects.active.name
    path = str(tmp_path / "head.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (source, target):
        target.objects = list(source.objects)
    for thing in target.objects:
        bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = bpy.data.objects[name]
    with pytest.raises(RuntimeError, match="linked from another file"):
        bpy.ops.artalk.random_identity(seed=1)


def test_saved_and_reopened_without_the_extension(scene, model, tmp_path, motion):
    import artalk_blender

    artalk_blender.register()
    try:
        head = build_head(model, bpy.context)
        set_identity(head, random_coefficients(6), bpy.context)
        head.armature.artalk_face.first[1] = 1.25
        scene.render.fps = 25
        new_take(head, motion[:10], 1, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
        shape = head.identity
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    finally:
        artalk_blender.unregister()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    head = next(found for found in map(head_of, bpy.context.scene.objects) if found)
    assert not hasattr(head.armature, "artalk_face")
    assert np.array_equal(head.identity, shape)
    assert shape[1] == 1.25
    expected = motion_vertices(model, motion[:10], shape)
    for frame in range(1, 11):
        bpy.context.scene.frame_set(frame)
        assert distance(evaluated(head.mesh), expected[frame - 1]) < TOLERANCE
    assert measure_parity(head, bpy.context, 5) < TOLERANCE
    assert measure_frames(head, np.arange(1, 11)) < TOLERANCE


def test_heads_of_earlier_versions_take_an_identity(head: Head, model):
    for name in (IDENTITY_KEY, "artalk_identity_in_mesh", "artalk_regions", "artalk_lips", "artalk_blink"):
        head.armature.pop(name, None)
    assert head.lip_vertices == {}
    assert head.face_channels().gram is None
    head.armature["artalk_head"]["path"] = str(model.path)
    set_identity(head, np.array([1.0, 2.0]), bpy.context)
    assert distance(points_of(head.shape_keys.reference_key), neutral(model, [1.0, 2.0])) < 1e-6
