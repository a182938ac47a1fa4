# SPDX-License-Identifier: GPL-3.0-or-later
"""A frame's Gaussians as they stand, for programs that draw splats: moved to a place, written as `.ply`. numpy only.

The file is the common one of 3D Gaussian splatting (Kerbl et al. 2023): logarithms of the sizes, logits of the
opacities, colours as the first band of spherical harmonics.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .ply import write_splats
from .portable import rotations
from .rigged import Floats, quaternion_product, quaternions

_EVEN = 1e-3        # by which the sides of a placement's scale may differ


@dataclass(frozen=True)
class Splats:
    """N Gaussians: means (N,3), quats (N,4: w, x, y, z), scales (N,3), opacities (N,), colors (N,3) sRGB."""

    means: Floats
    quats: Floats
    scales: Floats
    opacities: Floats
    colors: Floats

    @classmethod
    def of(cls, means: Floats, quats: Floats, scales: Floats, opacities: Floats, colors: Floats) -> Splats:
        """From quaternions of any length, which the rasteriser takes as they are and other programs would not: the
        same ellipsoids, by the axes of their covariances."""
        half = rotations(quats.astype(np.float64)) * scales[:, None].astype(np.float64)
        values, axes = np.linalg.eigh(half @ half.transpose(0, 2, 1))
        axes[:, :, 0] *= np.sign(np.linalg.det(axes))[:, None]      # a turn, not a mirror
        return cls(means, quaternions(axes), np.sqrt(np.maximum(values, 0)).astype(np.float32), opacities, colors)

    def placed(self, matrix: NDArray[np.floating[Any]]) -> Splats:
        """The same under a placement (4,4): turned, moved, scaled alike in all directions. Raises EngineError else."""
        matrix = np.asarray(matrix, np.float64)
        size = float(np.cbrt(max(np.linalg.det(matrix[:3, :3]), 0.0)))
        turn = matrix[:3, :3] / max(size, 1e-12)
        if not np.isfinite(matrix).all() or size < 1e-9 or np.abs(turn @ turn.T - np.eye(3)).max() > _EVEN:
            raise EngineError("The head is mirrored or stretched more in one direction than in another.",
                              "Apply its scale first.")
        turns = np.broadcast_to(quaternions(turn[None]), self.quats.shape)
        return Splats((self.means @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32),
                      quaternion_product(turns, self.quats).astype(np.float32),
                      (self.scales * size).astype(np.float32), self.opacities, self.colors)

    def write(self, path: Path, comment: str = "") -> None:
        """As a `.ply`, whole or not at all."""
        write_splats(path, self.means, self.quats, self.scales, self.opacities, self.colors, {}, comment)
