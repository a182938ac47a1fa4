# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and frames of the extension, without Blender."""

from __future__ import annotations

import numpy as np
import pytest
from artalk_blender.engine.rotations import slerp

from artalk_blender.motion.process import axis_angle_to_quaternions
from artalk_blender.motion.resample import to_whole_frames
from artalk_blender.motion.rotations import turn_between
from artalk_blender.motion.timing import Keying, TimeMap, last_frame, motion_frames, split_rate


@pytest.mark.parametrize(("fps", "expected"), [
    (25, (25, 1.0)), (24, (24, 1.0)), (29.97, (30, 1.001)), (23.976, (24, 1.001)), (23.98, (24, 1.001)),
    (30000 / 1001, (30, 1.001)), (59.94, (60, 1.001)), (12.5, (25, 2.0)), (15.2, (76, 5.0)),
    (999.5, (1999, 2.0)), (1, (1, 1.0)),
])
def test_rates_split_as_blender_keeps_them(fps, expected):
    whole, base = split_rate(fps)
    assert (whole, base) == (expected[0], pytest.approx(expected[1], abs=1e-9))
    assert whole / base == pytest.approx(fps, abs=0.006)


@pytest.mark.parametrize("fps", [0, -25, 0.5, 1001, float("nan"), float("inf")])
def test_no_rate(fps):
    with pytest.raises(ValueError, match="between 1 and 1000"):
        split_rate(fps)


def test_motion_stays_where_it_is_in_time():
    frames = motion_frames(1501, 10.0, 30 / 1.001)
    seconds = (frames - 10.0) / (30 / 1.001)
    assert seconds == pytest.approx(np.arange(1501) / 25, abs=1e-9)


@pytest.mark.parametrize("fps", [12.0, 23.976, 24.0, 25.0, 29.97, 60.0])
@pytest.mark.parametrize("seconds", [0.001, 0.5, 2.925, 59.99])
def test_picture_and_sound_differ_by_at_most_half_a_frame(seconds, fps):
    length = (last_frame(1, seconds, fps)) / fps
    assert abs(length - seconds) <= max(0.5 / fps, 1 / fps - seconds) + 1e-9


def test_a_time_map_follows_a_retimed_strip_piece_by_piece():
    times = TimeMap((0.0, 2.0, 3.0), (10.0, 60.0, 160.0))
    assert times.frames_at(np.array([-1.0, 0.0, 1.0, 2.5, 4.0])) == pytest.approx([-15, 10, 35, 110, 260])
    seconds = np.linspace(-1, 5, 40)
    assert times.seconds_at(times.frames_at(seconds)) == pytest.approx(seconds)
    assert times.shifted(5.0).frames_at(seconds) == pytest.approx(times.frames_at(seconds) + 5.0)
    assert times.scaled(2.0).frames_at(seconds) == pytest.approx(times.frames_at(seconds) * 2.0)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_a_steady_map_has_so_many_seconds_of_motion_in_one_of_the_scene(speed):
    times = TimeMap.steady(7.0, 24.0, speed)
    assert times.seconds_at(np.array([7.0, 31.0])) == pytest.approx([0.0, speed])


@pytest.mark.parametrize(("seconds", "frames"), [
    ((0.0,), (1.0,)), ((0.0, 1.0), (1.0, 1.0)), ((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (0.0, float("nan"))),
    ((0.0, 1.0), (0.0, float("inf"))), ((0.0, 1.0, 2.0), (0.0, 1.0)),
])
def test_no_time_map(seconds, frames):
    with pytest.raises(ValueError, match="time map"):
        TimeMap(seconds, frames)


def test_keying_comes_back_from_what_a_take_keeps():
    keying = Keying("whole", "shared", 0.25)
    assert Keying.from_dict({**keying.as_dict(), "later": 1}) == keying
    assert Keying.from_dict({}) == Keying()
    assert keying.shares == (0.75, 0.25)
    for wrong in ({"mode": "half"}, {"head": "tail"}, {"neck_share": 1.5}):
        with pytest.raises(ValueError, match="neck|one of"):
            Keying(**wrong)


@pytest.mark.parametrize("fps", [12.0, 23.976, 24.0, 25.0, 29.97, 60.0])
@pytest.mark.parametrize("start", [1.0, 10.37])
def test_whole_frames_hold_the_motion_at_their_time(fps, start):
    time = np.arange(200) / 25
    motion = np.zeros((200, 106), np.float32)
    motion[:, 5] = np.sin(2 * np.pi * 0.7 * time)
    motion[:, 100:103] = np.array([0.1, 1.0, -0.3]) * (2.0 * time - 4.0)[:, None]  # more than half a turn
    times = TimeMap.steady(start, fps)
    frames, found = to_whole_frames(motion, times)
    seconds = times.seconds_at(frames)
    assert np.array_equal(frames, np.arange(frames[0], frames[0] + len(frames))) and frames[0] == np.ceil(start)
    assert 0.0 <= seconds[0] < 1 / fps and 199 / 25 - seconds[-1] < 1 / fps
    assert found[:, 5] == pytest.approx(np.sin(2 * np.pi * 0.7 * seconds), abs=5e-3)  # monotone cubics flatten peaks
    expected = axis_angle_to_quaternions(np.array([0.1, 1.0, -0.3]) * (2.0 * seconds - 4.0)[:, None])
    assert np.abs(turn_between(expected, axis_angle_to_quaternions(found[:, 100:103]))).max() < 1e-5


def test_resampling_never_leaves_the_range_of_its_neighbours():
    motion = np.zeros((100, 106), np.float32)
    motion[:, :100] = np.random.default_rng(0).normal(size=(100, 100))
    times = TimeMap.steady(0.4, 60.0)
    frames, found = to_whole_frames(motion, times)
    before = np.floor(times.seconds_at(frames) * 25).astype(int)
    pair = np.stack([motion[before, :100], motion[np.minimum(before + 1, 99), :100]])
    assert (found[:, :100] <= pair.max(0) + 1e-6).all() and (found[:, :100] >= pair.min(0) - 1e-6).all()


@pytest.mark.parametrize("fps", [12.0, 24.0, 30.0, 60.0])
def test_a_closure_of_one_frame_is_shown(fps):
    """The lips touch on single motion frames; whole frames beside them would show them open."""
    aperture = np.full(101, 8e-3)
    closed = np.arange(7, 100, 9)
    aperture[closed] = 0.0
    motion = np.zeros((101, 106), np.float32)
    motion[:, 2] = aperture * 100
    times = TimeMap.steady(3.21, fps)
    frames, found = to_whole_frames(motion, times, aperture)
    for row in closed:
        place = times.frames_at(np.array([row / 25]))[0]
        near = np.abs(frames - place) <= 0.5 + 1e-9
        assert near.any() and found[near, 2].min() == 0.0
    plain = to_whole_frames(motion, times)[1]
    assert (found[:, 2] == 0).sum() >= len(closed) and (plain[:, 2] == 0).sum() < len(closed)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_short_motion_on_whole_frames(count):
    motion = np.ones((count, 106), np.float32)
    frames, found = to_whole_frames(motion, TimeMap.steady(5.5, 24.0), np.zeros(count))
    assert len(frames) == len(found) == (0 if count == 0 else 1)
    assert (found[:, :100] == 1).all() and np.allclose(found[:, 100:], 1, atol=1e-6)


def test_slerp_takes_the_great_circle():
    quarter = np.array([[0.0, 0.0, 0.0], [0.0, np.pi / 2, 0.0]])
    assert slerp(quarter, np.array([0.0, 0.25, 1.0])) == pytest.approx(np.array([[0, 0, 0], [0, np.pi / 8, 0],
                                                                                  [0, np.pi / 2, 0]]), abs=1e-12)


def test_a_map_through_measured_points_keeps_the_corners():
    frames = np.arange(0.0, 300.0)
    seconds = np.interp(frames, [0, 100, 130, 131, 299], [0.0, 2.0, 2.0, 2.6, 9.0])  # with a hold
    times = TimeMap.through(seconds + 1e-4 * np.sin(frames), frames, 1e-3)
    assert len(times.frames) <= 8
    assert np.abs(times.seconds_at(frames) - seconds).max() < 1.3e-3
    assert np.diff(times.seconds).min() > 0.0
    still = TimeMap.through(np.ones(10), np.arange(10.0), 1e-3)
    assert len(still.frames) == 2 and still.seconds_at(np.array([5.0])) == pytest.approx([1.0])
