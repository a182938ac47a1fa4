# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes on targets with fewer keys, measured on the meshes that Blender shows: keys by name, bones, controls."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from characters import TO_BLENDER, armature, default_head, mesh_object, remeshed, speaking
from retarget_measures import speech_motion
from retarget_targets import Place, made, source_face
from rigify_face import generate, skin
from test_retarget_geometry import PLAIN, retarget
from test_takes_simplified import keys

from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.take_data import SIMPLIFIED, TAKE_KEY, curves_of, is_edited
from artalk_blender.animation.takes import Bound, Provenance, duplicate_take, new_take, play_take, retune, simplify_take
from artalk_blender.errors import ArtalkError
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.retarget.faces import _transfers
from artalk_blender.retarget.player import retarget_of_take
from artalk_blender.retarget.targets import ERROR_PROPERTY

BESIDE = Place(1.2, None, (0.4, 0.0, 0.0), 1.0)


@pytest.fixture
def source(scene, extension):
    """The default head says the demo."""
    return new_take(default_head(), speech_motion()[:150], 1, 25.0, Provenance("line"), PLAIN)


def shown(thing: bpy.types.Object, action: bpy.types.Action, frames: np.ndarray) -> np.ndarray:
    """(K,V,3) the mesh in its own axes, as Blender shows it with this take."""
    play_take(action, retarget_of_take(action))
    result = []
    for frame in frames:
        bpy.context.scene.frame_set(int(frame), subframe=float(frame % 1))
        data = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        points = np.empty(3 * len(data.vertices), np.float32)
        data.vertices.foreach_get("co", points)
        result.append(points.reshape(-1, 3))
    return np.stack(result)


def simplified(thing: bpy.types.Object, action: bpy.types.Action, bound: Bound) -> tuple[np.ndarray, object, float]:
    """(K,V) metres by which the mesh is off, what was said of it, and how many times as many keys there were."""
    dense = duplicate_take(action)
    result, found = simplify_take(action, bound)
    assert result == action and not is_edited(action)
    assert (found.keys_before, found.keys_after) == (keys(dense), keys(action))
    frames = np.arange(1.0, 100.0, 0.75)
    off = np.linalg.norm(shown(thing, dense, frames) - shown(thing, action, frames), axis=2)
    return off, found, keys(dense) / keys(action)


def test_keys_by_name_on_several_objects(source):
    face = remeshed()
    lashes = mesh_object("Lashes", np.random.default_rng(0).normal(size=(9, 3)) * 0.01, np.arange(9).reshape(3, 3),
                         {"eyeBlinkLeft": np.full((9, 3), 0.02)})
    lashes.select_set(True)
    bpy.context.scene.artalk_retarget.with_selected = True
    action = retarget(face)
    dense, frames = duplicate_take(action), np.arange(1.0, 100.0, 0.75)
    off, found, fewer = simplified(face, action, Bound(0.1, 0.1))
    lips = next(iter(_transfers.values())).found
    lips = np.unique(lips.places[lips.samples.lips].corners)
    assert fewer > 4.0 and found.closures >= 5 and found.closures_kept == found.closures
    assert off[:, lips].max() <= 1.2 * 1.05e-4  # the face is 1.2 times as large as the head
    assert off.max() <= 1.2 * 2.1e-4 and found.millimetres <= 0.1
    lash = shown(lashes, dense, frames)
    assert np.ptp(lash, axis=0).max() > 0.01
    assert 0.0 < np.linalg.norm(lash - shown(lashes, action, frames), axis=2).max() <= 1.2 * 2.1e-4
    shown(face, action, frames)
    error = next(curve for bag in action.layers[0].strips[0].channelbags for curve in bag.fcurves
                 if ERROR_PROPERTY in curve.data_path)
    assert len(error.keyframe_points) < 150, "the curve of the error has fewer keys too"
    # tuned, it stays simple; and what plays is what the settings say
    few = keys(action)
    assert retune(action, ProcessSettings(lips=1.2)) == action and keys(action) < 1.5 * few
    assert action[TAKE_KEY][SIMPLIFIED].to_dict() == {"millimetres": 0.1, "degrees": 0.1}
    assert simplify_take(action, Bound(0.3, 0.3))[1].keys_before == found.keys_before


def test_where_lips_are_not_known_all_is_held_to_their_bound(source):
    face = remeshed()
    action = retarget(face)
    _transfers.clear()
    bpy.data.objects.remove(next(one for one in bpy.data.objects if one.type == "ARMATURE"))  # the source
    off, found, fewer = simplified(face, action, Bound(0.1, 0.1))
    assert fewer > 3.0 and off.max() <= 1.05e-4 and (found.closures, found.closures_kept) == (0, 0)


@pytest.mark.parametrize("mode", ["QUATERNION", "XZY", "AXIS_ANGLE"])
def test_a_jaw_bone_and_keys(source, mode):
    """A skin that a jaw bone opens, the bone rolled; the head's and the neck's turns are within the angle."""
    found = made(BESIDE, jaw=True)
    jaw = found.face.jaw
    face = mesh_object("Face", found.face.neutral, found.face.triangles,
                       {name: found.face.deltas[index] for index, name in enumerate(found.face.names)
                        if name != "jawOpen"})
    joint = TO_BLENDER @ jaw.joint
    up = np.array([0.0, 0.0, 0.05])
    rig = armature("Rig", {"neck": ("", tuple(joint - 3 * up), tuple(joint - up), 0.4),
                           "head": ("neck", tuple(joint - up), tuple(joint + 2 * up), -1.0),
                           "jaw": ("head", tuple(joint), tuple(joint + [0.0, -0.06, -0.03]), 0.7)})
    for name, weights in (("jaw", jaw.weight), ("head", 1.0 - jaw.weight)):
        group = face.vertex_groups.new(name=name)
        for index, weight in enumerate(weights):
            group.add([index], float(weight), "REPLACE")
    face.modifiers.new("Armature", "ARMATURE").object = rig
    face.parent = rig
    for bone in rig.pose.bones:
        bone.rotation_mode = mode
    action = retarget(rig)
    assert any('"jaw"' in place[1] for place in curves_of(action))
    for name in ("head", "neck"):  # what they turn is bounded as an angle, and would hide the face's error
        for place in curves_of(action):
            if f'"{name}"' in place[1]:
                curve = find_curve(action, place)
                rest = 1.0 if place[1].endswith("quaternion") and place[2] == 0 else 0.0
                for point in curve.keyframe_points:
                    point.co.y = point.handle_left.y = point.handle_right.y = rest
                curve.update()
    dense = duplicate_take(action)
    result, said = simplify_take(action, Bound(0.1, 0.1))
    assert result != action, "edited by hand: a copy was simplified"
    assert keys(dense) / keys(result) > 3.5 and said.degrees <= 0.1
    frames = np.arange(1.0, 100.0, 0.75)
    before, after = shown(face, dense, frames), shown(face, result, frames)
    assert np.ptp(before[:, :, 2], axis=0).max() > 5e-3, "its mouth opens"
    assert np.linalg.norm(before - after, axis=2).max() <= 1.2 * 2.15e-4


def test_keys_that_are_solved_and_controls(scene, extension):
    new_take(default_head(), speaking(60), 1, 25.0, Provenance("line"), PLAIN)
    rig = generate()
    face = skin(rig)
    action = retarget(rig)
    for place in curves_of(action):  # the whole head's turn would hide the face's error
        if '"head"' in place[1] or '"neck"' in place[1]:
            find_curve(action, place).mute = True
    dense = duplicate_take(action)
    found = simplify_take(action, Bound(0.2, 0.2))
    action = found[0]
    assert keys(dense) / keys(action) > 2.0
    frames = np.arange(1.0, 60.0, 1.0)
    off = np.linalg.norm(shown(face, dense, frames) - shown(face, action, frames), axis=2)
    height = np.ptp(shown(face, dense, frames[:1])[0][:, 2]) / np.ptp(source_face().neutral[:, 1])
    assert off.max() <= height * 4.2e-4


def test_a_source_that_is_gone_and_a_bound_that_is_none(source):
    action = retarget(remeshed(keep=(17, 20, 23)))
    with pytest.raises(ArtalkError, match="simplified by"):
        Bound(20.0)
    name = action.name
    bpy.data.objects.remove(bpy.data.objects["Face"])
    with pytest.raises(ArtalkError, match="no longer here"):
        simplify_take(bpy.data.actions[name])
