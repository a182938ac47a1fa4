# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes many keys at once: arrays in, F-curves out.

Keys are Bezier with auto-clamped handles. Between two 25 fps samples a straight line would cut the top off
every quick movement (a fifth of a 5 Hz one at worst) and show as jerks at 50 or 60 fps; a free curve would
overshoot, and closed lips would sink into each other. Auto-clamped handles are level at every extreme, never
overshoot, and are what an animator gets from Blender itself, so a key that is moved by hand goes on behaving.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

_BEZIER = 2  # Blender's number for the interpolation
_STILL = 1e-9


def write_curve(channelbag: Any, data_path: str, index: int, frames: NDArray[np.floating],
                values: NDArray[np.floating], group: Any = None) -> Any:
    """A new F-curve with keys (frames (T,), values (T,)); one that never moves gets a single key."""
    curve = channelbag.fcurves.new(data_path, index=index)
    if group is not None:
        curve.group = group
    values = np.asarray(values, np.float64)
    if len(values) and np.ptp(values) < _STILL:
        frames, values = frames[:1], values[:1]
    keys = curve.keyframe_points
    keys.add(len(values))
    keys.foreach_set("co", np.stack([frames, values], 1).astype(np.float32).ravel())
    keys.foreach_set("interpolation", np.full(len(values), _BEZIER, np.int32))
    curve.update()
    return curve


def key_path(shape_key_name: str) -> str:
    """Data path of a shape key's value; quotes and backslashes in the name are escaped."""
    return f'key_blocks["{bpy.utils.escape_identifier(shape_key_name)}"].value'


def bone_path(bone_name: str, property_name: str) -> str:
    return f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"].{property_name}'
