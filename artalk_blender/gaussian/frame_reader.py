# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads rendered frames in a thread, the current one first, then those that come next. No `bpy` module use."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import EngineError
from ..engine.gaussian.exr import read_exr
from ..engine.gaussian.png import read_png

Pixels = NDArray[np.uint8]


def read_frame(path: Path) -> Pixels:
    """(H,W,4) uint8, sRGB with straight alpha, top row first. Raises EngineError or OSError."""
    data = path.read_bytes()
    if path.suffix == ".exr":
        return to_display(read_exr(data)[0])
    pixels = read_png(data)[0]
    if pixels.shape[2] == 3:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], 2)
    return pixels


def to_display(pixels: NDArray[Any]) -> Pixels:
    """(H,W,4) half floats, scene-linear times alpha -> (H,W,4) uint8, sRGB with straight alpha."""
    halves = np.ascontiguousarray(pixels, np.float16)
    alpha = halves[..., 3]
    result = _bytes_of_halves()[halves.view(np.uint16)]
    part = (alpha > 0) & (alpha < 1)  # a rim: what is whole or nothing needs no division
    color = halves[part].astype(np.float32)
    result[part, :3] = _encoded(color[:, :3] / color[:, 3:])
    result[..., 3] = alpha.astype(np.float32).clip(0, 1) * 255 + 0.5
    return result


def _encoded(light: NDArray[np.float32]) -> Pixels:
    light = light.clip(0, 1)
    curve = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curve * 255 + 0.5).astype(np.uint8)


@functools.cache
def _bytes_of_halves() -> Pixels:
    """sRGB bytes of all half floats there are, by their bits."""
    with np.errstate(invalid="ignore"):
        return _encoded(np.nan_to_num(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)))


class FrameReader:
    """A thread that reads what was wished for last; whatever was wished for before and not begun is forgotten."""

    def __init__(self, read: Callable[[Path], Pixels] = read_frame) -> None:
        self._read = read
        self._done: queue.SimpleQueue[tuple[Any, Pixels | None]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._wanted: list[tuple[Any, Path]] = []
        self._held: set[Any] = set()  # being read, or read and not yet taken
        self._thread: threading.Thread | None = None
        self._ended = False

    def wish(self, frames: Sequence[tuple[Any, Path]]) -> None:
        """(key, file) of the frames that are wanted now, the most urgent first."""
        with self._changed:
            self._wanted = [(key, path) for key, path in frames if key not in self._held]
            if self._thread is None and self._wanted:
                self._thread = threading.Thread(target=self._run, name="artalk-frames", daemon=True)
                self._thread.start()
            self._changed.notify()

    def take(self) -> list[tuple[Any, Pixels | None]]:
        """What has been read since: None for what could not be."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._done.get_nowait())
        with self._changed:
            self._held.difference_update(key for key, _ in found)
        return found

    def close(self) -> None:
        """Lets the thread end."""
        with self._changed:
            self._ended, self._wanted = True, []
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                key, path = self._wanted.pop(0)
                self._held.add(key)
            try:
                self._done.put((key, self._read(path)))
            except (EngineError, OSError, ValueError):
                self._done.put((key, None))
