# SPDX-License-Identifier: GPL-3.0-or-later
"""Blinks: found in a motion, and added where the talker has not blinked for long. No `bpy` module use.

Intervals are log-normal above a shortest gap, as people's are, but fill every half minute evenly, so that the rate is
the one that was asked for. A blink closes in about 90 ms and opens in about twice that.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import MOTION_FPS
from .regions import FaceChannels

Floats = NDArray[np.float32]

_LEAST_GAP = 1.2 * MOTION_FPS  # frames between two blinks
_SPREAD = 0.6  # of the logarithm of an interval's part above the least gap
_BLOCK = 8  # intervals that together have exactly their length
_CLOSING = (0.08, 0.10)  # seconds
_OPENING = (0.15, 0.20)
_FROM_START, _FROM_END = 4, 7  # frames: a blink is whole
_AROUND = 10  # frames on either side within which the lids open again if it was a blink
_PROMINENCE = 0.4  # of a full blink


def add_blinks(expression: Floats, face: FaceChannels | None, per_minute: float, seed: int) -> Floats:
    """Expressions (T,100) with blinks added until there are about `per_minute`; a new array.

    Blinks that the motion has are counted and kept apart from. Only the channels that blink are touched: ARKit's two
    by name, else the head's own `blink` direction (`lids.blink_direction`). A head that has neither stays as it is:
    FLAME's principal components do not say what closes a lid.
    """
    result = expression.copy()
    found = lid_signal(expression, face)
    if face is None or found is None or per_minute <= 0.0:
        return result
    closed = blink_curve(len(expression), plan(find_blinks(found), len(expression), per_minute, seed), seed)
    if face.blink_channels:
        for channel in face.blink_channels:
            result[:, channel] += closed * (1.0 - result[:, channel])
    else:
        result += closed[:, None] * np.asarray(face.blink, np.float32)
    return result


def lid_signal(expression: NDArray[np.floating[Any]], face: FaceChannels | None) -> NDArray[np.float64] | None:
    """How far the lids are closed (T,), about 0..1, or None if the head does not say."""
    if face is None:
        return None
    if face.blink_channels:
        return expression[:, face.blink_channels].mean(1, dtype=np.float64)
    if face.blink is None or not np.any(face.blink):
        return None
    blink = np.asarray(face.blink, np.float64)
    return expression @ blink / (blink @ blink)


def find_blinks(closed: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Frames of the blinks in a lid signal (T,): peaks from which the lids open again on both sides within 0.4 s."""
    if len(closed) < 3:
        return np.zeros(0, np.intp)
    padded = np.pad(np.asarray(closed, np.float64), _AROUND, "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _AROUND + 1)
    low = windows.min(1)
    before, after = low[: len(closed)], low[_AROUND:]
    highest = np.lib.stride_tricks.sliding_window_view(padded[_AROUND - 3 : len(padded) - _AROUND + 3], 7).max(1)
    peak = (closed >= highest) & (closed - before >= _PROMINENCE) & (closed - after >= _PROMINENCE)
    frames = np.flatnonzero(peak)
    return frames[np.diff(frames, prepend=-_AROUND) > 3]  # a flat peak is one blink


def plan(found: NDArray[np.integer[Any]], frames: int, per_minute: float, seed: int) -> NDArray[np.intp]:
    """Frames at which to blink besides `found`, so that `frames` frames have about `per_minute`; the same for a seed.

    Gaps between found blinks are cut into as many intervals as they have mean intervals; what rounding gives or takes
    is made good in the next gap. The legacy generator is used because its numbers never change between versions.
    """
    random = np.random.RandomState(seed)
    mean = 60.0 * MOTION_FPS / per_minute
    phase = random.uniform()
    # the blink before the first frame and the one after the last, had we seen them
    anchors = np.concatenate([[-phase * mean], found, [frames + (1.0 - phase) * mean]])
    times: list[NDArray[np.float64]] = []
    owed = 0.0
    for start, stop in itertools.pairwise(anchors):
        wish = (stop - start) / mean + owed
        count = max(1, min(math.floor(wish + 0.5), math.floor((stop - start) / _LEAST_GAP)))
        owed = float(np.clip(wish - count, -1.0, 1.0))
        times.append(_cut(start, stop, count, random)[:-1])
    added = np.round(np.concatenate(times)).astype(np.intp)
    return added[(added >= _FROM_START) & (added < frames - _FROM_END)]


def _cut(start: float, stop: float, count: int, random: np.random.RandomState) -> NDArray[np.float64]:
    """Ends of `count` intervals from start to stop, in blocks of equal length."""
    blocks = math.ceil(count / _BLOCK)
    sizes = np.full(blocks, count // blocks)
    sizes[: count % blocks] += 1
    bounds = start + (stop - start) * np.cumsum(sizes) / count
    ends = []
    for size, begin, end in zip(sizes, np.concatenate([[start], bounds[:-1]]), bounds, strict=True):
        least = min(_LEAST_GAP, (end - begin) / size)
        parts = random.lognormal(0.0, _SPREAD, size)
        ends.append(begin + np.cumsum(least + (end - begin - size * least) * parts / parts.sum()))
    return np.concatenate(ends)


def blink_curve(frames: int, peaks: NDArray[np.integer[Any]], seed: int) -> Floats:
    """How far lids are closed (T,), 0..1, with blinks that are closed at `peaks`; no two are quite alike."""
    random = np.random.RandomState([seed, 1])
    closed = np.zeros(frames, np.float32)
    around = np.arange(-_FROM_START, _FROM_END + 1)
    for peak in peaks:
        closing, opening = random.uniform(*_CLOSING), random.uniform(*_OPENING)
        time = around / MOTION_FPS
        phase = np.clip(np.where(time < 0.0, time / closing, time / opening), -1.0, 1.0)
        shape = 0.5 + 0.5 * np.cos(np.pi * phase)
        place = around + peak
        inside = (place >= 0) & (place < frames)
        closed[place[inside]] = np.maximum(closed[place[inside]], shape[inside])
    return closed
