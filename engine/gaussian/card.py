# SPDX-License-Identifier: GPL-3.0-or-later
"""Rasterisers of other people's for graphics cards: gsplat, and diff-gaussian-rasterization with 3 or with 32 channels.

Needs torch and a CUDA card; written to the libraries' documentation and not yet run on one. What is not theirs, the
matrices that they are given, is tested without a card. Where several are installed, the faster one is chosen by
measuring both on the first picture of a size (`Fastest`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .plain import NEAR, rotations

Given = tuple[Any, ...]
Draw = Callable[[Given, tuple[int, int]], tuple[Tensor, Tensor]]

# the published avatars were trained through the second, which is the first with another number compiled in
DIFF_CHANNELS = {"diff_gaussian_rasterization": 3, "diff_gaussian_rasterization_32d": 32}
_FAR = 100.0
_TRIES = 3


def draw_gsplat(given: Given, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Covariances are made here, since gsplat makes quaternions one length, which ours need not have."""
    from gsplat import rasterization

    means, quats, scales, opacities, colors, viewmat, K = (value.float() for value in given)
    with torch.inference_mode():
        half = rotations(quats) * scales[:, None]
        images, alphas, _ = rasterization(
            means, quats, scales, opacities, colors, viewmat[None], K[None], *size, near_plane=NEAR, packed=False,
            covars=half @ half.mT)
    return images[0].permute(2, 0, 1), 1 - alphas[0, :, :, 0]


def draw_diff(package: str, given: Given, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """As many channels at a time as the package was compiled for; one more, of ones, says what is hidden."""
    library = importlib.import_module(package)
    means, quats, scales, opacities, colors, viewmat, K = (value.float().contiguous() for value in given)
    width, height = size
    at_once = DIFF_CHANNELS[package]
    fields = {
        "image_height": height, "image_width": width,
        "tanfovx": float(width / (2 * K[0, 0])), "tanfovy": float(height / (2 * K[1, 1])),
        "bg": means.new_zeros(at_once), "scale_modifier": 1.0, "viewmatrix": viewmat.T.contiguous(),
        "projmatrix": (clip_matrix(K, size) @ viewmat).T.contiguous(), "sh_degree": 0,
        "campos": -viewmat[:3, :3].T @ viewmat[:3, 3], "prefiltered": False, "debug": False, "antialiasing": False,
    }
    known = library.GaussianRasterizationSettings._fields      # newer ones know more
    draw = library.GaussianRasterizer(library.GaussianRasterizationSettings(
        **{name: value for name, value in fields.items() if name in known}))
    painted = torch.cat([colors, colors.new_ones(len(colors), 1)], 1)
    parts = []
    with torch.inference_mode():
        for part in painted.split(at_once, 1):
            padded = torch.nn.functional.pad(part, (0, at_once - part.shape[1]))
            image = draw(means3D=means, means2D=torch.zeros_like(means), opacities=opacities[:, None],
                         colors_precomp=padded, scales=scales, rotations=quats)[0]
            parts.append(image[: part.shape[1]])
    drawn = torch.cat(parts)
    return drawn[:-1], 1 - drawn[-1]


def clip_matrix(K: Tensor, size: tuple[int, int]) -> Tensor:
    """A camera's K (3,3) -> (4,4): the camera's space to clip space, whose -1 and 1 are the picture's edges."""
    width, height = size
    clip = K.new_zeros(4, 4)
    clip[0, 0], clip[0, 2] = 2 * K[0, 0] / width, 2 * K[0, 2] / width - 1
    clip[1, 1], clip[1, 2] = 2 * K[1, 1] / height, 2 * K[1, 2] / height - 1
    clip[2, 2], clip[2, 3] = _FAR / (_FAR - NEAR), -_FAR * NEAR / (_FAR - NEAR)
    clip[3, 2] = 1
    return clip


class Fastest:
    """Draws with the fastest of several, found out once for a number of channels and a size."""

    def __init__(self, clock: Callable[[Callable[[], object]], float]) -> None:
        self._clock = clock
        self._chosen: dict[tuple[int, tuple[int, int]], str] = {}

    def __call__(self, ways: Mapping[str, Draw], given: Given, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """`ways` by name; all draw the same."""
        key = (given[4].shape[1], size)
        if key not in self._chosen:
            times = {name: min(self._clock(lambda draw=draw: draw(given, size)) for _ in range(_TRIES))  # type: ignore[misc]
                     for name, draw in ways.items()}
            self._chosen[key] = min(times, key=times.__getitem__)
        return ways[self._chosen[key]](given, size)

    def choice(self, channels: int, size: tuple[int, int]) -> str:
        """What was found to be the fastest; empty where nothing was measured yet."""
        return self._chosen.get((channels, size), "")


def seconds_on_card(work: Callable[[], object]) -> float:
    """How long something takes a graphics card."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


FASTEST = Fastest(seconds_on_card)
