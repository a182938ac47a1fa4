# SPDX-License-Identifier: GPL-3.0-or-later
"""Mel features of joined utterances as they would be heard through rooms, noise and microphones. Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..mel import FEATURE_FLOOR, POWER_FLOOR, mel_power
from .augment import Augmenter, normalised, warped

SILENT_FRAMES = 400
HEAD_RANGE = 0.18


def disturbed_mel(sounds: Sequence[np.ndarray], rng: np.random.Generator, clean: bool) -> np.ndarray:
    """Sounds (N,) int16, each normalised and disturbed on its own -> (F + 400, 80), the last 4 s silent.

    ``clean`` leaves out rooms, noise and band limits; the talker's head size is changed in any case. No time
    warp: the phones' times stay true.
    """
    augment = Augmenter(int(rng.integers(1 << 31)), light=0.0)
    parts = []
    for sound in sounds:
        power = mel_power(sound.astype(np.float32) / 32768.0)
        log_power = torch.from_numpy(np.log(np.maximum(power, POWER_FLOOR)))[None]
        head = torch.tensor([float(np.exp(rng.uniform(-HEAD_RANGE, HEAD_RANGE)))])
        moved = warped(log_power, torch.zeros(1), torch.ones(1), head, log_power.shape[1])
        # two copies, of which the augmenter puts one into a room
        heard = normalised(moved) if clean else augment(moved.repeat(2, 1, 1))[rng.integers(2)][None]
        parts.append(heard[0].numpy())
    parts.append(np.full((SILENT_FRAMES, parts[0].shape[1]), FEATURE_FLOOR, np.float32))
    return np.concatenate(parts)
