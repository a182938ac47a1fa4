# SPDX-License-Identifier: GPL-3.0-or-later
"""When the face blinks: once in every chunk of four seconds, in speech at a pause, else by an irregular clock.

A model without randomness can learn this to the letter: it knows where it is in its chunk, it hears the pauses, and it
sees the last blink in the chunk before. So blinks go on through the longest silence, 15 to 20 a minute.
numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..smoothing import savitzky_golay
from .visemes import GRID

FPS = 25.0
CHUNK = 100  # frames
LIDS = (0.45, 1.0, 1.0, 0.7, 0.35, 0.1)
"""Eyelids from a blink's first frame on: closing is quicker than opening."""
LAST_START = CHUNK - 10
APART = 30  # frames between two blinks, at least
AGAIN = 50  # frames after which another pause may have a blink of its own
PAUSE_SECONDS, LATE_SECONDS = 0.28, 0.12
FIRST = 34
"""Where the first chunk of a recording blinks when nobody pauses."""
CLOCK = (20, 62, 34, 84, 50, 12, 70, 40, 88, 28)
"""Without a pause a blink near one of these frames is followed, in the next chunk, by one at the next of them."""


def pause_frames(speech: np.ndarray) -> list[int]:
    """Frames at 25 fps shortly after which a pause has begun, of a speech track (N,) at GRID, 1 where one speaks."""
    talking = np.concatenate([[0.0], speech, np.zeros(round(PAUSE_SECONDS * GRID))]) > 0.5
    change = np.flatnonzero(np.diff(talking.astype(np.int8)))
    ends = [place for place in change if talking[place]]
    starts = [place for place in change if not talking[place]]
    kept: list[int] = []
    for end in ends:
        later = [start for start in starts if start > end]
        if not later or later[0] - end > PAUSE_SECONDS * GRID:
            kept.append(round((end / GRID + LATE_SECONDS) * FPS))
    return kept


def next_blinks(pauses: Sequence[int], before: Sequence[int] | None) -> list[int]:
    """Start frames of a chunk's blinks, from the pauses in it and the blinks of the chunk before (None: there is none).

    All frames are counted from the start of their own chunk.
    """
    last = before[-1] - CHUNK if before else -CHUNK
    chosen: list[int] = []
    for pause in sorted(pauses):
        if 1 <= pause <= LAST_START and pause - last >= (AGAIN if chosen else APART):
            chosen.append(pause)
            last = pause
    if chosen:
        return chosen
    if not before:
        return [FIRST]
    near = int(np.argmin([abs(place - before[-1]) for place in CLOCK]))
    return [CLOCK[(near + 1) % len(CLOCK)]]


def inside(pauses: Sequence[int], start: int) -> list[int]:
    """The pauses in the chunk that begins at a frame, counted from there."""
    return [pause - start for pause in pauses if 0 <= pause - start < CHUNK]


def all_blinks(pauses: Sequence[int], frames: int) -> list[int]:
    """Start frames of all blinks of a recording so long."""
    blinks: list[int] = []
    before: list[int] | None = None
    for start in range(0, frames, CHUNK):
        before = next_blinks(inside(pauses, start), before)
        blinks += [start + blink for blink in before]
    return blinks


def eyelids(blinks: Sequence[int], frames: int) -> np.ndarray:
    """(frames,) float32 of both blink channels, such that the published smoothing gives LIDS."""
    lids = np.zeros(frames + len(LIDS))
    for start in blinks:
        if 0 <= start < frames:
            part = lids[start : start + len(LIDS)]
            np.maximum(part, LIDS, out=part)
    lids = lids[:frames, None]
    return (2 * lids - savitzky_golay(lids, 5, 2) if frames >= 9 else lids)[:, 0].astype(np.float32)
