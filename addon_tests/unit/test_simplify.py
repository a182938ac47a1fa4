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


@pytest.mark.parametrize("samples", [700, 13000])  # one block and several
def test_every_channel_stays_within_its_tolerance(samples):
    values = speech_like(samples, 6) * np.array([1, 1, 5, 0.1, 1, 0.0])
    frames = 10.0 + np.cumsum(np.where(np.arange(samples) % 3, 0.6, 1.2))
    tolerance = np.array([0.02, 0.1, 0.1, 0.02, 10.0, 0.01])
    result = simplify(frames, values, tolerance)
    assert (np.abs(result.values - values) <= tolerance * (1 + 1e-9)).all()
    for channel in range(6):
        curve = evaluate(result, channel, frames, values, frames)
        assert np.abs(curve - values[:, channel]).max() <= tolerance[channel] * (1 + 1e-6)
        assert np.abs(curve - result.values[:, channel]).max() < 1e-9 * max(1, np.abs(values).max())
    assert all(keys[0] == 0 and keys[-1] == samples - 1 for keys in result.keys)
    counts = list(map(len, result.keys))
    assert counts[0] > counts[1] and counts[4] <= 2 + samples // 6000 and counts[5] <= 2 + samples // 6000


def test_channels_are_bounded_together():
    """Three channels that add up: alone each may be off by the bound, together no more than that."""
    values = speech_like(3000, 3)
    frames = np.arange(3000.0)
    tolerance = np.full(3, 0.1)

    def measure(found, rows):
        return np.abs((found - values[rows]).sum(1)) / 0.1

    alone, together = simplify(frames, values, tolerance), simplify(frames, values, tolerance, measure)
    assert measure(alone.values, np.arange(3000)).max() > 1.2
    assert measure(together.values, np.arange(3000)).max() <= 1.0 + 1e-9
    assert sum(map(len, together.keys)) < 3000


def test_verification_makes_the_measure_stricter_where_it_has_to_be():
    values = speech_like(2000, 2)
    strict = np.ones(2000)

    def measure(found, rows):
        return np.abs(found - values[rows]).max(1) / 0.1 * strict[rows]

    def verify(found, rows):
        far = np.abs(found - values[rows]).max(1) / 0.05  # the truth is twice as bad as the measure says
        strict[rows[far > 1.0]] = 2.0
        return not (far > 1.0).any()

    result = simplify(np.arange(2000.0), values, np.full(2, 0.1), measure, verify)
    assert np.abs(result.values - values).max() <= 0.05 + 1e-9


def test_cubics_need_a_fifth_of_the_keys_or_less():
    time = np.arange(4000) / 100
    values = np.sin(2 * np.pi * 1.5 * time)[:, None] + 0.3 * np.sin(2 * np.pi * 0.31 * time)[:, None]
    result = simplify(np.arange(4000.0), values, np.array([0.01]))
    assert result.count < 4000 / 15


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_very_short_curves(samples):
    values = np.arange(samples, dtype=float)[:, None] ** 2
    result = simplify(np.arange(samples) * 1.2, values, np.array([1e-6]))
    assert len(result.keys[0]) == min(samples, 2)  # a cubic goes through three points
    assert np.allclose(result.values, values, atol=1e-6)
    points, left, right = result.handles(0, np.arange(samples) * 1.2, values)
    assert np.isfinite(np.concatenate([points, left, right])).all()


def test_a_jump_is_kept():
    values = np.concatenate([np.zeros(50), np.ones(50)])[:, None]
    result = simplify(np.arange(100.0), values, np.array([1e-3]))
    assert np.abs(result.values - values).max() <= 1e-3 and result.count <= 6
