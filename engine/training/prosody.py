# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be heard of emphasis: loudness and pitch of an utterance.

Stress drives openness, brows and nods. Everything here is a function of
the sound, so that a deterministic model that hears the sound can learn it. numpy and scipy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .visemes import GRID

SAMPLE_RATE = 16000
HOP = 160
WINDOW = 640
RATE = SAMPLE_RATE / HOP
LOWEST_HZ, HIGHEST_HZ = 65.0, 420.0


@dataclass(frozen=True)
class Prosody:
    """Tracks (N,) at visemes.GRID.

    ``loudness`` in dB against the utterance's loud speech (0 = loud, about -40 = silence), ``pitch`` in
    semitones against the utterance's median (0 where nothing is voiced).
    """

    loudness: np.ndarray
    pitch: np.ndarray


def _to_grid(track: np.ndarray, samples: int) -> np.ndarray:
    """A track at RATE -> (samples,) at GRID."""
    return np.interp(np.arange(samples) / GRID, np.arange(len(track)) / RATE, track).astype(np.float32)


def measure(sound: np.ndarray, samples: int) -> Prosody:
    """Sound (S,) at 16 kHz, int16 or float -> Prosody of (samples,) at GRID."""
    signal = np.asarray(sound, np.float32)
    if np.issubdtype(np.asarray(sound).dtype, np.integer):
        signal = signal / 32768.0
    if len(signal) < WINDOW:
        return Prosody(np.full(samples, -60.0, np.float32), np.zeros(samples, np.float32))
    padded = np.pad(signal, WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW).astype(
        np.float32
    )
    spectrum = np.abs(np.fft.rfft(windows, 2048, axis=1)) ** 2
    frequency = np.fft.rfftfreq(2048, 1 / SAMPLE_RATE)
    band = (frequency > 150) & (frequency < 4000)
    level = 10 * np.log10(spectrum[:, band].sum(1) + 1e-7)
    loud = np.percentile(level, 95)
    loudness = np.clip(level - loud, -60, 6) if loud > -55 else np.full(len(level), -60.0)
    correlation = np.fft.irfft(spectrum * (frequency < 1200), axis=1)
    shortest, longest = int(SAMPLE_RATE / HIGHEST_HZ), int(SAMPLE_RATE / LOWEST_HZ)
    lags = correlation[:, shortest:longest] / np.maximum(correlation[:, :1], 1e-9)
    best = lags.argmax(1)
    voiced = (lags.max(1) > 0.35) & (loudness > -25)
    semitones = 12 * np.log2(SAMPLE_RATE / (best + shortest))
    if voiced.sum() > 5:
        centre = np.median(semitones[voiced])
        value = np.clip(semitones - centre, -7, 7) * voiced
        pitch = gaussian_filter1d(value, 6.0) / np.maximum(gaussian_filter1d(voiced.astype(float), 6.0), 0.3)
    else:
        pitch = np.zeros(len(level))
    return Prosody(_to_grid(loudness, samples), _to_grid(pitch, samples))


def imagined(speech: np.ndarray, rng: np.random.Generator) -> Prosody:
    """A plausible prosody for a phone string without sound: ``speech`` (N,) is 1 where somebody speaks."""
    samples = len(speech)
    beat = gaussian_filter1d(rng.standard_normal(samples), 0.09 * GRID)
    beat /= max(float(beat.std()), 1e-6)
    tune = gaussian_filter1d(rng.standard_normal(samples), 0.25 * GRID)
    tune /= max(float(tune.std()), 1e-6)
    loudness = np.where(speech > 0.5, -7 + 4 * beat, -45.0)
    smooth = gaussian_filter1d(loudness, 0.02 * GRID)
    return Prosody(smooth.astype(np.float32), (2 * tune * speech).astype(np.float32))


def stress(prosody: Prosody, speech: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """(N,) about -1..1 at GRID: how much each moment stands out from the speech around it; 0 in silence.

    Half of it is loudness (and some pitch), half how long and wide the mouth opens (``opening`` (N,)):
    stressed vowels are louder, longer and clearer.
    """
    weight = np.clip((prosody.loudness + 30) / 15, 0, 1) * speech
    total = np.maximum(gaussian_filter1d(weight, 0.9 * GRID), 0.05)
    near = np.maximum(gaussian_filter1d(weight, 0.07 * GRID), 0.05)
    value = prosody.loudness + 0.4 * prosody.pitch
    local = gaussian_filter1d(value * weight, 0.07 * GRID) / near
    usual = gaussian_filter1d(value * weight, 0.9 * GRID) / total
    loud = np.clip((local - usual) / 6.0, -1, 1) * np.clip(near * 1.5, 0, 1)
    wide = np.clip(
        (gaussian_filter1d(opening, 0.09 * GRID) - gaussian_filter1d(opening, 0.7 * GRID)) / 0.2, -1, 1
    )
    return ((0.5 * loud + 0.6 * wide) * speech).astype(np.float32)
