# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model's blinks: put into its motion by rule, chunk by chunk. numpy only; no torch, no bpy.

A network without randomness that decides bit by bit gives up rare events: where it is not sure that a blink comes now,
none comes. So it leaves the lids to this rule: a blink where the mouth comes to rest (a pause), and in a chunk without
a pause one by an irregular clock. That is 15 to 20 a minute, in speech as in the longest silence. A chunk needs only
itself and the blinks of the chunk before, so nothing waits; torch and numpy share the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .smoothing import savitzky_golay

Floats = NDArray[np.float32]

CHANNELS = (0, 7)  # both eyes, among the ARKit shapes
JAW = 103
CHUNK = 100  # frames at 25 fps
LIDS = (0.45, 1.0, 1.0, 0.7, 0.35, 0.1)
"""Eyelids from a blink's first frame on: closing is quicker than opening."""
FIRST_START, LAST_START = 2, CHUNK - 10  # a blink lies within its chunk, with what undoes the smoothing
APART = 30  # frames between two blinks, at least
AGAIN = 50  # frames after which another pause may have a blink of its own
REST = 0.012  # radians: a jaw less open than this, for PAUSE frames, is a pause
SEEN = 0.2  # of a lid's way, by which a blink is known again in raw motion
PAUSE, LATE = 7, 3  # frames; the blink comes LATE frames into the pause
FIRST = 34
"""Where the first chunk of a recording blinks when nobody pauses."""
CLOCK = (20, 62, 34, 84, 50, 12, 70, 40, 88, 28)
"""Without a pause a blink near one of these frames is followed, in the next chunk, by one at the next of them."""


def pauses(jaw: NDArray[np.floating[Any]], talking: bool) -> list[int]:
    """Frames at which blinks would suit: LATE frames after the jaw (T,), in radians, has come to rest.

    ``talking`` says whether it moved just before; at rest from the start on is no pause.
    """
    moving = np.concatenate([[talking], jaw > REST, [True]])
    changes = np.flatnonzero(np.diff(moving.astype(np.int8)))
    stops = [int(place) for place in changes if moving[place]]
    goes = [int(place) for place in changes if not moving[place]]
    return [stop + LATE for stop in stops if next(go for go in goes if go > stop) - stop >= PAUSE]


def next_blinks(suiting: Sequence[int], before: Sequence[int] | None) -> list[int]:
    """First frames of a chunk's blinks, from the frames that suit and the blinks of the chunk before (None: there is
    none). All frames are counted from the start of their own chunk.
    """
    last = before[-1] - CHUNK if before else -CHUNK
    chosen: list[int] = []
    for place in sorted(suiting):
        if FIRST_START <= place <= LAST_START and place - last >= (AGAIN if chosen else APART):
            chosen.append(place)
            last = place
    if chosen:
        return chosen
    if not before:
        return [FIRST]
    near = int(np.argmin([abs(place - before[-1]) for place in CLOCK]))
    return [CLOCK[(near + 1) % len(CLOCK)]]


def eyelids(blinks: Sequence[int], frames: int) -> Floats:
    """(frames,) float32 of the blink channels, such that the published smoothing gives LIDS."""
    lids = np.zeros(frames + len(LIDS), np.float32)
    for start in blinks:
        if 0 <= start < frames:
            part = lids[start : start + len(LIDS)]
            np.maximum(part, np.asarray(LIDS, np.float32), out=part)
    shown = lids[:frames, None]
    return (2 * shown - savitzky_golay(shown, 5, 2) if frames >= 9 else shown)[:, 0]


def blinks_of(chunk: Floats) -> list[int]:
    """First frames of the blinks that the rule has put into a raw chunk (T,106)."""
    shut = np.concatenate([[False], chunk[:, CHANNELS[0]] > SEEN])
    return np.flatnonzero(shut[1:] & ~shut[:-1]).tolist()


def without_blinks(motion: Floats | None) -> Floats | None:
    """Raw motion (T,106) as the network made it, but for its lids, which it leaves open."""
    if motion is None:
        return None
    motion = motion.copy()
    motion[:, CHANNELS] = 0.0
    return motion


def with_blinks(chunks: Iterable[Floats], history: Floats | None = None) -> Iterator[Floats]:
    """Raw chunks (100,106) of one recording, in order -> the same with the lids of the rule.

    `history` (H,106) is the raw motion before them, where they do not begin the recording.
    """
    before: list[int] | None = None
    talking = False
    if history is not None and len(history):
        late = np.concatenate([np.zeros((CHUNK, history.shape[1]), np.float32), history])[-CHUNK:]
        before, talking = blinks_of(late) or None, bool(history[-1, JAW] > REST)
    for chunk in chunks:
        before = next_blinks(pauses(chunk[:, JAW], talking), before)
        talking = bool(chunk[-1, JAW] > REST)
        blinking = chunk.copy()
        blinking[:, CHANNELS] = eyelids(before, len(chunk))[:, None]
        yield blinking


def motion_with_blinks(motion: Floats) -> Floats:
    """Raw motion (T,106) of one recording -> the same with the lids of the rule."""
    return np.concatenate(list(with_blinks(motion[start : start + CHUNK] for start in range(0, len(motion), CHUNK))))
