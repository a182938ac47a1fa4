# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a generation will take, on what, with how much memory: measured by the ones before, else told as unknown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from . import compat
from .audio.strip import scene_rate, speech_strips
from .preferences import read_preferences

_DEFAULT_SPEED = 0.03  # seconds of work for one of speech, the default model on a slow processor
_DEFAULT_START = 1.5  # seconds
_DEFAULT_MEMORY = 200e6  # bytes
_ROOM = 1.5  # times a checkpoint's size: what a loaded model and its work need

_measured: dict[str, tuple[float, str]] = {}  # by model: seconds of work for one of speech, device


def note_speed(model: str, seconds: float, spoken: float, device: str) -> None:
    """Remembers how fast a model was: `seconds` of work for `spoken` seconds of speech."""
    if spoken > 0.0 and math.isfinite(seconds):
        _measured[model] = (seconds / spoken, device)


def estimate(context: Any) -> str:
    """One line before the button is pressed."""
    model = read_preferences(context).model
    scene = compat.sequencer_scene(context)
    spoken = sum(compat.strip_span(strip).end - compat.strip_span(strip).start for strip in speech_strips(context))
    spoken /= scene_rate(scene)
    speed, device = _measured.get(model, (None if model else _DEFAULT_SPEED, "cpu"))
    memory = _size(Path(model)) * _ROOM if model else _DEFAULT_MEMORY
    where = "graphics card" if device == "cuda" else "processor"
    name = "default model" if not model else Path(model).name
    if speed is None:
        return f"{name}: speed not known yet, about {_bytes(memory)}"
    start = 0.0 if model in _measured else _DEFAULT_START
    return f"About {_seconds(start + speed * spoken)} on the {where}, {_bytes(memory)} ({name})"


def _size(path: Path) -> float:
    try:
        files = path.glob("*.pt") if path.is_dir() else [path]
        return max((float(file.stat().st_size) for file in files), default=0.0)
    except OSError:
        return 0.0


def _seconds(value: float) -> str:
    return f"{max(1, math.ceil(value))} s" if value < 90.0 else f"{math.ceil(value / 60.0)} min"


def _bytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
