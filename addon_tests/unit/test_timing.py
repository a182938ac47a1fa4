# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and frames of the extension, without Blender."""

from __future__ import annotations

import numpy as np
import pytest

from artalk_blender.motion.timing import last_frame, motion_frames, split_rate


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
