# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mimi encoder: 4-second chunks of speech -> 50 features of 512 values.

Needs torch; never imports bpy. Speech at 24 kHz is compressed to 12.5 codes a second, each of 32 indices, and the
features are the codes' entries summed. Only the hearing half of Mimi is built; the speaking half of a
checkpoint (`UNUSED_PREFIXES`) is not loaded.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .config import SAMPLE_RATE
from .resample import resample

MIMI_RATE = 24000
UNUSED_PREFIXES = ("acoustic_model.decoder.", "acoustic_model.decoder_transformer.", "acoustic_model.upsample.")
_FILTERS, _WIDTH, _HIDDEN, _HEADS, _DEPTH = 64, 512, 2048, 8, 8
_STRIDES = (4, 5, 6, 8)
_CODES, _CODE_WIDTH, _SEMANTIC_BOOKS, _ACOUSTIC_BOOKS = 2048, 256, 1, 31
_WINDOW = 250
_ROTARY_BASE = 10000.0


class CausalConv(nn.Module):
    """A convolution that sees only the past: all its padding is in front."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True, pad_mode: str = "constant"
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=bias)
        self.pad_mode = pad_mode

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,L) -> (B,C',ceil(L/stride))."""
        stride, kernel = self.conv.stride[0], self.conv.kernel_size[0]
        behind = -x.shape[-1] % stride
        return self.conv(F.pad(x, (kernel - stride, behind), mode=self.pad_mode))


class ResidualConvs(nn.Module):
    """Two convolutions through half the channels, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.block = nn.ModuleList([nn.ELU(), CausalConv(channels, half, 3), nn.ELU(), CausalConv(half, channels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.block:
            y = layer(y)
        return x + y


class ConvStack(nn.Module):
    """Samples (B,1,N) -> (B,512,N/960)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [CausalConv(1, _FILTERS, 7)]
        channels = _FILTERS
        for stride in _STRIDES:
            layers += [ResidualConvs(channels), nn.ELU(), CausalConv(channels, 2 * channels, 2 * stride, stride)]
            channels *= 2
        layers += [nn.ELU(), CausalConv(channels, _WIDTH, 3)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class RotaryAttention(nn.Module):
    """Causal attention with rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.k_proj = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.v_proj = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.o_proj = nn.Linear(_WIDTH, _WIDTH, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            layer(x).view(batch, length, _HEADS, width // _HEADS).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(_rotate(q, *turns), _rotate(k, *turns), v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, width))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + half) of a head's values by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((_WIDTH,), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Perceptron(nn.Module):
    """Two linear layers without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(_WIDTH, _HIDDEN, bias=False)
        self.fc2 = nn.Linear(_HIDDEN, _WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MimiLayer(nn.Module):
    """Norm first, attention and perceptron, both scaled per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = RotaryAttention()
        self.mlp = Perceptron()
        self.input_layernorm = nn.LayerNorm(_WIDTH)
        self.post_attention_layernorm = nn.LayerNorm(_WIDTH)
        self.self_attn_layer_scale = LayerScale()
        self.mlp_layer_scale = LayerScale()

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.self_attn_layer_scale(self.self_attn(self.input_layernorm(x), turns, mask))
        return x + self.mlp_layer_scale(self.mlp(self.post_attention_layernorm(x)))


class MimiTransformer(nn.Module):
    """(B,L,512) -> (B,L,512), each row from the rows before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([MimiLayer() for _ in range(_DEPTH)])

    def forward(self, x: Tensor) -> Tensor:
        half = _WIDTH // _HEADS // 2
        rows = torch.arange(x.shape[1], device=x.device)
        rates = 1.0 / _ROTARY_BASE ** (torch.arange(half, device=x.device, dtype=torch.float32) / half)
        angles = rows[:, None].float() * rates
        distance = rows[:, None] - rows[None, :]
        mask = (distance >= 0) & (distance < _WINDOW)
        for layer in self.layers:
            x = layer(x, (angles.cos(), angles.sin()), mask)
        return x


class Codebook(nn.Module):
    """Entries kept as running sums over their usage, as they were learned."""

    initialized: Tensor
    cluster_usage: Tensor
    embed_sum: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("initialized", torch.ones(1))
        self.register_buffer("cluster_usage", torch.ones(_CODES))
        self.register_buffer("embed_sum", torch.zeros(_CODES, _CODE_WIDTH))

    def entries(self) -> Tensor:
        """(2048,256)."""
        return self.embed_sum / self.cluster_usage.clamp(min=1e-5)[:, None]


class BookLayer(nn.Module):
    """Holds a codebook under its published name."""

    def __init__(self) -> None:
        super().__init__()
        self.codebook = Codebook()


class ResidualQuantizer(nn.Module):
    """Each book quantizes what the books before it left over."""

    def __init__(self, books: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([BookLayer() for _ in range(books)])
        self.input_proj = nn.Conv1d(_WIDTH, _CODE_WIDTH, 1, bias=False)
        self.output_proj = nn.Conv1d(_CODE_WIDTH, _WIDTH, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B,512,L) -> indices (B,books,L) and the features they stand for (B,512,L)."""
        residual = self.input_proj(x).transpose(1, 2)
        total = torch.zeros_like(residual)
        indices = []
        for layer in cast("list[BookLayer]", list(self.layers)):
            entries = layer.codebook.entries()
            index = torch.cdist(residual.flatten(0, 1), entries).argmin(dim=-1).view(residual.shape[:2])
            chosen = F.embedding(index, entries)
            residual = residual - chosen
            total = total + chosen
            indices.append(index)
        return torch.stack(indices, dim=1), self.output_proj(total.transpose(1, 2))


class SplitQuantizer(nn.Module):
    """One book for what is said, 31 for how it sounds; both quantize the same input."""

    def __init__(self) -> None:
        super().__init__()
        self.semantic_residual_vector_quantizer = ResidualQuantizer(_SEMANTIC_BOOKS)
        self.acoustic_residual_vector_quantizer = ResidualQuantizer(_ACOUSTIC_BOOKS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        semantic, first = self.semantic_residual_vector_quantizer(x)
        acoustic, second = self.acoustic_residual_vector_quantizer(x)
        return torch.cat([semantic, acoustic], dim=1), first + second


class MimiHearing(nn.Module):
    """Samples (B,N) at 24 kHz -> indices (B,32,L) and features (B,512,L)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ConvStack()
        self.encoder_transformer = MimiTransformer()
        self.downsample = CausalConv(_WIDTH, _WIDTH, 4, 2, bias=False, pad_mode="replicate")
        self.quantizer = SplitQuantizer()

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        x = self.encoder(samples[:, None])
        x = self.encoder_transformer(x.transpose(1, 2)).transpose(1, 2)
        indices, features = self.quantizer(self.downsample(x))
        return indices, features


class MimiEncoder(nn.Module):
    """Chunks of speech -> features (B,50,512). Tensors are named `audio_encoder.*`."""

    def __init__(self) -> None:
        super().__init__()
        self.acoustic_model = MimiHearing()

    @staticmethod
    def prepare(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples (B,N) or (N,) at 16 kHz -> (B,1.5 N) at 24 kHz, which is what the network hears."""
        return resample(samples, SAMPLE_RATE, MIMI_RATE)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (B,96000) at 24 kHz, 4 seconds -> (B,50,512)."""
        _, features = self.acoustic_model(samples)
        return features.transpose(1, 2)
