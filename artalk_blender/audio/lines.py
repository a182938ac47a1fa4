# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sound strips as the lines of one take: one sound, with the pauses between them, and where it is heard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..motion.timing import TimeMap
from .samples import SAMPLE_RATE
from .strip import StripAudio

_ONE_FRAME = 1e-4  # scene frames: strips that touch overlap by rounding


def join_lines(lines: Sequence[StripAudio], scene_fps: float) -> StripAudio:
    """The lines, in the order of their time, as one. Raises ArtalkError where two of them are heard at once."""
    lines = sorted(lines, key=lambda line: line.start_frame)
    if len(lines) == 1:
        return lines[0]
    pieces: list[NDArray[np.float32]] = []
    seconds: list[float] = []
    frames: list[float] = []
    length = 0
    for before, line in zip([None, *lines], lines, strict=False):
        if before is not None:
            gap = line.start_frame - frames[-1]
            if gap < -_ONE_FRAME:
                raise ArtalkError(f"The strips “{before.name}” and “{line.name}” are heard at the same time.",
                                  "Generate a take for each, on a head each.")
            pause = np.zeros(max(0, round(gap / scene_fps * SAMPLE_RATE)), np.float32)
            pieces.append(pause)
            length += len(pause)
        _extend(seconds, frames, line.times, length / SAMPLE_RATE, len(line.samples) / SAMPLE_RATE)
        pieces.append(line.samples)
        length += len(line.samples)
    first = lines[0]
    return StripAudio(np.concatenate(pieces), first.start_frame, f"{first.name} and {len(lines) - 1} more", first.path,
                      first.sha256, TimeMap(tuple(seconds), tuple(frames)), first.facts)


def _extend(seconds: list[float], frames: list[float], times: TimeMap, start: float, length: float) -> None:
    """Adds a line's corners, which begins at second `start` of the whole and lasts `length` seconds."""
    corners = [0.0, *(second for second in times.seconds if 0.0 < second < length), length]
    for second, frame in zip(corners, times.frames_at(np.array(corners)).tolist(), strict=True):
        if not seconds or (start + second > seconds[-1] + 1e-9 and frame > frames[-1] + 1e-9):
            seconds.append(start + second)
            frames.append(frame)
