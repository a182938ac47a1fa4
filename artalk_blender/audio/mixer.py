# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixes a scene's sound down; Blender does nothing else meanwhile.

Also the script that does it in another Blender: `... --python mixer.py -- SCENE.blend OUT.wav`, or by a Python that
has bpy. Exit status 0 where OUT.wav is whole.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import bpy

_LOOK, _PATIENCE = 0.02, 30.0  # seconds between two looks at the file, and for how long it may not grow
_UNKNOWN = 0, 0xFFFFFFFF  # lengths in the header of a file that is being written


def mix_down(scene: Any, path: Path) -> None:
    """Writes what sounds in the scene's frames as 32-bit floats into a WAV file.

    Desktop Blenders since 5.2 mix in a thread of their own and return at once: the file is waited for.
    Raises AttributeError, RuntimeError or OSError where this Blender can't.
    """
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="F32")
    size, since = -1, time.monotonic()
    while not _is_whole(path):
        now = path.stat().st_size if path.is_file() else 0
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            raise RuntimeError("the mix does not come to its end")
        time.sleep(_LOOK)


def _is_whole(path: Path) -> bool:
    """Whether a WAV file holds all that its header says, which is written at last."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    place = head.find(b"data")
    length = int.from_bytes(head[place + 4 : place + 8], "little")
    return place > 0 and length not in _UNKNOWN and path.stat().st_size >= place + 8 + length


def _main(blend: str, path: str) -> None:
    with bpy.data.libraries.load(blend) as (there, wanted):
        wanted.scenes = there.scenes
    whole = Path(path)
    part = whole.with_name("part-" + whole.name)
    mix_down(wanted.scenes[0], part)
    os.replace(part, whole)


if __name__ == "__main__":
    _main(*sys.argv[sys.argv.index("--") + 1 :][:2])
