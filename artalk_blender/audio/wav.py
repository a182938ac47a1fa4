# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain WAV files as samples, by numpy alone: Blender's library keeps all of Python waiting while it decodes.

Gives what Blender's library gives, bit for bit (tested). Whatever is not plain is left to that.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_STREAMED = (0, 0xFFFFFFFF)  # the length that a recorder leaves which never comes back to fill it in
_PIECE = 1 << 20  # samples that are converted at a time, so that others get their turn


def read_wav(path: Path) -> tuple[NDArray[np.float32], int] | None:
    """(samples (N,C) in -1..1, rate) of a plain WAV; None for everything else, damaged files included."""
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except (OSError, struct.error, ValueError):
        return None


def _read(file: BinaryIO, size: int) -> tuple[NDArray[np.float32], int] | None:
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    form: tuple[int, int, int, int] | None = None
    while len(chunk := file.read(8)) == 8:
        name, length = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"fmt ":
            form = _format(file.read(length))
            file.seek(length % 2, 1)
        elif name == b"data":
            left = size - file.tell()
            if form is None or (length not in _STREAMED and length > left):
                return None
            return _samples(file, left if length in _STREAMED else length, *form)
        else:
            file.seek(length + length % 2, 1)
    return None


def _format(content: bytes) -> tuple[int, int, int, int] | None:
    """Kind of number, channels, rate, bits; None for what is compressed."""
    kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", content)
    if kind == _EXTENSIBLE:
        (kind,) = struct.unpack_from("<H", content, 24)
    fits = (kind == _PCM and bits in (16, 24, 32)) or (kind == _FLOAT and bits == 32)
    return (kind, channels, rate, bits) if fits and channels and rate and block == channels * bits // 8 else None


def _samples(file: BinaryIO, length: int, kind: int, channels: int, rate: int, bits: int,
             ) -> tuple[NDArray[np.float32], int]:
    width = bits // 8
    count = length // (width * channels) * channels
    result = np.empty(count, np.float32)
    for start in range(0, count, _PIECE):
        part = result[start : start + _PIECE]
        raw = file.read(len(part) * width)
        if len(raw) != len(part) * width:
            raise ValueError("the file ends early")
        if kind == _FLOAT:
            part[:] = np.frombuffer(raw, "<f4")
        elif bits == 24:
            whole = np.zeros((len(part), 4), np.uint8)
            whole[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
            part[:] = (whole.view("<i4")[:, 0] >> 8).astype(np.float32) / np.float32(1 << 23)
        else:
            part[:] = np.frombuffer(raw, f"<i{width}").astype(np.float32) / np.float32(1 << (bits - 1))
    return result.reshape(-1, channels), rate
