# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes out keys that nobody would miss: reads F-curves, bounds what the head would show, writes fewer keys.

In slices (`runner.py`), the arithmetic in a thread; nothing is changed before all of it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..head.handle import Head
from ..motion.simplify import simplify
from ..retarget.player import Retarget
from ..retarget.shown import TargetSkin
from ..runner import AGAIN, Work
from .fcurves import Dense, dense_curve, fill_bezier, find_curve, sampled
from .shown import HeadShown, Shown

Place = tuple[str, str, int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Find = Callable[[], tuple[Any, Head | Retarget]]  # an Action and the head or target that it is for, found again

_STRAY = 0.3  # of the bound, by which the curves may bend away unseen between two samples
_SAMPLES = (2, 8)  # for every key of the dense curve


@dataclass(frozen=True)
class Bound:
    """How far a simplified take may be from the dense one."""

    millimetres: float = 0.1
    degrees: float = 0.1

    def __post_init__(self) -> None:
        if not (0.001 <= self.millimetres <= 10.0 and 0.001 <= self.degrees <= 10.0):
            raise ArtalkError("A take is simplified by 0.001 to 10 millimetres and degrees.", "Try 0.1.")


@dataclass(frozen=True)
class Simplification:
    """What came of it: keys, the largest error at the lips and of any turn, closures of the lips and how many stay."""

    keys_before: int
    keys_after: int
    millimetres: float
    degrees: float
    closures: int
    closures_kept: int


@dataclass(frozen=True)
class Plan:
    """Keys and both handles (K,2) for each F-curve that is to have fewer, and what comes of it."""

    handles: dict[Place, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]
    found: Simplification

    def apply(self, action: Any) -> None:
        """Rewrites the F-curves of an Action."""
        for place, handles in self.handles.items():
            fill_bezier(find_curve(action, place), *handles)


def plan_simplification(find: Find, places: list[Place], bound: Bound) -> Work[Plan]:
    """As few keys as the bound allows for an Action's F-curves at `places`, on a head; `find` gives both."""
    moving, still, before = [], {}, 0
    for place in places:
        curve = find_curve(find()[0], place)
        if curve is None:
            continue
        before += len(curve.keyframe_points)
        if len(curve.keyframe_points) > 2:
            moving.append((len(curve.keyframe_points), place))
        else:
            still[place] = curve.evaluate(0.0)
    if not moving:
        return Plan({}, Simplification(before, before, 0.0, 0.0, 0, 0))
    keys = _key_frames(find_curve(find()[0], max(moving)[1]))
    dense = []
    for _, place in moving:
        dense.append(dense_curve(find_curve(find()[0], place), keys))
        yield AGAIN
    spots = [place for _, place in moving]
    player = find()[1]
    skin = TargetSkin(player, spots, still) if isinstance(player, Retarget) else None
    del player
    yield

    def shown(piece: Ints, t: Floats) -> Work[tuple[Floats, Floats, Shown]]:
        width = keys[piece + 1] - keys[piece]
        frames = keys[piece] + t * width
        values, slopes = np.empty((len(frames), len(spots))), np.empty((len(frames), len(spots)))
        for column, (place, curve) in enumerate(zip(spots, dense, strict=True)):
            values[:, column], slopes[:, column] = (
                curve.at(piece, t, width) if curve.is_plain else sampled(find_curve(find()[0], place), frames))
            yield AGAIN
        limits = 1e-3 * bound.millimetres, float(np.radians(bound.degrees))
        made = HeadShown(find()[1], spots, still, values, *limits) if skin is None \
            else skin.shown(values, *limits)
        return frames, slopes, made

    _, _, rough = yield from shown(np.arange(len(keys) - 1), np.zeros(len(keys) - 1))
    samples = yield partial(_samples, dense, rough.tolerance, len(keys))
    frames, slopes, fine = yield from shown(*samples)
    return (yield partial(_plan, spots, frames, slopes, fine, before, before - sum(count for count, _ in moving)))


def _plan(places: list[Place], frames: Floats, slopes: Floats, fine: Shown, before: int, others: int) -> Plan:
    """The arithmetic of it, from dense samples; of the keys `before`, so many `others` belong to curves that stay."""
    fine.mind_contacts()
    result = simplify(frames, fine.values, fine.tolerance, fine.measure, fine.verify, slopes)
    handles = {}
    for channel, place in enumerate(places):
        points, left, right = (part.astype(np.float32) for part in result.handles(channel, frames, fine.values))
        handles[place] = points, left, right
    lips, turns = fine.errors(result.values)
    return Plan(handles, Simplification(before, others + result.count, 1e3 * lips,
                                        float(np.degrees(turns)), *fine.kept(result.values)))


def _key_frames(curve: Any) -> Floats:
    co = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", co)
    return co[::2].astype(np.float64)


def _samples(dense: list[Dense], tolerance: Floats, keys: int) -> tuple[Ints, Floats]:
    """Where to look at the curves: (S,) piece between two keys and how far along it, 0 to 1.

    As often as they bend: between two samples h apart, something straight may stray from a curve by h^2/8 of its
    second derivative, here up to _STRAY of the bound in all channels together; and once more half-way.
    """
    bend = np.zeros(keys - 1)
    for curve, allowed in zip(dense, tolerance, strict=True):
        if curve.cubics is not None:
            start, right, left, end = curve.cubics.T
            bend += 6.0 / allowed * np.maximum(np.abs(start - 2 * right + left), np.abs(right - 2 * left + end))
    count = 2 * np.clip(np.ceil(np.sqrt(bend / (8.0 * _STRAY))), *_SAMPLES).astype(np.int64)
    piece = np.repeat(np.arange(keys - 1), count)
    t = (np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)) / count[piece]
    return np.append(piece, keys - 2), np.append(t, 1.0)
