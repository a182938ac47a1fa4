# SPDX-License-Identifier: GPL-3.0-or-later
"""The published smoothing, in one shot and in a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.smoothing import StreamingSmoother, savitzky_golay, smooth_motion

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "smoothing.npz"
LENGTHS = sorted(int(name[3:]) for name in np.load(GOLDEN).files if name.startswith("in_"))


def test_every_golden_length_is_there() -> None:
    assert LENGTHS == [9, 10, 11, 12, 33, 100, 293]


@pytest.mark.parametrize("frames", LENGTHS)
def test_equals_the_published_smoothing(frames: int) -> None:
    golden = np.load(GOLDEN)
    raw, expected = golden[f"in_{frames}"], golden[f"out_{frames}"]
    smooth = smooth_motion(raw)
    assert np.abs(smooth[:, :104] - expected[:, :104]).max() < 1e-6
    assert not smooth[:, 104:].any(), "the jaw keeps its opening axis only"
    # the golden one is from before that
    assert np.abs(savitzky_golay(raw, 5, 2)[:, 104:] - expected[:, 104:]).max() < 1e-6


def test_equals_scipy() -> None:
    signal = pytest.importorskip("scipy.signal")
    data = np.random.default_rng(0).normal(size=(40, 3))
    expected = signal.savgol_filter(data, 9, 3, axis=0)
    assert np.allclose(savitzky_golay(data, 9, 3), expected, atol=1e-6)


@pytest.mark.parametrize(("window", "order"), [(5, 2), (9, 3)])
def test_ends_are_those_of_scipys_float32(window: int, order: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    data = np.random.default_rng(2).normal(size=(window, 20000)).astype(np.float32)  # far rougher than any motion
    error = savitzky_golay(data, window, order) - signal.savgol_filter(data, window, order, axis=0)
    assert error.std() < 5e-6, "more than what scipy's own answers vary by from processor to processor"


@pytest.mark.parametrize("frames", range(1, 9))
def test_short_motion_is_smoothed_not_refused(frames: int) -> None:
    raw = np.random.default_rng(frames).normal(size=(frames, 106)).astype(np.float32)
    smooth = smooth_motion(raw)
    assert smooth.shape == raw.shape and np.isfinite(smooth).all()


@pytest.mark.parametrize("sizes", [
    [100, 100, 93], [100], [3, 3, 2], [1], [9], [5, 4], [100, 1], [100, 100, 4], [7] * 30,
])
def test_stream_gives_the_same_bits(sizes: list[int]) -> None:
    raw = np.random.default_rng(7).normal(size=(sum(sizes), 106)).astype(np.float32)
    smoother = StreamingSmoother()
    parts, at = [], 0
    for size in sizes:
        parts.append(smoother.push(raw[at : at + size]))
        at += size
        assert sum(map(len, parts)) >= at - StreamingSmoother.DELAY or at < 9
    parts.append(smoother.flush())
    assert np.array_equal(np.concatenate(parts), smooth_motion(raw))
