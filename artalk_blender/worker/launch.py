# SPDX-License-Identifier: GPL-3.0-or-later
"""The child's command line and environment. No `bpy` module use.

The child sees the packages of its own interpreter and our engine, nothing else: isolated mode (`-I`) shuts
out the user's site-packages and every PYTHON* variable, which have broken other add-ons in ways their users
could not see.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import ArtalkError
from ..paths import ENGINE_FOLDER

PYTHON_VARIABLE = "ARTALK_PYTHON"
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


def choose_python(preferred: str = "") -> Path:
    """The interpreter for the engine: the preference, else $ARTALK_PYTHON, else the one that Blender runs on."""
    wanted = preferred or os.environ.get(PYTHON_VARIABLE, "")
    if wanted:
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise ArtalkError(f"There is no Python at “{wanted}”.",
                              "Set the engine's Python in the preferences, or leave it empty.")
        return path
    for candidate in _own_pythons():
        if candidate.is_file():
            return candidate
    raise ArtalkError("Blender's own Python was not found.", "Set the engine's Python in the preferences.")


def _own_pythons() -> list[Path]:
    """Where the running interpreter's executable may be; some builds name Blender itself in `sys.executable`."""
    prefix = Path(sys.prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [prefix / "bin" / version, prefix / "bin" / "python3", prefix / "bin" / "python.exe",
                  prefix / "python.exe"]
    executable = Path(sys.executable or "")
    return [executable, *candidates] if "python" in executable.name.lower() else candidates


def worker_command(python: Path, engine: Path = ENGINE_FOLDER) -> list[str]:
    """The command line of `python -m engine serve` without a search path."""
    return [str(python), "-I", "-X", "utf8", str(_BOOTSTRAP), str(engine), "serve"]


def clean_environment() -> dict[str, str]:
    """This process's environment without what steers another Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "__PYVENV"))}
