# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast rasteriser for processors: numba's machine code on as many threads as are wished. Needs numba and the
product of matrices that numba takes from scipy, no torch.

Draws what `plain` draws, by the same rules. What it does not do: look at rows of pixels that a Gaussian cannot reach
with 1/255, go on in a strip where every pixel is finished, and add up in double precision. What decides order and reach
is computed in double precision, as there. Four steps: project (Gaussians shared out among threads), sort by depth
(radix), list by tile and composite (rows of tiles shared out).
"""

# numba reads no annotations of the compiled functions: their arguments are arrays and numbers
# mypy: allow-untyped-defs
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..device import wanted_threads

Floats = NDArray[np.float32]

_TILE = 16
_ROWS = 8           # of a tile, drawn together
_PIXELS = _TILE * _ROWS
_BATCH = 64         # Gaussians added up together; a product of this size stays in the thread that asks for it
_ONE, _HALF, _NONE = np.float32(1.0), np.float32(0.5), np.float32(0.0)
_MOST, _LEAST, _DARK = np.float32(0.99), np.float32(1 / 255), np.float32(1e-4)
_LOWEST, _EIGHTH, _MIDDLE = np.float32(-6.0), np.float32(1 / 8), np.float32(0.35)
# exp(x) for x from -0.35 to 0.35 is 1 + x (1 + x (1/2 + ...)); the first factor brings the middle back
_E0 = np.float32(math.exp(-0.35))
_E2, _E3, _E4, _E5, _E6 = (np.float32(1 / math.factorial(power)) for power in range(2, 7))
_FASTMATH = True     # `_project` lets nothing through that is no number


def rasterize_fast(means: Floats, quats: Floats, scales: Floats, opacities: Floats, colors: Floats,
                   viewmat: NDArray[Any], K: NDArray[Any], size: tuple[int, int],
                   threads: int | None = None) -> tuple[Floats, Floats]:
    """Image (C,H,W) over black and what light is left (H,W), float32. As `rasterize`; `threads` None: idle cores."""
    width, height = size
    columns, rows = -(-width // _TILE), -(-height // _TILE)
    count, channels = colors.shape
    given = [np.ascontiguousarray(value, np.float32) for value in (means, quats, scales, opacities)]
    padded = np.ascontiguousarray(colors, np.float32)
    if channels % 8:        # whole vector registers
        padded = np.pad(padded, ((0, 0), (0, 8 - channels % 8)))
    shape = np.empty((count, 8), np.float32)
    tiles = np.empty((count, 4), np.int32)
    keys = np.empty(count, np.uint32)
    camera = np.array([*np.asarray(viewmat, np.float64)[:3].ravel(), K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.float64)
    image = np.zeros((padded.shape[1], rows * _TILE, columns * _TILE), np.float32)
    light = np.ones((rows * _TILE, columns * _TILE), np.float32)
    threads = threads or _usual_threads()
    with ThreadPoolExecutor(threads) as pool:
        def shared(work: Callable[..., Any], total: int, parts: int, *arguments: Any) -> list[Any]:
            cuts = [total * part // parts for part in range(parts + 1)]
            return [job.result() for job in [pool.submit(work, *arguments, cuts[part], cuts[part + 1])
                                             for part in range(parts)]]

        shared(_project, count, threads, *given, camera, width, height, shape, tiles, keys)
        order = _sorted(keys)
        lists = shared(_list_tiles, rows, threads, order, tiles, columns)
        for job in [pool.submit(_composite_row, members, ends, row - first, row, columns, shape, padded, image, light)
                    for first, members, ends in lists for row in range(first, first + len(ends) // columns)]:
            job.result()
    return image[:channels, :height, :width], light[:height, :width]


@functools.cache
def _usual_threads() -> int:
    """Looked at once: that takes a tenth of a second."""
    return wanted_threads()


@njit(nogil=True, cache=True, error_model="numpy")
def _project(means, quats, scales, opacities, camera, width, height, shape, tiles, keys, start, stop):
    """Fills shape (N,8: pixel, inverse covariance, opacity, reach sideways and up), tiles (N,4: as in `plain`, or
    fewer) and keys (N,): the depth, whose bits sort as whole numbers do since it is positive, or all ones where nothing
    is seen."""
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    columns, rows = -(-width // _TILE), -(-height // _TILE)
    key = np.empty(1, np.float32)
    bits = key.view(np.uint32)
    for i in range(start, stop):
        keys[i] = 0xFFFFFFFF
        x, y, z = float(means[i, 0]), float(means[i, 1]), float(means[i, 2])
        depth = camera[8] * x + camera[9] * y + camera[10] * z + camera[11]
        opacity = float(opacities[i])
        if not (depth > 0.2 and depth < 1e30 and opacity >= 1 / 255):
            continue
        u = camera[0] * x + camera[1] * y + camera[2] * z + camera[3]
        v = camera[4] * x + camera[5] * y + camera[6] * z + camera[7]
        px, py = fx * u / (depth + 1e-7) + cx - 0.5, fy * v / (depth + 1e-7) + cy - 0.5
        limit_x, limit_y = 1.3 * width / (2 * fx), 1.3 * height / (2 * fy)
        slope_x = min(max(u / depth, -limit_x), limit_x)
        slope_y = min(max(v / depth, -limit_y), limit_y)
        w, qx, qy, qz = float(quats[i, 0]), float(quats[i, 1]), float(quats[i, 2]), float(quats[i, 3])
        turn = ((1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - w * qz), 2 * (qx * qz + w * qy)),
                (2 * (qx * qy + w * qz), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - w * qx)),
                (2 * (qx * qz - w * qy), 2 * (qy * qz + w * qx), 1 - 2 * (qx * qx + qy * qy)))
        xx, yy, xy = 0.3, 0.3, 0.0
        for axis in range(3):
            scale = float(scales[i, axis])
            tx, ty, tz = turn[0][axis] * scale, turn[1][axis] * scale, turn[2][axis] * scale
            a = camera[0] * tx + camera[1] * ty + camera[2] * tz
            b = camera[4] * tx + camera[5] * ty + camera[6] * tz
            c = camera[8] * tx + camera[9] * ty + camera[10] * tz
            along_x, along_y = fx / depth * (a - slope_x * c), fy / depth * (b - slope_y * c)
            xx += along_x * along_x
            yy += along_y * along_y
            xy += along_x * along_y
        determinant = xx * yy - xy * xy
        middle = (xx + yy) / 2
        radius = math.ceil(3 * math.sqrt(middle + math.sqrt(max(0.1, middle * middle - determinant))))
        if not (determinant != 0 and radius < 1e9 and abs(px) < 1e9 and abs(py) < 1e9):
            continue
        x0, x1 = _reach(px, radius, columns)
        y0, y1 = _reach(py, radius, rows)
        # where 1/255 is left, and a bit more; beyond it nothing is added, so those tiles need not look
        far = 2 * math.log(255 * opacity)
        far_x, far_y = math.sqrt(far * xx) + 0.02, math.sqrt(far * yy) + 0.02
        x0, x1 = max(x0, int((px - far_x) // _TILE)), min(x1, int((px + far_x) // _TILE) + 1)
        y0, y1 = max(y0, int((py - far_y) // _TILE)), min(y1, int((py + far_y) // _TILE) + 1)
        if x1 <= x0 or y1 <= y0:
            continue
        shape[i, 0], shape[i, 1] = px, py
        shape[i, 2], shape[i, 3], shape[i, 4] = yy / determinant, -xy / determinant, xx / determinant
        shape[i, 5], shape[i, 6], shape[i, 7] = opacity, far_x, far_y
        tiles[i, 0], tiles[i, 1], tiles[i, 2], tiles[i, 3] = x0, y0, x1, y1
        key[0] = depth
        keys[i] = bits[0]


@njit(nogil=True, cache=True)
def _reach(middle, radius, most):
    """First tile and the one behind the last that a square touches along one axis, cut as C does: towards zero."""
    first = int((middle - radius) / _TILE)
    behind = int((middle + radius + _TILE - 1) / _TILE)
    return min(max(first, 0), most), min(max(behind, 0), most)


@njit(nogil=True, cache=True)
def _sorted(keys):
    """The indices of all that is seen by their keys, ties as they stood: a radix sort, 11 bits at a time."""
    order = np.empty(len(keys), np.int32)
    seen = 0
    for i in range(len(keys)):
        if keys[i] != 0xFFFFFFFF:
            order[seen] = i
            seen += 1
    order = order[:seen]
    other = np.empty_like(order)
    for shift in (0, 11, 22):
        ends = np.zeros(2049, np.int64)
        for i in order:
            ends[((keys[i] >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            ends[digit + 1] += ends[digit]
        for i in order:
            digit = (keys[i] >> shift) & 2047
            other[ends[digit]] = i
            ends[digit] += 1
        order, other = other, order
    return order


@njit(nogil=True, cache=True)
def _list_tiles(order, tiles, columns, start, stop):
    """(start, members, ends): the Gaussians of the tiles in rows start to stop, nearest first, tile after tile."""
    # how many a tile has: one more from a rectangle's first corner on, one less behind its edges, then running sums
    steps = np.zeros((stop - start + 1, columns + 1), np.int64)
    for i in order:
        first, behind = max(tiles[i, 1], start) - start, min(tiles[i, 3], stop) - start
        if first < behind:
            steps[first, tiles[i, 0]] += 1
            steps[first, tiles[i, 2]] -= 1
            steps[behind, tiles[i, 0]] -= 1
            steps[behind, tiles[i, 2]] += 1
    ends = np.zeros((stop - start) * columns, np.int64)
    above = np.zeros(columns, np.int64)
    total = 0
    for row in range(stop - start):
        along = 0
        for column in range(columns):
            along += steps[row, column]
            above[column] += along
            ends[row * columns + column] = total
            total += above[column]
    members = np.empty(total, np.int32)
    for i in order:
        for row in range(max(tiles[i, 1], start), min(tiles[i, 3], stop)):
            for column in range(tiles[i, 0], tiles[i, 2]):
                tile = (row - start) * columns + column
                members[ends[tile]] = i
                ends[tile] += 1
    return start, members, ends


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FASTMATH)
def _composite_row(members, ends, list_row, row, columns, shape, colors, image, light):
    """Draws one row of tiles into image and light, whose sides are whole tiles."""
    channels = colors.shape[1]
    near, paint = np.empty((_BATCH, 8), np.float32), np.zeros((_BATCH, channels), np.float32)
    weights, passing = np.empty((_BATCH, _PIXELS), np.float32), np.empty(_PIXELS, np.float32)
    added, total = np.empty((_PIXELS, channels), np.float32), np.empty((_PIXELS, channels), np.float32)
    for column in range(columns):
        tile = list_row * columns + column
        begin = ends[tile - 1] if tile else 0
        for top in range(row * _TILE, (row + 1) * _TILE, _ROWS):
            _composite(members[begin : ends[tile]], top, column * _TILE, shape, colors, near, paint, weights, passing,
                       added, total)
            _put(total, passing, top, column * _TILE, image, light)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FASTMATH)
def _composite(members, top, left, shape, colors, near, paint, weights, passing, added, total):
    """Draws one strip of a tile into total (pixels, channels) and passing (pixels,); the other arrays are for its use.

    What reaches the strip is gathered some at a time, since it lies far apart in memory, and added up as one product
    of matrices: pixels x Gaussians times Gaussians x channels.
    """
    total[:] = _NONE
    passing[:] = _ONE
    channels = np.uint64(colors.shape[1])
    right, bottom = np.float32(left + _TILE - 1), np.float32(top + _ROWS - 1)
    filled = np.uint64(0)
    for at in range(len(members)):
        i = np.uint64(members[at])
        one = shape[i]
        px, py, wide, tall = one[0], one[1], one[6], one[7]
        if px + wide < left or px - wide > right or py + tall < top or py - tall > bottom:
            continue
        for number in range(np.uint64(8)):
            near[filled, number] = one[number]
        for channel in range(channels):
            paint[filled, channel] = colors[i, channel]
        filled += np.uint64(1)
        if filled == _BATCH:
            _add(near, filled, paint, weights, passing, added, total, top, left)
            filled = np.uint64(0)
            if passing.max() < _NONE:
                return
    if filled:
        _add(near, filled, paint, weights, passing, added, total, top, left)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FASTMATH)
def _add(near, filled, paint, weights, passing, added, total, top, left):
    """Adds the gathered Gaussians, nearest first, to total; and to passing what they hide."""
    weights[:] = _NONE
    for which in range(filled):
        _weigh(near[which], np.float32(left), np.float32(top), passing, weights[which])
    paint[filled:] = _NONE
    np.dot(weights.T, paint, added)
    for pixel in range(np.uint64(_PIXELS)):
        for channel in range(np.uint64(total.shape[1])):
            total[pixel, channel] += added[pixel, channel]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FASTMATH)
def _weigh(one, left, top, passing, weights):
    """What a Gaussian's colour counts for in a strip's pixels. `passing` is the light that still comes through; less
    than nothing, what came through before it, once a pixel is finished. There is no branch inside and the bounds are
    unsigned, so that eight pixels are computed at once."""
    px, py, opacity, tall = one[0] - left, one[1] - top, one[5], one[7]
    xx, xy, yy = -_HALF * one[2], one[3], -_HALF * one[4]
    first, behind = np.uint64(max(0, math.floor(py - tall))), np.uint64(min(_ROWS, math.ceil(py + tall) + 1))
    for row in range(first, behind):
        dy = py - np.float32(row)
        at = row * np.uint64(_TILE)
        upright, slanted = yy * dy * dy, xy * dy
        for x in range(np.uint64(_TILE)):
            dx = px - np.float32(x)
            power = (xx * dx - slanted) * dx + upright
            # exp(power) = exp(power / 8) ^ 8; nothing below 1/255 counts, so power / 8 is from -0.7 to 0
            e = (power if power > _LOWEST else _LOWEST) * _EIGHTH + _MIDDLE
            e = _E0 * (_ONE + e * (_ONE + e * (_E2 + e * (_E3 + e * (_E4 + e * (_E5 + e * _E6))))))
            e = e * e
            e = e * e
            alpha = opacity * (e * e)
            alpha = alpha if alpha < _MOST else _MOST
            alpha = alpha if alpha >= _LEAST else _NONE
            alpha = alpha if power <= _NONE else _NONE
            left_over = passing[at + x]
            before = left_over if left_over > _NONE else _NONE
            hidden = alpha * before
            after = before - hidden
            weights[at + x] = hidden if after >= _DARK else _NONE
            passing[at + x] = after if after >= _DARK else -abs(left_over)


@njit(nogil=True, cache=True)
def _put(total, passing, top, left, image, light):
    """A strip's pixels into the picture: channel by channel, so that neighbours in memory are written together."""
    for channel in range(total.shape[1]):
        for row in range(_ROWS):
            for x in range(_TILE):
                image[channel, top + row, left + x] = total[row * _TILE + x, channel]
    for row in range(_ROWS):
        for x in range(_TILE):
            light[top + row, left + x] = abs(passing[row * _TILE + x])
