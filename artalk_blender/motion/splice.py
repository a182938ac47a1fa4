# SPDX-License-Identifier: GPL-3.0-or-later
"""New frames put into a take's motion without a seam. Plain numpy, no `bpy` module use.

Within the range both motions are there, made for the same sound; so near the range's ends one turns into the other, by
weights that start and end without speed and without acceleration (6t^5 - 15t^4 + 10t^3). Position and speed at the ends
are then those of the old motion itself, and outside the range not a bit changes. Lips that both motions close stay
closed; the face turns quickly, because its closures are short, the head, which is slow, takes its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.rotations import continuous, multiply, to_axis_angle, to_quaternions
from .layout import CHANNELS, EXPRESSION, HEAD_ROTATION, JAW_POSE
from .resample import closures

Floats = NDArray[np.float32]
Aperture = Callable[[Floats], Floats]

FACE_FRAMES = 4     # 160 ms: about a syllable's way from open to closed
HEAD_FRAMES = 12
_SHORTEST = 2
_CLOSED = 1e-3    # metres, as in resample.py


def splice(old: NDArray[np.floating[Any]], new: NDArray[np.floating[Any]], start: int,
           aperture: Aperture | None = None) -> Floats:
    """Raw motion (T,106) with `new` (N,106) in place of its frames from `start` on; `old` stays as it is.

    `aperture`, motion (F,106) -> metres (F,), says how far a head's lips are open: where a closure of the new motion
    would be lost at an end of the range, the face turns more quickly there. Where the range begins or ends with the
    motion there is nothing to join. Raises ValueError for shapes that do not fit.
    """
    old, new = np.asarray(old, np.float32), np.asarray(new, np.float32)
    stop = start + len(new)
    if old.ndim != 2 or new.ndim != 2 or old.shape[1] != CHANNELS or new.shape[1] != CHANNELS:
        raise ValueError(f"motions are (T,{CHANNELS}), not {old.shape} and {new.shape}")
    if not 0 <= start < stop <= len(old):
        raise ValueError(f"frames {start} to {stop} do not lie within {len(old)}")
    result = old.copy()
    within, half = old[start:stop], max(1, len(new) // 2)
    ends = start > 0, stop < len(old)
    for frames in range(min(FACE_FRAMES, half), 0, -1):
        mixed = _mixed(within, new, _weights(len(new), frames, ends), _weights(len(new), min(HEAD_FRAMES, half), ends))
        if aperture is None or frames <= _SHORTEST or _keeps_closures(mixed, new, aperture):
            break
    mixed[:, HEAD_ROTATION] = _carried_on(old[:start], mixed[:, HEAD_ROTATION], HEAD_ROTATION)
    mixed[:, JAW_POSE] = _carried_on(old[:start], mixed[:, JAW_POSE], JAW_POSE)
    result[start:stop] = mixed
    return result


def _weights(count: int, frames: int, ends: tuple[bool, bool]) -> NDArray[np.float64]:
    """(N,) of the new motion: 0 just outside the range, 1 after so many frames within."""
    frame = np.arange(count)
    t = np.ones(count)
    if ends[0]:
        t = np.minimum(t, (frame + 1) / (frames + 1))
    if ends[1]:
        t = np.minimum(t, (count - frame) / (frames + 1))
    return t**3 * (t * (6.0 * t - 15.0) + 10.0)


def _mixed(old: Floats, new: Floats, face: NDArray[np.float64], head: NDArray[np.float64]) -> Floats:
    """(N,106) each; rotations the short way round. Where the weight is 1 the new motion to the bit."""
    result = new.copy()
    for part, weights in ((EXPRESSION, face), (HEAD_ROTATION, head), (JAW_POSE, face)):
        turning = weights < 1.0
        share = weights[turning, None]
        before, after = old[turning][:, part], new[turning][:, part]
        if part == EXPRESSION:
            result[turning, part] = before + share * (np.asarray(after, np.float64) - before)
        else:
            first = to_quaternions(before)
            turn = to_axis_angle(multiply(to_quaternions(after), first * (1.0, -1.0, -1.0, -1.0)))
            result[turning, part] = to_axis_angle(multiply(to_quaternions(share * turn), first))
    return result


def _keeps_closures(mixed: Floats, new: Floats, aperture: Aperture) -> bool:
    """Whether all frames where the new motion closes the lips still have them closed."""
    found = closures(aperture(new))
    return bool((aperture(mixed[found]) <= _CLOSED).all()) if len(found) else True


def _carried_on(before: Floats, rotations: Floats, part: slice) -> Floats:
    """Rotations (N,3) written with the turn that is nearest to the last frame before them."""
    return continuous(np.concatenate([before[-1:, part], rotations]))[len(before[-1:]) :].astype(np.float32)
