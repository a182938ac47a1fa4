# SPDX-License-Identifier: GPL-3.0-or-later
"""The published smoothing of raw motion: Savitzky-Golay in numpy alone (tested against scipy's).

All 106 values: window 5, order 2; then the head rotation (100:103): window 9, order 3, from the raw values;
then the jaw's second and third axis are set to zero. Ends are the polynomial fitted to the end window
(scipy's mode "interp").
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

HEAD_ROTATION = slice(100, 103)


@functools.cache
def _projection(window: int, order: int) -> NDArray[np.float64]:
    """(window, window) matrix that replaces a window's values by their least-squares polynomial of `order`."""
    positions = np.arange(window, dtype=np.float64) - window // 2
    powers = positions[:, None] ** np.arange(order + 1)
    return powers @ np.linalg.pinv(powers)


def savitzky_golay(values: NDArray[np.floating], window: int, order: int) -> NDArray[np.float32]:
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


def smooth_motion(raw: NDArray[np.floating]) -> NDArray[np.float32]:
    """Raw motion (T,106) -> published motion (T,106).

    The reference refuses fewer than 9 frames; here shorter motion is smoothed with the window that fits.
    """
    result = savitzky_golay(raw, 5, 2)
    result[:, HEAD_ROTATION] = savitzky_golay(raw[:, HEAD_ROTATION], 9, 3)
    result[:, 104:] = 0.0
    return result
