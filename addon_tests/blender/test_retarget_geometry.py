# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting by geometry and with its error: keys whose names say nothing, FLAME heads of other people."""

from __future__ import annotations

import json

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from characters import TO_BLENDER, default_head, mesh_object, remeshed, speaking, value_at
from retarget_targets import Place, made
from test_panels import drawn

from artalk_blender.animation.take_data import TAKE_KEY, raw_motion
from artalk_blender.animation.takes import Provenance, new_take, remove_take, retune
from artalk_blender.command import main
from artalk_blender.head.build import build_head
from artalk_blender.head.identity import random_coefficients, set_identity
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.retarget import faces
from artalk_blender.retarget.names import ARKIT
from artalk_blender.retarget.player import retarget_of_take, retarget_take_on
from artalk_blender.retarget.rigs import find_preset
from artalk_blender.retarget.targets import ERROR_PROPERTY, fingerprint, target_of
from artalk_blender.retarget.work import LANDMARKS_KEY, make_retarget

PLAIN = ProcessSettings(smooth=False, clamp=False)
STUDIO = ("jawOpen", "mouthPucker", "mouthSmileLeft", "mouthSmileRight", "mouthClose", "mouthFunnel")


@pytest.fixture
def source(scene, extension):
    return new_take(default_head(), speaking(50), 1, 25.0, Provenance("line"), PLAIN)


def retarget(target: bpy.types.Object) -> bpy.types.Action:
    bpy.context.scene.artalk_retarget.target = target
    assert bpy.ops.artalk.retarget() == {"FINISHED"}
    return retarget_take_on(target)


def studio_face() -> bpy.types.Object:
    """A face in another mesh with keys of its own names, and clicked landmarks."""
    found = made(Place(1.0, None, (0.5, 0.0, 0.0), 0.5), keep=tuple(map(ARKIT.index, STUDIO)))
    thing = mesh_object("Studio", found.face.neutral, found.face.triangles,
                        {f"sculpt {index:02d}": found.face.deltas[index] for index in range(len(STUDIO))})
    thing[LANDMARKS_KEY] = json.dumps({name: (TO_BLENDER @ point).tolist()
                                       for name, point in found.face.landmarks.items()})
    return thing


def test_keys_of_any_name_are_solved_and_the_error_is_shown(source, tmp_path):
    face = studio_face()
    action = retarget(face)
    report = retarget_of_take(action).report
    assert report["lips_mm"][0] < 2.0, "millimetres at the lips, in the middle of the frames"
    assert report["missing"] == ["No eye blink on this rig."]
    jaw = [value_at(face, "sculpt 00", frame) for frame in range(1, 51)]
    assert np.corrcoef(jaw, speaking(50)[:, 103])[0, 1] > 0.95 and max(jaw) > 0.5
    curve = next(curve for bag in action.layers[0].strips[0].channelbags for curve in bag.fcurves
                 if ERROR_PROPERTY in curve.data_path)
    assert len(curve.keyframe_points) == 50
    bpy.context.view_layer.objects.active = face
    texts = drawn(bpy.context)
    assert any(text.startswith("Lips ") for text in texts["retarget"]) and "Gain" in texts["retarget_table"]
    # a live change keeps the solver and the error
    row = next(row for row in action.artalk_rows if row.target == "sculpt 00")
    before = value_at(face, "sculpt 00", 7)
    row.gain = 0.5
    assert value_at(face, "sculpt 00", 7) == pytest.approx(0.5 * before, abs=1e-4)
    assert retarget_of_take(action).report["lips_mm"][0] > report["lips_mm"][0]
    # a preset is found by the rig
    path = tmp_path / "studio.json"
    assert bpy.ops.artalk.retarget_save_preset(name="Studio", filepath=str(path)) == {"FINISHED"}
    found = find_preset(fingerprint(target_of(face)), [], [tmp_path])
    assert found is not None and next(row for row in found.table.rows if row.target == "sculpt 00").gain == 0.5
    remove_take(action)
    assert ERROR_PROPERTY not in face and face.data.shape_keys.animation_data.action is None


def test_a_flame_head_of_another_person_takes_the_motion_as_it_is(source):
    other = build_head(read_flame(DEFAULT_HEAD), bpy.context, "Other")
    bpy.context.scene.cursor.location = (0.5, 0, 0)
    set_identity(other, random_coefficients(3), bpy.context)
    made_for = make_retarget(source.name, other.armature.name, (), "auto", "auto", ())
    made_for.wants_error = False
    action = new_take(made_for, raw_motion(source), 1, 25.0, Provenance("line"), PLAIN)
    motion = speaking(50)
    assert value_at(other.mesh, "mouthPucker", 20) == pytest.approx(motion[19, ARKIT.index("mouthPucker")], abs=1e-5)
    assert value_at(other.mesh, "jawOpen", 20) == pytest.approx(0.0, abs=1e-6), "its jaw bone does that"
    bone = other.armature.pose.bones["jaw"]
    assert bone.rotation_quaternion[1] == pytest.approx(np.sin(motion[19, 103] / 2), abs=1e-5)
    root = other.armature.pose.bones["root"].rotation_quaternion
    assert 2 * np.arccos(root[0]) == pytest.approx(np.linalg.norm(motion[19, 100:103]), abs=1e-4)
    assert retune(action, ProcessSettings(head_gain=0.0)) == action


def test_the_command_line_retargets_a_file(source, tmp_path, capfd):
    face = remeshed(keep=tuple(range(14, 52)))
    name = source.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "in.blend"))
    faces._transfers.clear()
    arguments = ["retarget", str(tmp_path / "in.blend"), "--take", name, "--target", face.name, "--out",
                 str(tmp_path / "out.blend")]
    assert main([*arguments[:3], "nothing", *arguments[4:]]) == 2
    assert "no take “nothing”" in capfd.readouterr().err and not (tmp_path / "out.blend").exists()
    assert main(arguments) == 0
    said = capfd.readouterr()
    assert "mm off (median)" in said.out and "No eye blink on this rig." in said.err
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out.blend"))
    face = bpy.data.objects["Face"]
    assert value_at(face, "mouthPucker", 20) == pytest.approx(speaking(50)[19, ARKIT.index("mouthPucker")], abs=1e-5)
    assert retarget_take_on(face)[TAKE_KEY]["audio_name"] == "line"


def test_sides_are_told_apart_in_arkits_words(scene):
    """What a head says with its own numbers goes into shapes by their names, whatever order the head's stand in."""
    head, motion = default_head(), np.zeros((4, 106), np.float32)
    motion[0, 104], motion[1, 104] = 0.06, -0.06  # the jaw to its left, to its right
    for frame, name in ((2, "mouthLeft"), (3, "mouthRight")):
        motion[frame, head.expression_keys.index(name)] = 0.7
    values = faces.arkit_values(head, "", motion)
    left, right = values["jawLeft"] + values["mouthLeft"], values["jawRight"] + values["mouthRight"]
    assert left[[0, 2]].min() > 0.4 and right[[1, 3]].min() > 0.4
    assert left[[1, 3]].max() < 0.1 and right[[0, 2]].max() < 0.1
