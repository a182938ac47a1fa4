# SPDX-License-Identifier: GPL-3.0-or-later
"""Loudness, pauses and the mouth that rests in them, on speech under noise and the model's own motion. No Blender."""

from __future__ import annotations

import math

import numpy as np
import pytest
from real_motion import SPEECH, default_head, demo_speech, lips, raw_motion_of, speech_with_pauses

from artalk_blender.errors import EngineError
from artalk_blender.motion.gate import SILENCE_DB, loudness, pauses, rest
from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import LIPS, FaceChannels

GAPS = (1.5, 0.6, 3.0)
SETTLED = (4, 4)  # frames of a pause's start and end in which the mouth still closes and already opens
FACE = FaceChannels(default_head().expression_names)


def settled(level: np.ndarray) -> np.ndarray:
    """(T,) frames well inside of pauses."""
    inside = np.zeros(len(level), bool)
    for start, stop in pauses(level):
        inside[start + SETTLED[0] : max(stop - SETTLED[1], 0)] = True
    return inside


def lip_travel(motion: np.ndarray, where: np.ndarray) -> float:
    """Millimetres that the lips' opening goes up and down in these frames, and the mouth's corners in and out."""
    curves = lips(motion)
    steps = np.abs(np.diff(curves.aperture)) + np.abs(np.diff(curves.width))
    return 1e3 * float(steps[where[1:] & where[:-1]].sum())


# --- loudness ---

@pytest.mark.parametrize("count", [0, 1, 639, 640, 641, 16000, 100001])
def test_one_level_for_each_motion_frame(count):
    level = loudness(np.random.default_rng(0).normal(0, 0.1, count))
    assert level.shape == (math.ceil(count / 640),) and level.dtype == np.float32
    assert np.isfinite(level).all()


def test_loudness_is_decibels_below_full_scale():
    time = np.arange(32000) / 16000
    tone = np.sin(2 * np.pi * 440 * time)
    assert loudness(tone)[5:-5] == pytest.approx(np.full(40, 10 * np.log10(0.5)), abs=0.3)
    assert loudness(0.01 * tone)[5:-5] == pytest.approx(np.full(40, 10 * np.log10(0.5) - 40), abs=0.3)
    assert loudness(np.zeros(32000)) == pytest.approx(np.full(50, SILENCE_DB))
    assert loudness(np.full(32000, 0.3)).max() < -80, "a recording's offset is no sound"


def test_a_click_is_heard_at_its_frame():
    samples = np.zeros(32000)
    samples[20 * 640] = 1.0
    assert loudness(samples).argmax() == 20


def test_broken_samples_are_refused():
    for samples in (np.array([0.0, np.nan]), np.zeros((4, 2))):
        with pytest.raises(EngineError):
            loudness(samples)


# --- pauses ---

@pytest.mark.parametrize("noise_db", [-120, -70, -50, -35])
@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_pauses_are_found_at_any_level_and_noise(noise_db, gain):
    samples = gain * speech_with_pauses(GAPS, noise_db)
    found = pauses(loudness(samples))
    speech = (SPEECH.stop - SPEECH.start) / 640
    expected, at = [], 0.0
    for seconds in GAPS:
        at += speech
        expected.append((at, at + seconds * 25))
        at += seconds * 25
    inner = [(start, stop) for start, stop in found if start > 0 and stop < len(loudness(samples))]
    assert len(inner) == len(expected)
    for (start, stop), (begin, end) in zip(inner, expected, strict=True):
        assert abs(start - begin) < 4 and abs(stop - end) < 4


def test_padding_around_a_noisy_recording_is_not_its_floor():
    recording = speech_with_pauses(GAPS, -45)
    padded = np.concatenate([np.zeros(160000, np.float32), recording, np.zeros(160000, np.float32)])
    shifted = {(start - 250, stop - 250) for start, stop in pauses(loudness(padded))}
    inner = {(start, stop) for start, stop in pauses(loudness(recording)) if start > 0 and stop < len(recording) // 640}
    assert len(inner) == len(GAPS) and inner <= shifted


def test_a_word_in_ten_minutes_is_heard():
    samples = np.random.default_rng(1).normal(0, 1e-4, 9_600_000).astype(np.float32)
    samples[4_800_000:4_832_000] += demo_speech()[20000:52000]
    level = loudness(samples)
    assert len(pauses(level)) == 2
    assert not rest(level)[7503:7545].any() and rest(level).mean() > 0.99


@pytest.mark.parametrize("samples", [
    np.zeros(64000), np.random.default_rng(2).normal(0, 1e-4, 64000)], ids=["digital", "a quiet room"])
def test_silence_alone_is_one_pause(samples):
    level = loudness(samples)
    assert pauses(level) == [(0, 100)]
    assert (rest(level) == 1.0).all()


def test_steady_noise_is_not_taken_for_pauses():
    assert not rest(loudness(np.random.default_rng(3).normal(0, 0.1, 160000))).any()


def test_clicks_in_a_pause_do_not_open_the_mouth():
    samples = speech_with_pauses((3.0,), -70)
    silent = pauses(loudness(samples))
    samples[111500 + 24000] += 0.9
    assert pauses(loudness(samples)) == silent


def test_rest_is_smooth_and_free_before_speech():
    level = loudness(speech_with_pauses(GAPS, -60))
    amount = rest(level)
    assert amount.dtype == np.float32 and amount.min() == 0.0 and amount.max() == 1.0
    assert np.abs(np.diff(amount)).max() < 0.5
    for start, stop in pauses(level)[1:-1]:
        assert not amount[[start, stop - 1]].any() and (amount[start + 3 : stop - 3] == 1.0).all()
    assert len(rest(np.zeros(0))) == 0
    assert rest(np.full(3, -100.0)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("floor", "gap", "found"), [(-75, -74, True), (-75, -60, False), (-40, -40, False)],
                         ids=["silence", "a weak consonant", "noise that would hide one"])
@pytest.mark.parametrize("frames", [5, 6, 9, 10])
def test_a_short_pause_is_one_where_weak_consonants_would_be_heard(floor, gap, found, frames):
    level = np.full(300, -20.0)
    level[100:150], level[200 : 200 + frames] = floor, gap
    expected = [(100, 150), (200, 200 + frames)] if frames >= (6 if found else 10) else [(100, 150)]
    assert pauses(level) == expected


def test_the_mouth_all_but_rests_in_a_short_pause_of_a_clean_recording():
    level = loudness(speech_with_pauses((1.0, 0.26), -80))
    start, stop = pauses(level)[2]
    assert stop - start < 10
    assert 0.7 < rest(level)[start:stop].max() <= 1.0


@pytest.mark.parametrize("noise_db", [-120, -80, -60, -50, -35, -27])
def test_gaps_within_speech_are_no_pauses(noise_db):
    level = loudness(speech_with_pauses((0.0, 1.5, 0.0), noise_db))
    inner = [(start, stop) for start, stop in pauses(level) if start > 0 and stop < len(level)]
    assert len(inner) == 1 and inner[0][1] - inner[0][0] > 30


# --- the gate ---

@pytest.mark.parametrize("noise_db", [-80, -35])
def test_the_models_mouth_rests_in_pauses(noise_db):
    samples = speech_with_pauses(GAPS, noise_db)
    raw, level = raw_motion_of(samples), loudness(samples)
    free = process_motion(raw, None, FACE, level)
    gated = process_motion(raw, ProcessSettings(silence_gate=1.0), FACE, level)
    pause = settled(level)
    assert pause.sum() > 60
    assert lip_travel(gated, pause) <= 0.1 * lip_travel(free, pause)
    assert lips(gated).aperture[pause].max() < 1e-5, "closed"
    speech = np.ones(len(level), bool)
    for start, stop in pauses(level):
        speech[start:stop] = False
    assert np.array_equal(free[speech], gated[speech])
    others = np.flatnonzero(~FACE.region(LIPS))
    assert np.array_equal(free[:, others], gated[:, others]) and np.array_equal(free[:, 100:103], gated[:, 100:103])


def test_a_mouth_that_babbles_through_pauses_is_stilled_without_snapping_or_missing_closures():
    samples = speech_with_pauses(GAPS, -60)
    level = loudness(samples)
    # the motion of speech without pauses stands for a model that goes on talking
    raw = raw_motion_of(np.concatenate([demo_speech()] * (1 + len(samples) // len(demo_speech()))))[: len(level)]
    free = process_motion(raw, None, FACE, level)
    gated = process_motion(raw, ProcessSettings(silence_gate=1.0), FACE, level)
    half = process_motion(raw, ProcessSettings(silence_gate=0.5), FACE, level)
    pause = settled(level)
    assert lip_travel(free, pause) > 50.0
    assert lip_travel(gated, pause) < 0.1 * lip_travel(free, pause)
    assert 0.3 < lip_travel(half, pause) / lip_travel(free, pause) < 0.7
    before, after = lips(free).aperture, lips(gated).aperture
    assert np.abs(np.diff(after)).max() <= np.abs(np.diff(before)).max() + 1e-6, "no snap"
    assert (after[before < 1e-4] < 1e-3).all(), "no closure is lost or late"
    for _, stop in pauses(level)[:-1]:
        assert np.array_equal(before[stop - 1 :][:10], after[stop - 1 :][:10])


@pytest.mark.parametrize("noise_db", [-80, -50, -35])
def test_over_whole_pauses_a_babbling_mouth_travels_little_more_than_to_rest_and_back(noise_db):
    level = loudness(speech_with_pauses(GAPS, noise_db))
    raw = raw_motion_of(np.tile(demo_speech()[SPEECH], 5))[: len(level)]
    free, gated = (lips(process_motion(raw, ProcessSettings(silence_gate=gate), FACE, level)).aperture
                   for gate in (0.0, 1.0))
    speech = (SPEECH.stop - SPEECH.start) / 640
    travelled, least, at = np.zeros(2), 0.0, 0.0
    for seconds in GAPS:
        first, last = int(at + speech), math.ceil(at + speech + 25 * seconds)
        travelled += [np.abs(np.diff(curve[first : last + 1])).sum() for curve in (free, gated)]
        least += free[first] + free[last]
        inside = slice(first + 4, last - 3)  # from 120 ms after to 120 ms before
        assert np.abs(np.diff(gated[inside])).sum() <= 0.1 * np.abs(np.diff(free[inside])).sum()
        at += speech + 25 * seconds
    assert travelled[0] > 0.05
    assert travelled[1] < 0.3 * travelled[0]
    assert travelled[1] < least + 0.012, "2 mm besides at each end"


def test_without_loudness_the_gate_stays_open():
    raw = raw_motion_of(demo_speech())
    assert np.array_equal(process_motion(raw, ProcessSettings(silence_gate=1.0), FACE), process_motion(raw, None, FACE))
