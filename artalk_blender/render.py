# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the scene to an MP4 with its sound.

Workbench draws through OpenGL, and where there is no driver for it Blender does not complain, it aborts. So a child
process tries it first; where that one dies, Cycles renders on the processor: slower, but a picture.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bpy

from . import compat
from .errors import ArtalkError

_TRIAL = """
import bpy
render = bpy.context.scene.render
render.engine, render.resolution_x, render.resolution_y = "BLENDER_WORKBENCH", 8, 8
bpy.ops.render.render()
"""
_FILM_RATES = (32000, 44100, 48000, 64000, 88200, 96000)  # Hz; under 25,600 an AAC packet outlasts a picture
_TRIAL_PATIENCE = 60.0  # seconds; it takes one or two


def start_trial() -> subprocess.Popen[bytes] | None:
    """Starts drawing in a child process; None in a Blender with windows, which draws already."""
    if not bpy.app.background:
        return None
    binary = bpy.app.binary_path
    command = [binary, "--background", "--factory-startup", "--python-expr", _TRIAL] if binary else [
        sys.executable, "-I", "-c", _TRIAL]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def can_draw(trial: subprocess.Popen[bytes] | None) -> bool:
    """Whether the trial lived."""
    if trial is None:
        return True
    try:
        return trial.wait(_TRIAL_PATIENCE) == 0
    except subprocess.TimeoutExpired:
        trial.kill()
        trial.wait()
        return False


def use_cycles(scene: Any) -> None:
    """Few samples, denoised: for machines that can't draw."""
    scene.render.engine = "CYCLES"
    scene.render.use_persistent_data = True
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.max_bounces = "CPU", 4, 1
    cycles.use_denoising, cycles.denoising_quality, cycles.denoising_input_passes = True, "FAST", "RGB"


def movie_sound_rate(sound_rate: int) -> int:
    """The rate (Hz) to mix a film's sound at: the sound's own where that serves, else 48,000.

    Blender's mixer leaves noise behind the end of a sound that it resamples, which can even stop the encoder.
    """
    return sound_rate if sound_rate in _FILM_RATES else 48000


def choose_mp4(scene: Any, file_name: str, sound_rate: int) -> None:
    """Output settings: H.264 and AAC, as every player takes them; the file lies beside the .blend."""
    compat.choose_movie_output(scene.render.image_settings)
    scene.render.image_settings.color_mode = "RGB"
    movie = scene.render.ffmpeg
    movie.format, movie.codec, movie.audio_codec = "MPEG4", "H264", "AAC"
    movie.constant_rate_factor = "HIGH"
    movie.audio_mixrate, movie.audio_bitrate = movie_sound_rate(sound_rate), 192
    scene.render.use_file_extension = False
    scene.render.filepath = f"//{file_name}"


@contextmanager
def _stoppable(part: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C ends the process within a frame, and takes the unfinished film along.

    Raising would not: Blender prints what a render handler raises and renders on.
    """

    def stop(*_: Any) -> None:
        with suppress(OSError):
            part.unlink()
        say("Stopped.")
        os._exit(130)

    kept = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            # Blender's own handler, which is no Python function, reads as None
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def render_movie(scene: Any, path: Path, progress: Callable[[int, int], None] = lambda done, total: None,
                 say: Callable[[str], None] = print) -> int:
    """Renders the scene's frame range to `path`, whole or not at all; returns the number of frames.

    For the command line: while it renders, Ctrl-C ends the process.
    """
    total = scene.frame_end - scene.frame_start + 1
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".part{path.suffix}", dir=path.parent)
    os.close(handle)
    part = Path(name)
    part.unlink()
    written = 0

    def count(*_: Any) -> None:
        nonlocal written
        written += 1
        progress(written, total)

    before = scene.render.filepath
    scene.render.filepath = str(part)
    bpy.app.handlers.render_write.append(count)
    try:
        with _stoppable(part, say):
            bpy.ops.render.render(animation=True)
        if written < total or not part.is_file() or part.stat().st_size == 0:
            raise ArtalkError(f"“{path.name}” could not be rendered.", "Open the .blend and render it there.")
        os.replace(part, path)
    except (RuntimeError, OSError) as error:
        raise ArtalkError(f"“{path.name}” could not be rendered: {str(error).strip()}.",
                          "Open the .blend and render it there.") from None
    finally:
        bpy.app.handlers.render_write.remove(count)
        scene.render.filepath = before
        with suppress(OSError):
            part.unlink()
    return total
