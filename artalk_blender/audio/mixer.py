# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixes a scene's sound down; Blender does nothing else meanwhile.

Also the script that does it in another Blender: `... --python mixer.py -- SCENE.blend OUT.wav`, or by a Python that
has bpy. Exit status 0 where OUT.wav is whole.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bpy


def mix_down(scene: Any, path: Path) -> None:
    """Writes what sounds in the scene's frames as 32-bit floats into a WAV file.

    Raises AttributeError or RuntimeError where this Blender can't.
    """
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="F32")


def _main(blend: str, path: str) -> None:
    with bpy.data.libraries.load(blend) as (there, wanted):
        wanted.scenes = there.scenes
    whole = Path(path)
    part = whole.with_name("part-" + whole.name)
    mix_down(wanted.scenes[0], part)
    os.replace(part, whole)


if __name__ == "__main__":
    _main(*sys.argv[sys.argv.index("--") + 1 :][:2])
