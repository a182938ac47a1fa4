# SPDX-License-Identifier: GPL-3.0-or-later
"""What a device or a reduced precision changes for the model that is loaded. Needs torch; never imports bpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .flame.lips import LipCurves, lip_curves
from .flame.model import FlameModel
from .network import Network
from .smoothing import smooth_motion

MOST_LIP_MILLIMETRES = 0.2      # more than this can be seen: such a way to compute is flagged

Floats = NDArray[np.float32]
Chunk = tuple[NDArray[np.bool_], Floats]    # bits (181,C), raw motion (100,106)


@dataclass(frozen=True)
class Difference:
    """How far one way to compute is from another on one sound."""

    bits: float             # share of the chosen bits that differ, 0 .. 1
    lip_millimetres: float  # rms over the frames, of the aperture or the width, whichever moves more
    reference: str = "fp32"

    @property
    def visible(self) -> bool:
        """Whether the lips move by more than may pass unnoticed."""
        return not self.lip_millimetres <= MOST_LIP_MILLIMETRES

    def sentence(self, what: str) -> str:
        """For people, where the difference is visible; `what` is the precision or path that makes it."""
        return f"{what} moves this model's lips by more than {MOST_LIP_MILLIMETRES} mm rms."


def network_chunks(
    network: Network, samples: Floats, style: Floats | None = None, precision: str | None = None, plain: bool = False
) -> Iterable[Chunk]:
    """Bits and motion of every chunk of samples (N,), in the network's own precision or another."""
    own = network.precision
    steps = network.steps(samples, style, plain)
    while True:
        network.precision = precision or own
        try:
            step = next(steps, None)
        finally:
            network.precision = own
        if step is None:
            return
        yield step.prediction.bits[0].cpu().numpy(), step.motion[0].float().cpu().numpy()


def difference(
    wanted: Iterable[Chunk], got: Iterable[Chunk], frames: int, head: FlameModel, reference: str = "fp32",
    progress: Callable[[int], None] = lambda chunk: None,
) -> Difference:
    """Compare two ways to compute `frames` frames of motion; the lips are those of `head`."""
    bits: list[NDArray[np.bool_]] = []
    curves: list[LipCurves] = []
    for way in (wanted, got):
        chunks = []
        for chunk in way:
            chunks.append(chunk)
            progress(len(chunks))
        bits.append(np.concatenate([one for one, _ in chunks]))
        motion = np.concatenate([one for _, one in chunks])[:frames]
        curves.append(lip_curves(head, smooth_motion(motion)))
    moved = [np.sqrt(np.mean((getattr(curves[0], name) - getattr(curves[1], name)) ** 2)) for name in
             ("aperture", "width")]
    return Difference(float(np.mean(bits[0] != bits[1])), 1000 * float(max(moved)), reference)
