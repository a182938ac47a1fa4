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

# The published program has scipy fit the end windows in float32. The solver's factors are a little wrong, by what
# depends on window and order alone; added to an exact fit, that error halves the distance to the published motion (on
# the golden one from 1.0e-6 to 6e-7; the rest is the solver's own rounding). In 1e-9 of the window's values, for the
# frames of the first and of the last half window: the mean of scipy 1.17's answers to four million random windows less
# the exact ones, with OpenBLAS for processors with AVX2. The middle needs none: scipy sums it in float64.
_SOLVER_ERROR = {
    (5, 2): (
        (588, 60, -767, -408, 643),
        (217, -133, -214, -74, 173),
        (-32, -113, 111, 92, -65),
        (90, 100, -118, -76, 167),
    ),
    (9, 3): (
        (295, -176, 18, 129, -2, -259, 353, -509, 201),
        (-382, 345, 511, 363, 10, -308, -649, -126, 371),
        (-903, 662, 928, 616, 37, -460, -1211, -142, 638),
        (-1244, 798, 1222, 831, 68, -640, -1406, -390, 910),
        (-1285, 612, 1242, 926, 112, -781, -982, -904, 1098),
        (-937, 335, 871, 693, 107, -592, -508, -834, 829),
        (-309, -36, 181, 199, 70, -129, 46, -321, 194),
        (624, -479, -875, -615, -5, 684, 606, 804, -899),
    ),
}


@functools.cache
def _projection(window: int, order: int) -> NDArray[np.float64]:
    """(window, window) matrix that replaces a window's values by their least-squares polynomial of `order`."""
    positions = np.arange(window, dtype=np.float64) - window // 2
    powers = positions[:, None] ** np.arange(order + 1)
    fit = powers @ np.linalg.pinv(powers)
    error = _SOLVER_ERROR.get((window, order))
    if error is not None:
        half = window // 2
        fit[:half] += 1e-9 * np.array(error[:half])
        fit[half + 1 :] += 1e-9 * np.array(error[half:])
    return fit


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
