# SPDX-License-Identifier: GPL-3.0-or-later
"""How a sound is cut into the 4-second chunks that the network hears. numpy only, no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .config import CHUNK_SAMPLES, NetworkConfig
from .mel import FEATURE_FLOOR, HOP, log_mel
from .pipeline import chunk_count

MEL_FRAMES = CHUNK_SAMPLES // HOP       # 400 log-mel frames a chunk, at 100 a second
FEATURE_FRAMES = MEL_FRAMES // 2        # 200 frames of the default model's audio encoder, at 50 a second

Floats = NDArray[np.float32]


def split_samples(samples: Floats) -> Iterator[Floats]:
    """Samples (N,) -> (64000,) pieces, the last one filled with zeros."""
    for index in range(chunk_count(len(samples))):
        piece = samples[index * CHUNK_SAMPLES : (index + 1) * CHUNK_SAMPLES]
        yield np.pad(piece, (0, CHUNK_SAMPLES - len(piece)))


def padded_mel(samples: Floats) -> Floats:
    """Log-mel (400 * chunks, 80) of samples (N,), filled with silence to whole chunks."""
    mel = log_mel(samples)
    missing = chunk_count(len(samples)) * MEL_FRAMES - len(mel)
    return np.pad(mel, ((0, missing), (0, 0)), constant_values=FEATURE_FLOOR)


def feature_windows(total: int, config: NetworkConfig) -> Iterator[tuple[int, int, int]]:
    """(low, start, high) for every chunk of `total` features: computing low .. high makes the chunk's exact.

    The log-mel encoder's convolutions reach so far beyond the chunk, which begins at `start`; so there are no
    seams, and memory stays flat in the length of the sound.
    """
    sizes = config.mel_sizes()
    reach = sizes["BLOCKS"] * (sizes["KERNEL"] // 2) + sizes["STEM_KERNEL"] // 2
    for start in range(0, total, FEATURE_FRAMES):
        yield max(0, start - reach), start, min(total, start + FEATURE_FRAMES + reach)
