# SPDX-License-Identifier: GPL-3.0-or-later
"""Resampling as the published model hears it: Hann-windowed sinc, 6 zero crossings, roll-off 0.99. numpy only.

The filter is torchaudio's default `resample` (J. O. Smith, "Digital Audio Resampling"); output length is
ceil(N * to / rate). Evaluated block by block, so memory stays flat in the length of the file.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99
_BLOCK_OUTPUTS = 1 << 15


@functools.cache
def _filter_bank(source: int, target: int) -> tuple[NDArray[np.float32], int]:
    """(target, taps) one filter a phase, and how many inputs before the first one they start (both rates reduced)."""
    cutoff = min(source, target) * _ROLLOFF
    reach = math.ceil(_ZERO_CROSSINGS * source / cutoff)
    inputs = np.arange(-reach, reach + source, dtype=np.float64) / source
    phases = -np.arange(target, dtype=np.float64) / target
    time = np.clip((phases[:, None] + inputs) * cutoff, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.cos(time * math.pi / _ZERO_CROSSINGS / 2) ** 2
    return (np.sinc(time) * window * (cutoff / source)).astype(np.float32), reach


def resample(samples: NDArray[np.floating[Any]], rate: int, to: int = 16000) -> NDArray[np.float32]:
    """(C, N) at `rate` Hz -> (C, ceil(N * to / rate)) at `to` Hz."""
    data = np.atleast_2d(np.asarray(samples, np.float32))
    if rate == to or data.shape[1] == 0:
        return np.array(data, np.float32)
    common = math.gcd(rate, to)
    source, target = rate // common, to // common
    bank, reach = _filter_bank(source, target)
    length = math.ceil(data.shape[1] * target / source)
    steps = math.ceil(length / target)
    # each step of `source` inputs gives `target` outputs; the padding covers the filter at both ends
    padded = np.pad(data, ((0, 0), (reach, reach + source + source * steps - data.shape[1])))
    out = np.empty((len(data), steps * target), np.float32)
    block = max(1, _BLOCK_OUTPUTS // target)
    taps = bank.shape[1]
    for first in range(0, steps, block):
        count = min(block, steps - first)
        part = padded[:, first * source : first * source + (count - 1) * source + taps]
        windows = np.lib.stride_tricks.sliding_window_view(part, taps, axis=1)[:, ::source]
        out[:, first * target : (first + count) * target] = (windows @ bank.T).reshape(len(data), -1)
    return np.ascontiguousarray(out[:, :length])
