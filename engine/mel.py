# SPDX-License-Identifier: GPL-3.0-or-later
"""Log-mel features of 16 kHz speech: what the default model hears.

numpy alone: no torch, no scipy, no files. The audio arrives decoded and resampled; what the features mean is
learned elsewhere. Frame k is centred at k * 10 ms, so that no offset has to be corrected later.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SAMPLE_RATE = 16000
HOP = 160  # samples: 10 ms
WINDOW = 400  # samples: 25 ms
FFT = 512
BANDS = 80
LOWEST_HZ = 60.0
HIGHEST_HZ = 7800.0
POWER_FLOOR = 1e-12  # about the noise of 16 bits: keeps digital silence finite
SPEECH_RANGE = 4.6  # nepers (20 dB): a frame this far under the loud ones, as a mean over bands, is no speech
SILENCE_LEVEL = (
    -24.0
)  # loud frames under this mean log power (white noise of about -85 dBFS) are no speech either
FEATURE_FLOOR = (
    -8.0
)  # nepers under a band's speech mean where the features end: makes quiet recordings equal to loud ones
BLOCK_FRAMES = 2048  # about 20 s at a time: the extra memory stays at some megabytes for any length


def frame_count(samples: int) -> int:
    """Frames at 100 per second that cover a number of samples; the first is centred on sample 0."""
    return -(-samples // HOP)


@lru_cache(maxsize=1)
def _hann() -> Floats:
    """Periodic Hann window (WINDOW,) float32, scaled so that a full-scale sine has power 1 at its peak bin.
    """
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)
    return (window * (2.0 / window.sum())).astype(np.float32)


@lru_cache(maxsize=1)
def mel_filters() -> Floats:
    """Triangular filters (FFT // 2 + 1, BANDS) float32 with unit sum, evenly spaced on the mel scale."""
    top, bottom = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (HIGHEST_HZ, LOWEST_HZ))
    edges = 700.0 * (10.0 ** (np.linspace(bottom, top, BANDS + 2) / 2595.0) - 1.0)
    # The lowest triangles are narrower than a bin: integrating them on a grid finer than the bins
    # leaves no band empty.
    fine = 64
    bin_hz = SAMPLE_RATE / FFT
    hz = (np.arange((FFT // 2 + 1) * fine) + 0.5) / fine * bin_hz - 0.5 * bin_hz
    rise = (hz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hz[:, None]) / (edges[2:] - edges[1:-1])
    triangle = np.clip(np.minimum(rise, fall), 0.0, None)
    filters = triangle.reshape(FFT // 2 + 1, fine, BANDS).mean(axis=1)
    return (filters / filters.sum(axis=0)).astype(np.float32)


def _padded(samples: Floats, first_frame: int, frames: int) -> Floats:
    """The samples under some frames: ((frames - 1) * HOP + WINDOW,) float32; outside, the recording's first
    or last sample.

    Holding the end samples keeps a recording with an offset from beginning and ending with a click.
    """
    start = first_frame * HOP - WINDOW // 2
    stop = start + (frames - 1) * HOP + WINDOW
    before, after = max(-start, 0), max(stop - len(samples), 0)
    return np.pad(samples[max(start, 0) : stop], (before, after), mode="edge")


def mel_power(samples: Floats) -> Floats:
    """Mel band power (frames, 80) float32 of samples (N,) float32 at 16 kHz; a full-scale sine is about 1."""
    samples = np.asarray(samples, dtype=np.float32).reshape(-1)
    frames = frame_count(len(samples))
    power = np.empty((frames, BANDS), dtype=np.float32)
    window, filters = _hann(), mel_filters()
    for first in range(0, frames, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, frames - first)
        block = np.nan_to_num(_padded(samples, first, count), copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
        cut = np.lib.stride_tricks.sliding_window_view(block, WINDOW)[::HOP]
        # Each window's own mean goes first: an offset of the recording would leak into the lowest bands.
        cut = (cut - cut.mean(axis=1, keepdims=True)) * window
        spectrum = np.fft.rfft(cut, FFT, axis=1)
        energy = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        power[first : first + count] = energy @ filters
    return power


def speech_mean(log_power: Floats) -> Floats | None:
    """Mean log power of each band (80,) float32 over the speech frames of (frames, 80); None where nothing is
    loud enough.
    """
    frames = len(log_power)
    if not frames:
        return None
    level = log_power.mean(axis=1)
    # The loud frames are 2 % of the utterance, yet at least .3 s: one click is no speech, one word in a
    # long pause is.
    rank = min(max(int(0.02 * frames), 30), frames // 2)
    loud = float(np.partition(level, frames - 1 - rank)[frames - 1 - rank])
    if loud < SILENCE_LEVEL:
        return None
    weight = (level > loud - SPEECH_RANGE).astype(np.float32)
    return (weight @ log_power) / weight.sum(dtype=np.float32)


def log_mel(samples: Floats) -> Floats:
    """Features (frames, 80) float32 at 100 per second of samples (N,) float32 in -1..1 at 16 kHz mono.

    Log power (nepers) over each band's mean in the utterance's speech; silence is FEATURE_FLOOR everywhere.
    """
    features = mel_power(samples)
    np.log(np.maximum(features, POWER_FLOOR, out=features), out=features)
    mean = speech_mean(features)
    if mean is None:
        features.fill(FEATURE_FLOOR)
        return features
    features -= mean
    return np.maximum(features, FEATURE_FLOOR, out=features)
