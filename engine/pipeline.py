# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples in, FLAME motion out, chunk by chunk. Importing this module imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError
from .passage import WHOLE, Passage
from .smoothing import StreamingSmoother, smooth_motion

SAMPLE_RATE = 16000
FPS = 25
CHUNK_SAMPLES = 64000
CHUNK_FRAMES = 100
MOTION_SIZE = 106
STYLE_FRAMES = 50
_SILENT_PEAK = 1e-3  # -60 dB below full scale: quieter than any room

Floats = NDArray[np.float32]


class Model(Protocol):
    """What the pipeline asks of a network, in torch or in numpy."""

    name: str
    sha256: str
    device: str
    precision: str

    def chunks(self, samples: Floats, style: Floats | None = None, passage: Passage = WHOLE) -> Iterator[Floats]:
        """Raw motion (100,106) of each 4-second chunk of samples (N,), in order; of a passage, from its start on."""
        ...

    def together(self, sounds: Sequence[Floats], style: Floats | None = None) -> list[Floats]:
        """Raw motion (100 * chunks, 106) of each sound (N,), in order."""
        ...


@dataclass(frozen=True)
class Part:
    """Frames `start` .. `start + len(motion)` of a motion, and how many chunks are done."""

    start: int
    motion: Floats
    chunks_done: int
    chunks_total: int


def frame_count(sample_count: int) -> int:
    """Motion frames of N samples at 16 kHz: ceil(N / 16000 * 25)."""
    return math.ceil(sample_count / SAMPLE_RATE * FPS)


def chunk_count(sample_count: int) -> int:
    """Chunks of 4 seconds that N samples fill, the last one in part."""
    return max(1, math.ceil(sample_count / CHUNK_SAMPLES))


def check_samples(samples: NDArray[np.floating[Any]]) -> Floats:
    """Samples (N,) as float32. Raises EngineError for what no model can hear."""
    with np.errstate(over="ignore"):    # what overflows is infinite, and refused below
        samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or samples.size == 0:
        raise EngineError("There is no sound to work on.", "Choose a sound with speech in it.")
    if not np.isfinite(samples).all():
        raise EngineError("The sound holds samples that are not numbers.", "Export it again as 16 or 24 bit.")
    return samples


def check_style(style: NDArray[np.floating[Any]]) -> Floats:
    """A style motion (50,106) as float32; more rows are cut to the first 50, as published."""
    style = np.asarray(style, np.float32)
    if style.ndim != 2 or style.shape[1] != MOTION_SIZE or len(style) < STYLE_FRAMES:
        raise EngineError(f"A style is a motion of {STYLE_FRAMES} frames of {MOTION_SIZE} values, not {style.shape}.")
    if not np.isfinite(style).all():
        raise EngineError("The style motion holds values that are not numbers.")
    return style[:STYLE_FRAMES]


def warnings_for(samples: Floats) -> list[str]:
    """Plain sentences about sound that will not give what one hopes for."""
    if float(np.abs(samples).max(initial=0.0)) < _SILENT_PEAK:
        return ["The sound is silent: the face will rest."]
    return []


class Pipeline:
    """Runs one model over sounds of any length; memory does not grow with the number of chunks."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def stream(
        self,
        samples: NDArray[np.floating[Any]],
        style: NDArray[np.floating[Any]] | None = None,
        raw: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
        passage: Passage = WHOLE,
    ) -> Iterator[Part]:
        """Motion of samples (N,) at 16 kHz as it is made: smoothed (4 frames' delay), or raw.

        `cancelled` is asked between chunks; where it says yes, an EngineError with code "cancelled" ends the stream.
        Of a passage only its frames are made; `Part.start` counts from the start of the sound all the same.
        """
        samples = check_samples(samples)
        style = None if style is None else check_style(style)
        passage = passage.checked(len(samples))
        wanted, total = passage.frame_count(len(samples)), passage.chunks(len(samples))
        smoother = StreamingSmoother()
        made = sent = 0
        for done, chunk in enumerate(self.model.chunks(samples, style, passage), 1):
            if cancelled():
                raise EngineError("Cancelled.", code="cancelled")
            chunk = chunk[: wanted - made]
            made += len(chunk)
            ready = chunk if raw else smoother.push(chunk)
            if made == wanted and not raw:
                ready = np.concatenate([ready, smoother.flush()])
            yield Part(passage.start_frame + sent, ready, done, total)
            sent += len(ready)

    def generate(
        self,
        samples: NDArray[np.floating[Any]],
        style: NDArray[np.floating[Any]] | None = None,
        raw: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
        passage: Passage = WHOLE,
    ) -> Floats:
        """Motion (T,106) at 25 fps of samples (N,) at 16 kHz, T = ceil(N / 640), or of a passage of them."""
        parts = []
        for part in self.stream(samples, style, raw, passage=passage):
            parts.append(part.motion)
            progress(part.chunks_done, part.chunks_total)
        return np.concatenate(parts)

    def generate_many(
        self,
        sounds: Sequence[NDArray[np.floating[Any]]],
        style: NDArray[np.floating[Any]] | None = None,
        raw: bool = False,
    ) -> list[Floats]:
        """Motion (T,106) of every sound (N,) at 16 kHz, all in one style: what `generate` gives, in less time."""
        checked = [check_samples(sound) for sound in sounds]
        style = None if style is None else check_style(style)
        motions = self.model.together(checked, style)
        cut = [motion[: frame_count(len(sound))] for motion, sound in zip(motions, checked, strict=True)]
        return cut if raw else [smooth_motion(motion) for motion in cut]
