# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped model: small, strictly loadable, at rest in silence, moving and closing lips in speech, the
same each time.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.audio_file import read_audio
from engine.flame.file import read_flame
from engine.flame.lips import LipCurves, lip_curves
from engine.model import load_model
from engine.pipeline import Pipeline

ASSETS = Path(__file__).resolve().parents[2] / "assets"
MODEL, HEAD, SPEECH = ASSETS / "default_model.npz", ASSETS / "default_head.npz", ASSETS / "demo_speech.wav"
RATE = 16000


def _motion(samples: np.ndarray) -> np.ndarray:
    return Pipeline(load_model(device="cpu")).generate(samples)


def _curves(motion: np.ndarray) -> LipCurves:
    return lip_curves(read_flame(HEAD), motion)


def test_file_is_small_and_complete() -> None:
    assert MODEL.stat().st_size <= 8_000_000
    with np.load(MODEL, allow_pickle=False) as arrays:
        config = json.loads(str(arrays["config"]))
        names = set(arrays.files)
        assert all(
            np.isfinite(arrays[name][np.abs(arrays[name]) < np.inf]).all() for name in names - {"config"}
        )
    assert config["AUDIO_ENCODER"] == "mel" and config["V_SCALES"] == [1, 5, 25, 50, 100]
    assert {
        "null_style_cond",
        "basic_vae.motion_mean",
        "logits_head.weight",
        "audio_encoder.stem.weight",
    } <= names


def test_loads_strictly_in_torch_too() -> None:
    pytest.importorskip("torch")
    samples = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32) * 0.05
    plain = next(iter(load_model(device="cpu").chunks(samples, None)))
    with_torch = next(iter(load_model(device="cpu", backend="torch").chunks(samples, None)))
    assert np.abs(plain - with_torch).mean() < 1e-3


def test_silence_rests_the_lips() -> None:
    motion = _motion(np.zeros(6 * RATE, np.float32))
    assert motion.shape == (150, 106)
    curves = _curves(motion)
    assert curves.aperture.max() < 0.0008
    assert np.ptp(motion[:, 103]) < 0.02
    assert np.abs(motion[:, 100:103]).max() < 0.05


def test_demo_speech_moves_the_lips_the_same_each_time() -> None:
    samples = read_audio(SPEECH)
    motion = _motion(samples)
    assert np.isfinite(motion).all()
    assert np.array_equal(motion, _motion(samples))
    curves = _curves(motion)
    opened = float(np.percentile(curves.aperture, 95))
    assert 0.003 < opened < 0.020
    assert (curves.aperture < 0.1 * opened).mean() > 0.05
    assert np.abs(motion[:, :100]).max() < 1.6
    assert np.abs(motion[:, 46:100]).max() < 1e-3


def test_lips_close_for_synthetic_bilabials() -> None:
    """A sentence full of p, b and m, spoken by eSpeak NG where it is installed."""
    signal = pytest.importorskip("scipy.signal")
    from engine.training.phones import BILABIALS
    from engine.training.synthesisers import Espeak, SynthesisError

    try:
        text = "Mother put the big map on the table, maybe above my paper bag."
        speech = Espeak().say(text, "en-us", 150, 50, 50)
    except SynthesisError as missing:
        pytest.skip(str(missing))
    samples = signal.resample_poly(speech.samples / 32768.0, RATE, speech.rate).astype(np.float32)
    aperture = _curves(_motion(samples)).aperture
    opened = float(np.percentile(aperture, 95))
    times = np.arange(len(samples) // 16) / 1000
    curve = np.interp(times, np.arange(len(aperture)) / 25, aperture) / opened
    lips = [(start, end) for start, end, label in speech.phones if label in BILABIALS]
    assert len(lips) >= 10
    closed = [curve[(times >= start - 0.04) & (times <= end + 0.04)].min() < 0.10 for start, end in lips]
    assert np.mean(closed) >= 0.7
