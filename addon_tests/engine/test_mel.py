# SPDX-License-Identifier: GPL-3.0-or-later
"""The log-mel features: right in time, still in silence, the same for any block size and recording level."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine import mel

RATE = mel.SAMPLE_RATE


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise bursts with gaps: loud enough and uneven enough to pass for speech."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(int(seconds * RATE)) * 0.05
    envelope = np.repeat(rng.uniform(0.0, 1.0, int(seconds * 8) + 1) ** 2, RATE // 8)[: len(samples)]
    return (samples * envelope).astype(np.float32)


def test_frame_k_is_centred_at_k_times_ten_milliseconds():
    for sample in (3200, 8000, 8080, 12345):
        samples = np.zeros(RATE, np.float32)
        samples[sample] = 1.0
        power = mel.mel_power(samples).sum(axis=1)
        centre = float((power * np.arange(len(power))).sum() / power.sum()) * mel.HOP
        assert abs(centre - sample) < 20


@pytest.mark.parametrize("count", [0, 1, 159, 160, 161, 399, 16000, 16001])
def test_frames_cover_the_samples(count):
    features = mel.log_mel(np.zeros(count, np.float32))
    assert features.shape == (-(-count // mel.HOP), mel.BANDS)
    assert features.dtype == np.float32


@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_silence_and_a_constant_offset_are_silence(level):
    features = mel.log_mel(np.full(3 * RATE, level, np.float32))
    assert (features == mel.FEATURE_FLOOR).all()


def test_dither_is_silence():
    noise = np.round(np.random.default_rng(1).uniform(-1.0, 1.0, 2 * RATE)) / 32768.0
    assert (mel.log_mel(noise.astype(np.float32)) == mel.FEATURE_FLOOR).all()


def test_an_offset_and_the_level_change_little():
    samples = speech_like(4.0)
    plain = mel.log_mel(samples)
    assert np.abs(mel.log_mel(samples + np.float32(0.3)) - plain).max() < 0.05
    assert np.abs(mel.log_mel(samples * np.float32(0.1)) - plain).max() < 0.05


def test_speech_frames_have_no_tone_of_their_own():
    samples = speech_like(4.0)
    spectrum = np.fft.rfft(samples)
    tilted = np.fft.irfft(spectrum * np.linspace(1.0, 0.2, len(spectrum)), len(samples)).astype(np.float32)
    assert np.abs(mel.log_mel(tilted) - mel.log_mel(samples)).mean() < 0.05


def test_clipped_and_broken_samples_stay_finite():
    samples = speech_like(2.0) * 100.0
    assert np.isfinite(mel.log_mel(np.clip(samples, -1.0, 1.0))).all()
    samples[100], samples[200], samples[300] = np.nan, np.inf, -np.inf
    assert np.isfinite(mel.log_mel(samples)).all()


def test_a_tone_lands_in_its_band():
    t = np.arange(RATE) / RATE
    tones = [np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (200, 1000, 4000)]
    bands = [mel.mel_power(tone)[50].argmax() for tone in tones]
    assert bands == sorted(bands)
    assert bands[0] < 10
    assert bands[2] > 50


def test_every_band_hears_something():
    assert (mel.mel_filters().sum(axis=0) > 0.99).all()
    assert (mel.mel_filters() >= 0.0).all()


def test_blocks_equal_one_shot(monkeypatch):
    samples = speech_like(7.0)
    whole = mel.log_mel(samples)
    for block in (1, 7, 64, 10000):
        monkeypatch.setattr(mel, "BLOCK_FRAMES", block)
        np.testing.assert_allclose(mel.log_mel(samples), whole, atol=1e-5)


def test_twice_is_bitwise_the_same():
    samples = speech_like(3.0)
    assert np.array_equal(mel.log_mel(samples), mel.log_mel(samples.copy()))


def test_far_faster_than_real_time():
    samples = speech_like(60.0)
    mel.log_mel(samples[:RATE])
    began = time.perf_counter()
    mel.log_mel(samples)
    # 2000 times real time on one free core; the limit leaves room for a busy machine.
    assert time.perf_counter() - began < 60.0 / 100.0
