# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion at 25 frames a second -> motion on the whole frames of a scene. Plain numpy, no `bpy` module use.

Expressions go through monotone cubics (Fritsch and Carlson 1980, "Monotone piecewise cubic interpolation", with
the harmonic mean of the neighbouring slopes), which never leave the range of the samples they lie between, so closed
lips do not sink into each other; rotations by slerp. A closure of the lips can be shorter than a scene frame and fall
between two of them; the nearest whole frame then shows the closed lips, at most half a frame early or late.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.rotations import slerp
from .layout import CHANNELS, EXPRESSION, HEAD_ROTATION, JAW_POSE, MOTION_FPS
from .timing import TimeMap

Floats = NDArray[np.float64]
_CLOSED = 1e-3  # metres: a smallest aperture below this is a closure, or nearly one


def to_whole_frames(motion: NDArray[np.floating[Any]], times: TimeMap,
                    aperture: NDArray[np.floating[Any]] | None = None) -> tuple[Floats, NDArray[np.float32]]:
    """Motion (T,106) -> whole scene frames (K,) and the motion on them (K,106).

    `aperture` (T,) in metres tells where the lips close; without it closures are sampled like all else.
    """
    count = len(motion)
    if count == 0:
        return np.zeros(0), np.zeros((0, CHANNELS), np.float32)
    first, last = times.frames_at(np.array([0.0, (count - 1) / MOTION_FPS]))
    frames = np.arange(math.ceil(first - 1e-6), math.floor(last + 1e-6) + 1, dtype=np.float64)
    if len(frames) == 0:
        frames = np.array([round(first)], np.float64)
    places = np.clip(times.seconds_at(frames) * MOTION_FPS, 0.0, count - 1)
    if aperture is not None:
        places = _on_closures(places, np.asarray(aperture, np.float64))
    result = np.empty((len(frames), CHANNELS), np.float32)
    result[:, EXPRESSION] = monotone(np.asarray(motion[:, EXPRESSION], np.float64), places)
    for rotation in (HEAD_ROTATION, JAW_POSE):
        result[:, rotation] = slerp(motion[:, rotation], places)
    return frames, result


def closures(aperture: NDArray[np.floating[Any]], below: float = _CLOSED) -> NDArray[np.int64]:
    """Motion frames where the aperture (T,) in metres is smallest around and the lips (nearly) touch."""
    opening = np.asarray(aperture, np.float64)
    if len(opening) == 0:
        return np.zeros(0, np.int64)
    before = np.concatenate([[np.inf], opening[:-1]])
    after = np.concatenate([opening[1:], [np.inf]])
    return np.flatnonzero((opening <= below) & (opening <= before) & (opening <= after))


def _on_closures(places: Floats, aperture: Floats) -> Floats:
    """Places (K,) in motion frames; those next to a closure moved onto it, by half a step at most."""
    found = closures(aperture)
    if len(found) == 0 or len(places) < 2:
        return places
    right = np.clip(np.searchsorted(places, found), 1, len(places) - 1)
    nearest = np.where(found - places[right - 1] < places[right] - found, right - 1, right)
    step = places[right] - places[right - 1]
    near = np.abs(places[nearest] - found) <= 0.5 * step + 1e-9
    found, nearest = found[near], nearest[near]
    # where two closures share a frame the tighter one, written last, stays
    order = np.argsort(-aperture[found], kind="stable")
    moved = places.copy()
    moved[nearest[order]] = found[order]
    return np.maximum.accumulate(moved)


def monotone(values: Floats, places: Floats) -> Floats:
    """Monotone cubics through samples (T,C) at 0, 1, 2, ... -> (K,C) at `places` within them."""
    if len(values) < 2:
        return np.repeat(values[:1], len(places), 0)
    step = np.diff(values, axis=0)
    product = step[1:] * step[:-1]
    total = step[1:] + step[:-1]
    slope = np.zeros_like(values)
    np.divide(2.0 * product, total, out=slope[1:-1], where=product > 0.0)
    slope[0], slope[-1] = step[0], step[-1]
    part = np.minimum(places.astype(np.int64), len(values) - 2)
    t = (places - part)[:, None]
    back = 1.0 - t
    return (values[part] * (1.0 + 2.0 * t) * back**2 + values[part + 1] * t**2 * (3.0 - 2.0 * t)
            + slope[part] * t * back**2 - slope[part + 1] * t**2 * back)
