# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting by names: a take on ARKit meshes and viseme heads; tuned, edited, removed like any take."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest
from characters import default_head, jaw_open, mesh_object, remeshed, speaking, value_at, viseme_head
from mathutils import Vector
from test_panels import drawn

from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.take_data import curves_of, is_edited, loudness_of, raw_motion
from artalk_blender.animation.takes import Provenance, duplicate_take, new_take, play_take, remove_take, retune
from artalk_blender.errors import ArtalkError
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.ops.retarget_landmarks import keep_landmarks
from artalk_blender.retarget.mapping import Table, table_from_json
from artalk_blender.retarget.names import ARKIT
from artalk_blender.retarget.places import hit
from artalk_blender.retarget.player import Retarget, retarget_of_take, retarget_take_on
from artalk_blender.retarget.tables import NAMES
from artalk_blender.retarget.targets import target_of
from artalk_blender.retarget.work import LANDMARKS_KEY, change_table, landmarks_of, make_retarget, source_of

PLAIN = ProcessSettings(smooth=False, clamp=False)


@pytest.fixture
def source(scene):
    """The default head with a take."""
    head = default_head()
    take = new_take(head, speaking(), 1, 25.0, Provenance("line"), PLAIN, loudness=np.ones(60, np.float32))
    return head, take


def put(take, target: str, *others: str, method: str = "auto") -> tuple[Retarget, object]:
    """A take on the target, keyed at once and not measured."""
    made_for = make_retarget(take.name, target, others, method, "auto", ())
    made_for.wants_error = False
    return made_for, new_take(made_for, raw_motion(take), 1, 25.0, Provenance("line"), PLAIN,
                              loudness=loudness_of(take))


def test_arkit_keys_of_another_mesh_follow_by_name(source):
    head, take = source
    face = remeshed(spell=lambda name: "fc_" + name.replace("Left", "_L").replace("Right", "_R"))
    lashes = mesh_object("Lashes", np.random.default_rng(0).normal(size=(9, 3)) * 0.01, np.arange(9).reshape(3, 3),
                         {"eyeBlinkLeft": np.ones((9, 3)) * 0.001, "beard": np.zeros((9, 3))})
    made_for, action = put(take, "Face", "Lashes")
    motion = speaking()
    for frame in (3, 8, 40):
        assert value_at(face, "fc_jawOpen", frame) == pytest.approx(min(jaw_open(motion)[frame - 1], 1.0), abs=1e-5)
        for name in ("mouthPucker", "mouthSmileLeft", "eyeBlinkRight"):
            key = "fc_" + name.replace("Left", "_L").replace("Right", "_R")
            assert value_at(face, key, frame) == pytest.approx(motion[frame - 1, ARKIT.index(name)], abs=1e-5)
        assert value_at(lashes, "eyeBlinkLeft", frame) == pytest.approx(motion[frame - 1, ARKIT.index("eyeBlinkLeft")],
                                                                        abs=1e-5)
    assert [slot.target_id_type for slot in action.slots].count("KEY") == 2
    assert retarget_take_on(face) == action and is_edited(action) is False
    assert head.shape_keys.animation_data.action == take, "the head goes on playing its own"
    assert any("beard" in note for note in made_for.report["notes"])


def test_a_target_is_tuned_and_removed_like_a_head(source):
    _, take = source
    face = remeshed(keep=(17, 20, 23))
    face.data.shape_keys.key_blocks["jawOpen"].value = 0.25
    own = bpy.data.actions.new("Mine")
    slot = own.slots.new(id_type="KEY", name="Key")
    face.data.shape_keys.animation_data_create()
    face.data.shape_keys.animation_data.action = own
    face.data.shape_keys.animation_data.action_slot = slot
    _, action = put(take, "Face")
    before = value_at(face, "jawOpen", 8)
    assert retune(action, ProcessSettings(smooth=False, clamp=False, jaw_gain=0.5)) == action
    assert value_at(face, "jawOpen", 8) == pytest.approx(0.5 * before, rel=1e-4)
    later = retune(action, ProcessSettings(smooth=False, clamp=False, offset_ms=400.0))
    assert value_at(face, "jawOpen", 18) == pytest.approx(before, rel=1e-4) and later == action
    copy = duplicate_take(action)
    play_take(copy, retarget_of_take(copy))
    assert face.data.shape_keys.animation_data.action == copy
    remove_take(copy)
    assert face.data.shape_keys.animation_data.action == action
    remove_take(action)
    assert face.data.shape_keys.animation_data.action == own and face.data.shape_keys.animation_data.action_slot == slot
    assert face.data.shape_keys.key_blocks["jawOpen"].value == pytest.approx(0.25)
    assert not own.use_fake_user


def test_an_objects_own_animation_goes_on(source):
    _, take = source
    face = remeshed(keep=(17,))
    for frame in (1, 21):
        face.location.x = frame / 20
        face.keyframe_insert("location", frame=frame)
    own = face.animation_data.action
    _, action = put(take, "Face")
    assert value_at(face, "jawOpen", 11) == pytest.approx(jaw_open(speaking())[10], abs=1e-5)
    assert face.matrix_world.translation.x == pytest.approx(11 / 20, abs=1e-3)
    remove_take(action)
    assert face.animation_data.action == own and not len(face.animation_data.nla_tracks)


def test_the_takes_panel_works_on_the_target_that_is_active(source, extension):
    head, take = source
    face = remeshed(keep=(17,))
    put(take, "Face")
    before = value_at(face, "jawOpen", 8)
    bpy.context.view_layer.objects.active = face
    whose = f"This is about “{head.armature.name}”, not about “Face”"
    texts = drawn(bpy.context)
    assert all(whose in " ".join(texts[panel]) for panel in ("generate", "style"))
    settings = bpy.context.scene.artalk
    settings.smooth = settings.clamp = False
    settings.jaw_gain = 0.5
    assert bpy.ops.artalk.retune_take() == {"FINISHED"}
    assert value_at(face, "jawOpen", 8) == pytest.approx(0.5 * before, rel=1e-4)
    assert value_at(head.mesh, "jawOpen", 8) == 0.0 and head.shape_keys.animation_data.action == take
    playing = face.data.shape_keys.animation_data.action
    dense = len(find_curve(playing, curves_of(playing)[0]).keyframe_points)
    assert bpy.ops.artalk.simplify_take() == {"FINISHED"}
    assert len(find_curve(playing, curves_of(playing)[0]).keyframe_points) < 0.6 * dense
    assert value_at(face, "jawOpen", 8) == pytest.approx(0.5 * before, abs=0.01)
    assert bpy.ops.artalk.push_take_to_nla() == {"FINISHED"}
    assert value_at(face, "jawOpen", 8) == pytest.approx(0.5 * before, abs=0.01)
    assert bpy.ops.artalk.remove_take() == {"FINISHED"}
    assert list(bpy.data.actions) == [take] and not len(face.data.shape_keys.animation_data.nla_tracks)


def test_other_programs_files_go_out_of_a_target_and_into_a_head(source, extension, tmp_path):
    head, take = source
    bpy.context.scene.render.fps = 25
    face = remeshed(keep=(17,))
    put(take, "Face")
    bpy.context.view_layer.objects.active = face
    for form, suffix in (("LIVE_LINK", ".csv"), ("AUDIO2FACE", ".json"), ("VRMA", ".vrma")):
        assert bpy.ops.artalk.export_face(filepath=str(tmp_path / "line"), form=form) == {"FINISHED"}
        assert (tmp_path / f"line{suffix}").stat().st_size > 1000
    bpy.context.view_layer.objects.active = head.armature
    assert bpy.ops.artalk.import_live_link(filepath=str(tmp_path / "line.csv"), start_frame=1) == {"FINISHED"}
    assert head.shape_keys.animation_data.action != take
    motion = speaking()
    assert value_at(head.mesh, "jawOpen", 8) == pytest.approx(jaw_open(motion)[7], abs=0.02)
    assert value_at(head.mesh, "mouthPucker", 20) == pytest.approx(motion[19, ARKIT.index("mouthPucker")], abs=0.02)
    (tmp_path / "bad.csv").write_text("a,b")
    with pytest.raises(RuntimeError, match="no recording of Live Link Face"):
        bpy.ops.artalk.import_live_link(filepath=str(tmp_path / "bad.csv"))


def test_linked_characters(source, tmp_path):
    """Refused as long as they are linked; an override gets its mesh overridden too, and keeps its keys in a file."""
    _, take = source
    library = tmp_path / "character.blend"
    bpy.data.libraries.write(str(library), {remeshed("Linked", keep=(17, 20))})
    bpy.data.objects.remove(bpy.data.objects["Linked"])
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = ["Linked"]
    linked = wanted.objects[0]
    bpy.context.collection.objects.link(linked)
    with pytest.raises(ArtalkError, match="linked from another file"):
        make_retarget(take.name, "Linked", (), "auto", "auto", ())
    name = linked.override_create(remap_local_usages=True).name
    made_for, _ = put(take, name)
    assert any("override" in note for note in made_for.report["notes"])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    again = next(one for one in bpy.data.objects if one.name == name and one.library is None)
    assert value_at(again, "jawOpen", 8) == pytest.approx(jaw_open(speaking())[7], abs=1e-5)


def test_landmarks_are_places_at_rest_under_the_pointer(source, extension):
    face = remeshed(keep=(17,))
    bpy.context.scene.artalk_retarget.target = face
    bpy.context.view_layer.update()
    nose = min((vertex.co for vertex in face.data.vertices), key=lambda place: place.y)
    found = hit(bpy.context, face, nose + Vector((0.0, -1.0, 0.0)), Vector((0.0, 1.0, 0.0)))
    assert (Vector(found.rest) - nose).length < 1e-6
    key = face.data.shape_keys.key_blocks["jawOpen"]
    key.value = 1.0
    bpy.context.view_layer.update()
    corners = min(([*triangle.vertices] for triangle in face.data.polygons),
                  key=lambda corners: sum(key.data[corner].co.z for corner in corners) if all(
                      (key.data[corner].co - face.data.vertices[corner].co).z < -0.02 for corner in corners) else 9.0)
    shown, rest = (sum((points[corner].co for corner in corners), Vector()) / 3.0
                   for points in (key.data, face.data.vertices))
    found = hit(bpy.context, face, shown + Vector((0.0, -1.0, 0.0)), Vector((0.0, 1.0, 0.0)))
    assert (shown - rest).length > 0.02 and (Vector(found.rest) - rest).xz.length < 1e-4, "as it is while nothing plays"
    key.value = 0.0
    bpy.context.view_layer.update()
    assert hit(bpy.context, face, nose + Vector((5.0, -1.0, 0.0)), Vector((0.0, 1.0, 0.0))) is None
    with pytest.raises(ArtalkError, match="not enough"):
        keep_landmarks(face, {"chin": found.rest})
    keep_landmarks(face, dict.fromkeys(("chin", "nose_tip", "mouth_left", "mouth_right"), found.rest))
    assert set(landmarks_of(target_of(face))) == {"chin", "nose_tip", "mouth_left", "mouth_right"}
    face[LANDMARKS_KEY] = '{"chin": [1, 2]}'
    assert landmarks_of(target_of(face)) == {}
    assert bpy.ops.artalk.retarget_clear_landmarks() == {"FINISHED"} and LANDMARKS_KEY not in face


def test_keys_edited_by_hand_stay(source):
    _, take = source
    face = remeshed(keep=(17,))
    _, action = put(take, "Face")
    curve = action.layers[0].strips[0].channelbags[0].fcurves[0]
    curve.keyframe_points[5].co.y = 0.9
    curve.update()
    other = retune(action, ProcessSettings(intensity=0.0))
    assert other != action and retarget_take_on(face) == other
    assert curve.keyframe_points[5].co.y == pytest.approx(0.9)
    assert value_at(face, "jawOpen", 8) == 0.0


def test_the_table_is_live_and_checked(source):
    _, take = source
    face = remeshed(keep=(17, 19, 20))
    made_for, action = put(take, "Face")
    table = made_for.table
    row = next(row for row in table.rows if row.target == "mouthFunnel")
    table = table.with_row(replace(row, source="0.5*mouthPucker+jawOpen", gain=0.5, offset=0.1, high=0.4))
    change_table(action, table)
    motion = speaking()
    wanted = np.clip(0.5 * (0.5 * motion[:, ARKIT.index("mouthPucker")] + jaw_open(motion)) + 0.1, 0.0, 0.4)
    assert value_at(face, "mouthFunnel", 8) == pytest.approx(wanted[7], abs=1e-5)
    change_table(action, table.with_row(replace(row, mute=True)))
    assert retarget_of_take(action).table.rows[1].mute
    curves = [curve.data_path for bag in action.layers[0].strips[0].channelbags for curve in bag.fcurves]
    assert 'key_blocks["mouthFunnel"].value' not in curves
    assert Table.from_dict(table.as_dict()) == table


def test_drivers_keep_their_keys(source):
    _, take = source
    face = remeshed(keep=(17, 20))
    block = face.data.shape_keys.key_blocks["jawOpen"]
    block.driver_add("value").driver.expression = "0.125"
    made_for, _ = put(take, "Face")
    assert any("drivers" in note and "jawOpen" in note for note in made_for.report["notes"])
    assert value_at(face, "jawOpen", 8) == pytest.approx(0.125)
    assert value_at(face, "mouthPucker", 20) > 0.1


def test_a_head_of_visemes_opens_and_rounds_its_mouth(source):
    _, take = source
    thing = viseme_head()
    made_for, _ = put(take, "Cartoon")
    assert {row.target for row in made_for.table.rows} == {"A", "I", "U", "E", "O", "Blink"}
    motion = speaking()
    opened, rounded = int(jaw_open(motion)[:12].argmax()) + 1, int(motion[:, ARKIT.index("mouthPucker")].argmax()) + 1
    assert sum(value_at(thing, key, opened) for key in "AEO") > 0.5
    assert value_at(thing, "U", rounded) > 0.3
    assert value_at(thing, "Blink", int(motion[:, ARKIT.index("eyeBlinkLeft")].argmax()) + 1) == pytest.approx(
        1.0, abs=0.01)
    assert all(value_at(thing, key, 1) < 0.05 for key in "AIUEO")


def test_what_cannot_be_done_is_said(source):
    _, take = source
    cube = mesh_object("Cube", np.eye(3) * 0.1, np.array([[0, 1, 2]]), {})
    names = mesh_object("Odd", np.eye(3) * 0.1, np.array([[0, 1, 2]]), {"Schnute": np.ones((3, 3))})
    for target, method, said in (("Cube", "auto", "neither shape keys nor bones"), ("Odd", NAMES, "No shape key"),
                                 ("Nobody", "auto", "no object")):
        with pytest.raises(ArtalkError, match=said):
            make_retarget(take.name, target, (), method, "auto", ())
    names.data.shape_keys.use_relative = False
    with pytest.raises(ArtalkError, match="not relative"):
        make_retarget(take.name, "Odd", (), "auto", "auto", ())
    with pytest.raises(ArtalkError, match="plays the take itself"):
        make_retarget(take.name, source[0].armature.name, (), "auto", "auto", ())
    with pytest.raises(ArtalkError, match="no take"):
        source_of("nothing")
    with pytest.raises(ArtalkError, match="no mapping table"):
        table_from_json('{"rows": [{"target": "a", "source": "b", "gain": 1e400}]}')
    assert cube.animation_data is None and len(bpy.data.actions) == 1
