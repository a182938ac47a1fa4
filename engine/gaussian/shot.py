# SPDX-License-Identifier: GPL-3.0-or-later
"""What is played and how it is looked at: plain values that every kind of avatar understands. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..rotations import chained, continuous

Floats = NDArray[np.float32]

SMALLEST, LARGEST = 16, 4096
MOTION_RATE = 25.0
_ROTATION = slice(100, 103)


@dataclass(frozen=True)
class Played:
    """T frames at `rate` frames a second: motion (T,106), neck (T,3) and eyes (T,6: left, right), axis-angle.

    shape (300,) is the head's identity, for avatars that have none of their own. What is None rests.
    Raises EngineError where the arrays are of other shapes or hold what are no numbers.
    """

    motion: Floats
    neck: Floats | None = None
    eyes: Floats | None = None
    shape: Floats | None = None
    rate: float = MOTION_RATE

    def __post_init__(self) -> None:
        frames = len(self.motion)
        wanted = (("motion", self.motion, (frames, 106)), ("neck", self.neck, (frames, 3)),
                  ("eyes", self.eyes, (frames, 6)), ("shape", self.shape, (300,)))
        for name, value, shape in wanted:
            if value is None:
                continue
            if value.shape != shape:
                raise EngineError(f"The {name} is of the shape {value.shape} where {shape} belongs.")
            if not np.isfinite(value).all():
                raise EngineError(f"The {name} holds what are no numbers.", "Look for broken keys.")
        if not 0.1 <= self.rate <= 10_000:
            raise EngineError(f"{self.rate:g} frames a second can't be played.", "Choose 0.1 to 10000.")

    def __len__(self) -> int:
        return len(self.motion)

    def joined(self) -> Floats:
        """The motion (T,106) with the neck's turn in the head's, for avatars without a neck."""
        if self.neck is None or not self.neck.any():
            return self.motion
        motion = self.motion.copy()
        motion[:, _ROTATION] = continuous(chained(motion[:, _ROTATION], self.neck))
        return motion

    def with_motion(self, motion: Floats) -> Played:
        """The same with another motion (T,106)."""
        return replace(self, motion=motion)


@dataclass(frozen=True)
class Shot:
    """A picture's size, whether a coarse one will do, and a camera: None is the avatar's own, from its front.

    views (4,4) or (T,4,4) take the head's space (metres, FLAME's axes) to the camera's, +z forward, +y down; Ks (3,3)
    or (T,3,3) are in pixels. Raises EngineError for what can't be drawn.
    """

    width: int
    height: int
    coarse: bool = False
    views: Floats | None = None
    Ks: Floats | None = None

    def __post_init__(self) -> None:
        check_size(self.width)
        check_size(self.height)
        if (self.views is None) != (self.Ks is None):
            raise EngineError("A camera is `view` and `K` together.")
        if self.views is None and self.width != self.height:
            raise EngineError(f"The avatar's own camera makes square pictures, not {self.width} x {self.height}.",
                              "Choose the scene's camera, or a square.")
        for name, value, side in (("view", self.views, 4), ("K", self.Ks, 3)):
            if value is not None and (value.shape[-2:] != (side, side) or value.ndim not in (2, 3)):
                raise EngineError(f"The camera's {name} is of the shape {value.shape} where ({side}, {side}) belongs.")
            if value is not None and not np.isfinite(value).all():
                raise EngineError(f"The camera's {name} holds what are no numbers.")

    def check_frames(self, count: int) -> None:
        """Raises EngineError where there are cameras for another number of frames."""
        for value in (self.views, self.Ks):
            if value is not None and value.ndim == 3 and len(value) != count:
                raise EngineError(f"There are {len(value)} cameras for {count} frames.")

    def camera(self, frame: int) -> tuple[Floats, Floats] | None:
        """(view (4,4), K (3,3)) at a frame; None for the avatar's own."""
        if self.views is None or self.Ks is None:
            return None
        return (self.views if self.views.ndim == 2 else self.views[frame],
                self.Ks if self.Ks.ndim == 2 else self.Ks[frame])


def check_size(size: int) -> None:
    """Raises EngineError for pixels along a side that can't be had."""
    if not SMALLEST <= size <= LARGEST:
        raise EngineError(f"Frames of {size} pixels can't be made.", f"Choose a size from {SMALLEST} to {LARGEST}.")


def straight(image: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """A picture (3,H,W) over black and what is hidden (H,W) -> (4,H,W) with colours as they are without the black."""
    return np.concatenate([image / np.maximum(alpha, 1e-6), alpha[None]]).clip(0, 1)
