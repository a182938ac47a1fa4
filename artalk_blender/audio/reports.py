# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sounds of strips are like, found out beside Blender and remembered, so that panels can show it.

A sound is read in short pieces: while Blender's audio library decodes one, nothing else of Python runs, in whatever
thread it is.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..errors import ArtalkError, EngineError
from .check import SoundListener, SoundReport
from .strip import SoundFile, sound_file

Key = tuple[Any, ...]

_PIECE = 2.0  # seconds, which take some 10 ms to decode
_NAP = 0.005
_LOOK = 0.2  # seconds between two looks whether a report is there
_MOST = 64  # sounds that are remembered

_known: dict[Key, SoundReport | str] = {}
_thread: threading.Thread | None = None
_stop = threading.Event()


def examine(file: SoundFile) -> Generator[float, None, SoundReport]:
    """Reads a sound in steps of 2 seconds; yields the part that is done. Raises ArtalkError for what can't be read."""
    with _on_disk(file) as path:
        name = file.path.name
        if not path.is_file():
            raise ArtalkError(f"There is no audio file “{file.path}”.", "Check the path.")
        try:
            import aud
        except ImportError:
            raise ArtalkError("This Blender was built without audio.", "Use the Blender from blender.org.") from None
        try:
            sound = aud.Sound.file(str(path))
            rate, channels = sound.specs  # must come first: reading what can't be read aborts Blender itself
            seconds = sound.length / rate if rate > 0 else 0.0
            if not 0.0 < seconds < 1e6:
                raise ArtalkError(f"“{name}” does not tell how long it is.", "Convert it to WAV or FLAC.")
            listener = SoundListener(rate, channels)
            start = 0.0
            while start < seconds:
                piece = sound.limit(start, min(start + _PIECE, seconds)).data()
                listener.hear(np.asarray(piece, np.float32).reshape(-1, channels))
                start += _PIECE
                yield min(1.0, start / seconds)
        except (aud.error, ValueError):
            raise ArtalkError(f"“{name}” is not an audio file that can be read, or it is damaged.",
                              "Convert it to WAV, FLAC, OGG or MP3.", "bad_file") from None
        return listener.report()


@contextmanager
def _on_disk(file: SoundFile) -> Generator[Path, None, None]:
    if file.packed is None:
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / ("sound" + file.path.suffix)
        path.write_bytes(file.packed)
        yield path


def report_of(strip: Any) -> SoundReport | str | None:
    """What a strip's sound is like, all of it; or a sentence why that can't be told; or None while it is not known.

    Asking has it found out, one sound at a time; panels are drawn anew when it is there.
    """
    if strip.sound is None:
        return None
    key = _key(strip.sound)
    if key not in _known and not bpy.app.background and (_thread is None or not _thread.is_alive()):
        _start(key, sound_file(strip.sound))
    return _known.get(key)


def remember(strip: Any, report: SoundReport) -> None:
    """For who has found it out already."""
    _keep(_key(strip.sound), report)


def _keep(key: Key, report: SoundReport | str) -> None:
    while len(_known) >= _MOST:
        _known.pop(next(iter(_known)))
    _known[key] = report


def _key(sound: Any) -> Key:
    """What tells a sound from another, and from itself as it was before its file was changed."""
    path = bpy.path.abspath(sound.filepath, library=sound.library)
    if sound.packed_file is not None:
        return path, sound.packed_file.size
    with suppress(OSError, ValueError):
        there = Path(path).stat()
        return path, there.st_size, there.st_mtime_ns
    return (path,)


def _start(key: Key, file: SoundFile) -> None:
    global _thread

    def work() -> None:
        steps = examine(file)
        try:
            while not _stop.is_set():
                next(steps)
                time.sleep(_NAP)
        except StopIteration as end:
            _keep(key, end.value)
        except EngineError as error:
            _keep(key, str(error))
        finally:
            steps.close()

    _stop.clear()
    _thread = threading.Thread(target=work, name="artalk-sound")
    _thread.start()
    bpy.app.timers.register(_look, first_interval=_LOOK)


def _look() -> float | None:
    """Blender calls this until the report is there."""
    if _thread is not None and _thread.is_alive():
        return _LOOK
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "SEQUENCE_EDITOR"}:
                area.tag_redraw()
    return None


def lines_of(strip: Any) -> list[tuple[str, str]]:
    """What a panel says of a strip's sound: (sentence, icon) each."""
    found = report_of(strip)
    if found is None:
        return []
    if isinstance(found, str):
        return [(found, "ERROR")]
    level = [] if found.has("silent") else [(f"Speech at {found.speech_db:.0f} dB", "BLANK1")]
    return [*level, *((str(finding), "ERROR") for finding in found.findings)]


def register() -> None:
    """Nothing to register; sounds are looked at when somebody asks."""


def unregister() -> None:
    _stop.set()
    if _thread is not None:
        _thread.join()
    look: Callable[[], float | None] = _look
    if bpy.app.timers.is_registered(look):
        bpy.app.timers.unregister(look)
    _known.clear()
