# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a sound are wanted, what came before them, and in which manner. numpy only, no torch.

A network conditions a chunk on the motion of the chunks before it, read by the codec's own encoder. So motion from
elsewhere (a take's frames before a range) can stand in their place; where it is the very motion that the model made
there, the model goes on as it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .config import CHUNK_FRAMES, NetworkConfig
from .errors import EngineError

Floats = NDArray[np.float32]

FRAME_SAMPLES = 640
MOTION_SIZE = 106
TEMPERATURE = 1.0       # of variations
STRONGEST = 3.0         # of styles
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Passage:
    """Frames `start_frame` .. `start_frame + frames` of a sound (None: to its end), heard with what is around them.

    history (H,106): raw motion just before `start_frame`, of which the network reads what it has room for (100 frames
    in the published one); None: none, as at a sound's beginning. variation: 0 is what the model finds likeliest, any
    other number another of its choices, always the same for the same number. strength: how far a style is followed, 0
    not at all, 1 as it is; None: as the model was published (1.1).
    """

    start_frame: int = 0
    frames: int | None = None
    history: Floats | None = None
    variation: int = 0
    strength: float | None = None

    def checked(self, sample_count: int) -> Passage:
        """The same passage of N samples at 16 kHz, its history as float32. Raises EngineError for what cannot be."""
        if self.start_frame < 0 or self.frame_count(sample_count) < 1 or self._left(sample_count) < (self.frames or 1):
            raise EngineError("The range lies outside the sound.", "Choose one within it.", code="bad_input")
        if not 0 <= self.variation <= _LARGEST:
            raise EngineError(f"A variation is a whole number from 0 to {_LARGEST}, not {self.variation}.",
                              code="bad_input")
        if self.strength is not None and not 0.0 <= self.strength <= STRONGEST:
            raise EngineError(f"A style's strength is a number from 0 to {STRONGEST:g}, not {self.strength}.",
                              code="bad_input")
        if self.history is None:
            return self
        with np.errstate(over="ignore"):    # what overflows is infinite, and refused below
            history = np.asarray(self.history, np.float32)
        if history.ndim != 2 or history.shape[1] != MOTION_SIZE:
            raise EngineError(f"The motion before a range is (H,{MOTION_SIZE}), not {history.shape}.", code="bad_input")
        if not np.isfinite(history).all():
            raise EngineError("The motion before the range holds values that are not numbers.", code="bad_input")
        return replace(self, history=history)

    def _left(self, sample_count: int) -> int:
        return math.ceil(sample_count / FRAME_SAMPLES) - self.start_frame

    def frame_count(self, sample_count: int) -> int:
        """Frames of the passage of N samples at 16 kHz."""
        return self._left(sample_count) if self.frames is None else self.frames

    def chunks(self, sample_count: int) -> int:
        """Chunks of 100 frames that the passage fills, the last one in part."""
        return max(1, math.ceil(self.frame_count(sample_count) / CHUNK_FRAMES))

    def pasts(self, config: NetworkConfig) -> Iterator[Floats]:
        """The history as chunks (100,106), as many as the network reads, oldest first.

        Before the first frame of motion lie zeros, as before a sound's beginning. (Its first frame held, or motion
        mirrored, led the default model to no smaller jumps.)
        """
        if self.history is None or len(self.history) == 0:
            return
        known = self.history[-config.prev_ratio * config.frames :]
        count = math.ceil(len(known) / config.frames)
        padded = np.pad(known, ((count * config.frames - len(known), 0), (0, 0)))
        yield from np.split(padded, count)

    def noise(self, chunk: int, config: NetworkConfig) -> Floats | None:
        """What the logit of bit 0 is raised by in the passage's chunk number `chunk`, (181,C); None: nothing.

        Logistic noise, so that a bit is 1 with the probability that the model gives it, at the temperature. It hangs
        on the variation and on where in the sound the chunk begins, not on how it came to be asked for.
        """
        if self.variation == 0:
            return None
        first = self.start_frame + chunk * config.frames
        drawn = np.random.Generator(np.random.PCG64([self.variation, first])).random((config.tokens, config.code_dim))
        drawn = np.clip(drawn, 1e-12, 1.0 - 1e-12)
        return (TEMPERATURE * np.log(drawn / (1.0 - drawn))).astype(np.float32)


WHOLE = Passage()
