# SPDX-License-Identifier: GPL-3.0-or-later
"""From UV triangles to pixels and from pixels to a PNG. Boundary: numpy, scipy and zlib."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from scipy.ndimage import distance_transform_edt

from .primitives import Array


def rasterise(uv: Array, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, Array]:
    """Every covered pixel (P,) of a size x size picture, its triangle (P,) and barycentric weights (P,3).

    Pixels are numbered row by row from the top; `uv` (N,2) count from the bottom left, `triangles` (T,3) index them.
    """
    corner = uv[triangles] * [size, -size] + [0, size] - 0.5
    low = np.floor(corner.min(1)).astype(int).clip(0)
    high = np.ceil(corner.max(1)).astype(int).clip(max=size - 1)
    owner = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 3))
    for t, (a, b, c) in enumerate(corner):
        x, y = np.meshgrid(np.arange(low[t, 0], high[t, 0] + 1), np.arange(low[t, 1], high[t, 1] + 1))
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-12:
            continue
        wb = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        wc = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        inside = (wb >= -1e-6) & (wc >= -1e-6) & (wb + wc <= 1 + 1e-6)
        owner[y[inside], x[inside]] = t
        weights[y[inside], x[inside]] = np.stack([1 - wb - wc, wb, wc], -1)[inside]
    pixels = np.flatnonzero(owner.ravel() >= 0)
    return pixels, owner.ravel()[pixels], weights.reshape(-1, 3)[pixels]


def spread(picture: Array, pixels: np.ndarray) -> Array:
    """The picture (S,S,C) with every pixel outside `pixels` as its nearest painted one, so that no seam shows."""
    empty = np.ones(picture.shape[:2], bool)
    empty.ravel()[pixels] = False
    near = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return np.asarray(picture[near[0], near[1]])


def _filtered(rows: np.ndarray, channels: int) -> bytes:
    """PNG's five filters row by row, the one with the smallest sum of absolute differences each time."""
    here = rows.astype(np.int16)
    left = np.pad(here[:, :-channels], ((0, 0), (channels, 0)))
    above = np.pad(here[:-1], ((1, 0), (0, 0)))
    corner = np.pad(above[:, :-channels], ((0, 0), (channels, 0)))
    guess = left + above - corner
    da, db, dc = np.abs(guess - left), np.abs(guess - above), np.abs(guess - corner)
    paeth = np.where((da <= db) & (da <= dc), left, np.where(db <= dc, above, corner))
    kinds = np.stack([here, here - left, here - above, here - (left + above) // 2, here - paeth])
    kinds = (kinds & 255).astype(np.uint8)
    best = np.abs(kinds.view(np.int8).astype(np.int16)).sum(2).argmin(0)
    return b"".join(bytes([kind]) + kinds[kind, row].tobytes() for row, kind in enumerate(best.tolist()))


def png(picture: np.ndarray) -> bytes:
    """An 8-bit picture (H,W,3), top row first, as the bytes of a PNG file."""
    height, width, channels = picture.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(_filtered(picture.reshape(height, width * channels), channels), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", body), (b"IEND", b""))
    )
