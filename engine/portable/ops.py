# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's building blocks in numpy, float32 in and out. Rows are time, columns are channels."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def layer_norm(x: Floats, eps: float, weight: Floats | None = None, bias: Floats | None = None) -> Floats:
    """Zero mean and unit variance over the last axis, then an optional scale and shift."""
    centred = x - x.mean(axis=-1, keepdims=True)
    y = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(eps))
    return y if weight is None or bias is None else y * weight + bias


def gelu_tanh(x: Floats) -> Floats:
    """GELU by its tanh approximation."""
    inner = x * x
    inner *= np.float32(0.044715 * math.sqrt(2.0 / math.pi))
    inner += np.float32(math.sqrt(2.0 / math.pi))
    inner *= x
    np.tanh(inner, out=inner)
    inner += np.float32(1.0)
    inner *= x
    inner *= np.float32(0.5)
    return inner


def gelu(x: Floats) -> Floats:
    """GELU with the error function itself."""
    return x * np.float32(0.5) * (erf(x * np.float32(math.sqrt(0.5))) + np.float32(1.0))


@functools.cache
def _erf_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """erf and its slope at 0, 1/256, ... 4."""
    points = np.arange(4 * 256 + 2) / 256.0
    values = np.array([math.erf(point) for point in points])
    return values, np.exp(-points * points) * (2.0 / math.sqrt(math.pi) / 256.0)


def erf(x: Floats) -> Floats:
    """The error function, from a table by cubic interpolation: exact to float32 (beyond 4 it is 1)."""
    values, slopes = _erf_table()
    place = np.minimum(np.abs(x.astype(np.float64)), 4.0) * 256.0
    index = place.astype(np.int64)
    t = place - index
    v0, v1, s0, s1 = values[index], values[index + 1], slopes[index], slopes[index + 1]
    step = v1 - v0
    y = v0 + t * (s0 + t * (3.0 * step - 2.0 * s0 - s1 + t * (s0 + s1 - 2.0 * step)))
    return np.copysign(y, x).astype(np.float32)


def silu(x: Floats) -> Floats:
    """x / (1 + exp(-x)), without overflow: sigmoid by tanh."""
    y = np.tanh(x * np.float32(0.5))
    y += np.float32(1.0)
    y *= x
    y *= np.float32(0.5)
    return y


def unit(x: Floats) -> Floats:
    """Rows of length 1 (a row of zeros stays zero)."""
    length = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return x / np.maximum(length, np.float32(1e-12))


def split_heads(x: Floats, heads: int) -> Floats:
    """(L,W) -> (heads,L,W/heads)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def join_heads(x: Floats) -> Floats:
    """(heads,L,d) -> (L,heads*d)."""
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def attend(q: Floats, k: Floats, v: Floats) -> Floats:
    """Softmax attention, (heads,L,d) against (heads,M,d); the scale is already in q."""
    scores = q @ k.transpose(0, 2, 1)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores @ v


@functools.cache
def _pool_matrix(length: int, size: int) -> Floats:
    """(size, length): row i averages floor(i*length/size) .. ceil((i+1)*length/size)."""
    matrix = np.zeros((size, length), np.float32)
    for row in range(size):
        start, end = row * length // size, -(-(row + 1) * length // size)
        matrix[row, start:end] = 1.0 / (end - start)
    return matrix


@functools.cache
def _spread_matrix(length: int, size: int) -> Floats:
    """(size, length): linear between the centres of the cells, constant beyond the outer ones."""
    place = np.maximum((np.arange(size) + 0.5) * (length / size) - 0.5, 0.0)
    low = np.minimum(place.astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    matrix = np.zeros((size, length), np.float32)
    rows = np.arange(size)
    np.add.at(matrix, (rows, low), (1.0 - (place - low)).astype(np.float32))
    np.add.at(matrix, (rows, high), (place - low).astype(np.float32))
    return matrix


def area_pool(x: Floats, size: int) -> Floats:
    """(L,C) -> (size,C): means over equal, if need be overlapping, windows."""
    return x if len(x) == size else _pool_matrix(len(x), size) @ x


def linear_spread(x: Floats, size: int) -> Floats:
    """(L,C) -> (size,C)."""
    return x if len(x) == size else _spread_matrix(len(x), size) @ x
