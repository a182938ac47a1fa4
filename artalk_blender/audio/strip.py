# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound strips: making one, finding one, reading what of it is heard."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..errors import ArtalkError
from ..motion.timing import frame_to_seconds
from .samples import cut, read_sound


@dataclass(frozen=True)
class StripAudio:
    """What a strip sounds like: samples (N,) float32 at 16 kHz from scene frame `start_frame` on."""

    samples: NDArray[np.float32]
    start_frame: float
    name: str
    path: str
    sha256: str


def scene_rate(scene: Any) -> float:
    """Frames a second."""
    return scene.render.fps / scene.render.fps_base


def add_sound_strip(scene: Any, path: Path, frame_start: int) -> Any:
    """A new sound strip in the lowest free channel. The file must be known to be readable."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    channel = 1 + max((strip.channel for strip in editor.strips), default=0)
    return editor.strips.new_sound(path.stem, str(path), channel, frame_start)


def find_sound_strip(context: Any) -> Any:
    """The active sound strip, or else the only one in the sequencer's scene, or None."""
    editor = compat.sequencer_scene(context).sequence_editor
    if editor is None:
        return None
    active = editor.active_strip
    if active is not None and active.type == "SOUND":
        return active
    sounds = [strip for strip in editor.strips_all if strip.type == "SOUND"]
    return sounds[0] if len(sounds) == 1 else None


def read_strip(strip: Any, scene: Any) -> StripAudio:
    """The part of the strip's sound that is heard, trimmed as the strip is; its volume does not matter.

    Raises ArtalkError for a sound that can't be read.
    """
    if len(strip.retiming_keys):
        raise ArtalkError(f"The strip “{strip.name}” is retimed, which can't be followed yet.",
                          "Clear its retiming, or mix it down to a new sound.")
    rate = scene_rate(scene)
    span = compat.strip_span(strip)
    samples, sha256 = _read_data_block(strip.sound)
    # sound_offset shifts the content against the strip: positive starts it later
    offset = frame_to_seconds(span.offset, rate) - strip.sound_offset
    heard = cut(samples, offset, frame_to_seconds(span.end - span.start, rate))
    path = strip.sound.filepath
    return StripAudio(heard, span.start, Path(path).stem or strip.name, path, sha256)


def _read_data_block(sound: Any) -> tuple[NDArray[np.float32], str]:
    """All samples of a Sound data-block and the sha256 of its file, packed or not."""
    path = Path(bpy.path.abspath(sound.filepath, library=sound.library))
    if sound.packed_file is None:
        return read_sound(path), _sha256(path)
    content = sound.packed_file.data
    with tempfile.TemporaryDirectory(prefix="artalk-") as folder:
        unpacked = Path(folder) / ("sound" + path.suffix)
        unpacked.write_bytes(content)
        return read_sound(unpacked, path.name), hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
