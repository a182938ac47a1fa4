# SPDX-License-Identifier: GPL-3.0-or-later
"""The wav2vec encoder's fast path: several chunks at once. Needs torch; never imports bpy.

Rows stay rows from the first convolution on, so no norm waits for a transposition; each strided convolution is one
or two matrix products on the rows as they lie; queries, keys and values come from one product.
`Wav2VecEncoder.forward` is the slow reference it is tested against.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from .audio_encoder import HEADS, ConvLayer, EncoderLayer, Wav2VecEncoder
from .products import Affine, fuse, packed, product

CHUNKS_AT_ONCE = 4      # on a processor; more is hardly faster, takes memory and delays a cancel


class FastConv:
    """A convolution with stride 2 and 2 or 3 taps, or the first one, as matrix products; LayerNorm; GELU."""

    def __init__(self, layer: ConvLayer, dtype: torch.dtype) -> None:
        self.norm, self.dtype = layer.layer_norm, dtype
        self.taps, self.stride = layer.conv.kernel_size[0], layer.conv.stride[0]
        self.first = layer.conv.in_channels == 1
        precision = torch.float32 if self.first else dtype      # samples have more than 8 bits
        taps = layer.conv.weight.detach().transpose(1, 2)       # (O,taps,I)
        width = taps.shape[1] if self.first else 2
        self.pair = taps[:, :width].flatten(1).to(precision)
        self.third = taps[:, 2].to(precision) if taps.shape[1] == 3 else None
        self.bias = cast("Tensor", layer.conv.bias).detach().to(precision)

    def rows(self, length: int) -> int:
        """How many rows so many samples or rows give."""
        return (length - self.taps) // self.stride + 1

    def __call__(self, x: Tensor) -> Tensor:
        """Samples (N,), or rows (L,I) -> rows (L',512)."""
        if self.first:
            y = product(x.unfold(0, self.taps, self.stride), self.pair, self.bias)
        else:
            rows = self.rows(len(x))
            y = product(x[: 2 * rows].view(rows, -1), self.pair, self.bias)
            if self.third is not None:
                y.addmm_(x[2 : 2 * rows + 1 : 2], self.third.t())
        if y.device.type != "cpu":
            y = y.float()       # only processors normalise bfloat16 with float32 weights
        return F.gelu(self.norm(y).to(self.dtype))


class FastLayer:
    """One transformer layer; the sums stay float32."""

    def __init__(self, layer: EncoderLayer, dtype: torch.dtype) -> None:
        self.norm, self.last_norm = layer.layer_norm, layer.final_layer_norm
        attention, perceptron = layer.attention, layer.feed_forward
        weight, bias = fuse([attention.q_proj, attention.k_proj, attention.v_proj], dtype)
        self.joint = Affine(packed(weight), bias)
        self.out = Affine.of(attention.out_proj, dtype)
        self.rise = Affine.of(perceptron.intermediate_dense, dtype)
        self.fall = Affine.of(perceptron.output_dense, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(B,L,1024) -> (B,L,1024)."""
        q, k, v = self.joint.in_precision(self.norm(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.fall(F.gelu(self.rise.in_precision(self.last_norm(x))))


class FastWav2Vec:
    """Chunks of samples (B,64000) -> features (B,199,1024), with an encoder's weights as they are now."""

    def __init__(self, encoder: Wav2VecEncoder, dtype: torch.dtype = torch.float32) -> None:
        self.encoder, self.dtype = encoder, dtype
        with torch.inference_mode(False), torch.no_grad():
            self.front = [FastConv(cast("ConvLayer", layer), dtype) for layer in encoder.feature_extractor.conv_layers]
            self.projection = Affine.of(encoder.feature_projection.projection, torch.float32)
            position = encoder.encoder.pos_conv_embed.conv
            self.taps = position.parametrizations["weight"]().detach().to(dtype)
            self.tap_bias = position.bias.detach().to(dtype)
            self.layers = [FastLayer(cast("EncoderLayer", layer), dtype) for layer in encoder.encoder.layers]

    def __call__(self, samples: Tensor) -> Tensor:
        # chunk by chunk: these rows are long enough, and take much memory
        chunks = zip(self.encoder.normalise(samples), self._lives(samples), strict=True)
        rows = [self._convolve(chunk, live) for chunk, live in chunks]
        x = self.projection(self.encoder.feature_projection.layer_norm(torch.stack(rows).float()))
        padding = self.taps.shape[2] // 2
        groups = x.shape[2] // self.taps.shape[1]
        y = F.conv1d(x.transpose(1, 2).to(self.dtype), self.taps, self.tap_bias, padding=padding, groups=groups)
        x = x + F.gelu(y[..., :-1]).transpose(1, 2).float()
        for layer in self.layers:
            x = layer(x)
        return self.encoder.encoder.layer_norm(x)

    def _lives(self, samples: Tensor) -> list[int]:
        """How many samples of each chunk (B,64000) stand before the zeros that fill it up."""
        if samples.device.type != "cpu":    # to look would be to wait for the card, which has time to spare
            return [samples.shape[1]] * len(samples)
        return [int(one[-1]) + 1 if len(one) else 0 for one in (chunk.nonzero() for chunk in samples)]

    def _convolve(self, x: Tensor, live: int) -> Tensor:
        """Samples (N,) -> rows (L,512); from `live` on all samples are alike, and so are the rows that see only them.

        Of such rows one is computed and repeated: a short line is mostly the silence that fills up its chunk.
        """
        length = len(x)
        for convolution in self.front:
            rows, live = convolution.rows(length), -(-live // convolution.stride)
            seen = convolution.stride * live + convolution.taps     # up to the first row of nothing but alike
            x, length = convolution(_lengthened(x, min(length, seen))), rows
        return _lengthened(x, length)


def _lengthened(x: Tensor, length: int) -> Tensor:
    """The first `length` rows of x (L,...), whose last row is repeated where there are not so many."""
    return torch.cat([x, x[-1:].expand(length - len(x), *x.shape[1:])]) if len(x) < length else x[:length]
