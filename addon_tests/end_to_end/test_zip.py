# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip: what is in it, the same bytes each time, and that it works on its own far from the checkout."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    result = subprocess.run([sys.executable, "build_addon.py", "--out", str(folder)], cwd=ROOT, capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("artalk_blender-*.zip"))


def test_holds_the_extension_the_engine_and_the_assets_only(archive: Path) -> None:
    names = set(zipfile.ZipFile(archive).namelist())
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "engine/worker.py", "engine/portable/__init__.py",
            "assets/default_head.npz", "assets/default_model.npz", "assets/demo_speech.wav"} <= names
    unwanted = ("training", "pycache", "addon_tests", "/test_")
    assert not [name for name in names if any(word in f"/{name}" for word in unwanted)]
    assert archive.stat().st_size <= 40e6


def test_is_the_same_each_time(archive: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "build_addon.py", "--out", str(tmp_path)], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    again = next(tmp_path.glob("*.zip"))
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(archive.read_bytes()).digest()


def test_assets_are_listed_with_licence_and_source() -> None:
    files = json.loads((ROOT / "assets" / "manifest.json").read_text())["files"]
    for entry in files:
        data = (ROOT / "assets" / entry["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry["name"]
        assert len(data) == entry["bytes"] and entry["licence"] and entry["source"]


def test_works_unzipped_anywhere(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("bpy")
    package = tmp_path / "addons" / "artalk"
    zipfile.ZipFile(archive).extractall(package)
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((3000 * np.random.default_rng(0).normal(size=8000)).astype("<i2").tobytes())
    sound, blend = tmp_path / "s.wav", tmp_path / "t.blend"
    command = [sys.executable, "-P", "-m", "artalk", "talk", str(sound), "--out", str(blend)]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert blend.stat().st_size > 100_000
