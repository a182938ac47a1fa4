# SPDX-License-Identifier: GPL-3.0-or-later
"""Simplified takes, measured in Blender on the default head: the mesh it shows, frame by frame."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD, DEMO_SPEECH
from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.model import load_model
from artalk_blender.engine.pipeline import Pipeline
from mathutils import Quaternion

from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.take_data import SIMPLIFIED, TAKE_KEY
from artalk_blender.animation.takes import (
    Bound,
    Provenance,
    curves_of,
    duplicate_take,
    is_edited,
    new_take,
    play_take,
    retune,
    simplify_take,
)
from artalk_blender.audio.samples import read_sound
from artalk_blender.errors import EngineError
from artalk_blender.head.build import build_head
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.motion.timing import Keying


@pytest.fixture(scope="module")
def speech_motion():
    """Raw motion of the demo speech, from the default model."""
    parts = Pipeline(load_model(None)).stream(read_sound(DEMO_SPEECH), raw=True)
    return np.concatenate([part.motion for part in parts])


@pytest.fixture(scope="module")
def default_model():
    return read_flame(DEFAULT_HEAD)


@pytest.fixture
def face(scene, default_model):
    return build_head(default_model, bpy.context)


def keys(action):
    return sum(len(curve.keyframe_points) for place in curves_of(action) if (curve := find_curve(action, place)))


def shown(scene, head, action, frames):
    """Mesh (K,V,3) in the head's own frame, and the bones' turns, as Blender shows an Action at frames (K,)."""
    play_take(action, head)
    meshes, turns = [], []
    for frame in frames:
        scene.frame_set(int(frame), subframe=float(frame % 1))
        neck = head.armature.pose.bones["neck"]  # which root turns along
        result = head.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        points = np.empty(3 * len(result.vertices), np.float32)
        result.vertices.foreach_get("co", points)
        # undo the whole head's turn and move: what is left is the face
        back = np.array((neck.matrix @ neck.bone.matrix_local.inverted()).inverted())
        meshes.append(points.reshape(-1, 3) @ back[:3, :3].T + back[:3, 3])
        turns.append([Quaternion(head.armature.pose.bones[name].matrix_basis.to_quaternion())
                      for name in ("root", "neck", "jaw")])
    return np.stack(meshes), turns


@pytest.mark.parametrize(("keying", "mode"), [
    (Keying(), "QUATERNION"), (Keying(mode="whole"), "QUATERNION"), (Keying(head="shared"), "ZXY")])
def test_what_is_shown_stays_within_the_bound(scene, face, default_model, speech_motion, keying, mode):
    scene.render.fps, scene.render.fps_base = 30, 1.001
    for bone in face.armature.pose.bones:
        bone.rotation_mode = mode
    dense = new_take(face, speech_motion, 1.0, 30 / 1.001, Provenance(), keying=keying)
    sparse = duplicate_take(dense)
    result, found = simplify_take(sparse, Bound(0.1, 0.1), face)
    assert result == sparse and not is_edited(sparse) and found.closures == found.closures_kept
    assert (found.keys_before, found.keys_after) == (keys(dense), keys(sparse))
    assert keys(dense) / keys(sparse) >= 5.0
    frames = np.arange(4.0, 215.0, 0.75)
    (before, turns), (after, other) = shown(scene, face, dense, frames), shown(scene, face, sparse, frames)
    lips = face.lip_vertices
    off = np.linalg.norm(before - after, axis=2)
    assert off[:, lips["ring"]].max() <= 1.05e-4  # a little more between the vertices and times that were looked at
    assert off.max() <= 2.1e-4
    angle = max(one.rotation_difference(two).angle for a, b in zip(turns, other, strict=True)
                for one, two in zip(a, b, strict=True))
    assert np.degrees(angle) <= 0.105
    gaps = [np.maximum(mesh[:, lips["upper"], 1] - mesh[:, lips["lower"], 1], 0).mean(1) for mesh in (before, after)]
    closed = gaps[0] < 5e-4
    assert closed.sum() > 10 and (gaps[1][closed] <= gaps[0][closed] + 1e-4).mean() >= 0.99


def test_a_looser_bound_leaves_fewer_keys(scene, face, speech_motion):
    action = new_take(face, speech_motion, 1.0, 25.0, Provenance())
    loose = simplify_take(duplicate_take(action), Bound(0.5, 0.5), face)[1]
    tight = simplify_take(duplicate_take(action), Bound(0.05, 0.05), face)[1]
    assert loose.keys_after < tight.keys_after < tight.keys_before
    assert loose.millimetres <= 0.5 and tight.millimetres <= 0.05 and tight.degrees <= 0.05
    with pytest.raises(EngineError, match="simplified by"):
        Bound(0.0)


def test_retuning_a_simplified_take_keeps_it_simple(scene, face, speech_motion):
    action = new_take(face, speech_motion, 1.0, 25.0, Provenance())
    dense = keys(action)
    simplify_take(action)
    simple = keys(action)
    assert retune(action, ProcessSettings(lips=1.2)) == action
    assert keys(action) < dense / 4 and not is_edited(action)
    assert action[TAKE_KEY][SIMPLIFIED].to_dict() == {"millimetres": 0.1, "degrees": 0.1}
    retune(action, ProcessSettings())
    assert keys(action) == simple
    assert simplify_take(action, Bound(0.2, 0.2))[1].keys_before == dense


def test_an_edited_take_is_simplified_in_a_copy(scene, face, speech_motion):
    action = new_take(face, speech_motion, 1.0, 25.0, Provenance())
    place = next(place for place in curves_of(action) if "mouthClose" in place[1])
    curve = find_curve(action, place)
    curve.keyframe_points.insert(50.4, 0.9)
    curve.update()
    before = keys(action)
    result, _ = simplify_take(action, head=face)
    assert result != action and keys(action) == before and keys(result) < before / 4
    assert find_curve(result, place).evaluate(50.4) == pytest.approx(0.9, abs=0.02)
    assert face.shape_keys.animation_data.action == result


def test_a_head_that_does_not_know_its_lips_is_bounded_all_over(scene, head, motion):
    if "artalk_lips" in head.armature:
        del head.armature["artalk_lips"]
    action = new_take(head, motion, 1.0, 25.0, Provenance(), ProcessSettings(clamp=False))
    _, found = simplify_take(action, Bound(0.2, 0.2))
    assert found.closures == 0 and 0.0 < found.millimetres <= 0.2 and found.keys_after < found.keys_before


def test_a_take_that_rests_has_nothing_to_simplify(scene, head):
    action = new_take(head, np.zeros((30, 106), np.float32), 1.0, 25.0, Provenance())
    _, found = simplify_take(action)
    assert found.keys_before == found.keys_after and found.millimetres == 0.0
