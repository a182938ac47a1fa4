# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sounds at once through one torch network: bit for bit what one after the other gives. Needs torch.

Sounds of like length run side by side, chunk by chunk; those that have ended leave, so nothing is computed for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .chunking import Floats, split_samples
from .network import Network
from .pipeline import chunk_count

SOUNDS_AT_ONCE = 8      # each takes some 70 MB of keys, values and modulations in the published network


def motions_together(network: Network, sounds: Sequence[Floats], style: Floats | None = None) -> list[Floats]:
    """Sounds (N,) each at 16 kHz -> raw motion (100 * chunks, 106) of each, in their order."""
    order = sorted(range(len(sounds)), key=lambda index: -chunk_count(len(sounds[index])))
    motions: dict[int, Floats] = {}
    for first in range(0, len(order), SOUNDS_AT_ONCE):
        group = order[first : first + SOUNDS_AT_ONCE]
        found = _run_group(network, [sounds[index] for index in group], style)
        motions.update(zip(group, found, strict=True))
    return [motions[index] for index in range(len(sounds))]


@torch.inference_mode()
def _run_group(network: Network, sounds: Sequence[Floats], style: Floats | None) -> list[Floats]:
    """The same for a few sounds, the longest first."""
    counts = [chunk_count(len(sound)) for sound in sounds]
    state = network.start(style)
    parts: list[list[Floats]] = [[] for _ in sounds]
    for index, features in enumerate(_features(network, sounds)):
        state = state.first(sum(count > index for count in counts))
        motion = network.fetch(network.step(state, features).motion).array()
        for part, one in zip(parts, motion, strict=False):
            part.append(one)
    return [np.concatenate(part) for part in parts]


def _features(network: Network, sounds: Sequence[Floats]) -> Iterator[Tensor]:
    """Chunk after chunk the features (B,F,D) of the sounds that still last."""
    if network.config.audio_encoder == "mel":
        heard = [network.audio_features(sound) for sound in sounds]
        while found := [one for features in heard if (one := next(features, None)) is not None]:
            yield torch.cat(found)
        return
    pieces = [split_samples(sound) for sound in sounds]
    most = network.fast().chunks_at_once
    while batch := [piece for sound in pieces if (piece := next(sound, None)) is not None]:
        slices = (batch[first : first + most] for first in range(0, len(batch), most))
        yield torch.cat([network.encode(np.stack(one)) for one in slices])
