# SPDX-License-Identifier: GPL-3.0-or-later
"""The audio encoder while the generator trains: it learns prosody too, and must not forget its phones. Needs
torch.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from ..mel_encoder import MelEncoder

MARGIN = 100
"""Mel frames of context on either side of a chunk: more than the encoder's reach."""
CHUNK_MELS = 400


class Hearing(nn.Module):
    """An encoder that is trained with a small rate, beside its frozen former self."""

    def __init__(self, encoder: MelEncoder) -> None:
        super().__init__()
        self.student = copy.deepcopy(encoder).train()
        self.teacher_head = copy.deepcopy(encoder.phone_head).requires_grad_(False)

    def forward(self, mel: Tensor, first: Tensor) -> Tensor:
        """Mel windows (B,600,80), which of them (B,) start a recording -> features (B,200,D) of the middle
        chunk.

        Where a recording starts there is no context before it, not even silence.
        """
        inner = slice(MARGIN // 2, (MARGIN + CHUNK_MELS) // 2)
        features = self.student(mel)[:, inner]
        if bool(first.any()):
            opening = self.student(mel[first][:, MARGIN:])[:, : CHUNK_MELS // 2]
            features = features.index_put((first.nonzero()[:, 0],), opening.to(features.dtype))
        return features

    def forgetting(self, features: Tensor, former: Tensor) -> Tensor:
        """How much of the phones that the ``former`` features (B,200,D) told is lost in the new ones."""
        known = self.teacher_head(former).float().softmax(-1)
        told = self.student.phone_head(features).float().log_softmax(-1)
        drift = (features.float() - former).square().mean()
        return F.kl_div(told.flatten(0, 1), known.flatten(0, 1), reduction="batchmean") + 0.03 * drift
