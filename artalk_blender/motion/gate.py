# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the talker pauses, heard from the sound's loudness, and how far the mouth rests there. No `bpy` module use.

Everything is measured against the clip's own levels, so a recording's gain and its noise do not matter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.pipeline import FPS, SAMPLE_RATE, check_samples

Floats = NDArray[np.float32]

_BLOCK = 160  # samples: 10 ms, over which a recording's offset and rumble are taken off
_BLOCKS = SAMPLE_RATE // FPS // _BLOCK
SILENCE_DB = -100.0  # what digital silence measures
_DIGITAL_DB = -90.0  # below it lies no recording, only padding
_INAUDIBLE_DB = -65.0  # a clip whose loud parts stay below is silent

_LEAST_SPREAD_DB = 12.0  # between floor and speech; with less, noise and speech cannot be told apart
_BELOW_SPEECH_DB = 35.0  # the quietest consonants
_ABOVE_FLOOR = 0.3  # of the spread
_HYSTERESIS_DB = 4.0

_QUIET_DB = 6.0  # above the floor: what a pause measures, where no consonant lies hidden

# frames of 40 ms
_SHORTEST_PAUSE = 10  # the mouth needs about as long to come to rest and be free again; closures are shorter
_SHORTEST_QUIET = 6  # where a recording is clean enough to tell a short pause from weak consonants
_LONGEST_CLICK = 1
_CLICK_ALONE = 5  # a click nearer to speech is the burst of a consonant
# After speech the mouth ends its last sound, then closes; before it, it is free early enough to shape the first one.
# As fast as it moves in speech: the longer this takes, the more of a babbling model's motion shows (`bench_gate.py`).
_HOLD, _RELEASE = 1, 3
_LEAD, _ATTACK = 1, 3


def loudness(samples: NDArray[np.floating[Any]]) -> Floats:
    """Samples (N,) at 16 kHz -> decibels below full scale (T,), T = ceil(N / 640), of 40 ms around each motion frame.

    -100 is digital silence. Raises EngineError for samples that are not numbers.
    """
    if np.size(samples) == 0:
        return np.zeros(0, np.float32)
    samples = check_samples(samples)
    frames = math.ceil(len(samples) / (_BLOCK * _BLOCKS))
    blocks = np.pad(samples, (0, frames * _BLOCKS * _BLOCK - len(samples))).reshape(-1, _BLOCK)
    squares = np.einsum("bs,bs->b", blocks, blocks, dtype=np.float64) / _BLOCK
    power = np.maximum(squares - blocks.mean(1, dtype=np.float64) ** 2, 0.0)
    half = _BLOCKS // 2
    padded = np.pad(power, (half, 0))[: frames * _BLOCKS]  # frame k stands at k / 25 s, its window around it
    level = 10.0 * np.log10(padded.reshape(frames, _BLOCKS).mean(1) + 10.0 ** (SILENCE_DB / 10.0))
    return level.astype(np.float32)


def pauses(level: NDArray[np.floating[Any]]) -> list[tuple[int, int]]:
    """Pauses [start, stop) in frames of a clip's loudness (T,) in dB, in order.

    A frame belongs to speech where the level is above the lower threshold, in a run that somewhere exceeds the upper
    one. Clicks alone are no speech. Gaps shorter than 0.4 s are no pause, those from 0.24 s on where all of it but the
    edges is as quiet as the recording ever is, unless the clip begins or ends with them.
    """
    level = np.asarray(level, np.float64)
    low, quiet = _thresholds(level)
    speech = level > low
    for start, stop in _runs(speech):
        if level[start:stop].max() <= low + _HYSTERESIS_DB:
            speech[start:stop] = False
    runs = _runs(speech)
    for index, (start, stop) in enumerate(runs):
        before = start - runs[index - 1][1] if index else _CLICK_ALONE
        after = runs[index + 1][0] - stop if index + 1 < len(runs) else _CLICK_ALONE
        if stop - start <= _LONGEST_CLICK and min(before, after) >= _CLICK_ALONE:
            speech[start:stop] = False
    return [(start, stop) for start, stop in _runs(~speech)
            if stop - start >= _SHORTEST_PAUSE or start == 0 or stop == len(level)
            or (stop - start >= _SHORTEST_QUIET and level[start + 1 : stop - 1].max() < quiet)]


def rest(level: NDArray[np.floating[Any]]) -> Floats:
    """How far the mouth rests (T,), 0 in speech to 1 in pauses, from loudness (T,); smooth, and 0 on speech frames.

    It looks ahead: the mouth is free 40 ms before the first sound and takes 120 ms to become so. Rest is the closed
    mouth, so a word that begins with closed lips has them closed in time. Motion is to be scaled by 1 - rest, so that
    lips that touch on the way still touch; led to rest from the pose in which speech ends, they would not.
    """
    frames = len(level)
    result = np.zeros(frames)
    for start, stop in pauses(level):
        time = np.arange(start, stop)
        # a clip begins and ends at rest
        closing = (time + 1 - (start + _HOLD)) / _RELEASE if start > 0 else np.ones(stop - start)
        opening = (stop - _LEAD - time) / _ATTACK if stop < frames else np.ones(stop - start)
        amount = np.clip(np.minimum(closing, opening), 0.0, 1.0)
        result[start:stop] = amount * amount * (3.0 - 2.0 * amount)
    return result.astype(np.float32)


def _thresholds(level: NDArray[np.float64]) -> tuple[float, float]:
    """Decibels above which there may be speech, and below which there is none.

    The first is infinite if a clip is silent, the digital floor if it never pauses. The second is minus infinite where
    the floor is too loud to hear the quietest consonants above it.
    """
    recorded = level[level > _DIGITAL_DB]
    if not len(recorded):
        return math.inf, -math.inf
    floor = float(np.percentile(recorded, 5.0))
    loud = recorded[recorded > floor + 10.0]
    top = float(np.percentile(loud, 90.0)) if len(loud) > 3 else floor
    if max(top, floor) < _INAUDIBLE_DB:
        return math.inf, -math.inf
    if top - floor < _LEAST_SPREAD_DB:
        return _DIGITAL_DB, -math.inf
    low = max(top - _BELOW_SPEECH_DB, floor + _ABOVE_FLOOR * (top - floor))
    return low, floor + _QUIET_DB if floor + _QUIET_DB < top - _BELOW_SPEECH_DB else -math.inf


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
