# SPDX-License-Identifier: GPL-3.0-or-later
"""Strips retimed in parts: which second of their sound is heard when, found by listening to Blender.

Blender tells where a strip's retiming keys lie, but not how fast it plays between them. So a copy of the scene, in
which nothing but the strip sounds, is given another sound and mixed down: one that says at each moment how far into it
one is. That is exact as long as Blender changes the pitch with the speed. Where it keeps the pitch, its stretching
displaces the sound after each change of speed, by up to 0.2 s: then the sound itself is mixed down and heard as it is
played. Where this Blender is to stay free, another one mixes.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..errors import ArtalkError
from ..motion.timing import TimeMap
from ..runner import Work
from .mixer import mix_down
from .samples import cut, read_sound

Floats = NDArray[np.float64]

_TELLTALE_RATE = 1000  # samples a second; a straight line needs no more
_FORMAT = struct.Struct("<4sI8sIHHIIHH4sI")
_FLOATS = 3  # WAVE_FORMAT_IEEE_FLOAT
_STEREO = 2
_WITHIN = 1e-3  # seconds of sound by which the map's straight pieces may be off
_ALIGNED = 512  # frames: at the usual rates a whole number of the 1024 samples that Blender mixes at a time


Find = Callable[[], tuple[Any, Any]]  # a strip and its scene, found again
Beside = Callable[[Path, Path], bool]  # mixes a .blend's only scene down into a WAV file; False where that failed


@dataclass(frozen=True)
class _Listening:
    """A scene in which one strip sounds, that strip, and how many frames earlier it lies than in the artist's scene."""

    scene: Any
    strip: Any
    earlier: float


@dataclass(frozen=True)
class _Mix:
    """What sounds from a scene's first frame to its last, as samples at `rate` in a WAV file."""

    path: Path
    first: int
    last: int
    fps: float
    rate: int
    earlier: float


def heard_times(find: Find, seconds: float, beside: Beside | None) -> Work[TimeMap]:
    """Seconds of a strip's sound -> scene frames, between the first and the last that are heard of `seconds`.

    Mixed down `beside` Blender, or, with None, or in background where that fails, here. Raises ArtalkError where
    nothing is heard.
    """
    name = find()[0].name
    with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as folder:
        told = yield partial(_write_telltale, Path(folder) / "telltale.wav", seconds)
        mix = yield from _mixed(find, Path(folder), "STEREO", beside, told)
        return (yield partial(_times_of, mix, seconds, name))


def _times_of(mix: _Mix, seconds: float, name: str) -> TimeMap:
    """What the telltale says in a mix; needs no Blender data."""
    frames, heard = _at_frames(mix)
    # at its ends it is filtered in and out over a few samples, where it tells less
    sounds = heard[:, 1] > 0.5 * heard[:, 1].max(initial=1e-6)
    if sounds.sum() < 2:
        raise ArtalkError(f"Nothing of the strip “{name}” is heard.", "Clear its retiming.")
    place = seconds * heard[sounds, 0] / heard[sounds, 1]
    return TimeMap.through(np.clip(place, 0.0, seconds), frames[sounds], _WITHIN)


def as_played(find: Find, first: float, last: float, beside: Beside | None) -> Work[NDArray[np.float32]]:
    """Samples (N,) at 16 kHz of a strip alone between two scene frames, as Blender plays it at its full volume."""
    name = find()[0].name
    with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as folder:
        mix = yield from _mixed(find, Path(folder), "MONO", beside)
        mixed = yield partial(read_sound, mix.path, name)
    return cut(mixed, (first - mix.earlier - mix.first) / mix.fps, (last - first) / mix.fps)


def _mixed(find: Find, folder: Path, channels: str, beside: Beside | None, instead: Path | None = None) -> Work[_Mix]:
    """The strip alone, mixed down; `instead` of its own sound another one, whose pitch follows the speed."""
    strip, scene = find()
    blend = folder / "alone.blend"
    with _alone(strip, scene) as alone:
        del strip, scene
        render = alone.scene.render
        render.ffmpeg.audio_channels = channels
        mix = _Mix(folder / "mixed.wav", alone.scene.frame_start, alone.scene.frame_end, _fps(alone.scene),
                   render.ffmpeg.audio_mixrate, alone.earlier)
        with _sounding(alone.strip, instead):
            if beside is None:
                _mix_down(alone.scene, mix.path)
                return mix
            bpy.data.libraries.write(str(blend), {alone.scene}, path_remap="ABSOLUTE", fake_user=True)
    if (yield partial(beside, blend, mix.path)):
        return mix
    if not bpy.app.background:  # here it would keep Blender waiting, and the copy must last until its thread has ended
        raise ArtalkError("Blender could not be started once more, to listen to a strip retimed in parts.",
                          "Clear the strip's retiming, or install Blender from blender.org.")
    return (yield from _mixed(find, folder, channels, None, instead))


@contextmanager
def _sounding(strip: Any, instead: Path | None) -> Iterator[None]:
    """Gives a strip another sound for a while."""
    if instead is None:
        yield
        return
    compat.let_pitch_follow_speed(strip)
    sound = bpy.data.sounds.load(str(instead))
    try:
        strip.sound = sound
        yield
    finally:
        bpy.data.sounds.remove(sound)


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
        yield _Listening(copy, twin, earlier)
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


def _mix_down(scene: Any, path: Path) -> None:
    """Writes what sounds in the scene's frames as 32-bit floats into a WAV file."""
    try:
        mix_down(scene, path)
    except (AttributeError, RuntimeError, OSError):
        raise ArtalkError("This Blender can't mix sound down, which a strip retimed in parts needs.",
                          "Use the Blender from blender.org, or clear the retiming.") from None


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


def _at_frames(mix: _Mix) -> tuple[Floats, Floats]:
    """Scene frames (K,), whole ones and those between, and the samples (K,2) of a mix of the scene there."""
    first = float(mix.first)
    frames = np.arange(first, mix.last + 1.0, 0.5)
    rows = np.round((frames - first) / mix.fps * mix.rate).astype(np.int64)
    with mix.path.open("rb") as file:
        start = file.read(4096).index(b"data") + 8
    count = (mix.path.stat().st_size - start) // (4 * _STEREO)
    samples = np.memmap(mix.path, "<f4", "r", start, (count, _STEREO))  # ten minutes are 230 MB
    there = rows < count
    return frames[there] + mix.earlier, samples[rows[there]].astype(np.float64)
