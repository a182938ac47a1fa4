# SPDX-License-Identifier: GPL-3.0-or-later
"""The smoothest curve near a curve: (I + a D'D)^-1 over time, D second differences. numpy only, no `bpy` use.

Whittaker 1923, "On a new method of graduation". The inverse falls off within some frames, so long curves are done in
blocks with their surroundings, each by one small dense matrix; the ends have free boundaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 96
_HALO = 32  # frames after which the inverse is below 1e-5 of its middle, for every a up to `_MOST`
_MOST = 16.0


def second_differences(count: int) -> NDArray[np.float64]:
    """D (count-2, count); no rows for fewer than three frames."""
    rows = max(count - 2, 0)
    result = np.zeros((rows, count))
    for offset, value in enumerate((1.0, -2.0, 1.0)):
        result[np.arange(rows), np.arange(rows) + offset] = value
    return result


def curvature(curves: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """D'D curves (T,...) without the matrix."""
    result = np.zeros_like(curves)
    if len(curves) > 2:
        bend = curves[:-2] - 2.0 * curves[1:-1] + curves[2:]
        result[:-2] += bend
        result[1:-1] -= 2.0 * bend
        result[2:] += bend
    return result


class Smoother:
    """Applies (I + a D'D)^-1 to curves (T,K) of one length T; a is at most 16."""

    def __init__(self, count: int, amount: float, dtype: Any = np.float32) -> None:
        self.count = count
        self._amount = min(amount, _MOST)
        self._whole = self._first = self._middle = self._last = None
        if count <= 2 * _BLOCK + 2 * _HALO:
            self._whole = self._inverse(count).astype(dtype)
            return
        window = self._inverse(_BLOCK + 4 * _HALO)
        self._first = window[:_BLOCK, : _BLOCK + _HALO].astype(dtype)
        self._middle = window[2 * _HALO : 2 * _HALO + _BLOCK, _HALO : _BLOCK + 3 * _HALO].astype(dtype)
        # all but the first block and whole middle ones; the end's rows come last
        self._blocks = (count - 2 * _BLOCK) // _BLOCK
        rest = count - _BLOCK - self._blocks * _BLOCK
        ending = self._inverse(rest + 3 * _HALO)
        self._last = ending[3 * _HALO :, 2 * _HALO :].astype(dtype)

    def _inverse(self, count: int) -> NDArray[np.float64]:
        matrix = second_differences(count)
        return np.linalg.inv(np.eye(count) + self._amount * matrix.T @ matrix)

    def __call__(self, curves: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        if self._whole is not None:
            return self._whole @ curves
        assert self._first is not None and self._middle is not None and self._last is not None
        result = np.empty_like(curves)
        result[:_BLOCK] = self._first @ curves[: _BLOCK + _HALO]
        for block in range(self._blocks):
            begin = _BLOCK + block * _BLOCK
            result[begin : begin + _BLOCK] = self._middle @ curves[begin - _HALO : begin + _BLOCK + _HALO]
        begin = _BLOCK + self._blocks * _BLOCK
        result[begin:] = self._last @ curves[begin - _HALO :]
        return result
