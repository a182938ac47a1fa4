# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes out keys that nobody would miss: reads F-curves, bounds what the head would show, writes fewer keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..head.handle import Head
from ..motion.simplify import simplify
from .fcurves import Dense, dense_curve, fill_bezier, find_curve
from .shown import Shown

Place = tuple[str, str, int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

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


def simplify_curves(action: Any, head: Head, places: list[Place], bound: Bound) -> Simplification:
    """Rewrites the F-curves of an Action at `places` with as few keys as the bound allows."""
    curves = {place: curve for place in places if (curve := find_curve(action, place)) is not None}
    before = sum(len(curve.keyframe_points) for curve in curves.values())
    moving = {place: curve for place, curve in curves.items() if len(curve.keyframe_points) > 2}
    if not moving:
        return Simplification(before, before, 0.0, 0.0, 0, 0)
    keys = _key_frames(max(moving.values(), key=lambda curve: len(curve.keyframe_points)))
    dense = [dense_curve(curve, keys) for curve in moving.values()]
    still = {place: curve.evaluate(0.0) for place, curve in curves.items() if place not in moving}

    def shown(piece: Ints, t: Floats) -> tuple[Floats, Floats, Shown]:
        width = keys[piece + 1] - keys[piece]
        frames = keys[piece] + t * width
        values, slopes = np.stack([curve.at(frames, piece, t, width) for curve in dense], 2)
        limits = 1e-3 * bound.millimetres, float(np.radians(bound.degrees))
        return frames, slopes, Shown(head, list(moving), still, values, *limits)

    _, _, rough = shown(np.arange(len(keys) - 1), np.zeros(len(keys) - 1))
    frames, slopes, fine = shown(*_samples(dense, rough.tolerance, len(keys)))
    fine.mind_contacts()
    values = fine.values
    result = simplify(frames, values, fine.tolerance, fine.measure, fine.verify, slopes)
    for channel, curve in enumerate(moving.values()):
        fill_bezier(curve, *(part.astype(np.float32) for part in result.handles(channel, frames, values)))
    after = sum(len(curve.keyframe_points) for curve in curves.values())
    lips, turns = fine.errors(result.values)
    return Simplification(before, after, 1e3 * lips, float(np.degrees(turns)), *fine.kept(result.values))


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
