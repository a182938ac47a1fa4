# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR files of half floats with words in them. Standard library and numpy only.

Source: the OpenEXR project's "File Layout" and "Compression" pages: single part, scan lines, ZIP (16 lines a block,
bytes taken apart into even and odd ones, each as its difference from the one before).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError

MAGIC = b"\x76\x2f\x31\x01"
_VERSION = struct.pack("<I", 2)
_LINES = 16             # in a block
_ZIP, _HALF = 3, 1
_CHANNELS = "ABGR"      # in a file they stand in alphabetical order
_LARGEST = 16384
_LEVEL = 4              # of zlib: as OpenEXR's own


def exr_bytes(pixels: NDArray[np.float16], texts: Mapping[str, str]) -> bytes:
    """Pixels (H,W,4), scene-linear red, green, blue times alpha, and alpha -> an OpenEXR file that carries `texts`."""
    height, width, channels = pixels.shape
    if channels != 4 or pixels.dtype != np.float16:
        raise ValueError("half-float RGBA wanted")
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", _HALF, 0, 1, 1) for name in _CHANNELS) + b"\0"
    attributes = [("channels", "chlist", listed), ("compression", "compression", bytes([_ZIP])),
                  ("dataWindow", "box2i", window), ("displayWindow", "box2i", window),
                  ("lineOrder", "lineOrder", b"\0"), ("pixelAspectRatio", "float", struct.pack("<f", 1)),
                  ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
                  ("screenWindowWidth", "float", struct.pack("<f", 1))]
    attributes += [(name, "string", text.encode()) for name, text in texts.items()]
    header = MAGIC + _VERSION + b"".join(
        name.encode("ascii") + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes) + b"\0"
    blocks = [_block(row, lines) for row, lines in _by_lines(pixels)]
    starts = len(header) + 8 * len(blocks) + np.cumsum([0] + [len(block) for block in blocks[:-1]])
    return header + starts.astype("<u8").tobytes() + b"".join(blocks)


def _by_lines(pixels: NDArray[np.float16]) -> Iterator[tuple[int, bytes]]:
    """First row, and 16 rows' bytes: of every row first all of A, then all of B, G and R."""
    planes = np.ascontiguousarray(pixels[:, :, ::-1].transpose(0, 2, 1)).astype("<f2")
    for row in range(0, len(planes), _LINES):
        yield row, planes[row : row + _LINES].tobytes()


def _block(row: int, lines: bytes) -> bytes:
    taken = np.frombuffer(lines, np.uint8)
    apart = np.concatenate([taken[::2], taken[1::2]])
    steps = np.empty_like(apart)
    steps[0] = apart[0]
    steps[1:] = apart[1:] - apart[:-1] + np.uint8(128)      # wraps, as it should
    packed = zlib.compress(steps.tobytes(), _LEVEL)
    data = packed if len(packed) < len(lines) else lines    # as large as before: kept as it is
    return struct.pack("<2i", row, len(data)) + data


def read_exr(data: bytes) -> tuple[NDArray[np.float16], dict[str, str]]:
    """A file as `exr_bytes` makes them -> pixels (H,W,4) and its texts. Raises EngineError for any other."""
    try:
        attributes, at = _header(data)
        if attributes["compression"][1] != bytes([_ZIP]) or attributes["channels"][1].count(b"\0\0\0\0") < 4:
            raise ValueError
        left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"][1])
        width, height = right - left + 1, bottom - top + 1
        if (left, top) != (0, 0) or not 0 < width <= _LARGEST or not 0 < height <= _LARGEST:
            raise ValueError
        planes = np.empty((height, 4, width), "<f2")
        for start in struct.unpack_from(f"<{-(-height // _LINES)}Q", data, at):
            row, length = struct.unpack_from("<2i", data, start)
            rows = planes[row : row + _LINES]
            lines = _lines(data[start + 8 : start + 8 + length], rows.nbytes)
            rows[:] = np.frombuffer(lines, "<f2").reshape(rows.shape)
    except (struct.error, zlib.error, ValueError, IndexError, KeyError):
        raise EngineError("This is no OpenEXR file of ours, or it is damaged.", code="bad_file") from None
    return planes.transpose(0, 2, 1)[:, :, ::-1].astype(np.float16), _texts(attributes)


def read_exr_texts(data: bytes) -> dict[str, str]:
    """The words in a file's beginning, whoever made it. Raises EngineError where it is no OpenEXR file."""
    try:
        return _texts(_header(data)[0])
    except (struct.error, ValueError, IndexError):
        raise EngineError("This is no OpenEXR file, or it is damaged.", code="bad_file") from None


def _texts(attributes: Mapping[str, tuple[str, bytes]]) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, (kind, value) in attributes.items() if kind == "string"}


def _header(data: bytes) -> tuple[dict[str, tuple[str, bytes]], int]:
    """Attributes (kind, bytes) by name, and where the table of blocks begins."""
    if not data.startswith(MAGIC):
        raise ValueError
    attributes: dict[str, tuple[str, bytes]] = {}
    at = 8
    while data[at]:
        name, kind, _ = data[at : at + 600].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        (length,) = struct.unpack_from("<i", data, at)
        if not 0 <= length <= len(data) - at - 4:
            raise ValueError
        attributes[name.decode("ascii")] = kind.decode("ascii"), data[at + 4 : at + 4 + length]
        at += 4 + length
    return attributes, at + 1


def _lines(packed: bytes, size: int) -> bytes:
    if len(packed) == size:
        return packed
    steps = np.frombuffer(zlib.decompressobj().decompress(packed, size + 1), np.uint8)
    if len(steps) != size:
        raise ValueError
    steps = steps.copy()
    steps[1:] -= np.uint8(128)
    apart = np.cumsum(steps, dtype=np.uint8)
    lines = np.empty_like(apart)
    half = -(-size // 2)
    lines[::2], lines[1::2] = apart[:half], apart[half:]
    return lines.tobytes()
