# SPDX-License-Identifier: GPL-3.0-or-later
"""Check Lip Sync on the default head playing the default model's motion of the demo, and its markers and its fix."""

from __future__ import annotations

import json
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.flame.file import read_flame
from real_motion import ASSETS, demo_motion, demo_speech

from artalk_blender import registration
from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.markers import MARKERS_KEY, PREFIX, clear_markers, our_markers, put_markers
from artalk_blender.animation.take_data import TAKE_KEY, curves_of, is_edited, settings_of
from artalk_blender.animation.takes import Provenance, new_take, retune
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.head.build import Head, build_head
from artalk_blender.lip_check import CHECK_KEY, LipCheck, remembered
from artalk_blender.motion.gate import loudness
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.ops import check
from artalk_blender.runner import Runner
from artalk_blender.worker.job import Job

SPEECH = ASSETS / "demo_speech.wav"
START = 11


@pytest.fixture(scope="module")
def default_head():
    return read_flame(ASSETS / "default_head.npz")


@pytest.fixture
def head(extension, scene, default_head):
    ours = check not in registration.MODULES
    if ours:
        check.register()
    scene.render.fps, scene.render.fps_base = 24, 1.0
    add_sound_strip(scene, SPEECH, START)
    yield build_head(default_head, bpy.context)
    if ours:
        check.unregister()


def take_on(head: Head, late: float = 0.0, start: float = START, motion: np.ndarray | None = None):
    """A take of the demo whose motion comes so many seconds late, its settings knowing nothing of it."""
    rate = bpy.context.scene.render.fps / bpy.context.scene.render.fps_base
    return new_take(head, demo_motion() if motion is None else motion, start + late * rate, rate,
                    Provenance("demo", str(SPEECH)), loudness=loudness(demo_speech()))


def markers(scene) -> list[tuple[str, int]]:
    return sorted((marker.name, marker.frame) for marker in scene.timeline_markers)


def lag(scene, take) -> float:
    """As the check notes it, in milliseconds."""
    assert bpy.ops.artalk.check_lip_sync() == {"FINISHED"}
    return -remembered(scene, take)["fix_ms"]


def test_an_untouched_take_gets_no_markers(head, scene):
    take = take_on(head)
    assert bpy.ops.artalk.check_lip_sync() == {"FINISHED"}
    assert not len(scene.timeline_markers) and MARKERS_KEY not in scene
    found = remembered(scene, take)
    assert found["summary"].startswith("The lips fit the sound: they close for 1") and found["fix_ms"] == 0.0
    assert "neither early nor late" in check.fix_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.fix_sync_offset()


def test_checking_leaves_blender_free(head):
    class Told(Job):
        def say(self, text, kind="INFO"):
            raise AssertionError(text)

    take = take_on(head)
    runner, longest = Runner(LipCheck(bpy.context, take).work(Told())), 0.0
    while not runner.ended:
        began = time.thread_time()
        runner.advance(0.01)
        longest = max(longest, time.thread_time() - began)
        time.sleep(0.002)
    assert runner.result[0].report.findings == () and longest < 0.05


@pytest.mark.parametrize("late", [0.2, 0.12, -0.12, -0.2])
@pytest.mark.parametrize("fps", [(24, 1.0), (30, 1.001)])
def test_late_and_early_lips_are_mended_in_one_click(head, scene, late, fps):
    scene.render.fps, scene.render.fps_base = fps
    take = take_on(head, late)
    assert lag(scene, take) == pytest.approx(1e3 * late, abs=20.0)
    (name, frame), = markers(scene)
    assert name.startswith(f"{PREFIX}lips are ") and name.endswith(" ms late" if late > 0 else " ms early")
    assert frame == START
    assert bpy.ops.artalk.fix_sync_offset() == {"FINISHED"}
    assert settings_of(take)[0].offset_ms == pytest.approx(-1e3 * late, abs=20.0)
    assert scene.artalk.offset_ms == settings_of(take)[0].offset_ms
    assert not markers(scene) and CHECK_KEY not in scene
    assert lag(scene, take) == 0.0 and not markers(scene)


def test_a_moved_strip_makes_the_lips_late(head, scene):
    take = take_on(head)
    strip = scene.sequence_editor.strips[0]
    if hasattr(strip, "content_start"):
        strip.content_start -= 3
    else:
        strip.frame_start -= 3
    assert lag(scene, take) == pytest.approx(125.0, abs=20.0)


def test_edits_by_hand_count(head, scene):
    """Lips are judged as they play: closures pulled open in the F-curves are found where they are."""
    take = take_on(head)
    jaw = find_curve(take, ("OBJECT", 'pose.bones["jaw"].rotation_quaternion', 1))
    closing = [find_curve(take, ("KEY", f'key_blocks["{name}"].value', 0)) for name in
               ("mouthClose", "mouthRollLower", "mouthRollUpper", "mouthPressLeft", "mouthPressRight")]
    span = (START + 24 * 5.0, START + 24 * 5.12)  # the second p of “apple pies”
    for curve, value in [(jaw, 0.1), *((curve, 0.0) for curve in closing if curve is not None)]:
        for key in curve.keyframe_points:
            if span[0] - 2 <= key.co[0] <= span[1] + 2:
                key.co[1] = value
        curve.update()
    bpy.ops.artalk.check_lip_sync()
    found = markers(scene)
    assert found and all(name == f"{PREFIX}lips should close" for name, _ in found)
    assert any(span[0] - 1 <= frame <= span[1] + 1 for _, frame in found)
    assert "do not close for p, b or m" in remembered(scene, take)["summary"]


def test_a_face_that_goes_too_far_is_marked(head, scene):
    take = take_on(head)
    retune(take, ProcessSettings(clamp=False, intensity=3.0), head=head)
    bpy.ops.artalk.check_lip_sync()
    assert any(name == f"{PREFIX}face beyond its range" for name, _ in markers(scene))


def test_a_driven_head_is_checked_as_blender_shows_it(head, scene):
    take = take_on(head, 0.12)
    data = head.shape_keys.animation_data
    track = data.nla_tracks.new()
    action, slot = data.action, data.action_slot
    data.action = None
    strip = track.strips.new("face", int(action.frame_range[0]), action)
    strip.action_slot = slot
    strip.frame_start, strip.frame_end = action.frame_range
    assert bpy.ops.artalk.check_lip_sync() == {"FINISHED"}
    assert any(" ms late" in name for name, _ in markers(scene)), take.name


def test_markers_of_others_stay(head, scene):
    scene.timeline_markers.new("ARTalk: my own note", frame=5)
    scene.timeline_markers.new("act one", frame=1)
    take_on(head, 0.2)
    for _ in range(2):  # a second check replaces what the first one put
        bpy.ops.artalk.check_lip_sync()
        assert len(markers(scene)) == 3
    renamed = our_markers(scene)[0]
    renamed.name = "look at this"
    bpy.ops.artalk.check_lip_sync()
    assert {"ARTalk: my own note", "act one", "look at this"} < {name for name, _ in markers(scene)}
    moved = our_markers(scene)[0]
    moved.frame += 40
    assert bpy.ops.artalk.clear_lip_sync_markers() == {"FINISHED"}
    assert {name for name, _ in markers(scene)} == {"ARTalk: my own note", "act one", "look at this"}
    assert MARKERS_KEY not in scene and CHECK_KEY not in scene
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.clear_lip_sync_markers()


def test_copied_and_damaged_notes_of_markers_do_no_harm(scene):
    assert put_markers(scene, [(3.4, "lips should close"), (9.5, "lips should close"), (1e12, "far")]) == 3
    assert [frame for _, frame in markers(scene)] == [1_000_000, 3, 10]
    scene.timeline_markers.new(f"{PREFIX}lips should close", frame=77)  # a copy of ours
    assert sorted(marker.frame for marker in our_markers(scene)) == [3, 10, 1_000_000]
    for note in ("{", "[1, 2]", "7", '[["act one", 1]]', '[["ARTalk: far", "x"]]', "null"):
        scene[MARKERS_KEY] = note
        scene.timeline_markers.new("act one", frame=1)
        assert our_markers(scene) == [] and clear_markers(scene) == 0
    scene[MARKERS_KEY] = 3.0
    assert clear_markers(scene) == 0 and len(scene.timeline_markers) == 10
    for note in ("{", "[]", "3", json.dumps({"digest": "", "fix_ms": "soon"})):
        scene[CHECK_KEY] = note
        assert remembered(scene, None) == {}


def test_of_several_strips_those_of_the_take_are_checked(head, scene, tmp_path: Path):
    take = take_on(head)
    music = tmp_path / "music.wav"
    music.write_bytes(SPEECH.read_bytes())
    scene.sequence_editor.active_strip = add_sound_strip(scene, music, 400)
    again = add_sound_strip(scene, SPEECH, 600)
    assert [strip.name for strip in check.strips_of(bpy.context, take)] == ["demo_speech"]
    assert [strip.name for strip in check.strips_of(bpy.context, None)] == ["music"]
    scene.sequence_editor.strips.remove(scene.sequence_editor.strips["demo_speech"])
    assert check.strips_of(bpy.context, take) == [again], "none lies under the take: the nearest"
    scene.sequence_editor.strips.remove(again)
    assert [strip.name for strip in check.strips_of(bpy.context, take)] == ["music"]


def test_all_lines_of_a_take_are_checked(head, scene, tmp_path: Path):
    """Two strips, both spoken by one take; the second one is moved."""
    other = tmp_path / "other.wav"
    other.write_bytes(SPEECH.read_bytes())
    add_sound_strip(scene, other, START + 300)
    motion = np.zeros((313 + len(demo_motion()), 106), np.float32)
    for start in (0, 312):  # 300 frames at 24 are 312.5 of the motion
        motion[start : start + len(demo_motion())] = demo_motion()
    lines = [{"strip": name, "sha256": ""} for name in ("demo_speech", "other")]
    take = new_take(head, motion, START, 24.0, Provenance("two lines", str(SPEECH), lines=lines))
    assert [strip.name for strip in check.strips_of(bpy.context, take)] == ["demo_speech", "other"]
    assert bpy.ops.artalk.check_lip_sync() == {"FINISHED"}
    summary = remembered(scene, take)["summary"]
    assert summary.count("The lips fit the sound") == 2 and "“other”: " in summary
    for damaged in ("x", [1], [{"strip": 3}]):
        take[TAKE_KEY]["lines"] = damaged
        assert [strip.name for strip in check.strips_of(bpy.context, take)] == ["demo_speech"]


def test_the_reasons(extension, scene, head):
    assert "no take" in check.fix_reason(bpy.context)
    take = take_on(head, 0.2)
    assert "Check the lips first" in check.fix_reason(bpy.context)
    bpy.ops.artalk.check_lip_sync()
    assert check.fix_reason(bpy.context) == ""
    retune(take, ProcessSettings(intensity=0.9), head=head)
    assert "changed since" in check.fix_reason(bpy.context)
    scene.sequence_editor.strips.remove(scene.sequence_editor.strips[0])
    assert "Add a sound strip" in check.disabled_reason(bpy.context)
    bpy.data.objects.remove(head.mesh)
    assert "Select a head" in check.disabled_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.check_lip_sync()


def test_what_cannot_be_read_is_a_sentence_and_loses_nothing(head, scene, tmp_path: Path):
    take_on(head, 0.2)
    bpy.ops.artalk.check_lip_sync()
    before = markers(scene)
    scene.sequence_editor.strips[0].sound.filepath = str(tmp_path / "gone.wav")
    with pytest.raises(RuntimeError, match="no audio file"):
        bpy.ops.artalk.check_lip_sync()
    assert markers(scene) == before


def test_a_hand_animated_head_is_checked_too(head, scene):
    """No take: any keys will do."""
    take = take_on(head, 0.2)
    for key in (TAKE_KEY, "artalk_motion"):
        del take[key]
    assert bpy.ops.artalk.check_lip_sync() == {"FINISHED"}
    assert any(" ms late" in name for name, _ in markers(scene))
    assert remembered(scene, None)["fix_ms"] < 0 and "no take" in check.fix_reason(bpy.context)


@pytest.mark.parametrize("pushed", [False, True])
def test_edits_by_hand_are_moved_along(head, scene, pushed):
    take = take_on(head, 0.2)
    place = next(place for place in curves_of(take) if len(find_curve(take, place).keyframe_points) > 100)
    key = find_curve(take, place).keyframe_points[40]
    key.handle_left_type = key.handle_right_type = "FREE"
    key.co[1] += 0.5
    before = [tuple(point) for point in (key.co, key.handle_left, key.handle_right)]
    if pushed:
        bpy.ops.artalk.push_take_to_nla()
    bpy.ops.artalk.check_lip_sync()
    assert bpy.ops.artalk.fix_sync_offset() == {"FINISHED"}
    assert len(bpy.data.actions) == 1 and is_edited(take)
    frames = 24 * settings_of(take)[0].offset_ms / 1000
    assert frames == pytest.approx(-0.2 * 24, abs=0.5)
    key = find_curve(take, place).keyframe_points[40]
    for point, (frame, value) in zip((key.co, key.handle_left, key.handle_right), before, strict=True):
        assert tuple(point) == pytest.approx((frame + frames, value), abs=1e-3)
    assert lag(scene, take) == 0.0


def test_what_changes_the_scene_can_be_undone():
    for cls in check.CLASSES:
        undone = {"REGISTER"} if cls is check.ARTALK_OT_check_sound else {"REGISTER", "UNDO"}
        assert cls.bl_options == undone and cls.__doc__
