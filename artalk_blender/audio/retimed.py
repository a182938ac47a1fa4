# SPDX-License-Identifier: GPL-3.0-or-later
"""Strips retimed in parts: which second of their sound is heard when, found by listening to Blender.

Blender tells where a strip's retiming keys lie, but not how fast it plays between them. So a copy of the scene, in
which nothing but the strip sounds, is given another sound and mixed down: one that says at each moment how far into it
one is. That is exact as long as Blender changes the pitch with the speed. Where it keeps the pitch, its stretching
displaces the sound after each change of speed, by up to 0.2 s: then the sound itself is mixed down and heard as it is
played.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..errors import ArtalkError
from ..motion.timing import TimeMap
from .samples import cut, read_sound

Floats = NDArray[np.float64]

_TELLTALE_RATE = 1000  # samples a second; a straight line needs no more
_FORMAT = struct.Struct("<4sI8sIHHIIHH4sI")
_FLOATS = 3  # WAVE_FORMAT_IEEE_FLOAT
_STEREO = 2
_WITHIN = 1e-3  # seconds of sound by which the map's straight pieces may be off
_ALIGNED = 512  # frames: at the usual rates a whole number of the 1024 samples that Blender mixes at a time


@dataclass(frozen=True)
class _Listening:
    """A scene in which one strip sounds, that strip, how many frames earlier it lies than in the artist's scene,
    and a folder for what is listened to."""

    scene: Any
    strip: Any
    earlier: float
    folder: Path


def heard_times(strip: Any, scene: Any, seconds: float) -> TimeMap:
    """Seconds of a strip's sound -> scene frames, between the first and the last that are heard of `seconds`.

    Raises ArtalkError where nothing of it is heard.
    """
    with _alone(strip, scene) as alone:
        compat.let_pitch_follow_speed(alone.strip)
        telltale = bpy.data.sounds.load(str(_write_telltale(alone.folder / "telltale.wav", seconds)))
        try:
            alone.strip.sound = telltale
            mixed = _mix_down(alone.scene, alone.folder / "mixed.wav", "STEREO")
        finally:
            bpy.data.sounds.remove(telltale)
        frames, heard = _at_frames(mixed, alone.scene)
        frames += alone.earlier
    # at its ends it is filtered in and out over a few samples, where it tells less
    sounds = heard[:, 1] > 0.5 * heard[:, 1].max(initial=1e-6)
    if sounds.sum() < 2:
        raise ArtalkError(f"Nothing of the strip “{strip.name}” is heard.", "Clear its retiming.")
    place = seconds * heard[sounds, 0] / heard[sounds, 1]
    return TimeMap.through(np.clip(place, 0.0, seconds), frames[sounds], _WITHIN)


def as_played(strip: Any, scene: Any, first: float, last: float) -> NDArray[np.float32]:
    """Samples (N,) at 16 kHz of a strip alone between two scene frames, as Blender plays it at its full volume."""
    with _alone(strip, scene) as alone:
        mixed = read_sound(_mix_down(alone.scene, alone.folder / "mixed.wav", "MONO"), strip.name)
        rate = _fps(alone.scene)
        return cut(mixed, (first - alone.earlier - alone.scene.frame_start) / rate, (last - first) / rate)


def _fps(scene: Any) -> float:
    return scene.render.fps / scene.render.fps_base


@contextmanager
def _alone(strip: Any, scene: Any) -> Iterator[_Listening]:
    """A copy of the scene in which only this strip sounds, as loud as it is recorded."""
    copy = scene.copy()
    try:
        copy.name = "ARTalk Listening"
        copy.animation_data_clear()  # fades
        copy.background_set = None
        for linked in (copy.collection.children, copy.collection.objects):
            for thing in list(linked):
                linked.unlink(thing)
        twin = _unmute(copy.sequence_editor, strip.name)
        twin.volume, twin.pan = 1.0, 0.0
        twin.modifiers.clear()
        copy.use_audio, copy.audio_volume = True, 1.0
        earlier = compat.make_playable(twin, _fps(copy))
        span = compat.strip_span(twin)
        # from where a mixdown of the whole scene comes to a new block of samples as well: speed changes between blocks
        before = int((span.start - scene.frame_start) // _ALIGNED) * _ALIGNED
        copy.frame_start, copy.frame_end = max(0, scene.frame_start + before), int(np.ceil(span.end))
        with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as folder:
            yield _Listening(copy, twin, earlier, Path(folder))
    finally:
        bpy.data.scenes.remove(copy)


def _unmute(editor: Any, name: str) -> Any:
    """Mutes all strips but the one of this name, and what it lies in, which is unmuted; returns it."""
    wanted = next(one for one in editor.strips_all if one.name == name)
    around = [wanted]
    while (meta := around[-1].parent_meta()) is not None:
        around.append(meta)
    for other in editor.strips_all:
        other.mute = other not in around
    for holder in (editor, *around[1:]):
        for channel in holder.channels:
            channel.mute = False
    return wanted


def _mix_down(scene: Any, path: Path, channels: str) -> Path:
    """Writes what sounds in the scene's frames as 32-bit floats into a WAV file."""
    scene.render.ffmpeg.audio_channels = channels
    try:
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="F32")
    except (AttributeError, RuntimeError):
        raise ArtalkError("This Blender can't mix sound down, which a strip retimed in parts needs.",
                          "Use the Blender from blender.org, or clear the retiming.") from None
    return path


def _write_telltale(path: Path, seconds: float) -> Path:
    """A sound of `seconds` that says how far into it one is: the left channel's share of the right one, 0 to 1."""
    count = max(2, round(seconds * _TELLTALE_RATE))
    samples = np.full((count, _STEREO), 0.5, "<f4")
    samples[:, 0] *= np.arange(count) / _TELLTALE_RATE / seconds
    frame = 4 * _STEREO
    header = _FORMAT.pack(b"RIFF", 36 + samples.nbytes, b"WAVEfmt ", 16, _FLOATS, _STEREO, _TELLTALE_RATE,
                          _TELLTALE_RATE * frame, frame, 32, b"data", samples.nbytes)
    path.write_bytes(header + samples.tobytes())
    return path


def _at_frames(path: Path, scene: Any) -> tuple[Floats, Floats]:
    """Scene frames (K,), whole ones and those between, and the samples (K,2) of a mix of the scene there."""
    first = float(scene.frame_start)
    frames = np.arange(first, scene.frame_end + 1.0, 0.5)
    rows = np.round((frames - first) / _fps(scene) * scene.render.ffmpeg.audio_mixrate).astype(np.int64)
    with path.open("rb") as file:
        start = file.read(4096).index(b"data") + 8
    count = (path.stat().st_size - start) // (4 * _STEREO)
    samples = np.memmap(path, "<f4", "r", start, (count, _STEREO))  # ten minutes are 230 MB
    there = rows < count
    return frames[there], samples[rows[there]].astype(np.float64)
