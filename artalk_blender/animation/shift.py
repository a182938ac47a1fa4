# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves a take in time, keys edited by hand and all: earlier or later, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArtalkError
from ..head.handle import Head
from . import assign
from .fcurves import find_curve
from .nla import shift_strips
from .take_data import TAKE_KEY, check_take, curves_of, settings_of


def shift_take(action: Any, milliseconds: float, head: Head) -> None:
    """Adds to a take's sync offset by moving the keys that it has, with their handles, and its NLA strips.

    Tuning it would make its keys again, without what was edited. Raises ArtalkError where it can't be changed.
    """
    check_take(action)
    if action.library is not None:
        raise ArtalkError(f"The take “{action.name}” is linked from another file.", "Make it local first.")
    assign.check_editable(head)
    tuning, _ = settings_of(action)
    frames = milliseconds * 1e-3 * float(action[TAKE_KEY]["scene_fps"])
    for place in curves_of(action):
        curve = find_curve(action, place)
        if curve is not None and not curve.lock:
            _shift(curve, frames)
    shift_strips(action, frames)
    action[TAKE_KEY]["settings"]["offset_ms"] = tuning.offset_ms + milliseconds
    action.update_tag()
    for _, owner in assign.owners(head):
        owner.update_tag()


def _shift(curve: Any, frames: float) -> None:
    keys = curve.keyframe_points
    points = np.empty((len(keys), 2), np.float32)
    for name in ("co", "handle_left", "handle_right"):
        keys.foreach_get(name, points.ravel())
        points[:, 0] += frames
        keys.foreach_set(name, points.ravel())
    curve.update()
