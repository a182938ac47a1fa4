# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and model frames <-> scene frames. Plain numbers, no `bpy` module use.

Motion comes at 25 frames a second, scenes run at any rate. By default every motion frame is keyed where it belongs
in time, at a fractional scene frame if need be: Blender evaluates those exactly, and nothing is lost by resampling.
Who wants keys on whole frames gets the motion resampled there (resample.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import MOTION_FPS

Floats = NDArray[np.float64]

EXACT, WHOLE = "exact", "whole"
ROOT_BONE, NECK_BONE, SHARED, OFF = "root", "neck", "shared", "off"
MODES = (EXACT, WHOLE)
HEAD_TARGETS = (ROOT_BONE, NECK_BONE, SHARED, OFF)

_LARGEST_FPS = 32767  # what Blender takes
_NTSC = Fraction(1001, 1000)


@dataclass(frozen=True)
class Keying:
    """How a motion becomes keys.

    mode: "exact", a key for every motion frame at its own time, or "whole", resampled to whole scene frames.
    head: the bone that turns with the head's rotation: "root", "neck", "shared" between both or "off", which leaves
    both alone. neck_share: the neck's part of a shared rotation, 0 to 1.
    """

    mode: str = EXACT
    head: str = ROOT_BONE
    neck_share: float = 0.5

    def __post_init__(self) -> None:
        if self.mode not in MODES or self.head not in HEAD_TARGETS:
            raise ValueError(f"keys are {' or '.join(MODES)} and the head's target is one of {', '.join(HEAD_TARGETS)}")
        if not 0.0 <= self.neck_share <= 1.0:
            raise ValueError("the neck's share lies between 0 and 1")

    def as_dict(self) -> dict[str, str | float]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Keying:
        """From what a take keeps; what another version added is left out. Raises ValueError for impossible values."""
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        return cls(**known)

    @property
    def shares(self) -> tuple[float, float]:
        """How much of the head's rotation root and neck take."""
        return {ROOT_BONE: (1.0, 0.0), NECK_BONE: (0.0, 1.0), OFF: (0.0, 0.0)}.get(
            self.head, (1.0 - self.neck_share, self.neck_share))


@dataclass(frozen=True)
class TimeMap:
    """Seconds of motion -> scene frames: straight between the given points and on beyond the ends.

    Two points are a strip at its own speed or at another; more are a strip retimed in parts. Both sequences rise.
    """

    seconds: tuple[float, ...]
    frames: tuple[float, ...]

    def __post_init__(self) -> None:
        for values in (self.seconds, self.frames):
            if len(values) < 2 or len(self.seconds) != len(self.frames) or not (np.diff(values) > 0.0).all():
                raise ValueError("a time map is two or more points that rise in seconds and in frames")
            if not np.isfinite(values).all():
                raise ValueError("a time map is made of finite numbers")

    @classmethod
    def steady(cls, start_frame: float, scene_fps: float, speed: float = 1.0) -> TimeMap:
        """Second 0 at `start_frame`, `speed` seconds of motion in every second of the scene."""
        return cls((0.0, 1.0), (float(start_frame), float(start_frame) + scene_fps / speed))

    @classmethod
    def through(cls, seconds: NDArray[np.floating[Any]], frames: NDArray[np.floating[Any]], within: float) -> TimeMap:
        """Few of the measured points (K,), such that no other lies more than `within` seconds off; K at least 2.

        The points farthest from the straight line between their neighbours are kept (Ramer 1972, Douglas and Peucker
        1973). Where seconds do not rise, as in a sound that is held, they are made to, by a microsecond at most.
        """
        x = np.asarray(frames, np.float64)
        y = np.maximum.accumulate(np.asarray(seconds, np.float64))
        kept, spans = {0, len(x) - 1}, [(0, len(x) - 1)]
        while spans:
            first, last = spans.pop()
            off = np.abs(y[first : last + 1] - np.interp(x[first : last + 1], x[[first, last]], y[[first, last]]))
            worst = first + int(off.argmax())
            if off[worst - first] > within:
                kept.add(worst)
                spans += [(first, worst), (worst, last)]
        corners = np.array(sorted(kept))
        rising = y[corners] + np.arange(len(corners)) * (1e-6 / len(corners))
        return cls(tuple(rising.tolist()), tuple(x[corners].tolist()))

    def frames_at(self, seconds: NDArray[np.floating[Any]]) -> Floats:
        return _straight(seconds, self.seconds, self.frames)

    def seconds_at(self, frames: NDArray[np.floating[Any]]) -> Floats:
        return _straight(frames, self.frames, self.seconds)

    def shifted(self, frames: float) -> TimeMap:
        """The same, so many scene frames later."""
        return TimeMap(self.seconds, tuple(frame + frames for frame in self.frames))

    def from_second(self, second: float) -> TimeMap:
        """The same for a motion that begins at this second of it."""
        return TimeMap(tuple(other - second for other in self.seconds), self.frames)

    def scaled(self, factor: float) -> TimeMap:
        """The same in a scene with `factor` times as many frames a second."""
        return TimeMap(self.seconds, tuple(frame * factor for frame in self.frames))


def _straight(values: NDArray[np.floating[Any]], known: Sequence[float], mapped: Sequence[float]) -> Floats:
    """np.interp that goes on beyond both ends with the slope there."""
    x, y = np.asarray(known, np.float64), np.asarray(mapped, np.float64)
    values = np.asarray(values, np.float64)
    part = np.clip(np.searchsorted(x, values, "right") - 1, 0, len(x) - 2)
    return y[part] + (values - x[part]) * ((y[part + 1] - y[part]) / (x[part + 1] - x[part]))


def motion_frames(count: int, start_frame: float, scene_fps: float) -> Floats:
    """Scene frames (T,) of `count` motion frames, the first at `start_frame`."""
    return TimeMap.steady(start_frame, scene_fps).frames_at(np.arange(count) / MOTION_FPS)


def frame_to_seconds(frames: float, scene_fps: float) -> float:
    return frames / scene_fps


def last_frame(first_frame: int, seconds: float, scene_fps: float) -> int:
    """The last frame of a picture that starts on `first_frame` and lasts `seconds`, to the nearest frame."""
    return first_frame + max(1, math.floor(seconds * scene_fps + 0.5)) - 1


def split_rate(fps: float) -> tuple[int, float]:
    """(fps, fps_base) as Blender keeps a rate: 25 -> (25, 1.0), 29.97 -> (30, 1.001), 12.5 -> (25, 2.0).

    Whole numbers wherever they do: a movie file keeps them exactly, other bases only roughly. The broadcast
    rates are meant exactly when they are written short, as everybody writes them.
    """
    if not (math.isfinite(fps) and 1.0 <= fps <= 1000.0):
        raise ValueError("a frame rate lies between 1 and 1000")
    whole = math.ceil(fps - 1e-9)
    if abs(fps - whole) < 1e-9:
        return whole, 1.0
    if abs(fps - whole / float(_NTSC)) < 0.006:  # 23.98, 29.97, 59.94 as well as 23.976
        return whole, float(_NTSC)
    ratio = Fraction(fps).limit_denominator(min(100, _LARGEST_FPS // whole))
    return ratio.numerator, float(ratio.denominator)
