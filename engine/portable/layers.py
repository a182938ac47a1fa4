# SPDX-License-Identifier: GPL-3.0-or-later
"""Codec, style encoder and log-mel encoder of the default model in numpy. float32; rows are time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chunking import FEATURE_FRAMES, Floats, feature_windows, padded_mel
from ..config import NetworkConfig
from ..passage import WHOLE, Passage
from .ops import area_pool, attend, gelu, gelu_tanh, join_heads, layer_norm, linear_spread, silu, split_heads, unit

Bools = NDArray[np.bool_]


class Weights:
    """A view of the arrays under one prefix, with the layers that read them."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> None:
        self._arrays, self._prefix = arrays, prefix

    def under(self, prefix: str) -> Weights:
        """The arrays whose names begin with one more prefix."""
        return Weights(self._arrays, self._prefix + prefix)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[self._prefix + name]

    def linear(self, name: str, x: Floats) -> Floats:
        """x (L,inputs) -> (L,outputs), with the bias where there is one."""
        y = x @ self[name + ".weight"].T
        bias = self._arrays.get(self._prefix + name + ".bias")
        if bias is not None:
            y += bias
        return y

    def norm(self, name: str, x: Floats) -> Floats:
        """LayerNorm with its scale and shift."""
        return layer_norm(x, 1e-5, self[name + ".weight"], self[name + ".bias"])


def code_values(bits: Bools) -> Floats:
    """Bits (L,C) -> +-1/sqrt(C)."""
    size = np.float32(1.0 / math.sqrt(bits.shape[1]))
    return np.where(bits, size, -size)


def scale_features(bits: Bools, scales: Sequence[int]) -> Floats:
    """Bits (L,C) of the first k scales -> (n,C), the generator's input for scales 2..k+1."""
    values = code_values(bits)
    total = np.zeros((scales[-1], bits.shape[1]), np.float32)
    start, inputs = 0, []
    for this, following in pairwise(scales):
        if start + this > len(values):
            break
        total = total + linear_spread(values[start : start + this], scales[-1])
        inputs.append(area_pool(total, following))
        start += this
    return np.concatenate(inputs)


class Codec:
    """Motion (100,106) <-> bits (181,C)."""

    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self._config, self._weights = config, weights
        self._mean, self._std = weights["motion_mean"], weights["motion_std"]

    def _attention(self, weights: Weights, x: Floats, halves: bool) -> Floats:
        """Self-attention; with `halves` the first half of the rows does not see the second."""
        heads = self._config.vae_heads
        q, k, v = (split_heads(part, heads) for part in np.split(
            weights.linear("to_qkv", weights.norm("norm", x)), 3, axis=1))
        q = q * np.float32(self._config.vae_width ** -0.5)
        if halves:
            n = len(x) // 2
            y = np.concatenate([attend(q[:, :n], k[:, :n], v[:, :n]), attend(q[:, n:], k, v)], axis=1)
        else:
            y = attend(q, k, v)
        return weights.linear("to_out", join_heads(y))

    def _transform(self, half: str, x: Floats, halves: bool) -> Floats:
        for index in range(self._config.vae_depth):
            layers = self._weights.under(f"{half}.{half}_transformer.")
            x = x + self._attention(layers.under(f"{2 * index}."), x, halves)
            forward = layers.under(f"{2 * index + 1}.")
            x = x + forward.linear("2", gelu_tanh(forward.linear("0", x)))
        return x

    def encode(self, motion: Floats) -> Floats:
        """Raw motion (100,106) -> latent (100,C)."""
        x = (motion - self._mean) / self._std + self._weights["enc_pos_embed"][0, : len(motion)]
        x = self._weights.linear("encoder.inp_mapping.0", x)
        x = self._transform("encoder", np.where(x > 0, x, x * np.float32(0.2)), halves=False)
        return self._weights.linear("encoder.code_mapping", x)

    def quantize(self, latent: Floats) -> Bools:
        """Latent (100,C) -> bits (181,C): signs of what is left, scale after scale."""
        size = np.float32(latent.shape[1] ** -0.5)
        residual, bits = latent, []
        for scale in self._config.scales:
            z = unit(area_pool(residual, scale))
            sign = np.where(z > 0, size, -size)
            value = z + (sign - z)      # not quite `sign`: rounded as in training, where gradients go through z
            residual = residual - linear_spread(value, self._config.frames)
            bits.append(value > 0)
        return np.concatenate(bits)

    def motion_to_bits(self, motion: Floats) -> Bools:
        """Raw motion (100,106) -> bits (181,C)."""
        return self.quantize(self.encode(motion))

    def features(self, bits: Bools) -> Floats:
        """Bits (181,C) -> (100,C)."""
        total = np.zeros((self._config.frames, bits.shape[1]), np.float32)
        values = code_values(bits)
        for start, end in self._config.spans():
            total = total + linear_spread(values[start:end], self._config.frames)
        return total

    def bits_to_motion(self, previous_bits: Bools, bits: Bools) -> Floats:
        """Bits of the previous chunk and of this one (181,C) -> raw motion of this one (100,106)."""
        x = np.concatenate([self.features(previous_bits), self.features(bits)]) + self._weights["dec_pos_embed"][0]
        x = self._weights.linear("decoder.inp_mapping.0", x)
        x = self._transform("decoder", np.where(x > 0, x, x * np.float32(0.2)), halves=True)
        y = self._weights.linear("decoder.out_mapping", x[self._config.frames :])
        return y * self._std + self._mean


class StyleEncoder:
    """Raw style motion (T,106) -> style code (1,style_width)."""

    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self._config, self._weights = config, weights

    def __call__(self, motion: Floats) -> Floats:
        weights = self._weights
        x = weights.linear("encoder.motion_proj", (motion - weights["motion_mean"]) / weights["motion_std"])
        x = x + weights["PE.pe"][0, len(motion)]    # one row for all frames: so the model was trained
        for index in range(self._config.style_depth):
            layer = weights.under(f"encoder.transformer.layers.{index}.")
            x = layer.norm("norm1", x + self._attention(layer, x))
            x = layer.norm("norm2", x + layer.linear("linear2", gelu(layer.linear("linear1", x))))
        return x.mean(axis=0, keepdims=True)

    def _attention(self, layer: Weights, x: Floats) -> Floats:
        heads = self._config.style_heads
        qkv = x @ layer["self_attn.in_proj_weight"].T + layer["self_attn.in_proj_bias"]
        q, k, v = (split_heads(part, heads) for part in np.split(qkv, 3, axis=1))
        q = q * np.float32((self._config.style_width // heads) ** -0.5)
        return layer.linear("self_attn.out_proj", join_heads(attend(q, k, v)))


class MelEncoder:
    """Samples (N,) -> audio features (200,D) of every chunk."""

    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self._config, self._weights = config, weights

    def chunks(self, samples: Floats, passage: Passage = WHOLE) -> Iterator[Floats]:
        """Chunk by chunk, each with as much sound around it as the convolutions reach: there are no seams."""
        mel = padded_mel(samples, passage)
        chunks = passage.chunks(len(samples))
        for low, start, high in feature_windows(len(mel) // 2, self._config, 2 * passage.start_frame, chunks):
            features = self._features(mel, low, high)
            yield features[start - low : start - low + FEATURE_FRAMES]

    def _features(self, mel: Floats, low: int, high: int) -> Floats:
        """Features low .. high of the whole; near those ends, where neighbours are missing, they are not exact."""
        weights = self._weights
        x = silu(self._stem(mel, low, high))
        for index in range(self._config.mel_sizes()["BLOCKS"]):
            block = weights.under(f"blocks.{index}.")
            y = block.norm("norm", _depthwise(x, block["conv.weight"][:, 0], block["conv.bias"]))
            x = x + block.linear("fall", silu(block.linear("rise", y)))
        return weights.norm("norm", x)

    def _stem(self, mel: Floats, low: int, high: int) -> Floats:
        """The convolution with stride 2: feature j is centred on log-mel frame 2j; zeros lie beyond the ends."""
        weight = self._weights["stem.weight"]
        kernel = weight.shape[2]
        first, last = 2 * low - kernel // 2, 2 * (high - 1) + kernel - kernel // 2
        part = np.pad(mel[max(first, 0) : last], ((max(-first, 0), max(last - len(mel), 0)), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(part, kernel, axis=0)[::2]
        return windows.reshape(high - low, -1) @ weight.reshape(len(weight), -1).T + self._weights["stem.bias"]


def _depthwise(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """(L,C) -> (L,C): each channel with its own taps (C,K), zeros beyond the ends."""
    kernel = weight.shape[1]
    padded = np.pad(x, ((kernel // 2, kernel // 2), (0, 0)))
    y = np.repeat(bias[None], len(x), axis=0)
    for tap in range(kernel):
        y += padded[tap : tap + len(x)] * weight[:, tap]
    return y
