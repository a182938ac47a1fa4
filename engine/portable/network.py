# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model from samples to raw motion, in numpy alone. One clip at a time, float32.

Scale by scale only the new tokens are computed; the keys and values of earlier tokens and of the chunks before
are kept, which changes nothing, because no token sees a finer scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..chunking import Floats
from ..config import NetworkConfig
from ..errors import EngineError
from ..passage import WHOLE, Passage
from .layers import Bools, Codec, MelEncoder, StyleEncoder, Weights, scale_features
from .ops import area_pool, attend, gelu_tanh, join_heads, layer_norm, silu, split_heads, unit
from .weights import Arrays, check_arrays, read_npz


@dataclass
class Step:
    """One chunk's result: raw motion (100,106), bits (181,C), logits (181,C,2)."""

    motion: Floats
    bits: Bools
    logits: Floats


class Block:
    """One block of the generator for one chunk: its modulations and its growing keys and values."""

    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self._heads, self._weights = config.heads, weights
        log_scale = weights["attn.scale_mul_1H11"][0].astype(np.float32)
        self._temperature = np.exp(np.minimum(log_scale, np.float32(math.log(100.0))))
        shape = (config.heads, (config.prev_ratio + 1) * config.tokens, config.width // config.heads)
        self._keys, self._values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._filled = 0
        self._modulation = np.empty((0, 6, config.width), np.float32)

    def begin(self, history: Floats, activated_audio: Floats) -> None:
        """Take in the history's tokens (R*181,W) and the audio of all tokens (181,D), SiLU applied."""
        self._filled = 0
        self._append(history)
        self._modulation = self._weights.linear("ada_lin.1", activated_audio).reshape(len(activated_audio), 6, -1)

    def _append(self, x: Floats) -> None:
        end = self._filled + len(x)
        self._keys[:, self._filled : end] = unit(split_heads(self._weights.linear("attn.key", x), self._heads))
        self._values[:, self._filled : end] = split_heads(self._weights.linear("attn.value", x), self._heads)
        self._filled = end

    def __call__(self, x: Floats, start: int) -> Floats:
        """New tokens x (L,W), the first of which is token `start` of the chunk."""
        gamma1, gamma2, scale1, scale2, shift1, shift2 = self._modulation[start : start + len(x)].transpose(1, 0, 2)
        inner = layer_norm(x, 1e-6) * (scale1 + np.float32(1.0)) + shift1
        self._append(inner)
        q = unit(split_heads(self._weights.linear("attn.query", inner), self._heads)) * self._temperature
        y = attend(q, self._keys[:, : self._filled], self._values[:, : self._filled])
        x = x + self._weights.linear("attn.proj", join_heads(y)) * gamma1
        inner = layer_norm(x, 1e-6) * (scale2 + np.float32(1.0)) + shift2
        return x + self._weights.linear("ffn.2", gelu_tanh(self._weights.linear("ffn.0", inner))) * gamma2


class PortableNetwork:
    """A model whose audio encoder is the log-mel one."""

    def __init__(self, config: NetworkConfig, arrays: Arrays, name: str) -> None:
        if config.audio_encoder != "mel":
            raise EngineError(f"“{name}” hears through {config.audio_encoder}, which needs torch.",
                              "Open it with the torch backend.", code="unsupported")
        check_arrays(arrays, config, name)
        self.config = config
        self._weights = weights = Weights(arrays)
        self.codec = Codec(config, weights.under("basic_vae."))
        self.style_encoder = StyleEncoder(config, weights.under("style_encoder."))
        self.audio_encoder = MelEncoder(config, weights.under("audio_encoder."))
        levels = weights["lvl_embed.weight"][weights["lvl_idx"][0]]
        self._positions = levels + weights["pos_embed"][0]
        self._past_positions = np.tile(levels, (config.prev_ratio, 1)) + weights["prev_pos_embed"][0]

    @classmethod
    def from_file(cls, path: Path) -> PortableNetwork:
        """Read and check a `.npz`."""
        config, arrays = read_npz(path)
        return cls(config, arrays, path.name)

    def style_condition(self, style: Floats | None, strength: float | None = None) -> Floats:
        """Style motion (T,106), or None for the model's own manner -> (1,W); `strength` as in generator.py."""
        own = self._weights["null_style_cond"][0]
        if style is None:
            return own
        guidance = np.float32(self.config.style_guidance if strength is None else strength)
        return self._weights.linear("style_cond_embed", self.style_encoder(style)) * guidance - own * (guidance - 1)

    def pool_audio(self, features: Floats) -> Floats:
        """Audio features of a chunk (F,D) -> one condition per token (181,D)."""
        return np.concatenate([area_pool(features, scale) for scale in self.config.scales])

    def predict(self, blocks: list[Block], style: Floats, history: list[Floats], audio: Floats,
                noise: Floats | None = None) -> tuple[Bools, Floats]:
        """Bits (181,C) and logits (181,C,2) of one chunk; history is the scale features (180,C) of R chunks.

        `noise` (181,C) is what the logits of bit 0 are raised by before the two are compared.
        """
        weights, config = self._weights, self.config
        past = np.concatenate([np.concatenate([style, weights.linear("vqfeat_embed", one)]) for one in history])
        past = past + self._past_positions
        activated = silu(audio)
        for block in blocks:
            block.begin(past, activated)
        scale, shift = np.split(weights.linear("cond_logits_head.ada_lin.1", activated), 2, axis=1)
        logits = np.empty((config.tokens, config.code_dim, 2), np.float32)
        bits = np.empty((config.tokens, config.code_dim), np.bool_)
        for start, end in config.spans():
            x = style
            if start:
                inputs = scale_features(bits[:start], config.scales)
                x = weights.linear("vqfeat_embed", inputs[start - 1 : end - 1])
            x = x + self._positions[start:end]
            for block in blocks:
                x = block(x, start)
            x = layer_norm(x, 1e-6) * (scale[start:end] + np.float32(1.0)) + shift[start:end]
            logits[start:end] = weights.linear("logits_head", x).reshape(end - start, config.code_dim, 2)
            against = logits[start:end, :, 0]
            bits[start:end] = logits[start:end, :, 1] > (against if noise is None else against + noise[start:end])
        return bits, logits

    def steps(self, samples: Floats, style: Floats | None = None, passage: Passage = WHOLE) -> Iterator[Step]:
        """Samples (N,) at 16 kHz -> the result of every chunk."""
        config = self.config
        condition = self.style_condition(style, passage.strength)
        blocks = [Block(config, self._weights.under(f"attn_blocks.{index}.")) for index in range(config.depth)]
        previous = self.codec.motion_to_bits(np.zeros((config.frames, config.motion_dim), np.float32))
        history = [scale_features(previous, config.scales)] * config.prev_ratio
        for past in passage.pasts(config):
            previous = self.codec.motion_to_bits(past)
            history = [*history[1:], scale_features(previous, config.scales)]
        for index, features in enumerate(self.audio_encoder.chunks(samples, passage)):
            noise = passage.noise(index, config)
            bits, logits = self.predict(blocks, condition, history, self.pool_audio(features), noise)
            motion = self.codec.bits_to_motion(previous, bits)
            yield Step(motion, bits, logits)
            previous = self.codec.motion_to_bits(motion)
            history = [*history[1:], scale_features(previous, config.scales)]

    def chunks(self, samples: Floats, style: Floats | None = None, passage: Passage = WHOLE) -> Iterator[Floats]:
        """Samples (N,) at 16 kHz -> raw motion (100,106) of every chunk."""
        for step in self.steps(samples, style, passage):
            yield step.motion
