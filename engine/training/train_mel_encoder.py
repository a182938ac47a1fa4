# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the default model's hearing: the mel encoder as a phone recogniser on augmented synthetic speech.

`python -m engine.training.train_mel_encoder --corpus build/corpus --out build/mel_encoder --steps 6000`.
Writes OUT/latest.npz (the averaged weights) and OUT/resume.pt every few minutes and goes on from there when
started again, with another number of steps if so wished; OUT/log.txt tells how it goes. Repeatable from its
seed unless it was interrupted.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from ..mel import HOP, POWER_FLOOR, SAMPLE_RATE, mel_power
from ..mel_encoder import Heads, MelEncoder, load_encoder, save_encoder
from . import prosody
from .augment import Augmenter, warped
from .corpus import Utterance, load_corpus
from .lip_targets import BILABIAL, FEATURE_RATE, OPENING, WIDTH
from .phones import BILABIALS, INDEX, LABELS, SILENCE
from .visemes import GRID, activations, lip_targets

ITEMS = 24
FRAMES = 300  # 3 s
SOURCE_FRAMES = 400  # enough for the fastest playing
LABEL_RATE = 200  # per second: half a mel frame
SMALL_SPEED, SMALL_HEAD = 0.22, 0.20  # log ranges of playing speed and of formants
CLOSURE_WEIGHT = 4.0
MISTAKEN = (("M", "N", "NG"), ("B", "D", "G", "V", "W", "DH", "L"), ("P", "T", "K", "F"))
"""Sounds that are mistaken for one another though only the first of each group closes the lips."""
STRESS_SIGMAS = (0.07, 0.30)  # s: quick stress moves brows and nods, slow stress turns the head
SAVE_SECONDS = 150.0


@dataclass
class Store:
    """The corpus as features, in memory."""

    log_power: np.ndarray  # (all frames, 80) float16
    labels: np.ndarray  # (2 * all frames,) uint8 at LABEL_RATE
    stress: np.ndarray  # (all frames, 2) float16: prosody.stress, blurred a little and more
    first: np.ndarray  # (utterances + 1,) int64: each utterance's first frame


def stress_track(utterance: Utterance, frames: int) -> np.ndarray:
    """(frames, 2) float16 at 100 per second: how stressed each moment is, which the lessons' teacher acts out."""
    samples = round(frames * GRID / 100.0) + 1
    active = activations(utterance.phones, samples, LABELS)
    targets = lip_targets(active, LABELS)
    heard = prosody.measure(utterance.samples, samples)
    value = prosody.stress(heard, targets.speech, targets.open)
    blurred = [gaussian_filter1d(value, sigma * GRID)[: samples - 1 : int(GRID / 100)] for sigma in STRESS_SIGMAS]
    return np.stack(blurred, 1).astype(np.float16)


def load_store(folder: Path) -> Store:
    """Mel power and labels of every utterance of a corpus."""
    powers: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    stresses: list[np.ndarray] = []
    for utterance in load_corpus(folder):
        power = mel_power(utterance.samples.astype(np.float32) / 32768.0)
        track = np.full(2 * len(power), INDEX[SILENCE], dtype=np.uint8)
        for start, end, label in utterance.phones:
            track[round(start * LABEL_RATE) : round(end * LABEL_RATE)] = INDEX[label]
        powers.append(np.log(np.maximum(power, POWER_FLOOR)).astype(np.float16))
        labels.append(track)
        stresses.append(stress_track(utterance, len(power)))
    if not powers:
        raise SystemExit(
            f"there is no corpus in {folder}: make one with python -m engine.training.corpus --out {folder}"
        )
    first = np.concatenate([[0], np.cumsum([len(power) for power in powers])])
    return Store(np.concatenate(powers), np.concatenate(labels), np.concatenate(stresses), first)


def kept_store(corpus: Path, file: Path) -> Store:
    """`load_store`, kept in a file, because prosody takes minutes; made again when the corpus has changed."""
    of = "\n".join(f"{path.name} {path.stat().st_size}" for path in sorted(corpus.glob("*.npz")))
    if file.exists():
        with np.load(file, allow_pickle=False) as arrays:
            if str(arrays["of"]) == of:
                return Store(arrays["log_power"], arrays["labels"], arrays["stress"], arrays["first"])
    store = load_store(corpus)
    partial = file.with_name(file.name + ".part.npz")
    np.savez(partial, of=np.array(of), **vars(store))
    partial.replace(file)
    return store


class Batches:
    """Random augmented segments from a store."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = np.random.default_rng(seed)
        self.augment = Augmenter(seed)
        lengths = np.diff(store.first)
        self.chance = lengths / lengths.sum()

    def _segment(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log power (SOURCE_FRAMES, 80), labels (2 * SOURCE_FRAMES,) and stress (SOURCE_FRAMES, 2); a short
        utterance is said again and again.
        """
        first, end = self.store.first[number], self.store.first[number + 1]
        at = first + (self.random.integers(end - first) + np.arange(SOURCE_FRAMES)) % (end - first)
        power = self.store.log_power[at].astype(np.float32)
        stress = self.store.stress[at].astype(np.float32)
        labels = self.store.labels[(2 * at[:, None] + np.arange(2)).reshape(-1)].copy()
        if self.random.random() < 0.25:  # a pause longer than any synthesiser makes
            start, length = self.random.integers(SOURCE_FRAMES), self.random.integers(20, 200)
            power[start : start + length] = math.log(POWER_FLOOR)
            labels[2 * start : 2 * (start + length)] = INDEX[SILENCE]
            stress[start : start + length] = 0.0
        return power, labels, stress

    def next(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features (ITEMS, FRAMES, 80), labels (ITEMS, FRAMES // 2) int64 and stress (ITEMS, FRAMES // 2, 2)."""
        chosen = self.random.choice(len(self.chance), ITEMS, p=self.chance)
        parts = [np.stack(part) for part in zip(*(self._segment(number) for number in chosen), strict=True)]
        power, stress = torch.from_numpy(parts[0]), torch.from_numpy(parts[2])
        labels = torch.from_numpy(parts[1]).long()
        speed = torch.exp(self.augment.uniform(-SMALL_SPEED, SMALL_SPEED, ITEMS))
        head = torch.exp(self.augment.uniform(-SMALL_HEAD, SMALL_HEAD, ITEMS))
        start = self.augment.uniform(0.0, 1.0, ITEMS) * (SOURCE_FRAMES - 1 - speed * FRAMES)
        frame = torch.arange(FRAMES // 2) * (2.0 * FRAMES / (FRAMES // 2) / 2.0)
        # Feature j is centred at mel frame 2 j; a label cell is half a frame wide and starts at its index.
        cell = (
            (2.0 * (start[:, None] + speed[:, None] * frame)).floor().long().clamp(0, 2 * SOURCE_FRAMES - 1)
        )
        mel_frame = (start[:, None] + speed[:, None] * torch.arange(float(FRAMES))).round().long()
        phone = (labels[:, 1:] != labels[:, :-1]).cumsum(dim=1).gather(1, (2 * mel_frame - 1).clamp_min(0))
        power = self.augment.retuned(warped(power, start, speed, head, FRAMES), phone)
        moment = (cell // 2)[..., None].expand(-1, -1, stress.shape[-1])
        return self.augment(power), labels.gather(1, cell), stress.gather(1, moment)


def smooth(track: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing along time of (B, T) at 50 fps, sigma in seconds."""
    x = torch.arange(-6.0, 7.0) / (sigma * FEATURE_RATE)
    kernel = torch.exp(-0.5 * x * x)
    kernel = (kernel / kernel.sum())[None, None]
    return nn.functional.conv1d(nn.functional.pad(track[:, None], (6, 6), mode="replicate"), kernel)[:, 0]


def confusion(phones: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy within each group of MISTAKEN sounds alone: how well the lips are told from the tongue.

    Phone logits (B, T, 36), labels (B, T).
    """
    total = phones.new_zeros(())
    for group in MISTAKEN:
        members = torch.tensor([INDEX[label] for label in group])
        inside = torch.isin(labels, members)
        if not bool(inside.any()):
            continue
        logits = phones[inside][:, members]
        shut = logits[:, 0] - logits[:, 1:].logsumexp(dim=1)
        target = (labels[inside] == members[0]).float()
        # The two sides weigh the same, however often each is said.
        weight = torch.where(target > 0, 0.5 / target.mean().clamp_min(0.02), 0.5 / (1 - target.mean()).clamp_min(0.02))
        total = total + nn.functional.binary_cross_entropy_with_logits(shut, target, weight)
    return total


def losses(heads: Heads, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch and numbers for the log."""
    closure = torch.from_numpy(BILABIAL)[labels]
    opening = smooth(torch.from_numpy(OPENING)[labels], 0.035) * (
        1.0 - smooth(closure, 0.012).clamp(0.0, 1.0)
    )
    width = smooth(torch.from_numpy(WIDTH)[labels], 0.045)
    phone = nn.functional.cross_entropy(heads.phones.flatten(0, 1), labels.flatten(), label_smoothing=0.05)
    weight = 1.0 + CLOSURE_WEIGHT * closure
    lips = (weight * (heads.aperture - opening).square()).mean() + 0.3 * (heads.width - width).square().mean()
    shut = nn.functional.binary_cross_entropy_with_logits(heads.closure, closure, weight=1.0 + closure)
    # What the decoder reads is the bilabials' share of the posteriors: it is trained as such too,
    # against every other phone.
    picked = torch.tensor([INDEX[label] for label in BILABIALS])
    logs = heads.phones.log_softmax(dim=-1)
    share = logs[..., picked].logsumexp(dim=-1).clamp(max=-1e-4)
    against = -(closure * share + (1.0 - closure) * torch.log1p(-share.exp())).mean()
    mistaken = confusion(heads.phones, labels)
    total = phone + 2.0 * lips + 0.5 * shut + against + 0.15 * mistaken
    with torch.no_grad():
        right = (heads.phones.argmax(dim=-1) == labels).float()
        sounding = labels != INDEX[SILENCE]
        found = share.exp()[closure > 0].mean() if bool((closure > 0).any()) else torch.zeros(())
    numbers = {
        "loss": total.item(), "phone": phone.item(), "lips": lips.item(), "shut": shut.item(),
        "bilabial": against.item(), "mistaken": mistaken.item(),
        "right": right[sounding].mean().item(), "found": found.item(),
    }  # fmt: skip
    return total, numbers


class Trainer:
    """The run: encoder, optimiser, averaged weights, and how far it is."""

    def __init__(
        self, encoder: MelEncoder, steps: int, rate: float, dropout: float = 0.0, kept: float = 0.0
    ) -> None:
        self.kept = kept  # share of the weights that the run began with in what is written
        self.encoder, self.steps, self.rate, self.step = encoder, steps, rate, 0
        self.stress_head = nn.Linear(encoder.config["WIDTH"], len(STRESS_SIGMAS))  # for training only
        for block in encoder.blocks if dropout else ():  # a hook keeps what only training needs out of the encoder
            block.fall.register_forward_hook(lambda _m, _i, made: nn.functional.dropout(made, dropout))
        plain = [p for n, p in encoder.named_parameters() if p.ndim < 2]
        decayed = [p for n, p in encoder.named_parameters() if p.ndim >= 2]
        plain += list(self.stress_head.parameters())
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        self.average = {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}
        self.former = {name: tensor.clone() for name, tensor in self.average.items()}

    def learn(self, mel: Tensor, labels: Tensor, stress: Tensor) -> dict[str, float]:
        """One step on what `Batches.next` gives."""
        warm = min(1.0, (self.step + 1) / 200.0)
        for group in self.optimiser.param_groups:
            group["lr"] = (
                self.rate * warm * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * self.step / self.steps)))
            )
        with torch.autocast("cpu", torch.bfloat16):
            features = self.encoder(mel)
            heads = self.encoder.heads(features)
            felt = self.stress_head(features)
        total, numbers = losses(heads, labels)
        missed = (felt.float() - stress).square().mean() / 0.04  # against the variance of stress, about
        numbers["stress"] = missed.item()
        total = total + 0.3 * missed
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.999, 1.0 - 1.0 / (1.0 + self.step / 5.0))
        for name, tensor in self.encoder.state_dict().items():
            self.average[name].lerp_(tensor, 1.0 - keep)
        return numbers

    def save(self, folder: Path) -> None:
        """Write the averaged weights for use and everything for going on."""
        averaged = MelEncoder(self.encoder.config)
        averaged.load_state_dict(
            {name: tensor.lerp(self.former[name], self.kept) for name, tensor in self.average.items()}
        )
        save_encoder(averaged, folder / "latest.npz")
        state = {"encoder": self.encoder.state_dict(), "optimiser": self.optimiser.state_dict(),
        "average": self.average, "stress_head": self.stress_head.state_dict(),
                 "step": self.step}  # fmt: skip
        torch.save(state, folder / "resume.pt.part")
        (folder / "resume.pt.part").replace(folder / "resume.pt")

    def load(self, folder: Path) -> None:
        """Go on from a saved run, if there is one."""
        path = folder / "resume.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.encoder.load_state_dict(state["encoder"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.stress_head.load_state_dict(state["stress_head"])
            self.average, self.step = state["average"], state["step"]


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="Train the mel encoder.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=2.2e-3)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--start", type=Path, help="an encoder to begin with instead of random weights")
    parser.add_argument(
        "--keep", type=float, default=0.0, help="share of --start's weights in what is written: less is forgotten"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    log = (options.out / "log.txt").open("a", encoding="utf-8")

    def tell(line: str) -> None:
        print(line, file=log, flush=True)

    store = kept_store(options.corpus, options.out / "store.npz")
    encoder = load_encoder(options.start) if options.start else MelEncoder({"WIDTH": options.width})
    trainer = Trainer(encoder.train(), options.steps, options.rate, options.dropout, options.keep)
    trainer.load(options.out)
    batches = Batches(
        store, options.seed + trainer.step
    )  # another seed, so that a resumed run repeats no batch
    hours = len(store.log_power) * HOP / SAMPLE_RATE / 3600.0
    tell(f"{hours:.2f} h, {len(store.first) - 1} utterances, from step {trainer.step} to {options.steps}")
    began, saved, sums, counted = time.monotonic(), time.monotonic(), {}, 0
    while trainer.step < options.steps:
        numbers = trainer.learn(*batches.next())
        sums = {name: sums.get(name, 0.0) + value for name, value in numbers.items()}
        counted += 1
        if trainer.step % 100 == 0:
            means = " ".join(f"{name} {value / counted:.4f}" for name, value in sums.items())
            tell(f"step {trainer.step} {means} s/step {(time.monotonic() - began) / counted:.3f}")
            began, sums, counted = time.monotonic(), {}, 0
        if time.monotonic() - saved > SAVE_SECONDS or trainer.step in (300, options.steps):
            trainer.save(options.out)
            saved = time.monotonic()


if __name__ == "__main__":
    main()
