# SPDX-License-Identifier: GPL-3.0-or-later
"""The 106 numbers of a motion frame. No `bpy` module use.

A motion is (T,106) float32 at 25 frames a second: 100 FLAME expression coefficients, then the head's rotation
about the root joint and the jaw's rotation, both axis-angle in radians. The jaw opens with +x.
"""

from __future__ import annotations

MOTION_FPS = 25
CHANNELS = 106
EXPRESSION = slice(0, 100)
HEAD_ROTATION = slice(100, 103)
JAW_POSE = slice(103, 106)
