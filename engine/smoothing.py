# SPDX-License-Identifier: GPL-3.0-or-later
"""The published smoothing of raw motion: Savitzky-Golay in numpy alone (tested against scipy's).

All 106 values: window 5, order 2; then the head rotation (100:103): window 9, order 3, from the raw values;
then the jaw's second and third axis are set to zero. Ends are the polynomial fitted to the end window
(scipy's mode "interp").
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD_ROTATION = slice(100, 103)


@functools.cache
def _projection(window: int, order: int) -> NDArray[np.float64]:
    """(window, window) matrix that replaces a window's values by their least-squares polynomial of `order`."""
    positions = np.arange(window, dtype=np.float64) - window // 2
    powers = positions[:, None] ** np.arange(order + 1)
    return powers @ np.linalg.pinv(powers)


def savitzky_golay(values: NDArray[np.floating[Any]], window: int, order: int) -> NDArray[np.float32]:
    """Smooths (T, C) along time. Where T < window, the largest odd window that fits is used."""
    frames = len(values)
    window = min(window, frames if frames % 2 else frames - 1)
    if window <= order:
        return np.array(values, np.float32)
    data = np.asarray(values, np.float64)
    fit = _projection(window, order)
    half = window // 2
    result = np.empty_like(data)
    kernel = fit[half]
    inner = frames - 2 * half
    result[half : half + inner] = sum(kernel[i] * data[i : i + inner] for i in range(window))
    result[:half] = fit[:half] @ data[:window]
    result[frames - half :] = fit[half + 1 :] @ data[-window:]
    return result.astype(np.float32)


def smooth_motion(raw: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Raw motion (T,106) -> published motion (T,106).

    The reference refuses fewer than 9 frames; here shorter motion is smoothed with the window that fits.
    """
    result = savitzky_golay(raw, 5, 2)
    result[:, HEAD_ROTATION] = savitzky_golay(raw[:, HEAD_ROTATION], 9, 3)
    result[:, 104:] = 0.0
    return result


class StreamingSmoother:
    """`smooth_motion` for motion that arrives in parts: the same bits, at most `DELAY` frames later."""

    DELAY = 4  # half of the widest window

    def __init__(self) -> None:
        self._raw = np.zeros((0, 106), np.float32)  # from frame _base on
        self._base = 0
        self._sent = 0

    def push(self, raw: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Takes raw frames (n,106), returns the smoothed frames (m,106) that nothing later can change."""
        self._raw = np.concatenate([self._raw, np.asarray(raw, np.float32)])
        end = self._base + len(self._raw)
        ready = end - self.DELAY if end >= 9 else 0
        return self._send(ready)

    def flush(self) -> NDArray[np.float32]:
        """The remaining smoothed frames, once the last raw frame has been pushed."""
        return self._send(self._base + len(self._raw))

    def _send(self, until: int) -> NDArray[np.float32]:
        if until <= self._sent:
            return np.zeros((0, 106), np.float32)
        result = smooth_motion(self._raw)[self._sent - self._base : until - self._base]
        self._sent = until
        # the next frame's window reaches 4 frames back, the end's polynomial 8
        drop = max(0, self._sent - 8 - self._base)
        self._raw, self._base = self._raw[drop:], self._base + drop
        return result
