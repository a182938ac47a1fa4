# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions, lips, eyeballs, UVs, materials and names of built heads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.flame.landmarks import landmarks70
from synthetic_head import make_head

from artalk_blender.errors import ArtalkError
from artalk_blender.head.build import build_head, head_of
from artalk_blender.head.names import head_name
from artalk_blender.head.regions import find_lips, region_weights
from artalk_blender.head.topology import eyeballs, pieces
from artalk_blender.motion.regions import region_grams


@pytest.fixture(scope="module")
def default():
    return read_flame(DEFAULT_HEAD)


@pytest.fixture(params=["landmarks", "geometry"])
def known(request, default):
    """The default head with and without its landmarks."""
    return default if request.param == "landmarks" else dataclasses.replace(default, landmarks=None)


def test_regions_share_every_vertex(known, default):
    weights = region_weights(known)
    assert weights.min() >= 0.0
    assert np.allclose(weights.sum(1), 1.0)
    marks = landmarks70(default, default.v_template[None])[0]
    nearest = np.linalg.norm(marks[:, None] - default.v_template[None], axis=-1).argmin(1)
    lips, _, brows = weights[nearest].T
    assert lips[48:68].min() > 0.95  # both lips
    assert lips[6:11].min() > 0.6  # chin
    assert brows[17:27].min() > 0.95  # brows
    assert brows[36:48].min() > 0.95  # lids
    middle = 0.5 * (marks[[48, 54]] + marks[[1, 15]]) + (0.0, 0.012, 0.0)
    cheek = np.linalg.norm(middle[:, None] - default.v_template[None], axis=-1).argmin(1)
    assert weights[cheek, 1].min() > 0.7


def test_regions_are_smooth(known):
    weights = region_weights(known)
    edges = np.concatenate([known.faces[:, [0, 1]], known.faces[:, [1, 2]]])
    length = np.linalg.norm(known.v_template[edges[:, 0]] - known.v_template[edges[:, 1]], axis=1)
    assert (np.abs(weights[edges[:, 0]] - weights[edges[:, 1]]).max(1) <= 0.1 * length / 1e-3 + 1e-6).all()


def test_lips_lie_opposite_each_other(known, default):
    lips = find_lips(known)
    upper, lower = default.v_template[lips.upper], default.v_template[lips.lower]
    assert len(lips.upper) == len(set(lips.upper)) >= 9
    assert not set(lips.upper) & set(lips.lower)
    assert np.linalg.norm(upper - lower, axis=1).max() < 1e-3
    assert (np.diff(upper[:, 0]) > 0).all()
    jaw = default.lbs_weights[:, 2]
    assert (jaw[lips.lower] - jaw[lips.upper] > 0.3).all()
    marks = landmarks70(default, default.v_template[None])[0, 60:68]
    assert np.abs(upper[:, 1] - marks[:, 1].mean()).max() < 0.002
    quads = default.quads[default.face_material == default.material_names.index("lips")]
    red = np.unique(quads)
    assert len(np.intersect1d(red, lips.ring)) > 0.8 * len(red)
    assert len(lips.ring) < 1.3 * len(red)


def test_a_mouthless_head_has_no_lips(model):
    assert find_lips(model) is None
    assert np.allclose(region_weights(model).sum(1), 1.0)


def test_a_built_head_knows_its_face(scene, default):
    head = build_head(default, bpy.context)
    channels = head.face_channels()
    assert channels.names == default.expression_names
    assert np.allclose(channels.gram, region_grams(default.expressiondirs, region_weights(default)), atol=1e-9)
    assert channels.blink is not None and channels.blink.shape == (100,)
    lips = find_lips(default)
    assert head.lip_vertices == lips.as_dict()


def test_pieces_are_what_hangs_together():
    faces = np.array([[5, 4, 6], [0, 1, 2], [2, 3, 0], [7, 8, 6]])
    assert pieces(10, faces).tolist() == [0, 0, 0, 0, 4, 4, 4, 4, 4, 9]


def test_eyeballs_are_found_by_their_pieces(model, default):
    for head in (model, default):
        found = eyeballs(head)
        assert sorted(found) == [3, 4]
        for bone, inside in found.items():
            centre = head.v_template[inside].mean(0)
            assert np.linalg.norm(centre - head.neutral_joints()[bone]) < 0.012
            assert head.lbs_weights[inside, bone].min() > 0.99


def test_a_head_without_materials_gets_eyes_and_skin(scene, default):
    head = build_head(dataclasses.replace(default, face_material=None, material_names=()), bpy.context)
    names = [material.name for material in head.mesh.data.materials]
    assert names == ["skin", "eye_white", "eye_iris", "eye_pupil"]
    index = np.empty(len(head.mesh.data.polygons), np.int32)
    head.mesh.data.polygons.foreach_get("material_index", index)
    inside = np.logical_or.reduce(list(eyeballs(default).values()))
    assert np.array_equal(index > 0, inside[default.quads].all(1))
    pupils = default.v_template[default.quads[index == 3]].mean(1)
    assert len(pupils)
    assert pupils[:, 2].min() > default.v_template[inside, 2].max() - 0.004


@pytest.fixture
def with_uvs(tmp_path):
    """A head file, quads and triangles, with a seam: every triangle corner has a UV of its own."""
    def make(quads: bool) -> Path:
        path = make_head(tmp_path / "uv.npz", quads=quads)
        with np.load(path) as file:
            arrays = dict(file)
        points = arrays["v_template"][arrays["f"].ravel()].astype(np.float64)
        half = np.repeat(np.arange(len(arrays["f"])) % 2, 3)
        arrays["vt"] = np.stack([points[:, 0] + half, points[:, 1]], 1)
        arrays["ft"] = np.arange(len(points)).reshape(-1, 3)
        np.savez(path, **arrays)
        return path
    return make


@pytest.mark.parametrize("quads", [True, False])
def test_uvs_come_along(scene, with_uvs, quads):
    model = read_flame(with_uvs(quads))
    data = build_head(model, bpy.context).mesh.data
    loops = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", loops)
    found = np.empty((len(loops), 2), np.float32)
    data.uv_layers["UVMap"].uv.foreach_get("vector", found.ravel())
    expected = model.v_template[loops, :2]
    assert np.allclose(found[:, 1], expected[:, 1], atol=1e-6)
    shift = np.round(found[:, 0] - expected[:, 0])
    assert set(shift) == {0.0, 1.0}
    assert np.allclose(found[:, 0] - shift, expected[:, 0], atol=1e-6)
    if not quads:
        assert np.array_equal(shift.reshape(-1, 3)[:, 0], np.arange(len(model.faces)) % 2)


@pytest.mark.parametrize("wrong", [
    {"ft": np.zeros((3, 3), np.int32)}, {"vt": np.full((4000, 2), np.nan)}, {"vt": np.zeros((1, 2))},
    {"vt": np.array(["a", "b"])},
])
def test_uvs_that_do_not_fit_are_refused(scene, with_uvs, wrong):
    model = read_flame(with_uvs(True))
    model = dataclasses.replace(model, extras={**model.extras, **wrong})
    with pytest.raises(ArtalkError, match="UVs"):
        build_head(model, bpy.context)
    assert not [*bpy.data.objects, *bpy.data.meshes, *bpy.data.armatures]


def test_a_head_in_a_collection_that_is_switched_off(scene, model):
    collection = bpy.data.collections.new("off")
    scene.collection.children.link(collection)
    bpy.context.view_layer.active_layer_collection = bpy.context.view_layer.layer_collection.children["off"]
    bpy.context.view_layer.layer_collection.children["off"].exclude = True
    with bpy.context.temp_override(collection=collection):
        head = build_head(model, bpy.context)
    assert head.mesh.users_collection == (collection,)
    assert len(head.armature.pose.bones) == 5


@pytest.mark.parametrize(("file", "name"), [
    ("female_model.pkl", "FLAME Female Head"), ("male_model.pkl", "FLAME Male Head"),
    ("generic_model.pkl", "FLAME Generic Head"), ("FLAME2023.pkl", "FLAME Head"), ("FLAME_with_eye.pt", "FLAME Head"),
    ("anna.npz", "anna Head"), ("my_head.npz", "my_head"),
])
def test_heads_are_called_after_their_files(file, name):
    assert head_name(Path("folder") / file, False) == name


def test_an_imported_head_stands_upright(scene, extension, tmp_path):
    path = make_head(tmp_path / "male_model.npz")
    scene.cursor.location = (1.0, 2.0, 0.0)
    assert bpy.ops.artalk.import_head(filepath=str(path)) == {"FINISHED"}
    head = head_of(bpy.context.view_layer.objects.active)
    assert (head.mesh.name, head.armature.name) == ("FLAME Male Head", "FLAME Male Head Rig")
    bpy.context.view_layer.update()
    corners = np.array([head.mesh.matrix_world @ vertex.co for vertex in head.mesh.data.vertices])
    assert np.ptp(corners[:, 2]) > np.ptp(corners[:, 1])
    assert np.allclose(head.armature.location, (1.0, 2.0, 0.0))


def test_a_wrong_file_says_so_and_adds_nothing(scene, extension, tmp_path):
    path = tmp_path / "wrong.npz"
    path.write_bytes(b"no zip")
    for name in (path, tmp_path / "missing.npz"):
        with pytest.raises(RuntimeError, match=name.name):
            bpy.ops.artalk.import_head(filepath=str(name))
    assert not bpy.data.objects
    assert not bpy.data.meshes
