# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec's fast path: the same layers without masks and without rows that nobody reads. Needs torch.

The first half of the decoder's tokens sees only itself and the second half sees all, so two unmasked attentions take
the place of a masked one; of the last layer only the second half is wanted. float32 always: motion is read from it.
`Codec.bits_to_motion` and `Codec.motion_to_bits` are the slow references it is tested against.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec import Codec, CodecAttention, code_features
from .products import Affine


class FastCodecLayer:
    """Attention and the feed-forward behind it."""

    def __init__(self, attention: CodecAttention, feed_forward: nn.Sequential) -> None:
        self.norm, self.heads, self.scale = attention.norm, attention.heads, attention.scale
        self.joint = Affine.of(attention.to_qkv, torch.float32)
        self.out = Affine.of(attention.to_out, torch.float32)
        self.rise = Affine.of(cast("nn.Linear", feed_forward[0]), torch.float32)
        self.fall = Affine.of(cast("nn.Linear", feed_forward[2]), torch.float32)

    def __call__(self, x: Tensor, seen: int = 0, wanted: int = 0) -> Tensor:
        """(B,L,W) -> rows `wanted` .. L; the first `seen` rows see only each other, the rest everything."""
        joint = self.joint(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        parts = []
        if seen > wanted:
            parts.append(self._attend(q[:, :, wanted:seen], k[:, :, :seen], v[:, :, :seen]))
        parts.append(self._attend(q[:, :, max(seen, wanted) :], k, v))
        x = x[:, wanted:] + self.out(torch.cat(parts, dim=1))
        return x + self.fall(F.gelu(self.rise(x), approximate="tanh"))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, scale=self.scale).transpose(1, 2).flatten(2)


def _layers(modules: nn.ModuleList) -> list[FastCodecLayer]:
    pairs = zip(modules[::2], modules[1::2], strict=True)
    return [FastCodecLayer(cast("CodecAttention", first), cast("nn.Sequential", second)) for first, second in pairs]


class FastCodec:
    """Motion <-> bits with a codec's weights as they are now."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        with torch.inference_mode(False), torch.no_grad():
            self.encoder = _layers(codec.encoder.encoder_transformer)
            self.decoder = _layers(codec.decoder.decoder_transformer)

    def motion_to_bits(self, motion: Tensor) -> Tensor:
        """Raw motion (B,100,106) -> bits (B,181,C)."""
        codec = self.codec
        x = codec.encoder.inp_mapping(codec.normalise(motion) + codec.enc_pos_embed[:, : motion.shape[1]])
        for layer in self.encoder:
            x = layer(x)
        return codec.quantize(codec.encoder.code_mapping(x)).bits

    def bits_to_motion(self, previous_bits: Tensor, bits: Tensor) -> Tensor:
        """Bits of the previous chunk and of this one (B,181,C) -> raw motion of this one (B,100,106)."""
        codec = self.codec
        features = [code_features(one, codec.scales) for one in (previous_bits, bits)]
        x = codec.decoder.inp_mapping(torch.cat(features, dim=1) + codec.dec_pos_embed)
        for layer in self.decoder[:-1]:
            x = layer(x, seen=codec.frames)
        x = self.decoder[-1](x, seen=codec.frames, wanted=codec.frames)
        return codec.denormalise(codec.decoder.out_mapping(x))
