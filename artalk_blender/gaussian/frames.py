# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of rendered frames: which there are, which are missing, how large they are. No `bpy` module use.

Frames are numbered by scene frame, in five digits or more (`00012.exr`). A frame is an EXR, scene-linear with
premultiplied alpha, or a PNG, sRGB with straight alpha.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import ArtalkError

SUFFIXES = (".exr", ".png")
LINEAR, DISPLAY = "Linear Rec.709", "sRGB"  # Blender's names of what their colours are
_NAME = re.compile(r"(\d{5,})(\.exr|\.png)")
_HEADER = 1 << 16  # bytes in which an EXR's header tells its window


@dataclass(frozen=True)
class FrameFolder:
    """Rendered frames of one kind in a folder; `numbers` are the scene frames that there are, ascending."""

    folder: Path
    suffix: str
    numbers: tuple[int, ...]

    @property
    def first(self) -> int:
        return self.numbers[0]

    @property
    def last(self) -> int:
        return self.numbers[-1]

    @property
    def count(self) -> int:
        """Scene frames from the first to the last."""
        return self.last - self.first + 1

    @property
    def color_space(self) -> str:
        return LINEAR if self.suffix == ".exr" else DISPLAY

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """Scene frames between the first and the last that are not there."""
        return tuple(sorted(set(range(self.first, self.last + 1)) - set(self.numbers)))

    @cached_property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels. Raises ArtalkError for a file that is no such picture."""
        return picture_size(self.path(self.first))

    def path(self, number: int) -> Path:
        return self.folder / f"{number:05d}{self.suffix}"

    def nearest(self, number: int) -> int:
        """The frame that stands for a scene frame: itself, or the last one before it, or the first."""
        before = [there for there in self.numbers if there <= number]
        return before[-1] if before else self.first

    def gaps(self) -> str:
        """What is missing, in one sentence; empty where nothing is."""
        if not self.missing:
            return ""
        first, last = self.missing[0], self.missing[-1]
        which = f"Frame {first} is" if first == last else f"{len(self.missing)} frames from {first} to {last} are"
        return f"{which} missing in “{self.folder.name}”: Render Avatar makes what is missing."


def read_folder(folder: Path, preferred: str = ".exr") -> FrameFolder:
    """The frames of a folder: where there are both kinds, the preferred ones. Raises ArtalkError where there are none.
    """
    try:
        # an empty file is what a power failure leaves: as if it were not there
        names = [path.name for path in folder.iterdir() if path.stat().st_size] if folder.is_dir() else []
    except OSError as error:
        raise ArtalkError(f"The folder “{folder}” can't be read: {error.strerror}.", "Choose another.") from None
    found: dict[str, list[int]] = {suffix: [] for suffix in SUFFIXES}
    for name in names:
        match = _NAME.fullmatch(name)
        if match and f"{int(match[1]):05d}" == match[1]:
            found[match[2]].append(int(match[1]))
    suffix = max(SUFFIXES, key=lambda one: (bool(found[one]), one == preferred))
    if not found[suffix]:
        where = "no rendered frames in" if folder.is_dir() else "no folder"
        raise ArtalkError(f"There is {where} “{folder}”.", "Render the avatar, or find the folder if it was moved.")
    return FrameFolder(folder, suffix, tuple(sorted(found[suffix])))


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of an EXR or a PNG. Raises ArtalkError for any other file."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
        if path.suffix == ".png":
            if not head.startswith(b"\x89PNG"):
                raise ValueError
            width, height = struct.unpack(">II", head[16:24])
        else:
            if not head.startswith(b"\x76\x2f\x31\x01"):
                raise ValueError
            at = head.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
            left, top, right, bottom = struct.unpack("<4i", head[at : at + 16])
            width, height = right - left + 1, bottom - top + 1
    except OSError as error:
        raise ArtalkError(f"“{path.name}” can't be read: {error.strerror}.", "Render the avatar again.") from None
    except (ValueError, struct.error):
        raise ArtalkError(f"“{path.name}” is no whole picture.", "Delete it and render the avatar again.") from None
    return width, height
