# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sound strip looked like when it was spoken, so that it is noticed when it was moved, trimmed or replaced."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

import bpy

from .. import compat

SAME, MOVED, TRIMMED, OTHER = "same", "moved", "trimmed", "other"
_NEAR = 1e-3  # frames


@dataclass(frozen=True)
class StripLook:
    """Scene frames of start and end, frames of the sound before the start, seconds of its own offset, scene frames of
    retiming keys after the start, the sound's file, frames a second of the scene."""

    start: float
    end: float
    offset: float
    sound_offset: float
    keys: tuple[float, ...]
    file: str
    rate: float

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "keys": list(self.keys)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> StripLook | None:
        """None where the numbers are damaged, or of a version that kept none."""
        try:
            return cls(**{field.name: _KINDS[field.name](stored[field.name]) for field in fields(cls)})
        except (KeyError, TypeError, ValueError):
            return None

    def change(self, now: StripLook) -> str:
        """What became of the strip: same, moved (only that), trimmed or shown in another part, or another sound."""
        if not is_same_file(self.file, now.file) or now.rate != self.rate or len(now.keys) != len(self.keys):
            return OTHER
        if any(abs(a - b) > _NEAR for a, b in zip(now.keys, self.keys, strict=True)):
            return OTHER
        longer = (now.end - now.start) - (self.end - self.start)
        if abs(longer) < _NEAR and abs(now.first - self.first) < _NEAR:
            return SAME if abs(now.start - self.start) < _NEAR else MOVED
        return OTHER if self.keys else TRIMMED

    @property
    def first(self) -> float:
        """Frames of the sound before the first that is heard, where it is not retimed."""
        return self.offset - self.sound_offset * self.rate


_KINDS: dict[str, Any] = {"start": float, "end": float, "offset": float, "sound_offset": float,
                          "keys": lambda keys: tuple(float(key) for key in keys), "file": str, "rate": float}


def is_same_file(before: str, now: str) -> bool:
    """Whether a path still means the sound that another one meant: also when both were moved along with the project,
    perhaps to another machine, so that nothing is left where it was."""
    before, now = os.path.normpath(before), os.path.normpath(now)
    if before == now:
        return True
    if re.split(r"[\\/]", before)[-1] != re.split(r"[\\/]", now)[-1]:
        return False
    return not os.path.exists(before) or (os.path.exists(now) and os.path.samefile(before, now))


def look_of(strip: Any, scene: Any) -> StripLook:
    """The strip as it is now."""
    span = compat.strip_span(strip)
    keys = tuple(round(float(key.timeline_frame) - span.start, 3) for key in strip.retiming_keys)
    path = bpy.path.abspath(strip.sound.filepath, library=strip.sound.library)
    return StripLook(float(span.start), float(span.end), float(span.offset), float(strip.sound_offset), keys, path,
                     scene.render.fps / scene.render.fps_base)
