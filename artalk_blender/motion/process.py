# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to raw motion before it becomes keys. Plain numpy, no `bpy` module use.

A take keeps its raw motion, so all of this can be done again with other numbers without asking the model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.smoothing import smooth_motion
from .layout import CHANNELS, HEAD_ROTATION

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ProcessSettings:
    """Smoothing as published unless switched off; `head_gain` 0 holds the head still."""

    smooth: bool = True
    head_gain: float = 1.0

    def as_dict(self) -> dict[str, bool | float]:
        return asdict(self)


def process_motion(raw: NDArray[np.floating[Any]], settings: ProcessSettings | None = None) -> Floats:
    """Raw motion (T,106) -> the motion that is keyed (T,106); `raw` stays as it is."""
    settings = settings or ProcessSettings()
    raw = np.asarray(raw, np.float32)
    if raw.ndim != 2 or raw.shape[1] != CHANNELS:
        raise ValueError(f"motion is (T,{CHANNELS}), not {raw.shape}")
    motion = smooth_motion(raw) if settings.smooth else raw.copy()
    motion[:, HEAD_ROTATION] *= np.float32(settings.head_gain)
    return motion


def axis_angle_to_quaternions(axis_angle: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(T,3) radians -> (T,4) unit quaternions w, x, y, z whose sign never jumps from frame to frame.

    q and -q are the same rotation, but half-way between them lies none: without the continuous sign a bone
    would spin through its F-curves. The first frame has w >= 0.
    """
    vector = np.asarray(axis_angle, np.float64)
    half = 0.5 * np.linalg.norm(vector, axis=1)
    # sin(half)/(2*half) without a division by zero: np.sinc(x) is sin(pi x)/(pi x)
    quaternions = np.concatenate([np.cos(half)[:, None], 0.5 * np.sinc(half / np.pi)[:, None] * vector], 1)
    if len(quaternions):
        step = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
        step[step == 0] = 1.0
        first = 1.0 if quaternions[0, 0] >= 0 else -1.0
        quaternions *= (first * np.concatenate([[1.0], np.cumprod(step)]))[:, None]
    return quaternions


def joint_shift(expression: NDArray[np.floating[Any]], rotation: NDArray[np.floating[Any]],
                directions: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """How far a bone has to move (T,3), metres, because FLAME's joints move with the expression.

    FLAME turns about joint + dJ, a bone about its rest joint; turning by R about the former is turning about
    the latter and moving by (I - R) dJ. expression (T,100), rotation (T,3) axis-angle, directions (3,100): dJ
    = directions times expression.
    """
    shift = np.asarray(expression, np.float64) @ np.asarray(directions, np.float64).T
    w, x, y, z = axis_angle_to_quaternions(rotation).T
    axis = np.stack([x, y, z], 1)
    cross = np.cross(axis, shift)
    turned = shift + 2.0 * (w[:, None] * cross + np.cross(axis, cross))
    return shift - turned
