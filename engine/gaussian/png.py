# SPDX-License-Identifier: GPL-3.0-or-later
"""PNG files with words in them. Standard library and numpy only. Source: the PNG specification, third edition."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = {2: 3, 6: 4}       # colour types read here, and their channels
_LARGEST = 8192


def png_bytes(pixels: NDArray[np.uint8], texts: Mapping[str, str]) -> bytes:
    """Pixels (H,W,3 or 4), sRGB and straight alpha, as a PNG file that carries `texts`."""
    height, width, channels = pixels.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = 2      # every row as its difference from the one above
    rows[:, 1:] = np.diff(pixels.reshape(height, -1), axis=0, prepend=np.zeros((1, width * channels), np.uint8))
    kind = next(kind for kind, count in _KINDS.items() if count == channels)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)), (b"sRGB", b"\0")]
    # iTXt: keyword, not compressed, no language, no translated keyword
    parts += [(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items()]
    parts += [(b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts)


def read_png(data: bytes) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """An 8-bit colour PNG, not interlaced -> pixels (H,W,3 or 4) and its texts. Raises EngineError for any other."""
    try:
        return _read(data)
    except (struct.error, zlib.error, ValueError, IndexError, KeyError):
        raise EngineError("This is no 8-bit colour PNG, or it is damaged.", code="bad_file") from None


def read_png_texts(data: bytes) -> dict[str, str]:
    """The words in front of a PNG's pixels, whoever made it. Raises EngineError where it is no PNG."""
    try:
        return {key: text for name, body in _chunks(data, b"IDAT") if name == b"iTXt" for key, text in [_text(body)]}
    except (struct.error, ValueError, IndexError):
        raise EngineError("This is no PNG, or it is damaged.", code="bad_file") from None


def _chunks(data: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the chunks before the first that is called `last`."""
    if not data.startswith(SIGNATURE):
        raise ValueError
    at = len(SIGNATURE)
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == last:
            return
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _text(body: bytes) -> tuple[str, str]:
    key, _, rest = body.partition(b"\0")
    return key.decode("latin-1"), rest[2:].split(b"\0", 2)[2].decode()


def _read(data: bytes) -> tuple[NDArray[np.uint8], dict[str, str]]:
    packed, texts, header = b"", {}, None
    for name, body in _chunks(data, b""):
        if name == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif name == b"IDAT":
            packed += body
        elif name == b"iTXt":
            key, text = _text(body)
            texts[key] = text
    if header is None or header[2] != 8 or header[6] != 0 or not 0 < header[0] <= _LARGEST >= header[1] > 0:
        raise ValueError
    width, height, channels = header[0], header[1], _KINDS[header[3]]
    size = height * (1 + width * channels)
    rows = np.frombuffer(zlib.decompressobj().decompress(packed, size + 1), np.uint8)
    if rows.size != size:
        raise ValueError
    return _unfiltered(rows.reshape(height, -1), channels), texts


def _unfiltered(rows: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Rows (H, 1 + W * channels), each with its filter's number in front -> pixels (H,W,channels).

    A pixel needs those to its left and above: all of one diagonal can be computed at once.
    """
    height, width = len(rows), (rows.shape[1] - 1) // channels
    kinds = rows[:, 0]
    if kinds.max(initial=0) > 4:
        raise ValueError
    if (kinds == 2).all():      # as `png_bytes` has them
        return np.cumsum(rows[:, 1:], 0, np.uint8).reshape(height, width, channels)
    values = rows[:, 1:].reshape(height, width, channels).astype(np.int16)
    out = np.zeros((height + 1, width + 1, channels), np.int16)     # with nothing above and to the left
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, up, corner = out[y + 1, x], out[y, x + 1], out[y, x]
        to_left, to_up, to_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
        likeliest = np.where(to_up <= to_corner, up, corner)
        likeliest = np.where((to_left <= to_up) & (to_left <= to_corner), left, likeliest)
        kind = kinds[y][:, None]
        guess = np.select([kind == 1, kind == 2, kind == 3, kind == 4], [left, up, (left + up) // 2, likeliest], 0)
        out[y + 1, x + 1] = (values[y, x] + guess) & 255
    return out[1:, 1:].astype(np.uint8)
