# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the motion codec on teacher motion of random phone strings. Needs torch; no sound.

    python -m engine.training.train_codec --steps 1600 --out build/codec.pt

Windows of 200 frames (a chunk and the one before it). Losses: normalised motion, lip aperture in millimetres
with extra weight where the lips touch, velocities, balanced bits, and a latent that stays near its code. Some
bits are turned over while training, so that a wrong bit costs little later.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..codec import Codec
from .default_sizes import BUILD, default_config, lip_gains
from .phone_strings import random_motion
from .teacher import CHANNELS, CLOSE, HEAD, JAW, JAW_RADIANS, LipGains

LIPS = (*range(18, 41), JAW)
UNUSED_STD = 0.05
"""Standard deviation written for a channel that the teacher never moves."""


def motion_pool(count: int, seconds: float, seed: int) -> np.ndarray:
    """(count, frames, 106) float32 teacher motion; rest before and after, so that windows start at any phase.
    """
    gains = lip_gains()
    clips = [random_motion(seed + index, seconds, index % 2 == 1, gains) for index in range(count)]
    return np.pad(np.stack(clips), ((0, 0), (100, 50), (0, 0)))


def statistics(pool: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (106,) of motion (clips, frames, 106); a channel that never moves has 0 and
    0.05.
    """
    flat = pool.reshape(-1, CHANNELS)
    moving = flat.std(0) > 1e-6
    mean = np.where(moving, flat.mean(0), 0.0)
    std = np.where(moving, np.maximum(flat.std(0), 0.01), UNUSED_STD)
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(std.astype(np.float32))


def aperture_row(gains: LipGains) -> Tensor:
    """(106,) millimetres of lip aperture for one unit of each channel."""
    row = torch.zeros(CHANNELS)
    row[JAW], row[CLOSE] = 1 / JAW_RADIANS, -1.0
    for channel, gain in gains.channels:
        row[channel] += gain
    return row * gains.unit * 1000


def channel_weights(pool_std: Tensor) -> Tensor:
    """(106,) weights of the normalised error: the mouth counts double, what never moves counts little."""
    weight = torch.full((CHANNELS,), 1.0)
    weight[list(LIPS)] = 2.0
    weight[HEAD] = 2.5  # a small motion over all channels, yet what the eye follows
    weight[pool_std == UNUSED_STD] = 0.05
    return weight


def motion_loss(
    predicted: Tensor, target: Tensor, std: Tensor, weight: Tensor, row: Tensor
) -> dict[str, Tensor]:
    """Parts of the loss between raw motions (B,T,106); ``aperture`` counts closed frames five times."""
    error = (predicted - target) / std
    wanted = target @ row
    lips = (predicted - target) @ row
    closed = 1.0 + 4.0 * (wanted < 0.8).float() * (target[..., JAW] > 0.01).float()
    return {
        "motion": (error.square() * weight).mean(),
        "aperture": (lips.square() * closed).mean(),
        "speed": (lips.diff(dim=1).square()).mean() + (error.diff(dim=1).square() * weight).mean(),
    }


def random_flips(
    shape: tuple[int, int, int],
    scales: tuple[int, ...],
    share: float,
    last: float,
    generator: torch.Generator,
) -> Tensor:
    """Bits to turn over (B,181,C): for every clip a random rate up to ``share``, up to ``last`` at the last
    scale.
    """
    rate = torch.rand(shape[0], 1, 1, generator=generator)
    limit = torch.full((1, shape[1], 1), share)
    limit[:, -scales[-1] :] = last
    return torch.rand(shape, generator=generator) < rate * limit


def _balance(unit: Tensor, scales: tuple[int, ...]) -> Tensor:
    """How far the bits of each scale are from being 0 and 1 equally often."""
    parts = [
        (piece.mean(dim=(0, 1)) * piece.shape[-1] ** 0.5).square().mean()
        for piece in unit.split(list(scales), 1)
    ]
    return torch.stack(parts).mean()


def codec_step(
    codec: Codec, window: Tensor, weight: Tensor, row: Tensor, generator: torch.Generator
) -> Tensor:
    """Loss of one batch of windows (B,200,106)."""
    frames = codec.frames
    latent = codec.encode(window)
    shape = (len(window), sum(codec.scales), latent.shape[-1])
    halves = []
    for half in (latent[:, :frames], latent[:, frames:]):
        flip = random_flips(shape, codec.scales, 0.10, 0.02, generator)
        flip[::2] = False
        halves.append((half, codec.quantize(half, flip)))
    motion = codec.decode(halves[0][1].features, halves[1][1].features)
    parts = motion_loss(motion, window, codec.motion_std, weight, row)
    commit = sum((half - code.features.detach()).square().mean() for half, code in halves)
    balance = sum(_balance(code.unit, codec.scales) for _, code in halves)
    return parts["motion"] + 0.3 * parts["aperture"] + 0.3 * parts["speed"] + commit + 0.05 * balance


@torch.no_grad()
def report(codec: Codec, pool: np.ndarray, row: Tensor) -> dict[str, float]:
    """Aperture error (mm rms), share of closures that survive, mean bit entropy, on motion the codec has not
    seen.
    """
    frames = codec.frames
    previous = codec.motion_to_bits(torch.zeros(len(pool), frames, CHANNELS))
    done = []
    before = torch.zeros(len(pool), frames, CHANNELS)
    entropy = 0.0
    for start in range(frames, pool.shape[1] - frames + 1, frames):
        this = torch.from_numpy(pool[:, start : start + frames])
        bits = codec.quantize(codec.encode(torch.cat([before, this], 1))[:, frames:]).bits
        before = codec.bits_to_motion(previous, bits)
        previous = codec.motion_to_bits(before)
        share = bits[:, -frames:].float().mean((0, 1)).clamp(0.001, 0.999)
        entropy = float(-(share * share.log2() + (1 - share) * (1 - share).log2()).mean())
        done.append((this, before))
    target, got = (torch.cat([pair[i] for pair in done], 1) @ row for i in (0, 1))
    opened = torch.quantile(target.flatten()[:100000], 0.95)
    closed = target < 0.02 * opened
    moving = torch.cat([pair[0] for pair in done], 1)[..., JAW] > 0.01
    return {
        "aperture_mm": float((got - target).square().mean().sqrt()),
        "closures_kept": float((got < 0.10 * opened)[closed & moving].float().mean()),
        "entropy": entropy,
    }


def average_into(average: Mapping[str, Tensor], module: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of a module's parameters, in place; buffers stay as they are."""
    for name, value in module.named_parameters():
        average[name].lerp_(value.detach(), 1 - decay)


def learning_rate(step: int, steps: int, top: float, warm: int = 100) -> float:
    """Linear warm-up (of a sixth of a short run), then a cosine down to 2 % of the top."""
    warm = min(warm, max(1, steps // 6))
    if step < warm:
        return top * (step + 1) / warm
    return top * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, (step - warm) / max(1, steps - warm)))))


def train(steps: int, out: Path, seed: int, batch: int, clips: int, rate: float, start: Path | None) -> None:
    """Train and write ``out`` ({"codec": averaged tensors}); a report every 250 steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    row = aperture_row(lip_gains())
    codec = Codec(default_config())
    pool = motion_pool(clips, 40.0, seed * 100000)
    held_out = motion_pool(12, 20.0, 99_000_000)
    if start is not None:
        codec.load_state_dict(torch.load(start, weights_only=True)["codec"])
    else:
        codec.set_statistics(*statistics(pool))
    weight = channel_weights(codec.motion_std)
    average = {name: value.clone() for name, value in codec.state_dict().items()}
    optimizer = torch.optim.AdamW(codec.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-4)
    began = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, rate)
        clip, frame = rng.integers(len(pool), size=batch), rng.integers(pool.shape[1] - 200, size=batch)
        window = torch.from_numpy(np.stack([pool[c, f : f + 200] for c, f in zip(clip, frame, strict=True)]))
        loss = codec_step(codec, window, weight, row, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        average_into(average, codec, min(0.998, (step + 1) / (step + 20)))
        if step % 250 == 249 or step == steps - 1:
            judged = Codec(default_config())
            judged.load_state_dict(average)
            numbers = " ".join(f"{name} {value:.3f}" for name, value in report(judged, held_out, row).items())
            print(f"{step + 1} loss {loss.item():.3f} {numbers} {time.monotonic() - began:.0f} s", flush=True)
            torch.save({"codec": average}, out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--out", type=Path, default=BUILD / "codec.pt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, default=None, help="go on from this file")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.steps, given.out, given.seed, given.batch, given.clips, given.rate, given.start)


if __name__ == "__main__":
    main()
