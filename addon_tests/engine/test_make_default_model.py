# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model's recipe, from speech to a packed file, in a step or two each; and a packed model taken apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from engine.assets import DEFAULT_MODEL
from engine.model import load_model
from engine.pipeline import Pipeline
from engine.training import corpus
from engine.training.make_default_model import STEPS, pack
from engine.training.phone_strings import random_phones
from engine.training.phones import INDEX, tidy
from engine.training.unpack import CODEC, ENCODER, GENERATOR, unpack

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000


def _buzzing(seed: int, seconds: float) -> corpus.Utterance:
    """Speech of a sort, so that no synthesiser is needed: a tone for every phone, at its own pitch."""
    rng = np.random.default_rng(seed)
    phones = tidy(random_phones(rng, seconds), seconds)
    samples = np.zeros(round(seconds * RATE))
    for start, end, label in phones:
        first, last = round(start * RATE), round(end * RATE)
        loud = 0.0 if label == "sil" else 6000.0
        samples[first:last] = loud * np.sin(np.arange(last - first) * (100 + 60 * INDEX[label]) / RATE * 2 * np.pi)
    return corpus.Utterance(samples.astype(np.int16), phones, "none", "buzz", "en")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything but the speech itself, by the one command that the page on the model names."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "corpus").mkdir()
    corpus.save_shard([_buzzing(seed, 6.0) for seed in range(8)], folder / "corpus" / "buzz.npz")
    small = {"encoder-steps": 1, "codec-steps": 1, "codec-clips": 3, "imagined-lessons": 2, "imagined-steps": 1,
             "minutes": 0.4, "steps": 1, "style-talks": 1}  # fmt: skip
    said = subprocess.run(
        [sys.executable, "-m", "engine.training.make_default_model", "--build", folder, "--out", folder / "model.npz",
         *(word for name, value in small.items() for word in (f"--{name}", str(value)))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    assert [line[3:] for line in said.stdout.splitlines() if line.startswith("== ")] == list(STEPS)[1:]
    return folder


def test_the_recipe_runs_to_its_end(build: Path):
    model = load_model(build / "model.npz", device="cpu")
    assert model.blinks_by_rule and (build / "model.npz").stat().st_size <= 8_000_000
    motion = Pipeline(model).generate(_buzzing(99, 5.0).samples.astype(np.float32) / 32768)
    assert motion.shape == (125, 106) and np.isfinite(motion).all()
    for name in ("neutral", "lively", "calm", "happy", "angry"):
        assert np.load(build / f"style_{name}.npy").shape == (50, 106)


def test_done_steps_are_not_done_again(build: Path):
    said = subprocess.run(
        [sys.executable, "-m", "engine.training.make_default_model", "--build", build, "--out", build / "again.npz",
         "--until", "pack"], cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line for line in said.stdout.splitlines() if line.startswith("== ")] == ["== pack"]
    assert (build / "again.npz").read_bytes() == (build / "model.npz").read_bytes()


def test_a_generator_is_used_to_another_encoder_without_a_step(build: Path):
    """The least squares alone: with the same encoder nothing but rounding may change."""
    said = subprocess.run(
        [sys.executable, "-m", "engine.training.make_default_model", "--build", build, "--out", build / "same.npz",
         "--start", build / "generator.pt", "--start-encoder", build / "mel_encoder" / "latest.npz", "--frozen-encoder",
         "--steps", "0", "--from", "generator", "--until", "pack"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line for line in said.stdout.splitlines() if line.startswith("== ")] == ["== generator", "== pack"]
    sound = _buzzing(98, 4.0).samples.astype(np.float32) / 32768
    before, after = (
        Pipeline(load_model(build / name, device="cpu")).generate(sound) for name in ("model.npz", "same.npz")
    )
    assert np.abs(before - after).mean() < 0.02


def test_the_shipped_model_taken_apart_and_packed_is_itself(tmp_path: Path):
    unpack(DEFAULT_MODEL, tmp_path)
    pack(tmp_path / CODEC, tmp_path / GENERATOR, tmp_path / ENCODER, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == DEFAULT_MODEL.read_bytes()
