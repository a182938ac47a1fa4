# SPDX-License-Identifier: GPL-3.0-or-later
"""The sane range of a motion: what lies inside stays as it is, what lies outside bends towards a limit.

No `bpy` module use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import EXPRESSION, HEAD_ROTATION, JAW_POSE
from .regions import BLINK_NAMES, EXPRESSIONS, FaceChannels

Floats = NDArray[np.float32]

# FLAME's expressions, in its own standard deviations. In published motion the widest channel has mean 1.1 and standard
# deviation 1.1, so 5 is 3.6 deviations from its mean; every other channel has more than 5 inside.
_FLAME = (-5.0, 5.0, 1.5)  # lowest, highest, how far beyond it bends at most
# ARKit's run from 0 to 1; smoothing swings a tenth past either end of the default model's motion
_ARKIT = (-0.1, 1.1, 0.1)
_LIDS = (-0.1, 1.2, 0.1)  # its blinks swing further
_CLOSED_OVER_JAW = (-0.1, 2.0, 0.1)  # mouthClose belongs to the jaw's turn, 0.26 rad = 1, and goes as far as it does
# Radians. People open their mouth by some 30 degrees; published motion stays within 0.07 +- 0.25
_JAW = ((-0.1, 0.55, 0.08), (-0.15, 0.15, 0.05), (-0.15, 0.15, 0.05))
_HEAD_ANGLE = (1.4, 0.3)  # 80 degrees, and 17 more at most


def clamp_motion(motion: Floats, face: FaceChannels | None) -> Floats:
    """Motion (T,106) with every channel in its sane range; a new array, equal to the old one inside the range.

    Beyond its range a channel bends smoothly and never becomes flat. The head is bent by the angle of its rotation,
    its axis stays.
    """
    result = motion.copy()
    expression = _expression_ranges(face)
    result[:, EXPRESSION] = bend(motion[:, EXPRESSION], *expression.T)
    result[:, JAW_POSE] = bend(motion[:, JAW_POSE], *np.array(_JAW, np.float32).T)
    head = motion[:, HEAD_ROTATION].astype(np.float64)
    angle = np.linalg.norm(head, axis=1)
    far = angle > _HEAD_ANGLE[0]
    bent = bend(angle[far], -np.inf, *_HEAD_ANGLE)
    result[far, HEAD_ROTATION] = head[far] * (bent / angle[far])[:, None]
    return result


def bend(values: NDArray[Any], lowest: Any, highest: Any, knee: Any) -> NDArray[Any]:
    """Values inside [lowest, highest] as they are; beyond, at most `knee` further, with a continuous slope.

    x beyond an end becomes k x / (k + x): slope 1 at the end, never 0.
    """
    inside = np.clip(values, lowest, highest)
    beyond = np.abs(values - inside)
    if not beyond.any():
        return inside
    return inside + np.sign(values - inside) * knee * (1.0 - knee / (knee + beyond))


def _expression_ranges(face: FaceChannels | None) -> Floats:
    """(100,3): lowest, highest, knee of each expression."""
    if face is None or not face.named:
        return np.array([_FLAME] * EXPRESSIONS, np.float32)
    special = {"mouthClose": _CLOSED_OVER_JAW} | dict.fromkeys(BLINK_NAMES, _LIDS)
    return np.array([special.get(name, _ARKIT) for name in face.names], np.float32)
