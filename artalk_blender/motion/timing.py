# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and model frames <-> scene frames. Plain numbers, no `bpy` module use.

Motion comes at 25 frames a second, scenes run at any rate. Every motion frame is keyed where it belongs in
time, at a fractional scene frame if need be: Blender evaluates those exactly, and nothing is lost by
resampling.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .layout import MOTION_FPS

_LARGEST_FPS = 32767  # what Blender takes
_NTSC = Fraction(1001, 1000)


def motion_frames(count: int, start_frame: float, scene_fps: float) -> NDArray[np.float64]:
    """Scene frames (T,) of `count` motion frames, the first at `start_frame`."""
    return start_frame + np.arange(count, dtype=np.float64) * (scene_fps / MOTION_FPS)


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
