# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that run inside Blender's Python module."""

from __future__ import annotations

import os
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.flame.model import FlameModel
from synthetic_head import make_head, make_motion

from artalk_blender.head.build import Head, build_head

_status = 0


def pytest_sessionfinish(exitstatus: int) -> None:
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends here and now: 4.5's module may wait for ever at exit for a thread of its own that has played sound."""
    config.get_terminal_writer().flush()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(_status)


@pytest.fixture
def scene() -> bpy.types.Scene:
    """A fresh, empty scene."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return bpy.context.scene


@pytest.fixture(scope="session")
def head_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_head(tmp_path_factory.mktemp("head") / "head.npz")


@pytest.fixture(scope="session")
def model(head_file: Path) -> FlameModel:
    return read_flame(head_file)


@pytest.fixture(scope="session")
def motion() -> np.ndarray:
    return make_motion(60)


@pytest.fixture
def head(scene: bpy.types.Scene, model: FlameModel) -> Head:
    return build_head(model, bpy.context)


def voice(seconds: float, rate: int = 16000) -> np.ndarray:
    """(N,) float32: a buzz in syllables of a fifth of a second, loud and soft, with a pause at both ends."""
    time = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, 1) * (time > 0.2) * (time < seconds - 0.2)
    return (0.25 * buzz * syllables).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """(N,) or (N,C) in -1..1 as 16-bit WAV."""
    samples = np.asarray(samples).reshape(len(samples), -1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """1.5 s of voice-like sound, 16 kHz mono WAV."""
    return write_wav(tmp_path / "speech.wav", voice(1.5))


@pytest.fixture
def extension() -> Iterator[Callable[[], None]]:
    """The extension registered, as Blender does it."""
    import artalk_blender

    artalk_blender.register()
    yield
    artalk_blender.unregister()
