# SPDX-License-Identifier: GPL-3.0-or-later
"""Sounds that nobody says: noises, hums, beeps, knocks and made-up music, all of them labelled as silence.

From these the encoder learns that not everything loud is a mouth. numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

RATE = 16000
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10))

Sound = np.ndarray


def _coloured(count: int, rng: np.random.Generator) -> Sound:
    """Noise of a random tilt, swelling or steady."""
    slope = rng.uniform(-0.99, 0.99)
    made = lfilter([1.0], [1.0, -slope], rng.standard_normal(count))
    if rng.random() < 0.4:
        angle, radius = rng.uniform(0.05, 2.5), rng.uniform(0.8, 0.99)
        made = lfilter([1.0], [1.0, -2.0 * radius * np.cos(angle), radius * radius], made)
    if rng.random() < 0.5:
        knots = rng.uniform(0.02, 1.0, max(3, int(count / RATE * rng.uniform(0.5, 8.0))))
        made = made * np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    return np.asarray(made)


def _note(count: int, hertz: float, rng: np.random.Generator, decay: float, partials: int) -> Sound:
    """One harmonic tone (count,) with an attack, a decay and perhaps a vibrato."""
    time = np.arange(count) / RATE
    vibrato = 1.0 + (rng.random() < 0.3) * 0.006 * np.sin(2 * np.pi * rng.uniform(4.0, 7.0) * time)
    phase = 2 * np.pi * np.cumsum(hertz * vibrato) / RATE
    tilt = rng.uniform(0.6, 2.2)
    tone = np.zeros(count)
    for order in range(1, partials + 1):
        if order * hertz < 0.48 * RATE:
            tone += np.sin(order * phase + rng.uniform(0, 6.3)) * order**-tilt * rng.uniform(0.3, 1.0)
    return np.asarray(tone * np.minimum(time / rng.uniform(0.003, 0.08), 1.0) * np.exp(-time / decay))


def _music(count: int, rng: np.random.Generator) -> Sound:
    """Chords, a tune and drums in a random scale and tempo."""
    out = np.zeros(count)
    scale, root = _SCALES[rng.integers(len(_SCALES))], rng.uniform(55.0, 220.0)
    beat = int(RATE * 60.0 / rng.uniform(60.0, 180.0))
    parts = rng.random(3) < (0.8, 0.8, 0.6)
    parts[1] |= not parts.any()
    for number, start in enumerate(range(0, count, beat)):
        length = min(count - start, beat * int(rng.integers(1, 4)))
        voices = []
        if parts[0] and number % 2 == 0:
            first = int(rng.integers(len(scale)))
            voices += [scale[(first + step) % len(scale)] for step in (0, 2, 4)]
        if parts[1]:
            voices.append(scale[rng.integers(len(scale))] + 12 * int(rng.integers(1, 4)))
        for semitones in voices:
            tone = _note(length, root * 2 ** (semitones / 12), rng, rng.uniform(0.15, 2.0), 12)
            out[start : start + length] += tone
        if parts[2]:
            hit = min(count - start, RATE // 4)
            drum = rng.standard_normal(hit) * np.exp(-np.arange(hit) / RATE / rng.uniform(0.01, 0.08))
            out[start : start + hit] += lfilter([1.0], [1.0, -rng.uniform(-0.9, 0.99)], drum)
    return out


def _tune(count: int, rng: np.random.Generator) -> Sound:
    """One instrument alone, note after note: the nearest that music comes to a voice."""
    out, at = np.zeros(count), 0
    scale, root = _SCALES[rng.integers(len(_SCALES))], rng.uniform(80.0, 500.0)
    beat, place = RATE * 60.0 / rng.uniform(60.0, 200.0), int(rng.integers(8))
    decay = rng.uniform(0.1, 1.0) if rng.random() < 0.6 else 1e3  # plucked or blown
    while at < count:
        length = min(count - at, int(beat * rng.choice((0.5, 1.0, 1.0, 2.0))))
        place = int(np.clip(place + rng.integers(-3, 4), 0, 2 * len(scale)))
        hertz = root * 2 ** ((scale[place % len(scale)] + 12 * (place // len(scale))) / 12)
        fade = np.minimum(1.0, np.arange(length, 0, -1) / (0.02 * RATE))
        out[at : at + length] = _note(length, hertz, rng, decay, int(rng.integers(1, 20))) * fade
        at += length + int(rng.random() < 0.2) * int(0.3 * beat)
    return out


def _hum(count: int, rng: np.random.Generator) -> Sound:
    """A machine: steady partials and some noise."""
    steady = _note(count, rng.uniform(40.0, 400.0), rng, 1e3, int(rng.integers(1, 30)))
    return np.asarray(steady + rng.uniform(0.0, 0.5) * _coloured(count, rng))


def _beeps(count: int, rng: np.random.Generator) -> Sound:
    """Single tones and sweeps with pauses."""
    out, at = np.zeros(count), 0
    while at < count:
        length = min(count - at, int(RATE * 0.05 * 80.0 ** rng.random()))
        sweep = np.linspace(rng.uniform(200.0, 4000.0), rng.uniform(200.0, 4000.0), length)
        if rng.random() < 0.6:
            sweep[:] = sweep[0]
        out[at : at + length] = np.sin(2 * np.pi * np.cumsum(sweep) / RATE) * rng.uniform(0.3, 1.0)
        at += length + int(RATE * rng.uniform(0.02, 0.8))
    return out


def _knocks(count: int, rng: np.random.Generator) -> Sound:
    """Claps, steps, keys: short bursts of ringing noise."""
    out, at = np.zeros(count), 0
    while at < count:
        length = min(count - at, int(RATE * rng.uniform(0.03, 0.3)))
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / RATE / rng.uniform(0.003, 0.06))
        angle, radius = rng.uniform(0.05, 2.0), rng.uniform(0.5, 0.98)
        out[at : at + length] += lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius * radius], burst)
        at += int(RATE * rng.uniform(0.04, 0.9))
    return out


_KINDS: tuple[Callable[[int, np.random.Generator], Sound], ...] = (
    _coloured, _coloured, _music, _music, _music, _tune, _tune, _hum, _beeps, _knocks,
)  # fmt: skip


def not_speech(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Samples (N,) int16 at 16 kHz of one kind of sound, or of two at once."""
    count = int(seconds * RATE)
    total = np.zeros(count)
    for _ in range(1 + int(rng.random() < 0.3)):
        made = _KINDS[rng.integers(len(_KINDS))](count, rng)
        total += made / max(float(np.abs(made).max()), 1e-9) * rng.uniform(0.3, 1.0)
    return np.round(total / max(float(np.abs(total).max()), 1e-9) * 12000.0).astype(np.int16)
