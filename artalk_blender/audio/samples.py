# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files -> samples, through Blender's own audio library. No `bpy` module use; `aud` comes with it.

The resampling filter is the published one (engine/resample.py), so the same file gives the same motion here
and on the engine's command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.audio_file import SAMPLE_RATE, mono_16k
from ..engine.audio_truncation import is_cut_short
from ..errors import ArtalkError
from .wav import read_wav

Floats = NDArray[np.float32]
Decoder = Callable[[Path], "tuple[Floats, int] | None"]

_LONG = 10.0  # seconds of sound that take some 30 ms to decode


def read_sound(path: Path, name: str = "", beside: Decoder | None = None) -> Floats:
    """Samples (N,) float32, 16 kHz, mono, of a sound file. `name` is what messages call it.

    `beside` decodes what would keep Blender waiting for long, in another process; None: all is decoded here.
    Raises ArtalkError with one sentence for what can't be read.
    """
    name = name or path.name
    _check_file(path, name)
    found = read_wav(path)
    if found is None:
        found = _decode(path, name, beside)
    samples, rate = found
    return mono_16k(np.ascontiguousarray(samples.T), rate, name)


def _decode(path: Path, name: str, beside: Decoder | None) -> tuple[Floats, int]:
    """(samples (N,C), rate) by Blender's own audio library."""
    try:
        import aud
    except ImportError:
        raise ArtalkError("This Blender was built without audio.", "Use the Blender from blender.org.") from None
    damaged = ArtalkError(f"“{name}” is not an audio file that can be read, or it is damaged.",
                          "Convert it to WAV, FLAC, OGG or MP3.", "bad_file")
    sound = aud.Sound.file(str(path))
    try:
        # must come first: .data() of a file that can't be read aborts Blender itself, .specs raises
        rate, _channels = sound.specs
        promised = sound.length
        if promised <= 0 or rate <= 0:
            raise damaged
        found = beside(path) if beside is not None and promised > _LONG * rate else None
        samples, rate = found if found is not None else (sound.data(), round(rate))
    except aud.error:
        raise damaged from None
    seconds = len(samples) / rate
    if is_cut_short(path, seconds) or seconds < 0.98 * promised / rate - 0.1:
        raise ArtalkError(f"“{name}” breaks off in the middle.", "Export or copy it again.", "bad_file")
    return samples, rate


def _check_file(path: Path, name: str) -> None:
    if path.is_dir():
        raise ArtalkError(f"“{name}” is a folder, not an audio file.", "Name the file in it.")
    if not path.is_file():
        raise ArtalkError(f"There is no audio file “{path}”.", "Check the path.")
    try:
        if path.stat().st_size == 0:
            raise ArtalkError(f"“{name}” is empty.", "Export or copy the audio again.", "bad_file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ArtalkError(f"“{name}” can't be opened: {error.strerror}.", "Check its permissions.") from None


def cut(samples: Floats, offset: float, seconds: float) -> Floats:
    """`seconds` of samples (N,) from `offset` seconds on; silence where the sound does not reach."""
    start = round(offset * SAMPLE_RATE)
    count = max(0, math.ceil(seconds * SAMPLE_RATE - 1e-6))
    result = np.zeros(count, np.float32)
    first, last = max(start, 0), min(start + count, len(samples))
    if last > first:
        result[first - start : last - start] = samples[first:last]
    return result
