# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the next-scale generator and the style encoder on lessons, behind a frozen codec. Needs torch.

Cross-entropy on the bits of a chunk given the chunk before, with two guards. Against errors that grow from
scale to scale: bits of the coarser scales are turned over and the finer scales' targets re-quantised, so that
the last scale, one token a frame, learns to repair them. Against blur: the last scale's bits are decoded
(straight-through) and the motion compared, with extra weight where the lips touch.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..blinks import CHANNELS, eyelids
from ..codec import Codec, Quantized, code_features, scale_features
from ..config import NetworkConfig
from ..generator import Generator
from ..mel import FEATURE_FLOOR
from ..style import StyleEncoder
from .hearing import MARGIN, Hearing
from .lessons import CHUNK, Lesson
from .teacher import JAW
from .train_codec import aperture_row, average_into, channel_weights, learning_rate, motion_loss, random_flips

STYLE_FRAMES = 50
SCALE_WEIGHTS = (0.3, 0.5, 0.7, 0.8, 1.4)


@dataclass
class Batch:
    """Chunks to learn: raw motion before and now (B,100,106), features (B,200,D), styles (B,50,106), which
    have a style, which start a recording, and mel windows (B,600,80) where the audio encoder is trained too.
    """

    before: Tensor
    now: Tensor
    features: Tensor
    style: Tensor
    styled: Tensor
    first: Tensor
    mel: Tensor | None = None


@dataclass
class Trainee:
    """The parts that training touches (generator, style encoder, perhaps the audio encoder) and the frozen
    codec.
    """

    generator: Generator
    style_encoder: StyleEncoder
    codec: Codec
    weight: Tensor
    row: Tensor
    hearing: Hearing | None = None

    def parts(self) -> dict[str, torch.nn.Module]:
        """What is trained, by name."""
        parts = {"generator": self.generator, "style_encoder": self.style_encoder}
        return parts if self.hearing is None else {**parts, "encoder": self.hearing.student}


def new_trainee(config: NetworkConfig, codec_file: Path, row: Tensor | None = None) -> Trainee:
    """An untrained generator behind the codec of a file written by train_codec."""
    from .default_sizes import lip_gains

    codec = Codec(config)
    codec.load_state_dict(torch.load(codec_file, weights_only=True)["codec"])
    codec.requires_grad_(False)
    style_encoder = StyleEncoder(config)
    style_encoder.set_statistics(codec.motion_mean, codec.motion_std)
    row = aperture_row(lip_gains()) if row is None else row
    return Trainee(Generator(config), style_encoder, codec, channel_weights(codec.motion_std), row)


def _mel_window(lesson: Lesson, start: int) -> np.ndarray:
    """Mel frames (600,80) around the chunk that starts at a frame; nothing but silence outside the lesson."""
    assert lesson.mel is not None
    low, high = 4 * start - MARGIN, 4 * (start + CHUNK) + MARGIN
    inside = lesson.mel[max(low, 0) : high]
    missing = ((max(-low, 0), high - max(low, 0) - len(inside)), (0, 0))
    return np.pad(inside, missing, constant_values=FEATURE_FLOOR)


def style_window(motion: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """A style motion (50,106): of three random moments the one with most talk, half the time blinking."""
    places = rng.integers(max(1, frames - STYLE_FRAMES), size=3)
    best = max(places, key=lambda place: float(motion[place : place + STYLE_FRAMES, JAW].mean()))
    window = motion[best : best + STYLE_FRAMES].copy()
    if rng.random() < 0.5:
        window[:, CHANNELS] += eyelids([int(rng.integers(STYLE_FRAMES))], STYLE_FRAMES)[:, None]
    return window


def draw(
    lessons: Sequence[Lesson],
    batch: int,
    rng: np.random.Generator,
    with_mel: bool = False,
    styled_share: float = 0.4,
) -> Batch:
    """Random chunks of random lessons, any phase; one in six starts a lesson (its history is all zeros)."""
    rows: dict[str, list[np.ndarray]] = {"before": [], "now": [], "features": [], "style": []}
    if with_mel:
        rows["mel"] = []
    flags = rng.random(batch) < styled_share
    first = rng.random(batch) < 1 / 6
    for styled, opening in zip(flags, first, strict=True):
        lesson = lessons[int(rng.integers(len(lessons)))]
        motion = lesson.styled if styled else lesson.neutral
        start = 0 if opening else int(rng.integers(CHUNK, max(CHUNK + 1, lesson.frames)))
        rows["before"].append(np.zeros_like(motion[:CHUNK]) if start == 0 else motion[start - CHUNK : start])
        rows["now"].append(motion[start : start + CHUNK])
        rows["features"].append(lesson.features[2 * start : 2 * (start + CHUNK)])
        rows["style"].append(style_window(motion, lesson.frames, rng))
        if with_mel:
            rows["mel"].append(_mel_window(lesson, start))
    tensors = {name: torch.from_numpy(np.stack(parts).astype(np.float32)) for name, parts in rows.items()}
    return Batch(styled=torch.from_numpy(flags), first=torch.from_numpy(first), **tensors)


@torch.no_grad()
def codes(
    codec: Codec, batch: Batch, generator: torch.Generator, share: float
) -> tuple[Quantized, Quantized]:
    """Bits of the chunk before (some turned over, as a generated history is never perfect) and of this chunk.
    """
    latent = codec.encode(torch.cat([batch.before, batch.now], 1))
    shape = (len(latent), sum(codec.scales), latent.shape[-1])
    past_flip = random_flips(shape, codec.scales, share / 3, share / 6, generator)
    past_flip &= batch.before.abs().amax((1, 2), keepdim=True) > 0
    flip = random_flips(shape, codec.scales, share, 0.0, generator)
    return codec.quantize(latent[:, :CHUNK], past_flip), codec.quantize(latent[:, CHUNK:], flip)


def style_tokens(trainee: Trainee, batch: Batch) -> Tensor:
    """Style conditions (B,1,W): the styled ones' code, the others' null style."""
    null = trainee.generator.style_condition(None, len(batch.now))
    if not bool(batch.styled.any()):
        return null
    code = trainee.style_encoder(batch.style)
    with_style = trainee.generator.style_cond_embed(code)[:, None]
    return torch.where(batch.styled[:, None, None], with_style, null)


def bit_loss(logits: Tensor, unit: Tensor, scales: tuple[int, ...], heavy: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy of logits (B,181,C,2) and the last scale's share of wrong bits.

    Bits whose residual (``unit``) is near zero say little and count less; ``heavy`` (B,100) weighs the
    frames.
    """
    difference = logits[..., 1] - logits[..., 0]
    target = (unit > 0).float()
    sure = (unit.abs() * unit.shape[-1] ** 0.5).clamp(0.15, 1.5)
    loss = F.binary_cross_entropy_with_logits(difference, target, reduction="none") * sure
    total = logits.new_zeros(())
    for scale, piece, weight in zip(scales, loss.split(list(scales), 1), SCALE_WEIGHTS, strict=True):
        total = total + weight * (piece.mean(-1) * heavy if scale == CHUNK else piece).mean()
    wrong = ((difference > 0) != (target > 0))[:, -CHUNK:].float().mean()
    return total, wrong


def decoded(trainee: Trainee, logits: Tensor, past: Quantized, code: Quantized) -> Tensor:
    """Raw motion (B,100,106) of the last scale's predicted bits on top of the given coarser ones; gradients
    pass through the bits as through their expectation.
    """
    size = code.bits.shape[-1] ** -0.5
    soft = torch.tanh((logits[:, -CHUNK:, :, 1] - logits[:, -CHUNK:, :, 0]).float() / 2) * size
    hard = torch.where(soft > 0, size, -size)
    coarse = code.bits.clone()
    base = code_features(coarse, trainee.codec.scales) - (coarse[:, -CHUNK:].float() * 2 - 1) * size
    features = base + hard + (soft - soft.detach())
    before = code_features(past.bits, trainee.codec.scales)
    return trainee.codec.decode(before, features)[:, CHUNK:]


def step_loss(
    trainee: Trainee, batch: Batch, generator: torch.Generator, share: float, own_errors: bool
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch. ``own_errors``: the turned-over bits are those that the generator itself gets wrong.
    """
    scales = trainee.codec.scales
    with torch.autocast("cpu", enabled=False):
        past, code = codes(trainee.codec, batch, generator, share)
    history = scale_features(past.bits, scales)[:, None]
    style = style_tokens(trainee, batch)
    features = batch.features
    if trainee.hearing is not None and batch.mel is not None:
        features = trainee.hearing(batch.mel, batch.first)
    audio = trainee.generator.pool_audio(features)
    if own_errors:
        with torch.no_grad():
            first = trainee.generator.logits(style, history, scale_features(code.bits, scales), audio)
            wrong = (first[..., 1] > first[..., 0]) != (code.unit > 0)
            wrong[:, -CHUNK:] = False
            latent = trainee.codec.encode(torch.cat([batch.before, batch.now], 1).float())[:, CHUNK:]
            code = trainee.codec.quantize(latent, wrong)
    logits = trainee.generator.logits(style, history, scale_features(code.bits, scales), audio).float()
    lips = batch.now @ trainee.row
    closed = (lips < 0.8) & (batch.now[..., JAW] > 0.01)
    bits, wrong = bit_loss(logits, code.unit, scales, 1.0 + 1.0 * closed.float())
    with torch.autocast("cpu", enabled=False):
        motion = decoded(trainee, logits, past, code)
        parts = motion_loss(motion, batch.now, trainee.codec.motion_std, trainee.weight, trainee.row)
    loss = bits + 0.25 * (parts["motion"] + 0.6 * parts["aperture"] + 0.2 * parts["speed"])
    forgotten = loss.new_zeros(())
    if trainee.hearing is not None and batch.mel is not None:
        forgotten = trainee.hearing.forgetting(features, batch.features)
        loss = loss + 0.5 * forgotten
    got = motion.detach() @ trainee.row
    kept = (got[closed] < 1.0).float().mean() if bool(closed.any()) else torch.zeros(())
    return loss, {
        "bits": float(bits.detach()),
        "wrong": float(wrong),
        "aperture_mm2": float(parts["aperture"].detach()),
        "motion": float(parts["motion"].detach()),
        "kept": float(kept),
        "forgotten": float(forgotten.detach()),
    }


@dataclass
class Schedule:
    """How long and how hard to train."""

    steps: int
    top_rate: float = 2e-3
    batch: int = 16
    flip_share: float = 0.3
    own_errors_from: float = 0.6
    encoder_share: float = 0.5
    seed: int = 1
    kept: float = 0.0  # share of the weights at the start in what is written


def train(
    trainee: Trainee, lessons: Sequence[Lesson], schedule: Schedule, out: Path, every: int = 100
) -> None:
    """Train in place and write ``out``: the averaged tensors of all trained parts; without a step, what they are."""
    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng(schedule.seed)
    flips = torch.Generator().manual_seed(schedule.seed)
    parts = trainee.parts()
    groups = [
        {"params": list(part.parameters()), "part": schedule.encoder_share if name == "encoder" else 1.0}
        for name, part in parts.items()
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    trained = [parameter for part in parts.values() for parameter in part.parameters()]
    average = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    former = copy.deepcopy(average)
    began, seen = time.monotonic(), []
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule.steps, schedule.top_rate) * group["part"]
        batch = draw(lessons, schedule.batch, rng, with_mel=trainee.hearing is not None)
        own = step > schedule.own_errors_from * schedule.steps and step % 2 == 0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, numbers = step_loss(trainee, batch, flips, schedule.flip_share, own)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        for name, part in parts.items():
            average_into(average[name], part, min(0.997, (step + 1) / (step + 20)))
        seen.append(numbers)
        if step % every == every - 1 or step == schedule.steps - 1:
            mean = " ".join(f"{key} {np.mean([entry[key] for entry in seen]):.3f}" for key in seen[0])
            print(f"{step + 1} {mean} {time.monotonic() - began:.0f} s", flush=True)
            seen = []
            torch.save({name: mixed(average[name], former[name], schedule.kept) for name in average}, out)
    if not schedule.steps:
        torch.save(former, out)


def mixed(new: dict[str, Tensor], old: dict[str, Tensor], kept: float) -> dict[str, Tensor]:
    """Tensor by tensor ``kept`` of the old and the rest of the new; tables that training leaves alone stay."""
    same = {name for name, value in new.items() if torch.equal(value, old[name])}
    return {name: value if name in same else value.lerp(old[name], kept) for name, value in new.items()}


def load_into(trainee: Trainee, path: Path) -> None:
    """Start from a file written by `train`."""
    saved = torch.load(path, weights_only=True)
    trainee.generator.load_state_dict(saved["generator"])
    trainee.style_encoder.load_state_dict(saved["style_encoder"])
    if trainee.hearing is not None and "encoder" in saved:
        trainee.hearing.student.load_state_dict(saved["encoder"])


@torch.no_grad()
def change_hearing(generator: Generator, old: np.ndarray, new: np.ndarray, ridge: float = 1e-3) -> None:
    """Re-fit the audio condition to another encoder's features.

    ``old`` and ``new`` (N,D) are features of the same moments. The condition enters through SiLU and a linear
    layer, so a linear map from SiLU(new) to SiLU(old), by least squares, goes into those layers' weights.
    """
    inputs = F.silu(torch.from_numpy(new.astype(np.float32)))
    outputs = F.silu(torch.from_numpy(old.astype(np.float32)))
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], 1).double()
    gram = inputs.T @ inputs
    gram += torch.eye(len(gram), dtype=torch.float64) * ridge * gram.diagonal().mean()
    solution = torch.linalg.solve(gram, inputs.T @ outputs.double()).float()
    for block in [*generator.attn_blocks, generator.cond_logits_head]:
        layer = block.ada_lin[1]
        layer.bias += layer.weight @ solution[-1]
        layer.weight.copy_(layer.weight @ solution[:-1].T)
