# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to raw motion before it becomes keys. Plain numpy, no `bpy` module use.

A take keeps its raw motion, so all of this can be done again with other numbers without asking the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.rotations import to_quaternions
from ..engine.smoothing import smooth_motion
from ..errors import ArtalkError
from .blinks import add_blinks
from .gate import rest
from .layout import CHANNELS, EXPRESSION, HEAD_ROTATION, JAW_POSE, MOTION_FPS
from .limits import clamp_motion
from .regions import LIPS, FaceChannels, apply_gains

Floats = NDArray[np.float32]

# lowest and highest of every number in ProcessSettings
RANGES: dict[str, tuple[float, float]] = {
    "smoothing": (0.0, 1.0),
    "intensity": (0.0, 5.0),
    "lips": (0.0, 5.0),
    "cheeks": (0.0, 5.0),
    "brows": (0.0, 5.0),
    "head_gain": (0.0, 5.0),
    "jaw_gain": (0.0, 5.0),
    "offset_ms": (-10000.0, 10000.0),
    "silence_gate": (0.0, 1.0),
    "blinks": (0.0, 40.0),
    "blink_seed": (0, 2**31 - 1),
}
KEYABLE = ("intensity", "lips", "cheeks", "brows", "head_gain", "jaw_gain")  # may change from frame to frame
_LARGEST = 1e6  # no motion means such a number


@dataclass(frozen=True)
class ProcessSettings:
    """How raw motion is tuned; the defaults leave it as the model made it, smoothed as published.

    smooth: the published smoothing. smoothing: a Gaussian besides, its sigma in seconds.
    intensity: all of the motion about the resting face and the upright head; then by part: lips (with jaw), cheeks,
    brows (with lids), head_gain, and jaw_gain (the jaw within lips). 1 is as made, 0 is still.
    offset_ms: later where positive; for whoever keys the motion, `process_motion` does not shift it.
    silence_gate: how far lips and jaw rest in pauses, 0..1. blinks: about how many a minute there shall be, 0 leaves
    them as they are; blink_seed: which. clamp: bends what lies outside the sane range (`limits.py`).
    """

    smooth: bool = True
    smoothing: float = 0.0
    intensity: float = 1.0
    lips: float = 1.0
    cheeks: float = 1.0
    brows: float = 1.0
    head_gain: float = 1.0
    jaw_gain: float = 1.0
    offset_ms: float = 0.0
    silence_gate: float = 0.0
    blinks: float = 0.0
    blink_seed: int = 0
    clamp: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError, one sentence that names the field."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            whole = name == "blink_seed"
            number = isinstance(value, (int, np.integer) if whole else (int, float, np.integer, np.floating))
            if not number or isinstance(value, bool) or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                raise ValueError(f"{name} is {kind} from {low:g} to {high:g}, not {value!r}")
            object.__setattr__(self, name, int(value) if whole else float(value))
        for name in ("smooth", "clamp"):
            if getattr(self, name) not in (True, False):
                raise ValueError(f"{name} is true or false, not {getattr(self, name)!r}")
            object.__setattr__(self, name, bool(getattr(self, name)))

    def as_dict(self) -> dict[str, bool | int | float]:
        """Plain numbers, fit for ID properties and JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProcessSettings:
        """The inverse of `as_dict`; unknown keys are ignored, missing ones are as by default. Raises ValueError."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


def process_motion(raw: NDArray[np.floating[Any]], settings: ProcessSettings | None = None,
                   face: FaceChannels | None = None, loudness: NDArray[np.floating[Any]] | None = None,
                   gains: Mapping[str, NDArray[np.floating[Any]]] | None = None) -> Floats:
    """Raw motion (T,106) -> the motion that is keyed (T,106); `raw` stays as it is.

    `gains` has values (T,) for those of KEYABLE that change in time, in the place of the settings' one number.
    Without `face`, or with one that tells no regions apart, lips reach only the jaw, cheeks and brows nothing; a face
    that does not say how it blinks gets no blinks. Without `loudness`, (T,) from `gate.loudness`, pauses are not known
    and the gate stays open. Raises ValueError for other shapes, ArtalkError for values that are not numbers.
    """
    settings = settings or ProcessSettings()
    raw = np.asarray(raw, np.float32)
    if raw.ndim != 2 or raw.shape[1] != CHANNELS:
        raise ValueError(f"motion is (T,{CHANNELS}), not {raw.shape}")
    if loudness is not None and np.shape(loudness) != (len(raw),):
        raise ValueError(f"loudness of this motion is ({len(raw)},), not {np.shape(loudness)}")
    if not (np.abs(raw) < _LARGEST).all():
        raise ArtalkError("The motion holds values that are not numbers, or far too large.", "Generate it again.")
    motion = smooth_motion(raw) if settings.smooth else raw.copy()
    if settings.smoothing > 0.0:
        motion = gaussian(motion, settings.smoothing * MOTION_FPS)
    _scale(motion, settings, face, loudness, gains or {})
    if settings.clamp:
        motion = clamp_motion(motion, face)
    if settings.blinks > 0.0:  # last, so that the lids close whatever the clamp thinks of it
        motion[:, EXPRESSION] = add_blinks(motion[:, EXPRESSION], face, settings.blinks, settings.blink_seed)
    return motion


def _scale(motion: Floats, settings: ProcessSettings, face: FaceChannels | None,
           loudness: NDArray[np.floating[Any]] | None, keyed: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    """Gains and the silence gate, in place."""
    def gain(name: str) -> Floats:
        """(1,) or (T,)"""
        return np.atleast_1d(np.asarray(keyed.get(name, getattr(settings, name)), np.float32))

    gains = np.stack(np.broadcast_arrays(gain("lips"), gain("cheeks"), gain("brows")), 1)
    if settings.silence_gate > 0.0 and loudness is not None:
        gains = np.broadcast_to(gains, (len(motion), gains.shape[1])).copy()
        gains[:, LIPS] *= 1.0 - np.float32(settings.silence_gate) * rest(loudness)
    if (gains != 1.0).any():
        motion[:, EXPRESSION] = apply_gains(motion[:, EXPRESSION], face, gains)
    jaw = gain("jaw_gain")[:, None]
    motion[:, JAW_POSE] *= gains[:, LIPS, None] * jaw
    if face is not None and (jaw != 1.0).any():
        motion[:, EXPRESSION][:, face.with_jaw] *= jaw
    motion[:, HEAD_ROTATION] *= gain("head_gain")[:, None]
    if (gain("intensity") != 1.0).any():
        motion *= gain("intensity")[:, None]


def gaussian(values: Floats, sigma: float) -> Floats:
    """(T,C) smoothed along time, sigma in frames; beyond the ends the first and last values go on.

    Rotations are smoothed as axis-angle vectors: exact about one axis, and for a head's and a jaw's small turns within
    a fraction of a degree. Frames are taken in blocks, each one product with a band matrix.
    """
    radius = max(1, math.ceil(3.0 * sigma))
    if not len(values):
        return values.copy()
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    block = min(256, len(values))
    band = np.zeros((block, block + 2 * radius), np.float32)
    for row in range(block):
        band[row, row : row + len(kernel)] = kernel
    padded = np.pad(values, ((radius, radius), (0, 0)), "edge")
    result = np.empty_like(values)
    for start in range(0, len(values), block):
        part = padded[start : start + block + 2 * radius]
        count = len(part) - 2 * radius
        result[start : start + count] = band[:count, : len(part)] @ part
    return result


def axis_angle_to_quaternions(axis_angle: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(T,3) radians -> (T,4) unit quaternions w, x, y, z whose sign never jumps from frame to frame.

    q and -q are the same rotation, but half-way between them lies none: without the continuous sign a bone
    would spin through its F-curves. The first frame has w >= 0.
    """
    quaternions = to_quaternions(axis_angle)
    if len(quaternions):
        step = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
        step[step == 0] = 1.0
        first = 1.0 if quaternions[0, 0] >= 0 else -1.0
        quaternions *= (first * np.concatenate([[1.0], np.cumprod(step)]))[:, None]
    return quaternions
