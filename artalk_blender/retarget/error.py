# SPDX-License-Identifier: GPL-3.0-or-later
"""What the target falls short of: millimetres by frame and by channel; what it cannot do, in words. No `bpy` use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..motion.layout import CHANNELS, EXPRESSION, JAW_POSE

Floats = NDArray[np.float64]

JAW_CHANNELS = ("jaw opening", "jaw turn", "jaw roll")
_USED = 0.02  # of a channel: below, the motion does not use it
_JAW_USED = 0.005  # radians
_FULL_JAW = 0.2
_VISIBLE = 0.8  # mm that a full channel moves some place by, to be missed
_UNREACHED = 0.65  # of a channel's moves that are left over, from where the target cannot do it
_SIDEWAYS = ("jaw", "mouth")  # jawLeft, mouthRight
_NOT_OURS = ("eyeLook", "tongue", "corrective")  # eyeballs and tongue are moved elsewhere


def used_channels(motion: NDArray[np.floating[Any]]) -> tuple[list[int], NDArray[np.float32]]:
    """Channels of a motion (T,106) that do something, and motion (N,106) of each of them alone, as far as it goes."""
    strength = np.percentile(np.abs(motion), 95, axis=0) if len(motion) else np.zeros(CHANNELS)
    least = np.full(CHANNELS, np.inf)
    least[EXPRESSION], least[JAW_POSE] = _USED, _JAW_USED
    used = np.flatnonzero(strength > least)
    alone = np.zeros((len(used), CHANNELS), np.float32)
    sign = np.sign(motion[np.abs(motion).argmax(0)[used], used]) if len(used) else np.zeros(0)
    alone[np.arange(len(used)), used] = strength[used] * sign
    return used.tolist(), alone


def full_channels(names: Sequence[str]) -> tuple[list[int], NDArray[np.float32]]:
    """Channels with a name that says something, and a motion with each of them alone at 1 (N,106)."""
    said = [index for index, name in enumerate(names)
            if not name.startswith(_NOT_OURS) and not re.fullmatch(r"expression_?\d+", name)]
    jaw = JAW_POSE.start
    alone = np.zeros((len(said) + 1, CHANNELS), np.float32)
    alone[np.arange(len(said)), said] = 1.0
    alone[-1, jaw] = _FULL_JAW
    return [*said, jaw], alone


def both_sides(names: Sequence[str]) -> list[tuple[str, str]]:
    """Left and right of what a face does on either side, by their names."""
    there = set(names)
    return [(name, other) for name in names if name.endswith("Left")
            and (other := name.removesuffix("Left") + "Right") in there and name.removesuffix("Left") not in _SIDEWAYS]


def channel_name(index: int, names: Sequence[str]) -> str:
    return JAW_CHANNELS[index - JAW_POSE.start] if index >= JAW_POSE.start else names[index]


def cannot(names: Sequence[str], wishes: Floats, reached: Floats) -> list[str]:
    """Which of the channels the target cannot do: wishes and what is reached (N,P,3), millimetres."""
    wished = np.sqrt((wishes**2).sum((1, 2)))
    left = np.sqrt(((wishes - reached) ** 2).sum((1, 2)))
    seen = np.linalg.norm(wishes, axis=2).max(1, initial=0.0) > _VISIBLE
    short = seen & (left > _UNREACHED * np.maximum(wished, 1e-9))
    return [name for name, fails in zip(names, short, strict=True) if fails]


def sentences(channels: Sequence[str]) -> list[str]:
    """“No cheek puff on this rig.” for each channel; left and right together where both fail."""
    bases: dict[str, set[str]] = {}
    for channel in channels:
        side = next((side for side in ("Left", "Right") if channel.endswith(side)), "")
        bases.setdefault(channel.removesuffix(side) if side else channel, set()).add(side)
    result = []
    for base, sides in bases.items():
        side = next(iter(sides)).lower() + " " if len(sides) == 1 and "" not in sides else ""
        if base in _SIDEWAYS:
            base, side = "sideways " + base, ""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", base).lower()
        result.append(f"No {side}{words} on this rig.")
    return result
