# SPDX-License-Identifier: GPL-3.0-or-later
"""Generating in slices, with a real worker: what is keyed meanwhile, and what comes of it when things happen."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from conftest import write_wav

from artalk_blender.animation.growing import sweep
from artalk_blender.animation.take_data import is_edited, raw_motion, takes, unfinished_takes
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.errors import ArtalkError
from artalk_blender.generation import Generation
from artalk_blender.head.build import build_head, head_of
from artalk_blender.runner import Runner, Stopped
from artalk_blender.worker.job import Job

SECONDS = 60
DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo_speech.wav"
LONGEST = 0.05  # seconds: what a person does not notice


def long_speech(path, seconds):
    """The demo's speech again and again."""
    with wave.open(str(DEMO)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, channels)[:, 0] / 32768.0
    return write_wav(path, np.resize(samples, seconds * rate).astype(np.float32), rate)


class Told(Job):
    """A job that remembers what it said."""

    def __init__(self):
        self.said = []

    def say(self, text, kind="INFO"):
        self.said.append((kind, text))


@pytest.fixture
def talk(scene, extension, tmp_path):
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    scene.render.fps = 25
    strip = add_sound_strip(scene, long_speech(tmp_path / "long.wav", SECONDS), 1)
    scene.sequence_editor.active_strip = strip
    return head.armature.name, strip.name


def run(runner, until=lambda: False, seconds=0.015):
    """Ticks as Blender's timer does until the work or the wait ends; returns what the longest tick took, in seconds.

    Of this thread's own time, so that what else the machine does is not counted.
    """
    longest, patience = 0.0, time.monotonic() + 120.0
    while time.monotonic() < patience and not until():
        started = time.thread_time()
        ended = runner.advance(seconds)
        longest = max(longest, time.thread_time() - started)
        if ended:
            break
        time.sleep(0.005)
    return longest


def keyed(action=None):
    action = action or next(iter(unfinished_takes()), None)
    if action is None:
        return 0
    return max(len(curve.keyframe_points) for layer in action.layers for part in layer.strips
               for bag in part.channelbags for curve in bag.fcurves)


def head_now(name):
    return head_of(bpy.data.objects[name])


def plays(name):
    head = head_now(name)
    return [owner.animation_data.action if owner.animation_data else None for owner in (head.shape_keys, head.armature)]


def test_keys_appear_while_the_rest_is_made(talk):
    job = Told()
    runner = Runner(Generation(bpy.context).work(job))
    seen = set()
    while not runner.advance(0.015):
        seen.add(keyed())
        time.sleep(0.005)
    assert any(0 < count < 25 * SECONDS for count in seen)
    take = bpy.data.actions[runner.result]
    assert keyed(take) == 25 * SECONDS
    assert (unfinished_takes(), is_edited(take), len(raw_motion(take))) == ([], False, 25 * SECONDS)
    assert plays(talk[0]) == [take, take]
    assert job.said[-1] == ("INFO", f"Keyed {25 * SECONDS} frames as “{take.name}”.")


def test_the_same_comes_out_as_at_once(talk, scene):
    scene.artalk.blinks, scene.artalk.silence_gate = 15.0, 1.0
    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner)
    take = bpy.data.actions[runner.result]
    from artalk_blender.animation.takes import duplicate_take, retune, settings_of
    digest = take["artalk_take"]["digest"]
    copy = duplicate_take(take)
    retune(copy, *settings_of(take), head_now(talk[0]))
    assert copy["artalk_take"]["digest"] == digest


def test_no_slice_is_felt(talk):
    """From reading the sound and starting the engine to the last key."""
    runner = Runner(Generation(bpy.context).work(Told()))
    assert run(runner) < LONGEST


def test_stopping_takes_back_what_is_there(talk):
    before = plays(talk[0])
    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner, lambda: keyed() > 0)
    assert keyed() > 0
    runner.stop()
    with pytest.raises(Stopped):
        run(runner)
    assert (takes(), plays(talk[0])) == ([], before)


def test_closing_the_file_takes_back_what_is_there(talk):
    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner, lambda: keyed() > 0)
    runner.close()
    assert takes() == []


def test_half_a_take_is_not_saved_and_the_job_goes_on(talk, tmp_path):
    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner, lambda: keyed() > 0)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "half.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "half.blend")) as (there, _):
        assert there.actions == []
    run(runner)
    assert keyed(bpy.data.actions[runner.result]) == 25 * SECONDS


def test_an_undone_take_is_made_again(talk):
    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner, lambda: keyed() > 100)
    sweep()  # what undo does to it
    run(runner)
    take = bpy.data.actions[runner.result]
    assert keyed(take) == 25 * SECONDS
    assert plays(talk[0]) == [take, take]


def test_half_a_take_from_elsewhere_is_swept_away(talk):
    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner, lambda: keyed() > 0)
    take = unfinished_takes()[0]
    copy = take.copy()
    copy["artalk_take"]["id"] = "of a job that crashed"
    from artalk_blender.animation import growing
    growing._after_change()
    assert unfinished_takes() == [take]
    runner.close()


@pytest.mark.parametrize(("what", "sentence"), [("head", "The head “.*” is gone"), ("strip", "The strip “.*” is gone")])
def test_what_is_deleted_meanwhile_is_a_sentence(talk, scene, what, sentence):
    armature, strip = talk
    runner = Runner(Generation(bpy.context).work(Told()))
    if what == "strip":
        runner.advance(0.0)
        scene.sequence_editor.strips.remove(scene.sequence_editor.strips[strip])
    else:
        run(runner, lambda: keyed() > 0)
        bpy.data.objects.remove(head_now(armature).mesh)
    with pytest.raises(ArtalkError, match=sentence):
        run(runner)
    assert takes() == []


def test_a_worker_that_dies_is_a_sentence_and_leaves_nothing(talk):
    from artalk_blender.worker import job

    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner, lambda: keyed() > 0)
    job._client._process.kill()
    with pytest.raises(ArtalkError, match="stopped before it was done"):
        run(runner)
    assert takes() == []


def test_the_motion_is_the_engines_own(talk, tmp_path):
    from artalk_blender.engine.model import load_model
    from artalk_blender.engine.pipeline import Pipeline

    runner = Runner(Generation(bpy.context).work(Told()))
    run(runner)
    from artalk_blender.audio.samples import read_sound
    expected = Pipeline(load_model()).generate(read_sound(tmp_path / "long.wav"), raw=True)
    assert np.array_equal(raw_motion(bpy.data.actions[runner.result]), expected)
