# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m engine` as people and programs call it: real processes, real files."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from engine.assets import DEMO_SPEECH
from engine.files import write_motion
from engine.gaussian.exr import read_exr

ROOT = Path(__file__).resolve().parents[2]


def engine(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "engine", *map(str, arguments)], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motion") / "motion.npz"
    result = engine("generate", DEMO_SPEECH, "--out", path)
    assert result.returncode == 0, result.stderr
    return path


def test_generate_writes_what_the_design_says(motion: Path) -> None:
    with wave.open(str(DEMO_SPEECH)) as file:
        seconds = file.getnframes() / file.getframerate()
    with np.load(motion, allow_pickle=False) as content:
        assert set(content.files) == {"motion", "fps", "sample_rate", "model", "version"}
        assert content["motion"].dtype == np.float32
        assert content["motion"].shape == (int(np.ceil(seconds * 25 - 1e-6)), 106)
        assert float(content["fps"]) == 25 and int(content["sample_rate"]) == 16000
        assert len(str(content["model"]).split()[-1]) == 64, "the model's sha256"
        assert not content["motion"][:, 104:].any()
        assert content["motion"][:, 103].max() > 0.05, "the jaw opens"


def test_raw_motion_smooths_to_the_same(motion: Path, tmp_path: Path) -> None:
    from engine.smoothing import smooth_motion

    assert engine("generate", DEMO_SPEECH, "--out", tmp_path / "raw.npz", "--raw").returncode == 0
    raw = np.load(tmp_path / "raw.npz")["motion"]
    assert np.array_equal(smooth_motion(raw), np.load(motion)["motion"])


def test_lips_open_and_close(motion: Path, tmp_path: Path) -> None:
    result = engine("lips", motion, "--out", tmp_path / "curves.npz")
    assert result.returncode == 0, result.stderr
    curves = np.load(tmp_path / "curves.npz")
    frames = len(np.load(motion)["motion"])
    assert all(curves[name].shape == (frames,) for name in ("aperture", "width", "jaw")) and curves["fps"] == 25
    assert 0.004 < np.percentile(curves["aperture"], 95) < 0.03
    assert curves["aperture"].min() < 0.001


def test_vertices_of_a_motion(motion: Path, tmp_path: Path) -> None:
    from engine.assets import DEFAULT_HEAD

    np.save(tmp_path / "shape.npy", np.array([1.0, -1.0], np.float32))
    result = engine("vertices", motion, "--head", DEFAULT_HEAD, "--shape", tmp_path / "shape.npy",
                    "--out", tmp_path / "v.npy")
    assert result.returncode == 0, result.stderr
    vertices = np.load(tmp_path / "v.npy")
    assert vertices.shape == (len(np.load(motion)["motion"]), 5023, 3) and vertices.dtype == np.float32


def test_frames_of_the_default_avatar(motion: Path, tmp_path: Path) -> None:
    result = engine("render-avatar", motion, "--avatar", "default", "--out", tmp_path / "frames", "--size", "48",
                    "--frames", "2:4")
    assert result.returncode == 0, result.stderr
    assert "2 frames of 48 x 48" in result.stdout
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["00002.png", "00003.png"]
    assert not result.stderr

    wild = np.load(motion)["motion"][:4]
    wild[3, 17] = 5.0       # a jaw opened five times
    write_motion(tmp_path / "wild.npz", wild, "test")
    result = engine("render-avatar", tmp_path / "wild.npz", "--avatar", "default", "--out", tmp_path / "light",
                    "--size", "64", "--frames", "2:4", "--format", "exr", "--mark")
    assert result.returncode == 0
    assert result.stderr == "Outside of what the avatar knows, and softened: frames 3.\n"
    pixels, texts = read_exr((tmp_path / "light" / "00003.exr").read_bytes())
    assert texts["Source"] == "synthetic" and (pixels[-4:, -30:, 3] == 1).all() and not pixels[:4, :4].any()


def test_silence_rests_and_warns(tmp_path: Path) -> None:
    silence = write_wave(tmp_path / "silence.wav", np.zeros(48000))
    result = engine("generate", silence, "--out", tmp_path / "m.npz")
    assert result.returncode == 0 and "silent" in result.stderr
    assert engine("lips", tmp_path / "m.npz", "--out", tmp_path / "c.npz").returncode == 0
    assert np.load(tmp_path / "c.npz")["aperture"].max() < 0.001


@pytest.mark.parametrize("samples", [1, 640, 641, 5000, 64000, 64001])
def test_any_length_works(tmp_path: Path, samples: int) -> None:
    sound = write_wave(tmp_path / "s.wav", 0.1 * np.random.default_rng(0).normal(size=samples))
    result = engine("generate", sound, "--out", tmp_path / "m.npz")
    assert result.returncode == 0, result.stderr
    assert len(np.load(tmp_path / "m.npz")["motion"]) == -(-samples // 640)


def test_mistakes_get_one_sentence_and_leave_nothing(tmp_path: Path, motion: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "out.npz"
    for arguments in [
        ("generate", tmp_path / "none.wav", "--out", out),
        ("generate", text, "--out", out),
        ("generate", DEMO_SPEECH, "--out", tmp_path / "no folder" / "m.npz"),
        ("generate", DEMO_SPEECH, "--out", tmp_path),
        ("generate", DEMO_SPEECH, "--out", "/proc/m.npz"),
        ("generate", DEMO_SPEECH, "--out", out, "--model", tmp_path / "none"),
        ("generate", DEMO_SPEECH, "--out", out, "--model", text),
        ("generate", DEMO_SPEECH, "--out", out, "--style", text),
        ("generate", DEMO_SPEECH, "--out", out, "--device", "tpu"),
        ("generate", DEMO_SPEECH, "--out", out, "--loud"),
        ("generate", DEMO_SPEECH),
        ("sing", DEMO_SPEECH),
        (),
        ("lips", text, "--out", out),
        ("lips", motion, "--head", text, "--out", out),
        ("vertices", motion, "--head", tmp_path / "none.npz", "--out", out),
        ("vertices", motion, "--shape", text, "--out", out),
        ("render-avatar", motion, "--avatar", text, "--out", tmp_path),
        ("render-avatar", motion, "--avatar", "default", "--out", tmp_path / "f", "--frames", "4:2"),
        ("render-avatar", motion, "--avatar", "default", "--out", tmp_path / "f", "--size", "0"),
    ]:
        result = engine(*arguments)
        assert result.returncode == 2, (arguments, result.stderr)
        assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr, (arguments, result.stderr)
        assert sorted(tmp_path.iterdir()) == before, arguments
