# SPDX-License-Identifier: GPL-3.0-or-later
"""The next-scale generator: audio, style and history -> bits. Needs torch; never imports bpy.

Training, all scales of a chunk in one pass with teacher forcing (B clips, R = prev_ratio, C = code_dim):

    style = generator.style_condition(codes)                    # (B,style_width) or None -> (B,1,W)
    logits = generator.logits(style, history, inputs, audio)    # -> (B,181,C,2); [..., 1] speaks for bit 1
      history (B,R,180,C)  scale_features of the bits of the R chunks before, oldest first
      inputs  (B,180,C)    scale_features of this chunk's (flipped) bits
      audio   (B,181,D)    pool_audio(features of the chunk (B,F,D))

Token 0 of the chunk and of each history chunk is the style condition itself. `predict_plain` runs all earlier
tokens again at every scale, as the published program does; engine/fast_generator.py keeps what it can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec import area_pool, scale_features
from .config import NetworkConfig

MAX_LOG_TEMPERATURE = math.log(100.0)


class Attention(nn.Module):
    """Attention with queries and keys of length 1 and a learned temperature per head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4.0)))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        """(B,L,W) -> (B,H,L,W/H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B,L,W) -> unit keys and values, (B,H,L,W/H) each."""
        return F.normalize(self._split(self.key(x)), dim=-1), self._split(self.value(x))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Queries from x (B,L,W); additive mask broadcastable to (B,H,L,keys)."""
        temperature = self.scale_mul_1H11.clamp_max(MAX_LOG_TEMPERATURE).exp()
        q = F.normalize(self._split(self.query(x)), dim=-1) * temperature
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=1.0)
        return self.proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and feed-forward, both modulated per token by the audio condition (AdaLN)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, hidden = config.width, round(config.ffn_ratio * config.width)
        self.attn = Attention(width, config.heads)
        feed_forward = (nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))
        self.ffn = nn.Sequential(*feed_forward)
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(config.audio_width, 6 * width))

    def modulation(self, audio: Tensor) -> Tensor:
        """Audio condition (B,L,D) -> (B,L,6,W): gamma1, gamma2, scale1, scale2, shift1, shift2."""
        return self.ada_lin(audio).unflatten(-1, (6, -1))

    def forward(self, x: Tensor, modulation: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Tokens x (B,L,W) -> (B,L,W); keys and values of the history, (B,H,R*181,W/H) each."""
        gamma1, gamma2, scale1, scale2, shift1, shift2 = modulation.unbind(2)
        inner = _plain_norm(x) * (1.0 + scale1) + shift1
        own_keys, own_values = self.attn.keys_values(inner)
        all_keys, all_values = torch.cat([keys, own_keys], dim=2), torch.cat([values, own_values], dim=2)
        x = x + self.attn(inner, all_keys, all_values, mask) * gamma1
        inner = _plain_norm(x) * (1.0 + scale2) + shift2
        return x + self.ffn(inner) * gamma2


class HeadModulation(nn.Module):
    """AdaLN before the logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(config.audio_width, 2 * config.width))

    def forward(self, x: Tensor, audio: Tensor) -> Tensor:
        scale, shift = self.ada_lin(audio).chunk(2, dim=-1)
        return _plain_norm(x) * (1.0 + scale) + shift


def _plain_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


@dataclass
class Prediction:
    """One chunk: bits (B,181,C) bool and the logits (B,181,C,2) they were taken from."""

    bits: Tensor
    logits: Tensor


class Generator(nn.Module):
    """Its tensors stand at the root of the published files (`attn_blocks.*`, `pos_embed` ...)."""

    attn_bias_for_masking: Tensor
    lvl_idx: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, tokens = config.width, config.tokens
        spread = (1.0 / (3.0 * width)) ** 0.5
        self.null_style_cond = nn.Parameter(torch.randn(1, 1, width) * 0.5)
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, width), std=spread))
        history = tokens * config.prev_ratio
        self.prev_pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, history, width), std=spread))
        level = torch.cat([torch.full((size,), index) for index, size in enumerate(config.scales)])
        self.register_buffer("attn_bias_for_masking", _block_causal_mask(level, history))
        self.register_buffer("lvl_idx", level[None])
        self.lvl_embed = nn.Embedding(len(config.scales), width)
        nn.init.trunc_normal_(self.lvl_embed.weight, std=spread)
        self.vqfeat_embed = nn.Linear(config.code_dim, width)
        self.style_cond_embed = nn.Linear(config.style_width, width)
        self.attn_blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.cond_logits_head = HeadModulation(config)
        self.logits_head = nn.Linear(width, 2 * config.code_dim)

    def style_condition(self, codes: Tensor | None, batch: int = 1, strength: float | None = None) -> Tensor:
        """Style codes (B,style_width), or None for the model's own manner -> (B,1,W), guidance applied.

        `strength` is the guidance: 1.1, as published, mixes 1.1 parts of the style with -0.1 of the own manner.

        In training, drop styles with `torch.where(dropped[:, None, None], style_condition(None, B), ...)`.
        """
        if codes is None:
            return self.null_style_cond.expand(batch, -1, -1)
        guidance = self.config.style_guidance if strength is None else strength
        return self.style_cond_embed(codes)[:, None] * guidance - self.null_style_cond * (guidance - 1.0)

    def pool_audio(self, features: Tensor) -> Tensor:
        """Audio features of a chunk (B,F,D) -> one condition per token (B,181,D)."""
        return torch.cat([area_pool(features, scale) for scale in self.config.scales], dim=1)

    def history_tokens(self, style: Tensor, history: Tensor) -> Tensor:
        """Style (B,1,W) and history features (B,R,180,C) -> (B,R*181,W), positions and levels included."""
        embedded = self.vqfeat_embed(history)
        prefix = style[:, None].expand(-1, history.shape[1], -1, -1)
        level = self.lvl_embed(self.lvl_idx).repeat(1, self.config.prev_ratio, 1)
        return torch.cat([prefix, embedded], dim=2).flatten(1, 2) + level + self.prev_pos_embed

    def input_tokens(self, style: Tensor, inputs: Tensor) -> Tensor:
        """Style (B,1,W) and features of scales 2..k (B,n,C) -> (B,1+n,W), positions and levels included."""
        tokens = torch.cat([style, self.vqfeat_embed(inputs)], dim=1)
        return tokens + (self.lvl_embed(self.lvl_idx) + self.pos_embed)[:, : tokens.shape[1]]

    def logits(self, style: Tensor, history: Tensor, inputs: Tensor, audio: Tensor) -> Tensor:
        """Teacher-forced logits of the first 1+n tokens in one pass; shapes as in the module's docstring."""
        return self._run(self.input_tokens(style, inputs), self.history_tokens(style, history), audio)

    def _run(self, x: Tensor, history: Tensor, audio: Tensor) -> Tensor:
        """Tokens (B,L,W) with the history's tokens and the audio of at least L tokens -> (B,L,C,2)."""
        length = x.shape[1]
        audio = audio[:, :length]
        mask = self.attn_bias_for_masking[:, :, :length, : history.shape[1] + length]
        for block in self._blocks():
            keys, values = block.attn.keys_values(history)
            x = block(x, block.modulation(audio), keys, values, mask)
        return self._head(x, audio)

    def _blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.attn_blocks))

    def _head(self, x: Tensor, audio: Tensor) -> Tensor:
        return self.logits_head(self.cond_logits_head(x, audio)).unflatten(-1, (self.config.code_dim, 2))

    @torch.no_grad()
    def predict_plain(self, style: Tensor, history: Tensor, audio: Tensor, noise: Tensor | None = None) -> Prediction:
        """The slow reference: at each scale run every token so far; the last pass gives the bits.

        `noise` (1,181,C) is what the logits of bit 0 are raised by before the two are compared.
        """
        scales = self.config.scales
        past = self.history_tokens(style, history)
        inputs = history.new_zeros(style.shape[0], 0, self.config.code_dim)
        for index in range(len(scales)):
            logits = self._run(self.input_tokens(style, inputs), past, audio)
            bits = choose(logits, None if noise is None else noise[:, : logits.shape[1]])
            if index + 1 < len(scales):
                inputs = scale_features(bits, scales)
        return Prediction(bits, logits)


def choose(logits: Tensor, noise: Tensor | None) -> Tensor:
    """Logits (B,L,C,2) -> the likelier bits (B,L,C), noise (1,L,C) added to bit 0's."""
    against = logits[..., 0]
    return logits[..., 1] > (against if noise is None else against + noise)


def _block_causal_mask(level: Tensor, history: int) -> Tensor:
    """(1,1,L,history+L): every token sees the whole history, its own scale and the coarser ones."""
    own = torch.where(level[:, None] >= level[None, :], 0.0, -torch.inf)
    return torch.cat([torch.zeros(len(level), history), own], dim=1)[None, None]
