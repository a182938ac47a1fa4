# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion codec: a bitwise multi-scale variational autoencoder. Needs torch; never imports bpy.

Motion (B,100,106) <-> latent (B,100,code_dim) <-> bits (B,181,code_dim), coarse to fine over the scales
(1,5,25,50,100). Everything is differentiable where it can be, so the same class is trained and used:

    latent = codec.encode(motion)                       # (B,100,106) raw -> (B,100,C); 200 rows too
    q = codec.quantize(latent, flip=mask)               # bits (B,181,C), features (B,100,C) straight-through
    inputs = scale_features(q.bits, codec.scales)       # (B,180,C): what the generator is fed with
    motion = codec.decode(previous_features, q.features)    # two (B,100,C) -> (B,200,106) raw
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NetworkConfig


@dataclass
class Quantized:
    """What the quantizer makes of a latent; C is the number of bits of a code."""

    bits: Tensor        # (B,181,C) bool, flips included
    features: Tensor    # (B,100,C) sum over the scales, gradients pass straight through to the latent
    unit: Tensor        # (B,181,C) pooled residuals of length 1 before the sign is taken (for entropy losses)


def area_pool(x: Tensor, size: int) -> Tensor:
    """(B,L,C) -> (B,size,C): mean over floor(i*L/size) .. ceil((i+1)*L/size)."""
    if x.shape[1] == size:
        return x
    return F.interpolate(x.transpose(1, 2), size=size, mode="area").transpose(1, 2)


def linear_spread(x: Tensor, size: int) -> Tensor:
    """(B,L,C) -> (B,size,C): linear between the centres of the L cells, constant beyond the outer ones."""
    if x.shape[1] == size:
        return x
    return F.interpolate(x.transpose(1, 2), size=size, mode="linear", align_corners=False).transpose(1, 2)


def code_values(bits: Tensor) -> Tensor:
    """Bits (...,C) of any type -> +-1/sqrt(C), float32."""
    return (bits.float() * 2.0 - 1.0) / (bits.shape[-1] ** 0.5)


def code_features(bits: Tensor, scales: Sequence[int]) -> Tensor:
    """Bits (B,181,C) of all scales -> their sum (B,100,C), the codec's input."""
    pieces = code_values(bits).split(list(scales), dim=1)
    total = torch.zeros_like(pieces[-1])
    for piece in pieces:
        total = total + linear_spread(piece, scales[-1])
    return total


def scale_features(bits: Tensor, scales: Sequence[int]) -> Tensor:
    """Bits (B,L,C) of the first k scales -> (B,n,C), the generator's input for scales 2..k+1.

    Scale i+1 gets the sum of scales 1..i pooled to its own length; bits of the last scale are not used, so
    L = 181 gives (B,180,C).
    """
    values = code_values(bits)
    total = values.new_zeros(values.shape[0], scales[-1], values.shape[2])
    start, inputs = 0, []
    for this, following in pairwise(scales):
        if start + this > values.shape[1]:
            break
        total = total + linear_spread(values[:, start : start + this], scales[-1])
        inputs.append(area_pool(total, following))
        start += this
    return torch.cat(inputs, dim=1)


class CodecAttention(nn.Module):
    """Self-attention behind a LayerNorm. The scores are divided by sqrt(width), not sqrt(width / heads)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = width ** -0.5
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B,L,W), additive mask broadcastable to (B,H,L,L) -> (B,L,W) without the residual."""
        batch, length, width = x.shape
        qkv = self.to_qkv(self.norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.scale)
        return self.to_out(y.transpose(1, 2).reshape(batch, length, width))


def _transformer(config: NetworkConfig) -> nn.ModuleList:
    """Attention and feed-forward layers in turn, numbered as in the published files."""
    width, hidden = config.vae_width, int(config.vae_ffn_ratio * config.vae_width)
    layers: list[nn.Module] = []
    for _ in range(config.vae_depth):
        layers.append(CodecAttention(width, config.vae_heads))
        feed_forward = (nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))
        layers.append(nn.Sequential(*feed_forward))
    return nn.ModuleList(layers)


def _run(layers: nn.ModuleList, x: Tensor, mask: Tensor | None) -> Tensor:
    for layer in layers:
        x = x + (layer(x, mask) if isinstance(layer, CodecAttention) else layer(x))
    return x


class CodecEncoder(nn.Module):
    """Normalised motion with positions (B,L,106) -> latent (B,L,C)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.inp_mapping = nn.Sequential(nn.Linear(config.motion_dim, config.vae_width), nn.LeakyReLU(0.2))
        self.encoder_transformer = _transformer(config)
        self.code_mapping = nn.Linear(config.vae_width, config.code_dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.code_mapping(_run(self.encoder_transformer, self.inp_mapping(x), mask))


class CodecDecoder(nn.Module):
    """Code features with positions (B,L,C) -> normalised motion (B,L,106)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.inp_mapping = nn.Sequential(nn.Linear(config.code_dim, config.vae_width), nn.LeakyReLU(0.2))
        self.decoder_transformer = _transformer(config)
        self.out_mapping = nn.Linear(config.vae_width, config.motion_dim)
        nn.init.xavier_uniform_(self.out_mapping.weight, gain=0.05)
        nn.init.zeros_(self.out_mapping.bias)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.out_mapping(_run(self.decoder_transformer, self.inp_mapping(x), mask))


class Codec(nn.Module):
    """Motion <-> bits. Inside a network its tensors are named `basic_vae.*`."""

    attn_mask: Tensor
    motion_mean: Tensor
    motion_std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.scales = config.scales
        self.frames = config.frames
        self.encoder = CodecEncoder(config)
        self.decoder = CodecDecoder(config)
        rows = 2 * config.frames
        self.enc_pos_embed = nn.Parameter(_position_table(rows, config.motion_dim))
        self.dec_pos_embed = nn.Parameter(_position_table(rows, config.code_dim))
        self.register_buffer("attn_mask", _second_half_mask(config.frames))
        self.register_buffer("motion_mean", torch.zeros(config.motion_dim))
        self.register_buffer("motion_std", torch.ones(config.motion_dim))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the motion's mean and standard deviation, (106,) each."""
        self.motion_mean.copy_(mean)
        self.motion_std.copy_(std)

    def normalise(self, motion: Tensor) -> Tensor:
        """Raw motion (...,106) -> zero mean, unit variance."""
        return (motion - self.motion_mean) / self.motion_std

    def denormalise(self, motion: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return motion * self.motion_std + self.motion_mean

    def encode(self, motion: Tensor) -> Tensor:
        """Raw motion (B,100,106), or a previous chunk and this one (B,200,106) -> latent of the same length.

        One chunk alone is encoded in the place of the previous one, which is exact: the first half never
        sees the second.
        """
        length = motion.shape[1]
        x = self.normalise(motion) + self.enc_pos_embed[:, :length]
        return self.encoder(x, self.attn_mask[..., :length, :length])

    def quantize(self, latent: Tensor, flip: Tensor | None = None) -> Quantized:
        """Latent (B,100,C) -> bits, features and unit residuals.

        `flip` (B,181,C) bool turns bits over before their value is taken from the residual, so that finer
        scales correct what coarser ones got wrong (self-correction training).
        """
        size = latent.shape[-1] ** -0.5
        residual, total = latent, torch.zeros_like(latent)
        bits, units, start = [], [], 0
        for scale in self.scales:
            unit = F.normalize(area_pool(residual, scale), dim=-1)
            sign = (unit > 0).to(unit.dtype) * (2.0 * size) - size
            value = unit + (sign - unit).detach()
            if flip is not None:
                turned = flip[:, start : start + scale]
                value = torch.where(turned, -sign, value)
            spread = linear_spread(value, self.frames)
            residual = residual - spread.detach()
            total = total + spread
            bits.append(value > 0)
            units.append(unit)
            start += scale
        return Quantized(torch.cat(bits, dim=1), total, torch.cat(units, dim=1))

    def features(self, bits: Tensor) -> Tensor:
        """Bits (B,181,C) -> (B,100,C)."""
        return code_features(bits, self.scales)

    def decode(self, previous: Tensor, this: Tensor) -> Tensor:
        """Features of the previous chunk and of this one, (B,100,C) each -> raw motion (B,200,106)."""
        x = torch.cat([previous, this], dim=1) + self.dec_pos_embed
        return self.denormalise(self.decoder(x, self.attn_mask))

    @torch.no_grad()
    def motion_to_bits(self, motion: Tensor) -> Tensor:
        """Raw motion (B,100,106) -> bits (B,181,C)."""
        return self.quantize(self.encode(motion)).bits

    @torch.no_grad()
    def bits_to_motion(self, previous_bits: Tensor, bits: Tensor) -> Tensor:
        """Bits of the previous chunk and of this one (B,181,C) -> raw motion of this one (B,100,106)."""
        return self.decode(self.features(previous_bits), self.features(bits))[:, self.frames :]


def _position_table(rows: int, width: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(1, rows, width), std=(1.0 / (3.0 * width)) ** 0.5)


def _second_half_mask(frames: int) -> Tensor:
    """(1,1,2T,2T): the second half sees everything, the first half only itself."""
    mask = torch.zeros(2 * frames, 2 * frames)
    mask[:frames, frames:] = -torch.inf
    return mask[None, None]
