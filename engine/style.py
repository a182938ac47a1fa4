# SPDX-License-Identifier: GPL-3.0-or-later
"""The style encoder: a short motion, read as one vector of manner. Needs torch; never imports bpy."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import NetworkConfig


class PositionTable(nn.Module):
    """Sines and cosines, kept as a buffer because the published files carry it."""

    pe: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        position = torch.arange(rows, dtype=torch.float32)[:, None]
        rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
        table = torch.zeros(rows, width)
        table[:, 0::2] = torch.sin(position * rate)
        table[:, 1::2] = torch.cos(position * rate)[:, : width // 2]
        self.register_buffer("pe", table[None])

    def forward(self, x: Tensor) -> Tensor:
        """(B,T,W) -> the same plus row T, one row for every frame: so the weights were trained."""
        return x + self.pe[:, x.shape[1]]


class StyleTransformer(nn.Module):
    """Projection and post-norm transformer layers."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.motion_proj = nn.Linear(config.motion_dim, config.style_width)
        layer = nn.TransformerEncoderLayer(
            config.style_width, config.style_heads, config.style_hidden,
            dropout=0.0, activation="gelu", batch_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, config.style_depth, enable_nested_tensor=False)


class StyleEncoder(nn.Module):
    """Raw style motion (B,T,106) -> style code (B,style_width). Tensors are named `style_encoder.*`."""

    motion_mean: Tensor
    motion_std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.PE = PositionTable(config.style_rows, config.style_width)
        self.encoder = StyleTransformer(config)
        self.register_buffer("motion_mean", torch.zeros(config.motion_dim))
        self.register_buffer("motion_std", torch.ones(config.motion_dim))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the motion's mean and standard deviation, (106,) each (those of the codec)."""
        self.motion_mean.copy_(mean)
        self.motion_std.copy_(std)

    def forward(self, motion: Tensor) -> Tensor:
        x = self.encoder.motion_proj((motion - self.motion_mean) / self.motion_std)
        return self.encoder.transformer(self.PE(x)).mean(dim=1)
