# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of an avatar on disk, numbered by scene frame, each with a digest of all that it depends on.

A frame's file says itself what it is (its metadata), so nothing is lost with the index: that only saves opening every
file. A file that is not ours is never touched. No `bpy` module use.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import EngineError
from ..engine.files import replacing
from ..engine.gaussian.exr import read_exr_texts
from ..engine.gaussian.pixels import EXR, PNG
from ..engine.gaussian.png import read_png_texts
from ..engine.gaussian.shot import MOTION_RATE, Played, Shot
from ..errors import ArtalkError

INDEX = "index.json"
_VERSION = 1
_OLD = 3600             # seconds after which nobody writes a file any more
_BEGINNING = 1 << 16    # bytes of a file in which its words stand
_TEXTS: dict[str, Callable[[bytes], dict[str, str]]] = {EXR: read_exr_texts, PNG: read_png_texts}
_STEPS = 1e4            # to an expression's unit or a radian: less is seen by nobody
_KEPT = 0.98            # of a forehead that remembers, from frame to frame at 25 a second
_MEMORY_STEPS = 1e3


@dataclass(frozen=True)
class Entry:
    """What is known of a frame's file; `size` and `changed` tell whether it is still the same."""

    digest: str
    outside: bool
    size: int
    changed: int


class FrameCache:
    """A folder's frames of one format ("exr" or "png")."""

    def __init__(self, folder: Path, form: str) -> None:
        self.folder, self.form = folder, form
        self._entries: dict[str, Entry] = _read_index(folder / INDEX)

    def path(self, frame: int) -> Path:
        """The file of a scene frame."""
        return self.folder / f"{frame:05d}.{self.form}"

    def entry(self, frame: int) -> Entry | None:
        """What is known of a frame's file; None where it is missing or not ours."""
        path = self.path(frame)
        try:
            status = path.stat()
        except OSError:
            return None
        known = self._entries.get(path.name)
        if known is None or (known.size, known.changed) != (status.st_size, status.st_mtime_ns):
            known = _ask(path, self.form, status.st_size, status.st_mtime_ns)
            if known is None:
                self._entries.pop(path.name, None)
            else:
                self._entries[path.name] = known
        return known

    def is_fresh(self, frame: int, digest: str) -> bool:
        """Whether the frame's file is there, and of this digest."""
        entry = self.entry(frame)
        return entry is not None and entry.digest == digest

    def make(self, frames: Iterable[int]) -> None:
        """Makes the folder. Raises ArtalkError where it can't be, or a frame's place is taken by somebody's file."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtalkError(f"The folder “{self.folder}” can't be made: {error.strerror}.",
                              "Save the .blend where you may write.", "bad_output") from None
        for left in self.folder.glob(f".*.{self.form}.*.part"):     # of a Blender that was killed while it wrote
            with suppress(OSError):
                if re.fullmatch(r"\.-?\d{4,}\.\w+\.\w+\.part", left.name) and time.time() - left.stat().st_mtime > _OLD:
                    left.unlink()
        for frame in frames:
            path = self.path(frame)
            # an empty one is what a power failure leaves of ours
            if path.exists() and self.entry(frame) is None and path.stat().st_size:
                raise ArtalkError(f"“{path.name}” in “{self.folder}” is none of our frames.",
                                  "Move it away; it is left as it is.", "bad_output")

    def write(self, frame: int, data: bytes, digest: str, outside: bool) -> None:
        """Puts a frame's file in its place, whole or not at all. Raises EngineError where the disk is full."""
        path = self.path(frame)
        with replacing(path) as file:
            file.write(data)
        status = path.stat()
        self._entries[path.name] = Entry(digest, outside, status.st_size, status.st_mtime_ns)

    def save(self) -> None:
        """Writes the index, whole or not at all. Where the disk is full it is left out: the files know themselves."""
        content = {"version": _VERSION, "made_by": "ARTalk for Blender",
                   "frames": {name: asdict(entry) for name, entry in sorted(self._entries.items())}}
        with suppress(EngineError), replacing(self.folder / INDEX) as file:
            file.write(json.dumps(content, indent=0).encode())


def _read_index(path: Path) -> dict[str, Entry]:
    try:
        content = json.loads(path.read_bytes())
        return {str(name): Entry(str(entry["digest"]), bool(entry["outside"]), int(entry["size"]),
                                 int(entry["changed"])) for name, entry in content["frames"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _ask(path: Path, form: str, size: int, changed: int) -> Entry | None:
    """What a file says of itself; None where it is none of ours."""
    try:
        with path.open("rb") as file:
            said = json.loads(_TEXTS[form](file.read(_BEGINNING))["Comment"])
        return Entry(str(said["digest"]), bool(said["outside"]), size, changed)
    except (OSError, EngineError, ValueError, KeyError, TypeError):
        return None


# -- what a frame depends on


def digests(played: Played, shot: Shot, fingerprint: str, about: dict[str, Any], remembers: bool = False) -> list[str]:
    """One for each frame played: the motion, rounded to what can be seen, the avatar, the camera, and all in `about`.

    `remembers`: frames before it count as far as they are still felt, by a running average of them, rounded as well.
    """
    common = json.dumps([fingerprint, shot.width, shot.height, shot.coarse, about], sort_keys=True).encode()
    parts = [_rounded(played.motion)]
    parts += [_rounded(value) for value in (played.neck, played.eyes) if value is not None]
    if played.shape is not None:
        common += _rounded(played.shape[None]).tobytes()
    if remembers:
        parts.append(np.round(_memory(played) * _MEMORY_STEPS).astype("<i8"))
    result = []
    for frame in range(len(played)):
        digest = hashlib.sha256(common)
        for part in parts:
            if part[frame].any():       # at rest it is as if it were not there
                digest.update(bytes([part.shape[1]]) + part[frame].tobytes())
        camera = shot.camera(frame)
        for matrix in camera or ():
            digest.update(_rounded(matrix).tobytes())
        result.append(digest.hexdigest()[:32])
    return result


def _rounded(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.round(np.asarray(values, np.float64) * _STEPS).astype("<i8")


def _memory(played: Played) -> NDArray[np.float64]:
    """(T,103): the running average of expressions and jaw that a forehead is, nearly: it moves with them linearly."""
    rows = np.concatenate([played.motion[:, :100], played.motion[:, 103:106]], 1).astype(np.float64)
    kept = _KEPT ** (MOTION_RATE / played.rate)
    for frame in range(1, len(rows)):
        rows[frame] = kept * rows[frame - 1] + (1 - kept) * rows[frame]
    return rows
