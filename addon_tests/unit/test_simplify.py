# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys within a bound, without Blender."""

from __future__ import annotations

import numpy as np
import pytest

from artalk_blender.motion.simplify import simplify


def speech_like(samples: int, channels: int, seed: int = 0) -> np.ndarray:
    """(S,C) smooth random curves with movement up to an eighth of the sampling rate."""
    random = np.random.default_rng(seed)
    kernel = np.hanning(17)
    noise = random.normal(size=(samples + 16, channels))
    return np.stack([np.convolve(noise[:, c], kernel / kernel.sum(), "valid") for c in range(channels)], 1)


def evaluate(result, channel: int, frames: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The Bezier curve of a channel at some frames, from its keys and handles alone."""
    points, left, right = result.handles(channel, frames, values)
    piece = np.clip(np.searchsorted(points[:, 0], at, "right") - 1, 0, len(points) - 2)
    t = (at - points[piece, 0]) / (points[piece + 1, 0] - points[piece, 0])
    u = 1 - t
    assert np.allclose(right[piece, 0] - points[piece, 0], (points[piece + 1, 0] - points[piece, 0]) / 3)
    return (u**3 * points[piece, 1] + 3 * u * u * t * right[piece, 1] + 3 * u * t * t * left[piece + 1, 1]
            + t**3 * points[piece + 1, 1])


@pytest.mark.parametrize("samples", [701, 13001])  # one block and several
def test_every_channel_stays_within_its_tolerance(samples):
    values = speech_like(samples, 6) * np.array([1, 1, 5, 0.1, 1, 0.0])
    frames = 10.0 + np.cumsum(np.where(np.arange(samples) % 3, 0.6, 1.2))
    tolerance = np.array([0.02, 0.1, 0.1, 0.02, 10.0, 0.01])
    result = simplify(frames, values, tolerance)
    assert (np.abs(result.values - values)[::2] <= tolerance * (1 + 1e-9)).all()
    for channel in range(6):
        curve = evaluate(result, channel, frames, values, frames)
        assert np.abs(curve - values[:, channel])[::2].max() <= tolerance[channel] * (1 + 1e-6)
        assert np.abs(curve - result.values[:, channel]).max() < 1e-9 * max(1, np.abs(values).max())
    assert all(keys[0] == 0 and keys[-1] == samples - 1 and (keys % 2 == 0).all() for keys in result.keys)
    counts = list(map(len, result.keys))
    assert counts[0] > counts[1] and counts[4] <= 2 + samples // 12000 and counts[5] <= 2 + samples // 12000


def test_channels_are_bounded_together():
    """Three channels that add up: alone each may be off by the bound, together no more than that."""
    values = speech_like(3001, 3)
    frames = np.arange(3001.0)
    tolerance = np.full(3, 0.1)

    def measure(found, rows):
        return np.abs((found - values[rows]).sum(1)) / 0.1

    alone, together = simplify(frames, values, tolerance), simplify(frames, values, tolerance, measure)
    assert measure(alone.values, np.arange(3001)).max() > 1.2
    assert measure(together.values, np.arange(3001)).max() <= 1.0 + 1e-9
    assert sum(map(len, together.keys)) < 3001


def test_the_true_measure_has_the_last_word():
    values = speech_like(2001, 2)

    def measure(found, rows):
        return np.abs(found - values[rows]).max(1) / 0.1

    def verify(found, rows):
        return np.abs(found - values[rows]).max(1) / 0.09  # a little worse than the measure says

    result = simplify(np.arange(2001.0), values, np.full(2, 0.1), measure, verify)
    assert np.abs(result.values - values).max() <= 0.09 + 1e-9


def test_cubics_need_a_fifth_of_the_keys_or_less():
    time = np.arange(4001) / 100
    values = np.sin(2 * np.pi * 1.5 * time)[:, None] + 0.3 * np.sin(2 * np.pi * 0.31 * time)[:, None]
    result = simplify(np.arange(4001.0), values, np.array([0.01]))
    assert result.count < 4001 / 15


@pytest.mark.parametrize("samples", [1, 3, 5])
def test_very_short_curves(samples):
    values = np.arange(samples, dtype=float)[:, None] ** 2
    frames = np.arange(samples) * 1.2
    result = simplify(frames, values, np.array([1e-6]), slopes=2 * values**0.5 / 1.2)
    assert len(result.keys[0]) == min(samples, 2)  # two make a parabola
    assert np.allclose(result.values, values, atol=1e-6)
    points, left, right = result.handles(0, frames, values)
    assert np.isfinite(np.concatenate([points, left, right])).all()


def test_an_even_number_of_samples_is_refused():
    with pytest.raises(ValueError, match="odd"):
        simplify(np.arange(4.0), np.zeros((4, 1)), np.ones(1))


def test_a_jump_is_kept():
    values = np.concatenate([np.zeros(50), np.ones(51)])[:, None]
    result = simplify(np.arange(101.0), values, np.array([1e-3]))
    assert np.abs(result.values - values)[::2].max() <= 1e-3 and result.count <= 8


def test_what_happens_between_the_rows_that_may_be_keys_counts_too():
    """A short wave whose every second sample lies on a straight line, but for a place where it does not."""
    values = np.zeros((401, 1))
    values[101:300:2] = 0.3
    values[100:301:2] = 0.15

    def measure(found, rows):
        return np.abs(found - values[rows])[:, 0] / 0.2

    result = simplify(np.arange(401.0), values, np.array([0.2]), measure)
    assert measure(result.values, np.arange(401)).max() <= 1.0
