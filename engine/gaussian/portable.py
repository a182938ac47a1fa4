# SPDX-License-Identifier: GPL-3.0-or-later
"""The rasteriser for Pythons that have numpy alone, as Blender's own: by the rules told in `plain`, in float32.

Order and reach are computed in double precision, as there. Slow for avatars of 180,000 Gaussians, bearable for those
that are grown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_TILE = 16
_AT_ONCE = 96       # Gaussians of a tile


@dataclass(frozen=True)
class _Shown:
    """What is seen, nearest first: pixel (N,2), conic (N,3), opacities (N,), colors (N,C), tiles (N,4)."""

    pixel: Floats
    conic: Floats
    opacities: Floats
    colors: Floats
    tiles: Ints


def rasterize_portable(means: Floats, quats: Floats, scales: Floats, opacities: Floats, colors: Floats,
                       viewmat: NDArray[Any], K: NDArray[Any], size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Image (C,H,W) over black and what light is left (H,W), float32. As `rasterize`."""
    width, height = size
    with np.errstate(all="ignore"):     # what is no number is left out
        shown = _project(means, quats, scales, opacities, colors, np.asarray(viewmat, np.float64),
                         np.asarray(K, np.float64), size)
    members, ends = _tile_lists(shown.tiles, size)
    image = np.zeros((height, width, shown.colors.shape[1]), np.float32)
    light = np.ones((height, width), np.float32)
    columns = -(-width // _TILE)
    for tile in np.flatnonzero(np.diff(ends, prepend=0)):
        top, left = _TILE * (tile // columns), _TILE * (tile % columns)
        rows, cols = np.arange(top, min(top + _TILE, height)), np.arange(left, min(left + _TILE, width))
        part = members[ends[tile - 1] if tile else 0 : ends[tile]]
        added, left_over = _composite(part, rows, cols, shown)
        image[top : top + len(rows), left : left + len(cols)] = added
        light[top : top + len(rows), left : left + len(cols)] = left_over
    return np.ascontiguousarray(image.transpose(2, 0, 1)), light


def _project(means: Floats, quats: Floats, scales: Floats, opacities: Floats, colors: Floats, viewmat: Doubles,
             K: Doubles, size: tuple[int, int]) -> _Shown:
    view = means.astype(np.float64) @ viewmat[:3, :3].T + viewmat[:3, 3]
    depth = view[:, 2]
    order = np.argsort(depth.astype(np.float32), kind="stable")
    order = order[(depth[order] > 0.2) & np.isfinite(depth[order]) & (opacities[order] >= 1 / 255)]
    view, depth = view[order], depth[order, None]
    focal, centre = np.array([K[0, 0], K[1, 1]]), np.array([K[0, 2], K[1, 2]])
    pixel = focal * view[:, :2] / (depth + 1e-7) + centre - 0.5
    limit = 1.3 * np.array(size) / (2 * focal)
    slope = np.clip(view[:, :2] / depth, -limit, limit)
    axes = viewmat[:3, :3] @ (rotations(quats[order].astype(np.float64)) * scales[order, None].astype(np.float64))
    half = focal[:, None] / depth[:, None] * (axes[:, :2] - slope[:, :, None] * axes[:, 2:])
    xx, yy = np.einsum("nai,nai->an", half, half) + 0.3
    xy = np.einsum("ni,ni->n", half[:, 0], half[:, 1])
    determinant = xx * yy - xy * xy
    middle = (xx + yy) / 2
    radius = np.ceil(3 * np.sqrt(middle + np.sqrt(np.maximum(middle * middle - determinant, 0.1))))
    grid = [-(-length // _TILE) for length in size]
    first = np.clip(np.trunc((pixel - radius[:, None]) / _TILE), 0, grid)
    behind = np.clip(np.trunc((pixel + radius[:, None] + _TILE - 1) / _TILE), 0, grid)
    seen = (determinant != 0) & np.isfinite(radius) & np.isfinite(pixel).all(1) & (behind > first).all(1)
    conic = (np.stack([yy, -xy, xx]) / determinant).T
    return _Shown(pixel[seen].astype(np.float32), conic[seen].astype(np.float32),
                  opacities[order][seen].astype(np.float32), colors[order][seen].astype(np.float32),
                  np.concatenate([first[seen], behind[seen]], 1).astype(np.int64))


def rotations(quats: Doubles) -> Doubles:
    w, x, y, z = quats.T
    return np.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ], -1).reshape(-1, 3, 3)


def _tile_lists(tiles: Ints, size: tuple[int, int]) -> tuple[Ints, Ints]:
    """(the Gaussians of tile after tile, nearest first; where each tile's end)."""
    columns, rows = (-(-length // _TILE) for length in size)
    wide = tiles[:, 2] - tiles[:, 0]
    count = wide * (tiles[:, 3] - tiles[:, 1])
    member = np.repeat(np.arange(len(tiles)), count)
    within = np.arange(len(member)) - (np.cumsum(count) - count)[member]
    tile = (tiles[member, 1] + within // wide[member]) * columns + tiles[member, 0] + within % wide[member]
    return member[np.argsort(tile, kind="stable")], np.cumsum(np.bincount(tile, minlength=columns * rows))


def _composite(members: Ints, rows: Ints, cols: Ints, shown: _Shown) -> tuple[Floats, Floats]:
    """Colours (h,w,C) that a tile's Gaussians add, and what light is left (h,w)."""
    shape = (len(rows), len(cols))
    light = np.ones(shape, np.float32)
    total = np.zeros((shape[0] * shape[1], shown.colors.shape[1]), np.float32)
    finished = np.zeros(shape, bool)
    for start in range(0, len(members), _AT_ONCE):
        part = members[start : start + _AT_ONCE]
        dx = shown.pixel[part, 0, None] - cols.astype(np.float32)
        dy = shown.pixel[part, 1, None] - rows.astype(np.float32)
        xx, xy, yy = shown.conic[part].T[:, :, None]
        power = (-0.5 * yy * dy * dy)[:, :, None] + (-0.5 * xx * dx * dx)[:, None] - (xy * dy)[:, :, None] * dx[:, None]
        alpha = np.minimum(shown.opacities[part, None, None] * np.exp(np.minimum(power, 0)), np.float32(0.99))
        alpha[(power > 0) | (alpha < np.float32(1 / 255))] = 0
        passing = np.concatenate([light[None], 1 - alpha]).cumprod(0, dtype=np.float32)
        over = np.logical_or.accumulate(((passing[1:] < 1e-4) & (alpha > 0)), 0) | finished
        alpha[over] = 0
        total += (alpha * passing[:-1]).reshape(len(part), -1).T @ shown.colors[part]
        light = light * (1 - alpha).prod(0)
        finished = over[-1]
        if finished.all():
            break
    return total.reshape(*shape, -1), light
