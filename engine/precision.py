# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reduced precision changes for the model that is loaded. Needs torch; never imports bpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .flame.lips import lip_curves
from .flame.model import FlameModel
from .network import Network
from .pipeline import frame_count
from .smoothing import smooth_motion

MOST_LIP_MILLIMETRES = 0.2      # more than this can be seen: such a precision is flagged

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """How far a precision is from float32 on one sound."""

    bits: float             # share of the chosen bits that differ, 0 .. 1
    lip_millimetres: float  # rms over the frames, of the aperture or the width, whichever moves more

    @property
    def visible(self) -> bool:
        """Whether the lips move by more than may pass unnoticed."""
        return not self.lip_millimetres <= MOST_LIP_MILLIMETRES


def measure_difference(
    network: Network, samples: Floats, head: FlameModel, style: Floats | None = None,
    progress: Callable[[int], None] = lambda chunk: None,
) -> Difference:
    """Run samples (N,) in float32 and in the network's own precision; the lips are those of `head`."""
    chosen = network.precision
    bits, curves = [], []
    try:
        for precision in (torch.float32, chosen):
            network.precision = precision
            steps = []
            for step in network.steps(samples, style):
                steps.append((step.prediction.bits, step.motion[0].float().cpu().numpy()))
                progress(len(steps))
            bits.append(torch.cat([one for one, _ in steps]))
            motion = np.concatenate([one for _, one in steps])[: frame_count(len(samples))]
            curves.append(lip_curves(head, smooth_motion(motion)))
    finally:
        network.precision = chosen
    moved = [np.sqrt(np.mean((getattr(curves[0], name) - getattr(curves[1], name)) ** 2)) for name in
             ("aperture", "width")]
    return Difference(float((bits[0] != bits[1]).float().mean()), 1000 * float(max(moved)))
