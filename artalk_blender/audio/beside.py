# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on sounds in another Blender, without windows: while its library decodes or mixes, no Python runs in this one.

Called in threads. Needs no Blender data.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..worker.launch import clean_environment

_BLENDER: str = bpy.app.binary_path or ""  # asked here, because threads must not ask Blender; "": this Python has bpy
_PATIENCE = 600.0  # seconds
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_OPTIONS = ("-b", "--factory-startup", "-noaudio", "--python-exit-code", "3", "--python")


def decode_beside(path: Path, blender: str = _BLENDER) -> tuple[Any, int] | None:
    """(samples (N,C) float32, rate) of a sound file; None where it could not be done so."""
    with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as folder:
        done = _run("decoder.py", [str(path.resolve()), folder], blender)
        found = next(Path(folder).glob("samples-*.npy"), None)
        if not done or found is None:
            return None
        try:
            return np.load(found, allow_pickle=False), int(found.stem.partition("-")[2])
        except (OSError, ValueError):
            return None


def mix_beside(blend: Path, path: Path, blender: str = _BLENDER) -> bool:
    """Mixes the only scene of a .blend down into a WAV file; False where it could not be done so."""
    return _run("mixer.py", [str(blend), str(path)], blender) and path.is_file()


def blender_command(script: Path, blender: str = _BLENDER) -> list[str]:
    """The command line that has another Blender, or a Python that has bpy, run a script; `--` and arguments follow."""
    file = str(script.resolve())
    return [blender, *_OPTIONS, file] if blender else [sys.executable, file]


def _run(script: str, arguments: list[str], blender: str) -> bool:
    """Whether a script beside this file did its work."""
    command = blender_command(Path(__file__).with_name(script), blender)
    try:
        ended = subprocess.run([*command, "--", *arguments], env=clean_environment(), timeout=_PATIENCE,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               creationflags=_NO_WINDOW, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return ended.returncode == 0
