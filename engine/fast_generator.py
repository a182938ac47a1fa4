# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator's fast path: only new tokens at each scale. Needs torch; never imports bpy.

No token sees a finer scale, so the keys and values of earlier tokens never change and are kept; so are the
modulations of all scales, computed in one product a chunk, and the history's keys and values. Queries, keys and
values come from one product. `Generator.predict_plain` is the slow reference it is tested against.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec import area_pool, code_values, linear_spread
from .generator import MAX_LOG_TEMPERATURE, Attention, Block, Generator, Prediction, choose
from .products import Affine, fuse, packed


class FastAttention:
    """One block's attention with room for the keys and values of a whole chunk and its history."""

    def __init__(self, attention: Attention, dtype: torch.dtype) -> None:
        self.heads = attention.heads
        width = attention.query.out_features
        weight, bias = fuse([attention.query, attention.key, attention.value], dtype)
        self.joint = Affine(packed(weight), bias)
        self.past = Affine(packed(weight[width:]), bias[width:])    # history has no queries
        self.proj = Affine.of(attention.proj, dtype)
        temperature = attention.scale_mul_1H11.detach().clamp_max(MAX_LOG_TEMPERATURE).exp()[0, :, 0]
        self.factors = torch.stack([temperature, torch.ones_like(temperature)])     # (2,H,1): queries, keys
        self.kept = torch.empty(0)      # (2,B,H,rows,W/H): keys, values
        self.filled = 0

    def remember(self, history: Tensor, clips: int, rows: int) -> None:
        """Forget everything but the history's tokens (B,R*181,W), or (1,R*181,W) that all `clips` share.

        `rows` is for how many keys in all there must be room.
        """
        length, width = history.shape[1:]
        shape = (2, clips, self.heads, rows, width // self.heads)
        if self.kept.shape != shape or self.kept.device != history.device:
            self.kept = history.new_empty(shape)
        keys, values = self.past(history).unflatten(-1, (2, self.heads, -1)).unbind(2)
        self.kept[0, :, :, :length] = F.normalize(keys, dim=-1).transpose(1, 2)
        self.kept[1, :, :, :length] = values.transpose(1, 2)
        self.filled = length

    def __call__(self, x: Tensor) -> Tensor:
        """New tokens (B,L,W), which see each other and all that is kept."""
        batch, length, _ = x.shape
        first, last = self.filled, self.filled + length
        joint = self.joint(x).view(batch, length, 3, self.heads, -1)
        pair = joint[:, :, :2]
        unit = pair * (self.factors / torch.linalg.vector_norm(pair, dim=-1, keepdim=True).clamp_min(1e-12))
        self.kept[0, :, :, first:last] = unit[:, :, 1].transpose(1, 2)
        self.kept[1, :, :, first:last] = joint[:, :, 2].transpose(1, 2)
        self.filled = last
        keys, values = self.kept[:, :, :, :last]
        y = F.scaled_dot_product_attention(unit[:, :, 0].transpose(1, 2), keys, values, scale=1.0)
        return self.proj(y.transpose(1, 2).flatten(2))


class FastBlock:
    """One block: attention and feed-forward with modulations computed beforehand."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        self.attention = FastAttention(block.attn, dtype)
        self.rise = Affine.of(cast("nn.Linear", block.ffn[0]), dtype)
        self.fall = Affine.of(cast("nn.Linear", block.ffn[2]), dtype)
        modulation = cast("nn.Linear", block.ada_lin[1])
        bias = modulation.bias.detach().clone()
        bias.view(6, -1)[2:4] += 1.0    # features are multiplied by 1 + scale
        self.modulate = Affine(packed(modulation.weight.detach().to(dtype)), bias.to(dtype))
        self.modulation = torch.empty(0)    # (B,181,6,W)

    def begin(self, history: Tensor, activated: Tensor, rows: int) -> None:
        """History tokens (B or 1,R*181,W) and audio (B,181,D) behind its SiLU, of a new chunk."""
        self.attention.remember(history, len(activated), rows)
        self.modulation = self.modulate(activated).unflatten(-1, (6, -1))

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """New tokens x (B,L,W), the first of which is token `start` of the chunk."""
        parts = self.modulation[:, start : start + x.shape[1]].unbind(2)
        gamma1, gamma2, scale1, scale2, shift1, shift2 = parts
        x = torch.addcmul(x, self.attention(torch.addcmul(shift1, _norm(x), scale1)), gamma1)
        inner = self.rise.in_precision(torch.addcmul(shift2, _norm(x), scale2))
        return torch.addcmul(x, self.fall(F.gelu(inner, approximate="tanh")), gamma2)


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class FastGenerator:
    """Decodes with a generator's weights as they are now, in float32 or, behind float32 sums, in bfloat16."""

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32) -> None:
        self.generator, self.config = generator, generator.config
        with torch.inference_mode(False), torch.no_grad():
            self.blocks = [FastBlock(cast("Block", block), dtype) for block in generator.attn_blocks]
            head = cast("nn.Linear", generator.cond_logits_head.ada_lin[1])
            bias = head.bias.detach().clone()
            bias[: self.config.width] += 1.0
            self.modulate = Affine(head.weight.detach(), bias)
            self.embed = Affine.of(generator.vqfeat_embed, torch.float32)
            self.logits = Affine.of(generator.logits_head, torch.float32)
            level = generator.lvl_embed(generator.lvl_idx)
            self.positions = (level + generator.pos_embed).detach()

    def forget(self) -> None:
        """Let go of the room for keys and values; the next chunk makes it anew."""
        for block in self.blocks:
            block.attention.kept = torch.empty(0)
            block.modulation = torch.empty(0)

    def predict(self, style: Tensor, history: Tensor, audio: Tensor, noise: Tensor | None = None) -> Prediction:
        """Style (B,1,W), history (B,R,180,C), audio (B,181,D) and perhaps noise (1,181,C) -> the chunk's bits."""
        generator, config = self.generator, self.config
        shared = all(x.stride(0) == 0 for x in (style, history))    # as it is before the first chunk of a batch
        past = generator.history_tokens(style[:1], history[:1]) if shared else generator.history_tokens(style, history)
        activated = F.silu(audio)
        for block in self.blocks:
            block.begin(past, activated, past.shape[1] + config.tokens)
        scale, shift = self.modulate(activated).chunk(2, dim=-1)
        total = history.new_zeros(len(history), config.frames, config.code_dim)
        bits, logits = [], []
        for index, (start, end) in enumerate(config.spans()):
            x = style if index == 0 else self.embed(area_pool(total, end - start))
            x = x + self.positions[:, start:end]
            for block in self.blocks:
                x = block(x, start)
            x = torch.addcmul(shift[:, start:end], _norm(x), scale[:, start:end])
            logits.append(self.logits(x).unflatten(-1, (config.code_dim, 2)))
            bits.append(choose(logits[-1], None if noise is None else noise[:, start:end]))
            total = total + linear_spread(code_values(bits[-1]), config.frames)
        return Prediction(torch.cat(bits, dim=1), torch.cat(logits, dim=1))
