# SPDX-License-Identifier: GPL-3.0-or-later
"""The smoothest curve near a curve: (I + a D'D)^-1 over time, D second differences. numpy only, no `bpy` use.

Whittaker 1923, "On a new method of graduation". The inverse falls off within some frames, so long curves are done in
blocks with their surroundings, each by one small dense matrix; the ends have free boundaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 16.0
_FARTHEST = 40  # frames, to which the inverse reaches for the largest a
_REACHES = 1e-6  # of its middle
_NOTHING = 1e-8


def second_differences(count: int) -> NDArray[np.float64]:
    """D (count-2, count); no rows for fewer than three frames."""
    rows = max(count - 2, 0)
    result = np.zeros((rows, count))
    for offset, value in enumerate((1.0, -2.0, 1.0)):
        result[np.arange(rows), np.arange(rows) + offset] = value
    return result


def curvature(curves: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """D'D curves (T,K) without the matrix, T > 2."""
    bend = curves[:-2] - 2.0 * curves[1:-1] + curves[2:]
    result = np.zeros_like(curves)
    result[:-2] += bend
    result[1:-1] -= 2.0 * bend
    result[2:] += bend
    return result


class Smoother:
    """Applies (I + a D'D)^-1 to curves (T,K) of one length T; a is at most 16."""

    def __init__(self, count: int, amount: float, dtype: Any = np.float32) -> None:
        self._amount = min(amount, _MOST)
        reach = self._reach()
        block = max(2 * reach, 24)
        self._blocks = (count - 2 * block) // block
        self._block, self._ends = block, block + reach
        self._whole: NDArray[Any] | None = None
        if self._blocks < 1:
            self._whole = self._inverse(count).astype(dtype)
            return
        window = self._inverse(block + 4 * reach)
        self._first = window[:block, : block + reach].astype(dtype)
        self._middle = window[2 * reach : 2 * reach + block, reach : block + 3 * reach].astype(dtype)
        rest = count - block - self._blocks * block  # what the last rows are, after whole blocks
        self._last = self._inverse(rest + 3 * reach)[3 * reach :, 2 * reach :].astype(dtype)

    def _reach(self) -> int:
        """Frames after which the inverse is nothing."""
        row = np.abs(self._inverse(2 * _FARTHEST + 1)[_FARTHEST, _FARTHEST:])
        return int(np.flatnonzero(row > _REACHES * row[0])[-1]) + 1

    def _inverse(self, count: int) -> NDArray[np.float64]:
        matrix = second_differences(count)
        inverse = np.linalg.inv(np.eye(count) + self._amount * matrix.T @ matrix)
        inverse[np.abs(inverse) < _NOTHING] = 0.0  # denormal numbers would make the products 50 times as slow
        return inverse

    def __call__(self, curves: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        if self._whole is not None:
            return self._whole @ curves
        block, ends = self._block, self._ends
        reach = ends - block
        result = np.empty_like(curves)
        result[:block] = self._first @ curves[:ends]
        step, along = curves.strides
        windows = np.lib.stride_tricks.as_strided(
            curves[block - reach :], (self._blocks, block + 2 * reach, curves.shape[1]), (block * step, step, along),
            writeable=False)
        end = block + self._blocks * block
        np.matmul(self._middle, windows, out=result[block:end].reshape(self._blocks, block, -1))
        result[end:] = self._last @ curves[end - reach :]
        return result
