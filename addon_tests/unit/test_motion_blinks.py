# SPDX-License-Identifier: GPL-3.0-or-later
"""Blinks: rate, intervals, shape, seed, only lids; on the default model's motion and in silence. No Blender."""

from __future__ import annotations

import numpy as np
import pytest
from real_motion import default_head, lips, raw_motion_of, speech_with_pauses

from artalk_blender.motion.blinks import add_blinks, blink_curve, find_blinks, lid_signal, plan
from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import FaceChannels

FACE = FaceChannels(default_head().expression_names)
LIDS = FACE.blink_channels
MINUTE = 1500


def still(minutes: float) -> np.ndarray:
    return np.zeros((round(minutes * MINUTE), 106), np.float32)


def blinked(raw: np.ndarray, per_minute: float = 16.0, seed: int = 0) -> np.ndarray:
    return process_motion(raw, ProcessSettings(blinks=per_minute, blink_seed=seed), FACE)


def blinks_of(motion: np.ndarray) -> np.ndarray:
    return find_blinks(lid_signal(motion[:, :100], FACE))


def counts(frames: np.ndarray, length: int) -> list[int]:
    """Blinks in every minute of a clip, a minute starting each second."""
    return [int(((frames >= start) & (frames < start + MINUTE)).sum()) for start in range(0, length - MINUTE + 1, 25)]


@pytest.fixture(scope="module")
def talking() -> np.ndarray:
    """(T,106) raw, two minutes and a half of speech with pauses."""
    return raw_motion_of(speech_with_pauses((1.0, 0.5, 8.0, 0.7, 20.0, 0.6, 0.6, 3.0, 0.6, 1.0, 0.5, 0.6, 4.0), -60))


@pytest.mark.parametrize("seed", range(6))
def test_every_minute_of_silence_has_twelve_to_twenty(seed):
    found = blinks_of(blinked(still(10.0), seed=seed))
    per_minute = counts(found, 15000)
    assert min(per_minute) >= 12 and max(per_minute) <= 20
    assert 155 <= len(found) <= 165


@pytest.mark.parametrize("seed", range(3))
def test_every_minute_of_speech_has_twelve_to_twenty(talking, seed):
    assert len(talking) > 2.2 * MINUTE
    own = blinks_of(process_motion(talking, None, FACE))
    assert len(own) > 5, "the model blinks by itself"
    found = blinks_of(blinked(talking, seed=seed))
    per_minute = counts(found, len(talking))
    assert min(per_minute) >= 12 and max(per_minute) <= 20
    assert np.isin(own, found).all(), "its own blinks stay"
    added = np.setdiff1d(found, own)
    assert len(added) == 0 or np.abs(added[:, None] - own).min() >= 25, "none is stacked on another"


def test_a_face_that_blinks_enough_gets_no_more():
    raw = process_motion(still(2.0), ProcessSettings(smooth=False, blinks=18.0), FACE)
    assert np.abs(blinks_of(blinked(raw, 16.0)).size - blinks_of(raw).size) <= 1
    often = process_motion(still(2.0), ProcessSettings(smooth=False, blinks=30.0), FACE)
    assert np.array_equal(process_motion(often, ProcessSettings(smooth=False, blinks=12.0), FACE), often)


@pytest.mark.parametrize("spacing", [120, 140, 145, 160, 250])
def test_gaps_of_a_slow_blinker_are_filled_to_the_rate(spacing):
    own = np.arange(60, 14900, spacing)
    found = np.sort(np.concatenate([own, plan(own, 15000, 16.0, 0)]))
    per_minute = counts(found, 15000)
    assert min(per_minute) >= 12 and max(per_minute) <= 20
    assert np.diff(found).min() >= 29


def test_intervals_are_irregular_with_a_least_gap():
    intervals = np.diff(blinks_of(blinked(still(10.0)))) / 25
    assert intervals.min() >= 1.16 and intervals.max() < 15.0
    assert 0.25 < intervals.std() / intervals.mean() < 0.8
    logs = np.log(intervals)
    assert intervals.mean() > np.median(intervals), "skewed to long ones, as people's"
    assert abs(((logs - logs.mean()) ** 3).mean()) / logs.std() ** 3 < 0.8, "their logarithm is not"


def test_a_blink_closes_fast_and_opens_slower():
    for seed in range(20):
        curve = blink_curve(40, np.array([20]), seed)
        assert curve[20] == 1.0 and curve.argmax() == 20
        assert (np.diff(curve[:21]) >= 0).all() and (np.diff(curve[20:]) <= 0).all()
        moving = np.flatnonzero(curve > 0.01)
        assert 1 <= 20 - moving[0] <= 2 and 3 <= moving[-1] - 20 <= 4, "80 to 100 ms, 150 to 200 ms"
        assert curve[19] < curve[21], "slower"
        assert not curve[:17].any() and not curve[26:].any()


def test_lids_close_whatever_they_did_and_nothing_else_moves(talking):
    before, after = process_motion(talking, None, FACE), blinked(talking)
    others = np.setdiff1d(np.arange(106), LIDS)
    assert np.array_equal(before[:, others], after[:, others])
    assert np.array_equal(lips(before).aperture, lips(after).aperture)
    added = np.setdiff1d(blinks_of(after), blinks_of(before))
    assert after[added][:, LIDS] == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(after[:, LIDS[0]] != before[:, LIDS[0]], after[:, LIDS[1]] != before[:, LIDS[1]])


def test_a_seed_is_the_same_blinks_for_ever():
    assert plan(np.zeros(0, int), 1500, 16.0, 7).tolist() == [
        47, 149, 210, 443, 500, 555, 730, 803, 865, 984, 1053, 1118, 1205, 1293, 1412]
    assert np.array_equal(blinked(still(1.0), seed=7), blinked(still(1.0), seed=7))
    assert not np.array_equal(blinked(still(1.0), seed=7), blinked(still(1.0), seed=8))


@pytest.mark.parametrize("frames", [0, 1, 2, 8, 11, 12, 30])
def test_short_motion(frames):
    for seed in range(20):
        motion = add_blinks(np.zeros((frames, 100), np.float32), FACE, 40.0, seed)
        assert motion.shape == (frames, 100)
        if frames:
            assert motion[0].max() < 0.01 and motion[-1].max() < 0.01, "no clip starts or ends in a blink"


def test_zero_a_minute_is_as_it_is(talking):
    assert np.array_equal(blinked(talking, 0.0), process_motion(talking, None, FACE))


def test_closed_and_steady_lids_are_no_blinks():
    assert not len(find_blinks(np.full(200, 0.9)))
    steps = np.zeros(200)
    steps[50:120] = 1.0
    assert not len(find_blinks(steps))
    flat = np.zeros(50)
    flat[20:23] = 1.0
    assert find_blinks(flat).tolist() == [20]


def test_heads_without_names_blink_along_their_own_direction():
    nameless = tuple(f"expression_{index:03d}" for index in range(100))
    raw = still(1.0)
    direction = np.random.default_rng(0).normal(0, 0.5, 100).astype(np.float32)
    settings = ProcessSettings(blinks=16.0, clamp=False)
    result = process_motion(raw, settings, FaceChannels(nameless, blink=direction))
    named = process_motion(raw, settings, FACE)
    assert result[:, :100] == pytest.approx(named[:, LIDS[:1]] * direction, abs=1e-6)
    again = process_motion(result, ProcessSettings(smooth=False, clamp=False, blinks=16.0),
                           FaceChannels(nameless, blink=direction))
    assert abs(len(find_blinks(lid_signal(again[:, :100], FaceChannels(nameless, blink=direction)))) - 16) <= 2
    assert not process_motion(raw, settings, FaceChannels(nameless)).any(), "no lids known: none move"
    assert not process_motion(raw, settings).any()
