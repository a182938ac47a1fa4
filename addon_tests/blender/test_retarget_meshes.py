# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting by geometry onto meshes as they come out of other programs: turned, scaled, mirrored, torn, in pieces."""

from __future__ import annotations

import json
from dataclasses import replace

import bpy
import numpy as np
import pytest
from characters import TO_BLENDER, default_head, mesh_object
from mathutils import Matrix, Vector
from retarget_measures import measure, speech_motion
from retarget_targets import Made, Place, dual_mesh, made

from artalk_blender.animation.take_data import raw_motion
from artalk_blender.animation.takes import Provenance, new_take
from artalk_blender.errors import ArtalkError
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.retarget.player import retarget_of_take
from artalk_blender.retarget.work import LANDMARKS_KEY, make_retarget

BESIDE = Place(1.0, None, (0.5, 0.0, 0.0), 0.7)
PLAIN = ProcessSettings(smooth=False, clamp=False)


@pytest.fixture
def source(scene):
    return new_take(default_head(), speech_motion()[:120], 1, 25.0, Provenance("line"), PLAIN)


def face(head: Made, change: np.ndarray | None = None) -> bpy.types.Object:
    """An object with keys of names that say nothing, its points changed by a matrix (3,3) about the origin."""
    change = np.eye(3) if change is None else change
    points, deltas = head.face.neutral @ change.T, head.face.deltas @ change.T
    return mesh_object("Face", points, head.face.triangles, {f"sculpt {k:02d}": deltas[k] for k in range(len(deltas))})


def retarget(take: bpy.types.Action, thing: bpy.types.Object, head: Made) -> list[str]:
    """Asserts that the take speaks on the face as it should; returns what was said of it."""
    bpy.context.view_layer.update()
    target = make_retarget(take.name, thing.name, (), "geometry", "auto", ())
    action = new_take(target, raw_motion(take), 1, 25.0, Provenance("line"), PLAIN)
    sliders = []
    for frame in range(1, 121):
        bpy.context.scene.frame_set(frame)
        sliders.append([block.value for block in thing.data.shape_keys.key_blocks[1:]])
    found = measure(head, BESIDE, speech_motion()[:120], np.array(sliders)[:, :len(head.face.names)])
    assert found.correlation > 0.98 and found.closure < 0.5 and found.jerk < 1.2 and found.error < 1.0, found
    report = retarget_of_take(action).report
    assert report["lips_mm"][0] < 0.6 and report["missing"] == []
    return [str(note) for note in report["notes"]]


def soup(head: Made) -> Made:
    """Every triangle with corners of its own, as flat-shaded exports have them."""
    corners = head.face.triangles.ravel()
    return replace(head, face=replace(head.face, neutral=head.face.neutral[corners],
                                      deltas=head.face.deltas[:, corners],
                                      triangles=np.arange(len(corners)).reshape(-1, 3)))


def torn(head: Made) -> Made:
    """With holes, faces twice, edges of three faces, and vertices that hang on nothing else."""
    random, mesh = np.random.default_rng(0), head.face
    count, stray = len(mesh.neutral), random.uniform(mesh.neutral.min(0), mesh.neutral.max(0), (200, 3))
    third = count + np.arange(len(mesh.triangles[::11])) % 200
    triangles = np.concatenate([mesh.triangles, mesh.triangles[::7],
                                np.column_stack([mesh.triangles[::11, :2], third])])
    return replace(head, face=replace(
        mesh, neutral=np.concatenate([mesh.neutral, stray]), triangles=triangles[random.random(len(triangles)) > 0.03],
        deltas=np.concatenate([mesh.deltas, np.zeros((len(mesh.names), 200, 3), np.float32)], 1)))


def test_centimetres_and_another_programs_axes(source):
    head, turn = made(BESIDE), np.array(Matrix.Rotation(-np.pi / 2, 3, "X"))
    thing = face(head, 100.0 * TO_BLENDER.T @ turn.T @ TO_BLENDER)
    thing.scale, thing.rotation_euler = (0.01, 0.01, 0.01), (-np.pi / 2, 0.0, 0.0)
    bpy.context.view_layer.update()
    assert (thing.matrix_world @ thing.data.vertices[0].co - Vector(TO_BLENDER @ head.face.neutral[0])).length < 1e-5
    retarget(source, thing, head)


def test_a_mirrored_object(source):
    head = made(BESIDE)
    thing = face(head, np.diag([-1.0, 1.0, 1.0]))
    thing.scale = (-1.0, 1.0, 1.0)
    retarget(source, thing, head)


def test_faces_that_point_inwards(source):
    head = made(BESIDE)
    inside = replace(head, face=replace(head.face, triangles=head.face.triangles[:, ::-1]))
    assert any("inwards" in note for note in retarget(source, face(inside), head))


@pytest.mark.parametrize("spoil", [soup, torn])
@pytest.mark.parametrize("remesh", [None, dual_mesh])
def test_meshes_that_are_no_closed_surface(source, spoil, remesh):
    head = made(BESIDE, remesh=remesh)
    retarget(source, face(spoil(head)), head)


def test_a_head_that_lies_anyhow_needs_landmarks(source, recwarn):
    head = made(BESIDE)
    thing = face(head)
    thing.rotation_euler, thing.location = (1.2, 0.4, 2.0), (3.0, 1.0, 2.0)
    bpy.context.view_layer.update()
    with pytest.raises(ArtalkError, match="could not be told"):
        new_take(make_retarget(source.name, "Face", (), "geometry", "auto", ()), raw_motion(source), 1, 25.0,
                 Provenance("line"), PLAIN)
    assert not recwarn.list
    thing[LANDMARKS_KEY] = json.dumps({name: (TO_BLENDER @ point).tolist()
                                       for name, point in head.face.landmarks.items()})
    assert retarget(source, thing, head) == []
