# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain rasteriser: what the others are tested against, and what is left where there is none of them. Needs torch.

Source: Kerbl et al. 2023, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", with the rules of the CUDA
program published with it, which the published avatars were trained through:

- A Gaussian nearer than 0.2 is dropped; 0.3 square pixels are added to both variances on the screen.
- It is seen in the 16 x 16 tiles that a square of 3 standard deviations (rounded up) touches, and nowhere else. At the
  rim of the square up to 0.011 of it is left, so tile borders show in principle, and have to be met.
- Front to back by the float32 depth, ties in the order given. What adds less than 1/255 is skipped, 0.99 is the most
  that one can hide, and a pixel is finished before the Gaussian that would leave less than 1/10,000 of the light.
- Quaternions are taken as they are: a short one turns less.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TILE = 16
NEAR = 0.2
DILATION = 0.3
ALPHA_MOST = 0.99
ALPHA_LEAST = 1 / 255
LIGHT_LEAST = 1e-4
_AT_ONCE = 256      # Gaussians of a tile


@dataclass(frozen=True)
class Projected:
    """N Gaussians on the screen: pixel (N,2), depth (N,), conic (N,3: xx, xy, yy of the inverse covariance, 1/pixel²),
    tiles (N,4: first column and row, and behind the last ones), seen (N,)."""

    pixel: Tensor
    depth: Tensor
    conic: Tensor
    tiles: Tensor
    seen: Tensor


def rasterize_plain(means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmat: Tensor,
                    K: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Image (C,H,W) over black and what light is left (H,W), float32; computed in float64. As `rasterize`."""
    width, height = size
    double = [value.double() for value in (means, quats, scales, opacities, colors, viewmat, K)]
    means, quats, scales, opacities, colors, viewmat, K = double
    shown = project(means, quats, scales, viewmat, K, size)
    lists, columns = tile_lists(shown, size)
    image = colors.new_zeros(height, width, colors.shape[1])
    light = colors.new_ones(height, width)
    for tile, members in enumerate(lists):
        if not len(members):
            continue
        top, left = TILE * (tile // columns), TILE * (tile % columns)
        rows = torch.arange(top, min(top + TILE, height), device=means.device)
        cols = torch.arange(left, min(left + TILE, width), device=means.device)
        pixels = torch.stack(torch.meshgrid(cols, rows, indexing="xy"), -1).reshape(-1, 2).double()
        added, left_over = _composite(members, pixels, shown, opacities, colors)
        window = (slice(top, top + len(rows)), slice(left, left + len(cols)))
        image[window] = added.reshape(len(rows), len(cols), -1)
        light[window] = left_over.reshape(len(rows), len(cols))
    return image.permute(2, 0, 1).float().contiguous(), light.float()


def project(means: Tensor, quats: Tensor, scales: Tensor, viewmat: Tensor, K: Tensor,
            size: tuple[int, int]) -> Projected:
    """Means (N,3), quaternions (N,4: w, x, y, z) and scales (N,3) through a camera onto the screen."""
    view = means @ viewmat[:3, :3].T + viewmat[:3, 3]
    depth = view[:, 2]
    focal, centre = torch.stack([K[0, 0], K[1, 1]]), torch.stack([K[0, 2], K[1, 2]])
    pixel = focal * view[:, :2] / (depth[:, None] + 1e-7) + centre - 0.5    # a pixel's middle is a whole number here
    limit = 1.3 * torch.tensor(size, device=means.device) / (2 * focal)
    slope = (view[:, :2] / depth[:, None]).clamp(-limit, limit)
    jacobian = means.new_zeros(len(means), 2, 3)
    jacobian[:, 0, 0], jacobian[:, 1, 1] = focal[0] / depth, focal[1] / depth
    jacobian[:, :, 2] = -focal * slope / depth[:, None]
    half = jacobian @ viewmat[:3, :3] @ (rotations(quats) * scales[:, None])
    covariance = half @ half.mT
    xx, yy, xy = covariance[:, 0, 0] + DILATION, covariance[:, 1, 1] + DILATION, covariance[:, 0, 1]
    determinant = xx * yy - xy * xy
    middle = (xx + yy) / 2
    radius = (3 * (middle + (middle * middle - determinant).clamp(min=0.1).sqrt()).sqrt()).ceil()[:, None]
    grid = [-(-length // TILE) for length in size]
    most = torch.tensor(grid, device=means.device)
    first = ((pixel - radius) / TILE).trunc().nan_to_num(nan=0.0).clamp(torch.zeros_like(most), most)
    behind = ((pixel + radius + TILE - 1) / TILE).trunc().nan_to_num(nan=0.0).clamp(torch.zeros_like(most), most)
    seen = (depth > NEAR) & (determinant != 0) & (behind > first).all(1) & radius[:, 0].isfinite()
    conic = torch.stack([yy, -xy, xx], 1) / determinant[:, None]
    return Projected(pixel, depth, conic, torch.cat([first, behind], 1).long(), seen)


def rotations(quats: Tensor) -> Tensor:
    """Quaternions (N,4: w, x, y, z), whatever their length -> (N,3,3); only those of length 1 give rotations."""
    w, x, y, z = quats.unbind(-1)
    return torch.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ], -1).unflatten(-1, (3, 3))


def tile_lists(shown: Projected, size: tuple[int, int]) -> tuple[tuple[Tensor, ...], int]:
    """For every tile, row by row, the Gaussians seen in it, nearest first; and the number of tiles in a row."""
    columns, rows = (-(-length // TILE) for length in size)
    order = torch.argsort(shown.depth.float(), stable=True)
    order = order[shown.seen[order]]
    first, behind = shown.tiles[order, :2], shown.tiles[order, 2:]
    wide = behind[:, 0] - first[:, 0]
    count = wide * (behind[:, 1] - first[:, 1])
    member = torch.arange(len(order), device=order.device).repeat_interleave(count)
    within = torch.arange(len(member), device=order.device) - (count.cumsum(0) - count)[member]
    tile = (first[member, 1] + within // wide[member]) * columns + first[member, 0] + within % wide[member]
    by_tile = torch.argsort(tile, stable=True)
    return order[member[by_tile]].split(torch.bincount(tile, minlength=columns * rows).tolist()), columns


def _composite(members: Tensor, pixels: Tensor, shown: Projected, opacities: Tensor,
               colors: Tensor) -> tuple[Tensor, Tensor]:
    """Colours (P,C) that a tile's Gaussians add at pixels (P,2), and what light is left (P,)."""
    light = pixels.new_ones(len(pixels))
    total = pixels.new_zeros(len(pixels), colors.shape[1])
    finished = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    for part in members.split(_AT_ONCE):
        dx, dy = (shown.pixel[part, None] - pixels).unbind(-1)
        xx, xy, yy = shown.conic[part].T[:, :, None]
        power = -0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy
        alpha = (opacities[part, None] * power.exp()).clamp(max=ALPHA_MOST)
        counts = (power <= 0) & (alpha >= ALPHA_LEAST)
        passing = torch.cat([light[None], torch.where(counts, 1 - alpha, 1.0)]).cumprod(0)
        over = ((counts & (passing[1:] < LIGHT_LEAST)).cumsum(0) > 0) | finished
        counts &= ~over
        total += torch.where(counts, alpha * passing[:-1], 0.0).T @ colors[part]
        light = light * torch.where(counts, 1 - alpha, 1.0).prod(0)
        finished = over[-1]
        if finished.all():
            break
    return total, light
