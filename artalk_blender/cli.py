# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command artalk ...`: the command line inside an installed Blender."""

from __future__ import annotations

from typing import Any

import bpy

from .command import main

NAME = "artalk"
_handle: Any = None


def run(arguments: list[str]) -> int:
    """Called by Blender with what stands behind the command's name; returns the exit status."""
    return main(arguments)


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, run)


def unregister() -> None:
    global _handle
    bpy.utils.unregister_cli_command(_handle)
    _handle = None
