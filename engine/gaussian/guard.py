# SPDX-License-Identifier: GPL-3.0-or-later
"""What an avatar knows of a face's movements: what lies outside is brought to the nearest that it knows. numpy only.

Splats go where their training never had them when coefficients leave its range, and audio drives them there. What is
known is a box, channel by channel, and for FLAME's expressions a ball as well: FLAME's coefficients are standard
deviations of the scans that it was made from, so their length is the Mahalanobis distance from the mean face. Both are
convex: what is nearest changes smoothly with the motion, so no frame jumps, and what lies inside stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EXPRESSION, JAW = slice(0, 100), slice(103, 106)
# radians, as the extension bends takes: people open their mouths by 30 degrees
_JAW_LOWEST, _JAW_HIGHEST = (-0.2, -0.2, -0.2), (0.65, 0.2, 0.2)
# Standard deviations by the coefficient's number. Published motion has each channel's mean and deviation; four
# deviations from the mean stay within these bounds for every channel (addon_tests/engine/test_guard.py)
_FLAME_BOXES = ((20, 5.5), (60, 3.0), (100, 2.5))
# of normal motion with those statistics one frame in ten thousand is further out than 7.1; real motion has longer tails
_FLAME_RADIUS = 8.0
# ARKit's run from 0 to 1; takes swing a fifth beyond before the extension's own sane range holds them
_ARKIT, _ARKIT_SPECIAL = (-0.2, 1.2), {"eyeBlinkLeft": 1.3, "eyeBlinkRight": 1.3, "mouthClose": 2.1}


@dataclass(frozen=True)
class Known:
    """Lowest and highest (106,) of every channel, and how long the expressions may be together."""

    lowest: Floats
    highest: Floats
    radius: float = np.inf

    def within(self, motion: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """(motion (T,106) within what is known, outside (T,) where it was not). The given motion is left alone."""
        held = np.clip(motion, self.lowest, self.highest)
        length = np.linalg.norm(held[:, EXPRESSION].astype(np.float64), axis=1)
        far = length > self.radius
        held[far, EXPRESSION] *= (self.radius / length[far])[:, None].astype(np.float32)
        return held, (held != motion).any(1)


def known_flame() -> Known:
    """What avatars trained on tracked FLAME motion know."""
    known = _anything()
    first = 0
    for end, bound in _FLAME_BOXES:
        known.lowest[first:end], known.highest[first:end] = -bound, bound
        first = end
    return Known(known.lowest, known.highest, _FLAME_RADIUS)


def known_arkit(names: Sequence[str]) -> Known:
    """What splats on a head with ARKit's shapes, by their names (100,), can follow."""
    known = _anything()
    known.lowest[EXPRESSION] = _ARKIT[0]
    known.highest[EXPRESSION] = [_ARKIT_SPECIAL.get(name, _ARKIT[1]) for name in names]
    return known


def known_of_head(names: Sequence[str]) -> Known:
    """ARKit's range where a head's expressions carry Apple's names, else FLAME's."""
    return known_arkit(names) if "jawOpen" in names else known_flame()


def _anything() -> Known:
    """Bounds for the jaw alone: a head may turn as it likes."""
    lowest, highest = np.full(106, -np.inf, np.float32), np.full(106, np.inf, np.float32)
    lowest[JAW], highest[JAW] = _JAW_LOWEST, _JAW_HIGHEST
    return Known(lowest, highest)


def in_ranges(frames: Iterable[int]) -> list[tuple[int, int]]:
    """Frames in ascending order -> (first, last) of every run."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs


def sentence(frames: Iterable[int], most: int = 4) -> str:
    """What people are told of frames that were softened; empty where there are none."""
    runs = in_ranges(frames)
    if not runs:
        return ""
    words = [f"{first}-{last}" if last > first else str(first) for first, last in runs[:most]]
    more = f" and {len(runs) - most} more stretches" if len(runs) > most else ""
    return f"Outside of what the avatar knows, and softened: frames {', '.join(words)}{more}."
