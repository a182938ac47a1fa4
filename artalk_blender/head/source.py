# SPDX-License-Identifier: GPL-3.0-or-later
"""The FLAME file a head was built from, found again.

A head's mesh, expressions, correctives and joints are in the .blend; the 300 identity directions are not. They would
add 18 MB to every head, and FLAME's licence does not let a .blend hand its identity space around. So the file is read
again when identity is changed or the head is checked, and only the very same bytes will do (sha256).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import bpy

from ..engine.assets import DEFAULT_HEAD
from ..engine.flame.file import read_flame
from ..engine.flame.model import FlameModel
from ..errors import ArtalkError
from ..preferences import read_preferences
from .handle import Head
from .names import HEAD_KEY


def load_model(head: Head) -> FlameModel:
    """The FLAME arrays that `head` was built from; reading is remembered, so that sliders may ask at every step.

    Raises ArtalkError where the file is nowhere to be found.
    """
    return _read(*_state(model_path(head)))


def model_path(head: Head) -> Path:
    """Where the FLAME file that `head` was built from lies. Raises ArtalkError where it is nowhere to be found."""
    wanted = head.armature[HEAD_KEY]["sha256"]
    for path in _candidates(head):
        if path.is_file() and _sha256(*_state(path)) == wanted:
            return path
    about = head.armature[HEAD_KEY]
    name = about.get("name", "")
    if name == DEFAULT_HEAD.name and not about.get("path", ""):
        raise ArtalkError(f"“{head.armature.name}” was built from the default head of another version.",
                          "It plays as before. For another identity add a new head, or show that version's "
                          f"“{name}” with Find Head File.")
    raise ArtalkError(f"The file “{name}” that “{head.armature.name}” was built from is not where it was.",
                      "Show where it lies with Find Head File.")


def point_to(head: Head, path: str | Path) -> None:
    """Remembers on the head that its file lies at `path`. Raises ArtalkError where that is another file."""
    path = Path(path)
    if not path.is_file():
        raise ArtalkError(f"There is no file “{path}”.", "Choose the head's file.")
    if _sha256(*_state(path)) != head.armature[HEAD_KEY]["sha256"]:
        raise ArtalkError(f"“{path.name}” is not the file that “{head.armature.name}” was built from.",
                          f"Choose “{head.armature[HEAD_KEY].get('name', '')}”, unchanged.")
    head.armature[HEAD_KEY]["path"] = str(path.resolve())


def _candidates(head: Head) -> Iterator[Path]:
    """Where the file may lie: where it was, in the extension, in the preferences, beside the .blend."""
    about = head.armature[HEAD_KEY]
    stored = about.get("path", "")
    if stored:
        yield Path(bpy.path.abspath(stored))
    yield DEFAULT_HEAD
    preferred = read_preferences(bpy.context).head
    if preferred:
        yield Path(preferred)
    if bpy.data.filepath and about.get("name"):
        yield Path(bpy.data.filepath).parent / Path(about["name"]).name


def _state(path: Path) -> tuple[Path, int, int]:
    """What changes when the file does."""
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _sha256(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=2)  # 30 MB each
def _read(path: Path, changed: int, size: int) -> FlameModel:
    return read_flame(path)
