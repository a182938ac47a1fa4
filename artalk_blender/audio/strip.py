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
from ..motion.timing import TimeMap, frame_to_seconds
from ..runner import Work, finish
from .beside import decode_beside, mix_beside
from .retimed import Beside, Find, as_played, heard_times
from .samples import SAMPLE_RATE, Decoder, cut, read_sound


@dataclass(frozen=True)
class Recording:
    """All samples (N,) of a sound, float32 at 16 kHz, and the sha256 of its file."""

    samples: NDArray[np.float32]
    sha256: str


@dataclass(frozen=True)
class SoundFile:
    """A sound's file, with its content if that is packed into the .blend. Reading it needs no Blender data."""

    path: Path
    packed: bytes | None = None

    def read_beside(self) -> Recording:
        """The same as `read`, for a thread: what takes long to decode is decoded in another process."""
        return self.read(decode_beside)

    def read(self, beside: Decoder | None = None) -> Recording:
        """Raises ArtalkError for what can't be read."""
        if self.packed is None:
            return Recording(read_sound(self.path, "", beside), _sha256(self.path))
        with tempfile.TemporaryDirectory(prefix="artalk-") as folder:
            unpacked = Path(folder) / ("sound" + self.path.suffix)
            unpacked.write_bytes(self.packed)
            return Recording(read_sound(unpacked, self.path.name, beside), hashlib.sha256(self.packed).hexdigest())


@dataclass(frozen=True)
class StripAudio:
    """What of a sound a strip lets hear: samples (N,) float32 at 16 kHz, as recorded or, if need be, as played.

    `times` says where in the scene each second of them is heard, the first at `start_frame`. `facts` are the start and
    end in the scene of what is heard and its start in the file, in seconds, its speed, over all where it changes, and
    `as_played`, 1 where the samples have that speed already.
    """

    samples: NDArray[np.float32]
    start_frame: float
    name: str
    path: str
    sha256: str
    times: TimeMap
    facts: dict[str, float]


def scene_rate(scene: Any) -> float:
    """Frames a second."""
    return scene.render.fps / scene.render.fps_base


def add_sound_strip(scene: Any, path: Path, frame_start: int) -> Any:
    """A new sound strip in the lowest free channel. The file must be known to be readable."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    channel = 1 + max((strip.channel for strip in editor.strips), default=0)
    return editor.strips.new_sound(path.stem, str(path), channel, frame_start)


def find_sound_strip(context: Any) -> Any:
    """The sound strip that was picked for the scene, or the active one, or the only one in the sequencer, or None."""
    sounds = sound_strips(context)
    settings = getattr(context.scene, "artalk", None)
    picked = next((strip for strip in sounds if settings is not None and strip.name == settings.strip), None)
    if picked is not None:
        return picked
    editor = compat.sequencer_scene(context).sequence_editor
    active = editor.active_strip if editor is not None else None
    if active is not None and active.type == "SOUND":
        return active
    return sounds[0] if len(sounds) == 1 else None


def speech_strips(context: Any) -> list[Any]:
    """The strips that are to be spoken, in the order of their time: one, or all that are selected."""
    settings = getattr(context.scene, "artalk", None)
    if settings is not None and settings.selected_strips:
        return sorted((strip for strip in sound_strips(context) if strip.select), key=span_start)
    strip = find_sound_strip(context)
    return [] if strip is None else [strip]


def sound_strips(context: Any) -> list[Any]:
    """Every sound strip of the sequencer, in metastrips too."""
    editor = compat.sequencer_scene(context).sequence_editor
    return [] if editor is None else [strip for strip in editor.strips_all if strip.type == "SOUND"]


def span_start(strip: Any) -> float:
    return compat.strip_span(strip).start


def read_strip(strip: Any, scene: Any) -> StripAudio:
    """The part of the strip's sound that is heard, trimmed as the strip is; its volume does not matter.

    A strip at another speed, or retimed in parts, is followed: the sound is read as it was recorded, and `times` has
    the speed. Only where Blender keeps the pitch of a sound that is retimed in parts, it is heard as it is played.
    Raises ArtalkError for a sound that can't be read, and for a strip of which nothing is heard.
    """
    return finish(_hear(lambda: (strip, scene), sound_file(strip.sound).read(), None))


def read_strip_in_steps(find: Find) -> Work[StripAudio]:
    """The same, with what takes long done in threads and in another Blender; `find` gives the strip and its scene."""
    recording = yield sound_file(find()[0].sound).read_beside
    return (yield from _hear(find, recording, mix_beside))


def _hear(find: Find, recording: Recording, beside: Beside | None) -> Work[StripAudio]:
    """What of a sound that was read a strip lets hear."""
    samples, sha256 = recording.samples, recording.sha256
    strip, scene = find()
    rate, seconds = scene_rate(scene), len(samples) / SAMPLE_RATE
    path, name = strip.sound.filepath, strip.name
    in_parts = len(strip.retiming_keys) > 2
    stretched = in_parts and compat.keeps_pitch(strip)
    whole = None if in_parts else _steady(strip, rate, seconds)
    del strip, scene
    if whole is None:
        whole = yield from heard_times(find, seconds, beside)
    (first, last), (offset, until) = whole.frames[:: len(whole.frames) - 1], whole.seconds[:: len(whole.seconds) - 1]
    if stretched:
        heard, times = (yield from as_played(find, first, last, beside)), TimeMap.steady(first, rate)
    else:
        heard = cut(samples, offset, until - offset)
        times = TimeMap(tuple(second - offset for second in whole.seconds), whole.frames)
    start, end = frame_to_seconds(first, rate), frame_to_seconds(last, rate)
    facts = {"start": start, "end": end, "offset": offset, "speed": round((until - offset) / (end - start), 9),
             "as_played": float(stretched)}
    return StripAudio(heard, first, Path(path).stem or name, path, sha256, times, facts)


def _steady(strip: Any, rate: float, seconds: float) -> TimeMap:
    """Seconds of the sound -> scene frames, from the strip's start to its end, where it has one speed."""
    span = compat.strip_span(strip)
    speed = _speed(strip, seconds * rate)
    # sound_offset shifts the content against the strip, in the scene's time: positive starts it later
    offset = speed * (frame_to_seconds(span.offset, rate) - strip.sound_offset)
    return TimeMap((offset, offset + speed * frame_to_seconds(span.end - span.start, rate)), (span.start, span.end))


def _speed(strip: Any, frames: float) -> float:
    """How fast a strip plays a sound of so many scene frames: over its two retiming keys it plays all of it."""
    retiming = compat.retiming(strip)
    if not retiming.keys:
        return 1.0
    length = retiming.keys[-1] - retiming.keys[0]
    content = max(1, round(frames)) - retiming.last_inside
    if length <= 0 or content <= 0:
        raise ArtalkError(f"The strip “{strip.name}” has no length.", "Clear its retiming.")
    return content / length


def sound_file(sound: Any) -> SoundFile:
    """What it takes to read a Sound data-block later and elsewhere."""
    path = Path(bpy.path.abspath(sound.filepath, library=sound.library))
    return SoundFile(path, None if sound.packed_file is None else sound.packed_file.data)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
