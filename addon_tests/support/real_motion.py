# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped model's motion of the shipped speech, and what the default head's mouth does under a motion."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from engine.audio_file import read_audio
from engine.flame.file import read_flame
from engine.flame.lips import LipCurves, lip_curves
from engine.flame.model import FlameModel
from engine.model import LoadedModel, load_model
from engine.pipeline import Pipeline

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SPEECH = slice(3500, 113000)  # of the demo, without the silence at its ends


@cache
def demo_speech() -> np.ndarray:
    """(N,) at 16 kHz."""
    return read_audio(ASSETS / "demo_speech.wav")


@cache
def default_head() -> FlameModel:
    return read_flame(ASSETS / "default_head.npz")


@cache
def default_model() -> LoadedModel:
    return load_model()


def speech_with_pauses(pauses: tuple[float, ...], noise_db: float, seed: int = 0) -> np.ndarray:
    """The demo, again and again, with pauses of so many seconds between, all under white noise."""
    speech = demo_speech()[SPEECH]
    parts = [speech]
    for seconds in pauses:
        parts += [np.zeros(round(16000 * seconds), np.float32), speech]
    clip = np.concatenate(parts)
    noise = np.random.default_rng(seed).normal(0.0, 10.0 ** (noise_db / 20.0), len(clip))
    return (clip + noise).astype(np.float32)


def raw_motion_of(samples: np.ndarray) -> np.ndarray:
    """(T,106) raw, by the default model."""
    return Pipeline(default_model()).generate(samples, raw=True)


@cache
def demo_motion() -> np.ndarray:
    """(T,106) raw, of the demo."""
    motion = raw_motion_of(demo_speech())
    motion.setflags(write=False)
    return motion


def lips(motion: np.ndarray) -> LipCurves:
    return lip_curves(default_head(), motion)
