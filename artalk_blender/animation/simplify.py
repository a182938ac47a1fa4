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
from .fcurves import fill_bezier, find_curve, samples_at
from .shown import Shown

Place = tuple[str, str, int]

_STEP = 4  # samples for every key of the dense curve, so that nothing escapes between keys


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
    frames = _grid(max(moving.values(), key=lambda curve: len(curve.keyframe_points)))
    values = np.stack([samples_at(curve, frames, _STEP) for curve in moving.values()], 1)
    still = {place: curve.evaluate(0.0) for place, curve in curves.items() if place not in moving}
    shown = Shown(head, list(moving), still, values, 1e-3 * bound.millimetres, np.radians(bound.degrees))
    result = simplify(frames, values, shown.tolerance, shown.measure, shown.verify)
    for channel, curve in enumerate(moving.values()):
        fill_bezier(curve, *(part.astype(np.float32) for part in result.handles(channel, frames, values)))
    after = sum(len(curve.keyframe_points) for curve in curves.values())
    lips, turns = shown.errors(result.values)
    return Simplification(before, after, 1e3 * lips, float(np.degrees(turns)), *shown.kept(result.values))


def _grid(curve: Any) -> NDArray[np.float64]:
    """The frames of a curve's keys and _STEP - 1 others between each two."""
    co = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", co)
    keys = co[::2].astype(np.float64)
    return np.interp(np.arange(_STEP * (len(keys) - 1) + 1) / _STEP, np.arange(len(keys)), keys)
