# SPDX-License-Identifier: GPL-3.0-or-later
"""How a sound is cut into the 4-second chunks that the network hears. numpy only, no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .config import CHUNK_SAMPLES, NetworkConfig
from .mel import FEATURE_FLOOR, HOP, log_mel
from .passage import FRAME_SAMPLES, WHOLE, Passage
from .pipeline import chunk_count

MEL_FRAMES = CHUNK_SAMPLES // HOP       # 400 log-mel frames a chunk, at 100 a second
FEATURE_FRAMES = MEL_FRAMES // 2        # 200 frames of the default model's audio encoder, at 50 a second
FRAME_MEL = FRAME_SAMPLES // HOP        # log-mel frames a motion frame

Floats = NDArray[np.float32]


def split_samples(samples: Floats, passage: Passage = WHOLE) -> Iterator[Floats]:
    """Samples (N,) -> (64000,) pieces from the passage's start on, filled with zeros beyond the sound's end."""
    first = passage.start_frame * FRAME_SAMPLES
    for start in range(first, first + passage.chunks(len(samples)) * CHUNK_SAMPLES, CHUNK_SAMPLES):
        piece = samples[start : start + CHUNK_SAMPLES]
        yield np.pad(piece, (0, CHUNK_SAMPLES - len(piece)))


def padded_mel(samples: Floats, passage: Passage = WHOLE) -> Floats:
    """Log-mel (F,80) of all samples (N,), filled with silence to whole chunks, or to the end of the passage's last."""
    mel = log_mel(samples)
    end = passage.start_frame * FRAME_MEL + passage.chunks(len(samples)) * MEL_FRAMES
    missing = max(end, chunk_count(len(samples)) * MEL_FRAMES) - len(mel)
    return np.pad(mel, ((0, missing), (0, 0)), constant_values=FEATURE_FLOOR)


def feature_windows(total: int, config: NetworkConfig, first: int = 0,
                    chunks: int | None = None) -> Iterator[tuple[int, int, int]]:
    """(low, start, high) for every chunk of `total` features: computing low .. high makes the chunk's exact.

    The log-mel encoder's convolutions reach so far beyond the chunk, which begins at `start`; so there are no
    seams, and memory stays flat in the length of the sound. With `chunks`, only so many from feature `first` on.
    """
    sizes = config.mel_sizes()
    reach = sizes["BLOCKS"] * (sizes["KERNEL"] // 2) + sizes["STEM_KERNEL"] // 2
    end = total if chunks is None else first + chunks * FEATURE_FRAMES
    for start in range(first, end, FEATURE_FRAMES):
        yield max(0, start - reach), start, min(total, start + FEATURE_FRAMES + reach)
