# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching the extension on and off, twice, leaves Blender as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bpy
import pytest

import artalk_blender
from artalk_blender import registration


def traces() -> set[str]:
    """Whatever of ours Blender knows."""
    types = {name for name in dir(bpy.types) if "artalk" in name.lower()}
    properties = {name for name in list(bpy.types.Scene.bl_rna.properties.keys()) if "artalk" in name}
    operators = {f"op {name}" for name in dir(bpy.ops.artalk)}
    draws = {str(function) for function in bpy.types.VIEW3D_MT_add._dyn_ui_initialize() if "artalk" in str(
        function.__module__)}
    return types | properties | operators | draws


def test_register_and_unregister_twice():
    before = traces()
    for _ in range(2):
        artalk_blender.register()
        assert "op generate_motion" in traces() and "op add_head" in traces()
        assert hasattr(bpy.context.scene, "artalk")
        artalk_blender.unregister()
        assert traces() == before


def test_a_failing_part_takes_back_the_others(monkeypatch):
    class Broken:
        @staticmethod
        def register():
            raise RuntimeError("broken")

    before = traces()
    monkeypatch.setattr(registration, "MODULES", (*registration.MODULES, Broken))
    with pytest.raises(RuntimeError, match="broken"):
        registration.register()
    assert traces() == before


def test_importing_the_package_needs_no_blender():
    root = Path(__file__).resolve().parents[2]
    code = ("import sys; import artalk_blender, artalk_blender.command, artalk_blender.motion.process, "
            "artalk_blender.worker.client, artalk_blender.engine.flame.file; sys.exit('bpy' in sys.modules or "
            "'torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
