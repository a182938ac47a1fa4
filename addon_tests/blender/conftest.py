# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that run inside Blender's Python module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
sys.path.insert(0, str(Path(__file__).parent))

from synthetic_head import make_head, make_motion  # noqa: E402

from artalk_blender.engine.flame.file import read_flame  # noqa: E402


@pytest.fixture()
def scene():
    """A fresh, empty scene."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return bpy.context.scene


@pytest.fixture(scope="session")
def head_file(tmp_path_factory):
    return make_head(tmp_path_factory.mktemp("head") / "head.npz")


@pytest.fixture(scope="session")
def model(head_file):
    return read_flame(head_file)


@pytest.fixture(scope="session")
def motion():
    return make_motion(60)


@pytest.fixture()
def head(scene, model):
    from artalk_blender.head.build import build_head

    return build_head(model, bpy.context)


@pytest.fixture(scope="session")
def clip():
    """A short spoken clip of our own making: 16 kHz mono WAV."""
    return Path(__file__).parent.parent / "data" / "speech.wav"
