# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model's audio encoder in torch: log-mel frames in, features at 50 frames per second out.

Convolutions over the whole utterance, no state and no chunks. The trunk uses only operations that numpy
repeats easily (`engine.portable` does); the heads serve training and measuring, not the generator.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

PHONE_CLASSES = 36

DEFAULT_CONFIG: dict[str, int] = {
    "BANDS": 80,
    "WIDTH": 192,
    "BLOCKS": 6,
    "KERNEL": 9,
    "EXPANSION": 2,
    "STEM_KERNEL": 5,
}


class Heads(NamedTuple):
    """What the heads read from the features, per frame at 50 fps."""

    phones: Tensor  # (B, T, 36) logits in the order of engine.training.phones.LABELS
    aperture: Tensor  # (B, T) lip opening, 0 closed, about 1 an open vowel
    width: Tensor  # (B, T) -1 rounded, 1 spread
    closure: Tensor  # (B, T) logit that the lips touch


class Block(nn.Module):
    """Residual block: depthwise convolution along time, layer norm, two-layer perceptron with SiLU."""

    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.rise = nn.Linear(width, width * expansion)
        self.fall = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same."""
        y = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return x + self.fall(nn.functional.silu(self.rise(self.norm(y))))


class MelEncoder(nn.Module):
    """Features (B, F // 2, WIDTH) at 50 fps of log-mel frames (B, F, 80) at 100; feature j is centred at j *
    20 ms.
    """

    def __init__(self, config: dict[str, int] | None = None) -> None:
        super().__init__()
        self.config = {**DEFAULT_CONFIG, **(config or {})}
        width, stem = self.config["WIDTH"], self.config["STEM_KERNEL"]
        self.stem = nn.Conv1d(self.config["BANDS"], width, stem, stride=2, padding=stem // 2)
        blocks = (
            Block(width, self.config["KERNEL"], self.config["EXPANSION"])
            for _ in range(self.config["BLOCKS"])
        )
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.phone_head = nn.Linear(width, PHONE_CLASSES)
        self.lip_head = nn.Linear(width, 3)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (B, F, 80) as made by `engine.mel.log_mel` to features (B, F // 2, WIDTH)."""
        x = nn.functional.silu(self.stem(mel.transpose(1, 2)).transpose(1, 2)[:, : mel.shape[1] // 2])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def heads(self, features: Tensor) -> Heads:
        """Phone logits, lip opening, lip width and closure logit of features (B, T, WIDTH)."""
        aperture, width, closure = self.lip_head(features).float().unbind(dim=-1)
        return Heads(self.phone_head(features).float(), aperture, width, closure)


def save_encoder(encoder: MelEncoder, path: Path) -> None:
    """Write an encoder as npz: its tensors under their names, `config` as json; whole or not at all."""
    arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in encoder.state_dict().items()}
    partial = path.with_name(path.name + ".part.npz")
    np.savez(partial, config=np.array(json.dumps(encoder.config)), **arrays)
    partial.replace(path)


def load_encoder(path: Path) -> MelEncoder:
    """Read an encoder written by `save_encoder`."""
    with np.load(path, allow_pickle=False) as arrays:
        encoder = MelEncoder(json.loads(str(arrays["config"])))
        tensors = {
            name: torch.from_numpy(arrays[name].astype(np.float32))
            for name in arrays.files
            if name != "config"
        }
    encoder.load_state_dict(tensors)
    return encoder.eval()
