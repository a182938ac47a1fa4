# SPDX-License-Identifier: GPL-3.0-or-later
"""The wav2vec 2.0 XLS-R encoder: 4-second chunks of speech -> 199 features of 1024 values.

Needs torch; never imports bpy. Each chunk is heard on its own: it is normalised alone and the attention never
looks into its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
_CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
_CONV_WIDTH, _WIDTH, _HIDDEN, HEADS, _DEPTH = 512, 1024, 4096, 16, 24
_POSITION_TAPS, _POSITION_GROUPS = 128, 16


class ConvLayer(nn.Module):
    """Strided convolution, LayerNorm over the channels, GELU."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, _CONV_WIDTH, kernel, stride)
        self.layer_norm = nn.LayerNorm(_CONV_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,L) -> (B,512,L')."""
        y = self.layer_norm(self.conv(x).transpose(1, 2))
        return F.gelu(y).transpose(1, 2)


class FeatureExtractor(nn.Module):
    """Samples (B,N) -> (B,L,512), one row per 20 ms."""

    def __init__(self) -> None:
        super().__init__()
        channels = [1, *[_CONV_WIDTH] * (len(_CONV_KERNELS) - 1)]
        sizes = zip(channels, _CONV_KERNELS, _CONV_STRIDES, strict=True)
        self.conv_layers = nn.ModuleList([ConvLayer(*size) for size in sizes])

    def forward(self, samples: Tensor) -> Tensor:
        x = samples[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class FeatureProjection(nn.Module):
    """(B,L,512) -> (B,L,1024)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(_CONV_WIDTH)
        self.projection = nn.Linear(_CONV_WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class NormalisedWeight(nn.Module):
    """Weight norm in the spelling of torch's parametrizations: one length per kernel tap.

    Without gradients the product is kept, since making it takes as long as two layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._product: Tensor | None = None
        self.register_load_state_dict_post_hook(lambda module, _: setattr(module, "_product", None))
        self.original0 = nn.Parameter(torch.ones(1, 1, _POSITION_TAPS))
        shape = (_WIDTH, _WIDTH // _POSITION_GROUPS, _POSITION_TAPS)
        self.original1 = nn.Parameter(torch.randn(shape) * 0.02)

    def forward(self) -> Tensor:
        direction = self.original1
        if self._product is not None and not torch.is_grad_enabled() and self._product.device == direction.device:
            return self._product
        product = direction * (self.original0 / direction.norm(dim=(0, 1), keepdim=True))
        self._product = None if torch.is_grad_enabled() else product
        return product


class PositionConvolution(nn.Module):
    """The grouped convolution that tells positions apart."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(_WIDTH))
        self.parametrizations = nn.ModuleDict({"weight": NormalisedWeight()})

    def forward(self, x: Tensor) -> Tensor:
        """(B,L,1024) -> (B,L,1024): an even kernel padded on both sides, so its last row goes."""
        weight = self.parametrizations["weight"]()
        padding = _POSITION_TAPS // 2
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=padding, groups=_POSITION_GROUPS)
        return F.gelu(y[..., :-1]).transpose(1, 2)


class PositionEmbedding(nn.Module):
    """Holds the convolution under its published name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = PositionConvolution()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SelfAttention(nn.Module):
    """Plain multi-head attention over one chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.k_proj = nn.Linear(_WIDTH, _WIDTH)
        self.v_proj = nn.Linear(_WIDTH, _WIDTH)
        self.q_proj = nn.Linear(_WIDTH, _WIDTH)
        self.out_proj = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            layer(x).view(batch, length, HEADS, width // HEADS).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(_WIDTH, _HIDDEN)
        self.output_dense = nn.Linear(_HIDDEN, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(F.gelu(self.intermediate_dense(x)))


class EncoderLayer(nn.Module):
    """Norm first, then attention; norm first, then feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SelfAttention()
        self.layer_norm = nn.LayerNorm(_WIDTH)
        self.feed_forward = FeedForward()
        self.final_layer_norm = nn.LayerNorm(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layer_norm(x))
        return x + self.feed_forward(self.final_layer_norm(x))


class TransformerStack(nn.Module):
    """Positions, 24 layers, a last LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_conv_embed = PositionEmbedding()
        self.layer_norm = nn.LayerNorm(_WIDTH)
        self.layers = nn.ModuleList([EncoderLayer() for _ in range(_DEPTH)])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_conv_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class Wav2VecEncoder(nn.Module):
    """Chunks of samples (B,64000) at 16 kHz -> features (B,199,1024). Tensors are named `audio_encoder.*`."""

    def __init__(self) -> None:
        super().__init__()
        # in every checkpoint, used only in the encoder's own pre-training
        self.masked_spec_embed = nn.Parameter(torch.zeros(_WIDTH))
        self.feature_extractor = FeatureExtractor()
        self.feature_projection = FeatureProjection()
        self.encoder = TransformerStack()

    @staticmethod
    def normalise(samples: Tensor) -> Tensor:
        """(B,N) -> zero mean, unit deviation per chunk, padding included; unbiased, as the model was trained."""
        mean, std = samples.mean(dim=-1, keepdim=True), samples.std(dim=-1, keepdim=True)
        return (samples - mean) / (std + 1e-6)

    def forward(self, samples: Tensor) -> Tensor:
        return self.encoder(self.feature_projection(self.feature_extractor(self.normalise(samples))))
