# SPDX-License-Identifier: GPL-3.0-or-later
"""Gains that an artist has keyed on the scene's settings: louder here, a stiller head there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..motion.layout import MOTION_FPS
from ..motion.process import KEYABLE, RANGES
from ..motion.timing import TimeMap

_PATH = "artalk."


def keyed_gains(scene: Any, times: TimeMap, count: int) -> dict[str, NDArray[np.float32]]:
    """Values (T,) of the settings that have F-curves, at each of `count` frames of motion; others are not in it."""
    data = scene.animation_data
    if data is None or data.action is None or data.action_slot is None:
        return {}
    bag = compat.channelbag(data.action, data.action_slot)
    curves = {curve.data_path.removeprefix(_PATH): curve for curve in bag.fcurves
              if curve.data_path.startswith(_PATH)} if bag is not None else {}
    frames = times.frames_at(np.arange(count) / MOTION_FPS).tolist()
    return {name: np.clip(np.fromiter(map(curves[name].evaluate, frames), np.float32, count), *RANGES[name])
            for name in KEYABLE if name in curves and len(curves[name].keyframe_points)}
