# SPDX-License-Identifier: GPL-3.0-or-later
"""Regenerate Range with the real worker and the default model: joins, what stays, what is said where it can't be."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_MODEL, DEMO_SPEECH
from conftest import voice, write_wav

from artalk_blender.animation import simplify
from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.follow import follow_strip
from artalk_blender.animation.nla import playing_take
from artalk_blender.animation.take_data import (
    ALL_KEYS,
    DIGEST,
    LINES,
    SIMPLIFIED,
    TAKE_KEY,
    Provenance,
    is_edited,
    loudness_of,
    raw_motion,
    settings_of,
    takes,
    times_of,
)
from artalk_blender.animation.takes import new_take, remove_take, simplify_take
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.errors import EngineError
from artalk_blender.head.handle import find_head
from artalk_blender.motion.process import process_motion
from artalk_blender.ops import regenerate
from artalk_blender.ops.regenerate import disabled_reason, range_reason
from artalk_blender.regeneration import RANGES, Regeneration, Wish
from artalk_blender.runner import Runner, Stopped
from artalk_blender.worker.job import Job, is_busy

pytestmark = [
    pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason="the default model has not been made yet"),
    pytest.mark.filterwarnings("ignore:'SoundStrip:DeprecationWarning"),    # 5.2 has other names, 4.5 has only these
]
FACE = ("KEY", 'key_blocks["shape_3"].value', 0)


@pytest.fixture
def ready(extension, scene, head_file):
    """The extension with the operator, a head, 25 frames a second."""
    there = hasattr(bpy.types, regenerate.ARTALK_OT_regenerate_range.__name__)
    if not there:
        regenerate.register()
    scene.render.fps, scene.render.fps_base = 25, 1.0
    bpy.ops.artalk.add_head(filepath=str(head_file))
    yield scene
    if not there:
        regenerate.unregister()


@pytest.fixture
def take(ready):
    """A take of the demo speech, 188 frames, the first at scene frame 11."""
    add_sound_strip(ready, DEMO_SPEECH, 11)
    ready.artalk.brows = 1.5
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    return playing_take(find_head(bpy.context))


def again(**wish) -> bpy.types.Action:
    """The take that plays afterwards."""
    assert bpy.ops.artalk.regenerate_range(**wish) == {"FINISHED"}
    return playing_take(find_head(bpy.context))


def ranges(action: bpy.types.Action) -> list[dict]:
    return json.loads(action[TAKE_KEY][RANGES])


def values(action: bpy.types.Action, frames: np.ndarray) -> np.ndarray:
    curve = find_curve(action, FACE)
    return np.array([curve.evaluate(float(frame)) for frame in frames])


def test_a_new_take_beside_the_old_one(take):
    name, old, look = take.name, raw_motion(take), take[TAKE_KEY][DIGEST]
    new = again(start=51.0, end=120.0)
    assert new != take and new.name == f"{name} range" and len(takes()) == 2
    made = raw_motion(new)
    assert np.array_equal(made[:40], old[:40]) and np.array_equal(made[110:], old[110:])
    assert np.abs(made[45:105] - old[45:105]).max() > 1e-3
    assert np.array_equal(raw_motion(take), old) and take[TAKE_KEY][DIGEST] == look and not is_edited(take)
    assert settings_of(new) == settings_of(take) and settings_of(new)[0].brows == 1.5
    assert np.array_equal(loudness_of(new), loudness_of(take))
    kept, before = new[TAKE_KEY].to_dict(), take[TAKE_KEY].to_dict()
    assert kept["id"] != before["id"] and not is_edited(new) and "unfinished" not in kept
    for part in ("audio_sha256", "audio_path", "strip", "start_frame", "times", "scene_fps", "model_sha256"):
        assert kept[part] == before[part], part
    (note,) = ranges(new)
    assert (note["start"], note["stop"], note["variation"], note["model"]) == (40, 110, 1, "default")
    face = find_head(bpy.context).face_channels()
    wanted = process_motion(made, settings_of(new)[0], face, loudness_of(new))
    assert values(new, 11 + np.arange(len(made))) == pytest.approx(wanted[:, 3], abs=2e-5)
    remove_take(new)
    assert playing_take(find_head(bpy.context)) == take


def test_nobody_sees_the_joins(take):
    """Between two frames the curves change at the ends about as they do anywhere."""
    old = raw_motion(take)
    made = raw_motion(again(start=61.0, end=131.0, variation=3))
    for part in (slice(0, 52), slice(100, 103), slice(103, 106)):
        for order in (1, 2, 3):
            sizes, own = (np.linalg.norm(np.diff(motion[:, part].astype(float), n=order, axis=0), axis=1)
                          for motion in (made, old))
            at = [sizes[end - order : end].max() for end in (50, 121)]
            assert max(at) < 1.6 * np.percentile(own, 97), (part, order)


def test_the_models_own_choice_from_its_own_past_is_the_same_again(take):
    old = raw_motion(take)
    new = again(start=111.0, end=400.0, variation=0)    # from where a chunk begins to the end
    # not to the bit: the lids of the model's past are the rule's, and the model is told that they were open
    apart = raw_motion(new) - old
    assert np.abs(apart).max() < 0.1 and np.sqrt((apart * apart).mean()) < 0.005
    assert ranges(new)[0]["stop"] == len(old)


def test_into_the_same_take(take, ready):
    old, identity = raw_motion(take), take[TAKE_KEY]["id"]
    assert again(start=61.0, end=101.0, in_place=True) == take and len(takes()) == 1
    first = raw_motion(take)
    assert not np.array_equal(first, old) and len(first) == len(old) and not is_edited(take)
    assert again(start=121.0, end=161.0, variation=2, in_place=True) == take
    second = raw_motion(take)
    assert np.array_equal(second[:110], first[:110]) and not np.array_equal(second, first)
    assert [(note["start"], note["stop"]) for note in ranges(take)] == [(50, 91), (110, 151)]
    wanted = process_motion(second, settings_of(take)[0], find_head(bpy.context).face_channels(), loudness_of(take))
    assert values(take, 11 + np.arange(len(second))) == pytest.approx(wanted[:, 3], abs=2e-5)
    assert take[TAKE_KEY]["id"] == identity and settings_of(take)[0].brows == 1.5


def test_a_take_edited_by_hand_stays_as_it_is(take):
    find_curve(take, FACE).keyframe_points[20].co[1] += 0.5
    look, old = values(take, np.arange(11.0, 190.0)), raw_motion(take)
    new = again(start=61.0, end=101.0, in_place=True)
    assert new != take and np.array_equal(raw_motion(take), old)
    assert np.array_equal(values(take, np.arange(11.0, 190.0)), look) and is_edited(take) and not is_edited(new)


def test_the_same_variation_is_the_same_motion(take):
    first, second, third = (raw_motion(again(start=61.0, end=101.0, variation=n, in_place=False)) for n in (5, 5, 6))
    # each goes on from the take that plays, whose frames before the range are the same
    assert np.array_equal(first[62:79], second[62:79]) and not np.array_equal(second, third)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_simplified_take_stays_simplified(take, in_place):
    simplify_take(take)
    few = len(find_curve(take, FACE).keyframe_points)
    new = again(start=61.0, end=101.0, in_place=in_place)
    assert (new == take) == in_place
    assert new[TAKE_KEY][SIMPLIFIED].to_dict() == take[TAKE_KEY][SIMPLIFIED].to_dict()
    assert len(find_curve(new, FACE).keyframe_points) < 1.5 * few + 10


def test_whole_frames_stay_whole_frames(ready):
    ready.render.fps, ready.artalk.mode, ready.artalk.head = 24, "whole", "neck"
    add_sound_strip(ready, DEMO_SPEECH, 1)
    bpy.ops.artalk.generate_motion()
    take = playing_take(find_head(bpy.context))
    for in_place in (True, False):
        new = again(start=61.0, end=101.0, in_place=in_place)
        assert (new == take) == in_place and settings_of(new)[1] == settings_of(take)[1] and not is_edited(new)
        frames = [key.co[0] for key in find_curve(new, FACE).keyframe_points]
        assert frames == list(range(1, len(frames) + 1))


@pytest.mark.parametrize("fps", [24, 60])
def test_which_range_is_meant(ready, fps):
    scene = ready
    scene.render.fps = fps
    add_sound_strip(scene, DEMO_SPEECH, 1)
    scene.artalk.offset_ms = 200.0
    bpy.ops.artalk.generate_motion()
    assert "preview range" in range_reason(bpy.context)
    with pytest.raises(RuntimeError, match=r"No range is chosen\. Set a preview range"):
        bpy.ops.artalk.regenerate_range()
    for second in (2.2, 4.2):
        scene.timeline_markers.new("", frame=1 + round(second * fps)).select = True
    scene.timeline_markers.new("not meant", frame=1).select = False
    assert range_reason(bpy.context) == ""
    (note,) = ranges(again())
    assert (note["start"], note["stop"]) == pytest.approx((50, 101), abs=1)
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 1 + round(1.2 * fps), 1 + round(3.2 * fps)
    *_, note = ranges(again())
    assert (note["start"], note["stop"]) == pytest.approx((25, 76), abs=1)
    *_, note = ranges(again(start=1 + 5.2 * fps, end=1 + 3.2 * fps))    # the other way round
    assert (note["start"], note["stop"]) == pytest.approx((75, 126), abs=1)


def test_a_pushed_take_that_was_moved_is_meant_where_it_is_seen(take):
    bpy.ops.artalk.push_take_to_nla()
    for owner in (find_head(bpy.context).shape_keys, find_head(bpy.context).armature):
        strip = owner.animation_data.nla_tracks[0].strips[0]
        strip.frame_end = strip.frame_end + 20
        strip.frame_start = strip.frame_start + 20
    (note,) = ranges(again(start=81.0, end=121.0))
    length = note["stop"] - note["start"]
    assert note["start"] == pytest.approx(50, abs=3) and length == pytest.approx(41, abs=5)


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"start": 300.0, "end": 400.0}, r"outside the take\. Choose one from frame 11 to 198"),
    ({"start": -50.0, "end": 10.0}, "outside the take"),
    ({"start": 61.0, "end": 64.0}, "shorter than 0.2 seconds"),
    ({"start": -50.0, "end": 13.0}, "shorter than 0.2 seconds"),
])
def test_a_range_that_cannot_be_is_a_sentence(take, wish, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.artalk.regenerate_range(**wish)
    assert takes() == [take] and RANGES not in take[TAKE_KEY]


def test_why_the_button_is_grey(ready, motion):
    assert "plays no take" in disabled_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.regenerate_range(start=1.0, end=50.0)
    new_take(find_head(bpy.context), motion, 1.0, 25.0, Provenance("a file"))
    assert "not made from a sound strip" in disabled_reason(bpy.context)
    bpy.ops.object.delete()
    assert "head" in disabled_reason(bpy.context)


def test_a_strip_that_is_gone_trimmed_or_at_another_speed(take, ready):
    strip = ready.sequence_editor.strips_all[0]
    end = strip.frame_final_end
    strip.frame_final_end = end - 30
    with pytest.raises(RuntimeError, match="was trimmed, or plays at another speed"):
        bpy.ops.artalk.regenerate_range(start=61.0, end=101.0)
    strip.frame_final_end = end
    strip.frame_offset_start = 5
    with pytest.raises(RuntimeError, match="was trimmed, or plays at another speed"):
        bpy.ops.artalk.regenerate_range(start=61.0, end=101.0)
    strip.frame_offset_start = 0
    strip.frame_start += 40      # only moved: the take is where it was, and so is the range
    (note,) = ranges(again(start=61.0, end=101.0))
    assert note["start"] == 50
    ready.sequence_editor.strips.remove(strip)
    assert "not in the Video Sequencer" in disabled_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.regenerate_range(start=61.0, end=101.0)


def test_a_changed_sound_is_refused_unless_it_is_meant(ready, tmp_path: Path):
    path = write_wav(tmp_path / "line.wav", voice(6.0))
    add_sound_strip(ready, path, 1)
    bpy.ops.artalk.generate_motion()
    take = playing_take(find_head(bpy.context))
    edited = voice(6.0)
    edited[48000:72000] = 0.0
    write_wav(path, edited)
    with pytest.raises(RuntimeError, match=r"not the one that the take was made from\. Allow changed sound"):
        bpy.ops.artalk.regenerate_range(start=76.0, end=113.0)
    new = again(start=76.0, end=113.0, variation=0, changed_sound=True)
    assert np.array_equal(loudness_of(new)[:75], loudness_of(take)[:75])
    assert loudness_of(new)[80:108].max() < -90.0 < loudness_of(take)[80:108].max()
    assert not np.array_equal(raw_motion(new)[85:105], raw_motion(take)[85:105])
    path.write_bytes(b"nothing any more")
    with pytest.raises(RuntimeError, match="is not an audio file"):
        bpy.ops.artalk.regenerate_range(start=76.0, end=113.0)


def test_two_lines_of_one_take(ready, tmp_path: Path):
    first = add_sound_strip(ready, write_wav(tmp_path / "one.wav", voice(2.0)), 1)
    second = add_sound_strip(ready, write_wav(tmp_path / "two.wav", voice(2.0)), 76)
    first.select = second.select = True
    ready.artalk.selected_strips = True
    bpy.ops.artalk.generate_motion()
    take = playing_take(find_head(bpy.context))
    new = again(start=60.0, end=100.0)
    (note,) = ranges(new)
    assert (note["start"], note["stop"]) == (59, 100) and len(raw_motion(take)) == 125
    assert new[TAKE_KEY][LINES] == take[TAKE_KEY][LINES]
    second.frame_start += 13    # the take's lines are where they were
    old, made = raw_motion(new), raw_motion(again(start=60.0, end=100.0, variation=0))
    assert np.array_equal(made[:59], old[:59]) and np.array_equal(made[100:], old[100:])
    second.frame_offset_start = 3
    with pytest.raises(RuntimeError, match="was trimmed"):
        bpy.ops.artalk.regenerate_range(start=60.0, end=100.0)


def test_a_take_that_followed_its_trimmed_strip(take, ready):
    """Its motion begins within a frame of the sound; what is made again lies where the sound has it."""
    ready.render.fps = 30       # so that a trim falls between two frames of motion
    remove_take(take)
    strip = ready.sequence_editor.strips_all[0]
    bpy.ops.artalk.generate_motion()
    take = playing_take(find_head(bpy.context))
    strip.frame_offset_start = 17
    strip.frame_offset_end = 20
    with pytest.raises(RuntimeError, match=r"was trimmed.*Let the take follow its strip"):
        bpy.ops.artalk.regenerate_range(start=81.0, end=161.0)
    follow_strip(take, ready)
    old = raw_motion(take)
    start, end = 1.2, 5.2
    frames = times_of(take).frames_at(np.array([start, end]))
    made = raw_motion(again(start=float(frames[0]), end=float(frames[1]), variation=0))
    assert np.array_equal(made[:29], old[:29]) and len(made) == len(old)
    # the same words: the lips do what they did, no frame earlier or later
    jaw = [np.corrcoef(np.roll(made[:, 103], shift)[40:125], old[40:125, 103])[0, 1] for shift in (-1, 0, 1)]
    assert jaw[1] > 0.97 and jaw[1] == max(jaw)


def test_a_take_of_an_older_version_knows_its_strip_by_less(take, ready):
    stored = take[TAKE_KEY]
    stored[LINES] = "[]"
    strip = ready.sequence_editor.strips_all[0]
    strip.frame_start += 7
    (note,) = ranges(again(start=61.0, end=101.0))
    assert note["start"] == 50
    strip.frame_offset_start = 4
    with pytest.raises(RuntimeError, match="was trimmed"):
        bpy.ops.artalk.regenerate_range(start=61.0, end=101.0)


@pytest.mark.parametrize("lines", ['[3, "x"]', "[{}]", '[{"strip": 4, "look": 5, "sha256": []}]', "{", "[]"])
def test_a_take_with_damaged_notes_works_or_is_a_sentence(take, lines: str):
    take[TAKE_KEY][LINES] = lines
    take[TAKE_KEY]["strip"] = {"offset": "x", "start": float("nan")}
    said = ""
    try:
        bpy.ops.artalk.regenerate_range(start=61.0, end=101.0)
    except RuntimeError as error:
        said = str(error)
    assert "Traceback" not in said and len(said) < 200


def to_the_end(runner: Runner) -> None:
    while not runner.advance(0.01):
        time.sleep(0.005)


class _Silent(Job):
    def say(self, text: str, kind: str = "INFO") -> None:
        self.text = text


@pytest.mark.parametrize(("doing", "in_place"), [
    ("Reading", True), ("Starting the engine", True), ("Writing keys", True), ("Reading", False),
    ("Writing keys", False),
])
def test_stopped_in_the_middle_nothing_has_changed(take, in_place: bool, doing: str):
    old, look, shown = raw_motion(take), take[TAKE_KEY][DIGEST], values(take, np.arange(1.0, 220.0, 0.7))
    job, head = _Silent(), find_head(bpy.context)
    runner = Runner(Regeneration(bpy.context, take, head, Wish(61.0, 121.0, 1, in_place)).work(job))
    while not job.text.startswith(doing):
        assert not runner.advance(0.0)
    while doing == "Writing keys" and len(bpy.data.actions) == 1 and not is_edited(take):
        assert not runner.advance(0.0)
    runner.stop()
    with pytest.raises(Stopped):
        to_the_end(runner)
    assert list(bpy.data.actions) == [take] and not is_edited(take) and RANGES not in take[TAKE_KEY]
    assert np.array_equal(values(take, np.arange(1.0, 220.0, 0.7)), shown)
    assert takes() == [take] and np.array_equal(raw_motion(take), old) and take[TAKE_KEY][DIGEST] == look
    assert playing_take(find_head(bpy.context)) == take and not is_busy()


def test_stopped_while_keys_are_taken_out_nothing_has_changed(take, monkeypatch):
    simplify_take(take)
    old, shown = raw_motion(take), values(take, np.arange(1.0, 220.0, 0.7))
    stopped, plan = threading.Event(), simplify._plan
    runner = Runner(Regeneration(bpy.context, take, find_head(bpy.context), Wish(61.0, 121.0, 1, True)).work(_Silent()))
    with monkeypatch.context() as patch:
        patch.setattr(simplify, "_plan", lambda *arguments: stopped.wait(10.0) and plan(*arguments))
        while ALL_KEYS not in take[TAKE_KEY]:
            assert not runner.advance(0.0)
        runner.stop()
        stopped.set()
        with pytest.raises(Stopped):
            to_the_end(runner)
    assert np.array_equal(raw_motion(take), old) and not is_edited(take) and ALL_KEYS not in take[TAKE_KEY]
    assert values(take, np.arange(1.0, 220.0, 0.7)) == pytest.approx(shown, abs=1e-6) and SIMPLIFIED in take[TAKE_KEY]
    assert list(bpy.data.actions) == [take]


@pytest.mark.parametrize("in_place", [True, False])
def test_blender_is_never_held_for_50_ms(ready, tmp_path: Path, in_place: bool):
    """Of this thread's own time, so that what else the machine does is not counted; a take of a minute."""
    add_sound_strip(ready, write_wav(tmp_path / "long.wav", voice(60.0)), 1)
    bpy.ops.artalk.generate_motion()
    head, longest, ended = find_head(bpy.context), 0.0, False
    started = time.thread_time()
    wish = Wish(400.0, 460.0, 1, in_place)
    runner = Runner(Regeneration(bpy.context, playing_take(head), head, wish).work(_Silent()))
    while not ended:
        ended = runner.advance(0.015)
        longest = max(longest, time.thread_time() - started)
        time.sleep(0.005)
        started = time.thread_time()
    print(f"held for {1000 * longest:.0f} ms at most")
    assert longest < 0.05


def test_the_head_or_the_take_goes_meanwhile(take):
    job, head = _Silent(), find_head(bpy.context)
    runner = Runner(Regeneration(bpy.context, take, head, Wish(61.0, 121.0)).work(job))
    runner.advance(0.0)
    remove_take(take)
    with pytest.raises(EngineError, match="is gone"):
        to_the_end(runner)
    assert not takes() and not is_busy()


def test_saved_and_opened_again(take, tmp_path: Path):
    old = raw_motion(take)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    made = raw_motion(again(start=61.0, end=101.0, in_place=True))
    assert np.array_equal(made[:50], old[:50]) and not np.array_equal(made, old)


def test_the_operator_can_be_undone_and_says_what_it_does():
    for cls in regenerate.CLASSES:
        assert {"REGISTER", "UNDO"} <= set(cls.bl_options) and cls.__doc__
