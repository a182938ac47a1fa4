# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped model's face beyond the lips: blinks, styles, and a calm face for what is no speech."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from engine.assets import DEFAULT_HEAD, DEMO_SPEECH, FOLDER, styles
from engine.audio_file import read_audio
from engine.files import read_style
from engine.flame.file import read_flame
from engine.flame.lips import lip_curves
from engine.model import load_model
from engine.pipeline import Pipeline

RATE, FPS = 16000, 25
BLINK, SMILE, BROW_DOWN, BROW_UP = [0, 7], [23, 24], [41, 42], [43, 44, 45]
HEAD = slice(100, 103)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(load_model(device="cpu"))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(DEMO_SPEECH)


@pytest.fixture(scope="module")
def in_style(pipeline: Pipeline, speech: np.ndarray) -> dict[str, np.ndarray]:
    return {name: pipeline.generate(speech, read_style(path)) for name, path in styles()}


def _opening(motion: np.ndarray) -> np.ndarray:
    return lip_curves(read_flame(DEFAULT_HEAD), motion).aperture


def _head_energy(motion: np.ndarray) -> float:
    return float(np.sqrt(np.square(motion[:, HEAD] - motion[:, HEAD].mean(0)).sum(1).mean()))


def _blinks_a_minute(motion: np.ndarray) -> float:
    lids = motion[:, BLINK].mean(1)
    return float(((lids[1:] > 0.6) & (lids[:-1] <= 0.6)).sum() / (len(motion) / FPS / 60))


def _chords(seconds: int) -> np.ndarray:
    """Music of a sort: a new chord of six partials every half second."""
    rng = np.random.default_rng(2)
    time = np.arange(RATE // 2) / RATE
    fade = np.exp(-3 * time) * np.minimum(time * 100, 1)
    parts = []
    for _ in range(2 * seconds):
        root = 110 * 2 ** (rng.integers(12) / 12)
        tones = [np.sin(2 * np.pi * root * factor * k * time) / k for factor in (1, 1.26, 1.5) for k in range(1, 7)]
        parts.append(np.sum(tones, axis=0) * fade)
    return (0.1 * np.concatenate(parts)).astype(np.float32)


def _noise(seconds: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).standard_normal(seconds * RATE)).astype(np.float32)


def _hum(seconds: int) -> np.ndarray:
    time = np.arange(seconds * RATE) / RATE
    return (0.05 * sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 4, 6, 8))).astype(np.float32)


def test_the_five_styles_ship_with_licence_and_source() -> None:
    assert [name for name, _path in styles()] == ["neutral", "lively", "calm", "happy", "angry"]
    listed = {entry["name"] for entry in json.loads((FOLDER / "manifest.json").read_text())["files"]}
    for _name, path in styles():
        assert read_style(path).shape == (50, 106) and path.name in listed


def test_lively_moves_more_and_calm_less(in_style: dict[str, np.ndarray]) -> None:
    head = {name: _head_energy(motion) for name, motion in in_style.items()}
    brows = {name: float(motion[:, BROW_UP].std(0).mean()) for name, motion in in_style.items()}
    opened = {name: float(np.percentile(_opening(motion), 95)) for name, motion in in_style.items()}
    for measure, least in ((head, 1.25), (brows, 1.25), (opened, 1.05)):
        assert measure["lively"] > least * measure["neutral"]
        assert measure["calm"] < measure["neutral"] / least


def test_happy_smiles_and_angry_lowers_the_brows(in_style: dict[str, np.ndarray]) -> None:
    smile = {name: float(motion[:, SMILE].mean()) for name, motion in in_style.items()}
    brows = {name: float(motion[:, BROW_DOWN].mean()) for name, motion in in_style.items()}
    assert smile["happy"] > smile["neutral"] + 0.15
    assert brows["angry"] > brows["neutral"] + 0.2
    assert max(smile[name] for name in ("neutral", "calm", "angry")) < 0.15
    assert max(brows[name] for name in ("neutral", "lively", "calm", "happy")) < 0.12


def test_lips_keep_closing_in_every_style(in_style: dict[str, np.ndarray]) -> None:
    shut = {name: _opening(motion) for name, motion in in_style.items()}
    often = {name: float((curve < 0.1 * np.percentile(curve, 95)).mean()) for name, curve in shut.items()}
    for name, share in often.items():
        assert 0.6 < share / often["neutral"] < 1.6, name


def test_blinks_in_speech(pipeline: Pipeline, in_style: dict[str, np.ndarray], speech: np.ndarray) -> None:
    assert 10 <= _blinks_a_minute(pipeline.generate(speech)) <= 22    # some twenty seconds: two blinks more or less
    for name, motion in in_style.items():
        assert 8 <= _blinks_a_minute(motion) <= 24, name


@pytest.mark.parametrize(
    "sound", [np.zeros(120 * RATE, np.float32), _noise(60), _hum(60)], ids=["zeros", "noise", "hum"]
)
def test_blinks_go_on_without_speech_and_not_like_a_clock(pipeline: Pipeline, sound: np.ndarray) -> None:
    motion = pipeline.generate(sound)
    assert 12 <= _blinks_a_minute(motion) <= 20
    lids = motion[:, 0]
    starts = np.flatnonzero((lids[1:] > 0.6) & (lids[:-1] <= 0.6))
    assert np.diff(starts).std() > 0.3 * FPS


@pytest.mark.parametrize("sound", [_noise(20), _chords(20), _hum(20)], ids=["noise", "music", "hum"])
def test_a_calm_face_for_what_nobody_says(pipeline: Pipeline, sound: np.ndarray) -> None:
    motion = pipeline.generate(sound)
    opening = _opening(motion)
    assert np.mean(opening) < 0.001
    assert np.abs(motion[:, HEAD]).max() < 0.1


def test_lips_keep_moving_in_noise(pipeline: Pipeline, speech: np.ndarray) -> None:
    noise = _noise(len(speech) // RATE + 1)[: len(speech)]
    level = float(np.sqrt(np.mean(speech**2)))
    heard = speech + noise * (level / float(np.sqrt(np.mean(noise**2))) * 10 ** (-10 / 20))
    quiet, loud = _opening(pipeline.generate(speech)), _opening(pipeline.generate(heard))
    assert np.corrcoef(quiet, loud)[0, 1] > 0.7


def test_no_music_machine_or_weather_makes_the_mouth_talk(pipeline: Pipeline) -> None:
    """The sounds of `odd_sounds`, by other code than the training's. Talk opens the mouth 3 mm in the mean."""
    pytest.importorskip("scipy")
    from engine.training.odd_sounds import nobodys_sounds

    for name, sound in nobodys_sounds(12.0).items():
        opening = _opening(pipeline.generate(sound.astype(np.float32)))
        tone = name == "sweep"    # one pure tone gliding up for all the time: a slowly opening mouth
        assert opening.mean() < (0.004 if tone else 0.0006), name
        assert np.percentile(opening, 95) < (0.008 if tone else 0.003), name
        assert np.percentile(np.abs(np.diff(opening)), 95) * FPS < (0.02 if tone else 0.01), name


def _played(sound: np.ndarray, speed: float) -> np.ndarray:
    return np.interp(np.arange(int(len(sound) / speed)) * speed, np.arange(len(sound)), sound)


def _whispered(sound: np.ndarray) -> np.ndarray:
    """The same spectrum 40 times a second, every phase by chance."""
    frames = len(sound) // 400
    spectrum = np.abs(np.fft.rfft(sound[: frames * 400].reshape(frames, 400), axis=1))
    turned = np.exp(2j * np.pi * np.random.default_rng(4).random(spectrum.shape))
    return np.fft.irfft(spectrum * turned, 400, axis=1).reshape(-1)


@pytest.mark.parametrize(
    ("changed", "speed", "least"),
    [
        (lambda sound: _played(sound, 1.3), 1.3, 0.75),  # pitch and formants of a child, in a hurry
        (lambda sound: _played(sound, 0.8), 0.8, 0.8),
        (_whispered, 1.0, 0.7),
        (lambda sound: np.round(0.003 * sound * 32767) / 32767, 1.0, 0.9),  # 56 dB under full scale, in 16 bits
        (lambda sound: np.clip(20 * sound, -1, 1), 1.0, 0.7),
        (lambda sound: sound + 0.5 * np.roll(sound, 5 * RATE), 1.0, 0.6),
    ],
    ids=["child", "giant", "whisper", "faint", "overdriven", "second talker"],
)
def test_odd_voices_keep_the_lips_in_step(
    pipeline: Pipeline, speech: np.ndarray, changed: Callable[[np.ndarray], np.ndarray], speed: float, least: float
) -> None:
    plain = 0.5 * speech / np.abs(speech).max()
    clean = _opening(pipeline.generate(plain))
    heard = _opening(pipeline.generate(changed(plain).astype(np.float32)))
    heard = np.interp(np.arange(len(clean)) / speed, np.arange(len(heard)), heard)
    assert np.corrcoef(clean, heard)[0, 1] > least
    assert 0.7 < np.percentile(heard, 95) / np.percentile(clean, 95) < 1.4


def test_two_talkers_whispering_and_singing_stay_a_face(pipeline: Pipeline, speech: np.ndarray) -> None:
    """Not lip-sync, but no garbage either: a mouth within its range, no flutter."""
    two = speech + np.roll(speech, 5 * RATE)
    time = np.arange(10 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(220 * (1 + 0.02 * np.sin(2 * np.pi * 5.5 * time))) / RATE
    sung = sum(np.sin(k * phase) * np.exp(-((k * 220 - 700) / 500) ** 2) for k in range(1, 16)) * 0.1
    for sound in (two, _whispered(speech), sung):
        motion = pipeline.generate(np.asarray(sound, np.float32))
        opening = _opening(motion)
        assert np.isfinite(motion).all() and np.abs(motion[:, :100]).max() < 1.6
        assert opening.max() < 0.025
        assert np.abs(np.diff(opening)).max() < 0.012
