# SPDX-License-Identifier: GPL-3.0-or-later
"""The walls of the house: who may import what, who may ask for versions. Read from the sources and tried for real."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
ADDON = sorted((ROOT / "artalk_blender").rglob("*.py"))
VERSION_QUESTION = re.compile(r"bpy\.app\.version")
WITHOUT_TORCH = ("engine", "engine.protocol", "engine.pipeline", "engine.worker", "engine.model", "engine.smoothing",
                 "engine.flame.file", "engine.flame.lips", "engine.mel", "engine.portable", "engine.files",
                 "engine.gaussian.render", "engine.gaussian.rasterize", "engine.gaussian.portable")


def imported(path: Path) -> set[str]:
    """Top-level names of every absolute import in a file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(ROOT)))
def test_engine_knows_no_blender(path: Path) -> None:
    forbidden = imported(path) & {"bpy", "bmesh", "mathutils", "aud", "gpu", "artalk_blender", "engine"}
    assert not forbidden, "engine/ imports no Blender, and itself only relatively (it is mounted elsewhere in the zip)"


@pytest.mark.parametrize("path", ADDON, ids=lambda path: str(path.relative_to(ROOT)))
def test_extension_knows_no_torch(path: Path) -> None:
    assert not imported(path) & {"torch", "transformers", "torchaudio", "artalk_blender"}


@pytest.mark.parametrize("path", ADDON, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_compat_asks_for_versions(path: Path) -> None:
    if path.name != "compat.py":
        assert not VERSION_QUESTION.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_import_brings_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_protocol_is_standard_library_only() -> None:
    assert imported(ROOT / "engine" / "protocol.py") <= set(sys.stdlib_module_names)
    assert imported(ROOT / "dev.py") <= set(sys.stdlib_module_names)
