# SPDX-License-Identifier: GPL-3.0-or-later
"""Some points of a head, moved by motion as FLAME moves them; how far the lips are open. No `bpy` module use.

The head's own turning is left out: points are in the head's frame, where the lips are measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import EXPRESSION, JAW_POSE
from .process import axis_angle_to_quaternions

Floats = NDArray[np.float64]
_FRAMES_AT_ONCE = 2048


@dataclass(frozen=True)
class FacePoints:
    """N vertices of a head at rest and all that moves them; metres, FLAME's axes (Y up).

    rest (N,3); expression (N,3,100) per unit of a coefficient; corrective (N,3,9) per unit of (R - I) of the jaw,
    row-major; jaw_weight (N,); joint (3,) where the jaw turns and joint_shift (3,100) how expressions move that.
    """

    rest: Floats
    expression: Floats
    corrective: Floats
    jaw_weight: Floats
    joint: Floats
    joint_shift: Floats

    def positions(self, motion: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Motion (T,106) -> where the points are (T,N,3)."""
        parts = [self._some(motion[i : i + _FRAMES_AT_ONCE]) for i in range(0, len(motion), _FRAMES_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.rest), 3), np.float32)

    def _some(self, motion: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        coefficients = np.asarray(motion[:, EXPRESSION], np.float32)
        turn = rotation_matrices(motion[:, JAW_POSE]).astype(np.float32)
        count = len(self.rest)
        flat = self.expression.reshape(-1, 100).astype(np.float32).T
        bent = self.corrective.reshape(-1, 9).astype(np.float32).T
        posed = (coefficients @ flat + (turn - np.eye(3, dtype=np.float32)).reshape(-1, 9) @ bent).reshape(-1, count, 3)
        posed += self.rest.astype(np.float32)
        joint = (self.joint + coefficients @ self.joint_shift.T).astype(np.float32)[:, None]
        arm = posed - joint
        turned = arm @ turn.transpose(0, 2, 1) + joint
        return posed + self.jaw_weight.astype(np.float32)[:, None] * (turned - posed)


@dataclass(frozen=True)
class Mouth:
    """The inner lips: `points`, of which the first `pairs` are on the upper lip, the others opposite below."""

    points: FacePoints
    pairs: int

    def aperture(self, motion: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Motion (T,106) -> vertical distance of the inner lips (T,) in metres, the mean over the pairs."""
        positions = self.points.positions(motion)
        upper, lower = positions[:, : self.pairs, 1], positions[:, self.pairs :, 1]
        return np.maximum(upper - lower, 0.0).mean(1).astype(np.float32)


def rotation_matrices(axis_angle: NDArray[np.floating[Any]]) -> Floats:
    """(T,3) axis-angle in radians -> (T,3,3)."""
    w, x, y, z = axis_angle_to_quaternions(axis_angle).T
    return np.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ], -1).reshape(-1, 3, 3)  # fmt: skip
