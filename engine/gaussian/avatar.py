# SPDX-License-Identifier: GPL-3.0-or-later
"""A GAGAvatar that plays motions: its Gaussians are made once, for a frame only the head's points and the camera move.

Needs torch. The forehead's running average starts anew with every motion; in the published program it goes on from
whatever was rendered before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ..device import memory_in_a_sentence
from ..errors import EngineError
from ..flame.model import FlameModel
from ..flame.skinning import skin
from ..recorded import Recorded
from .camera import head_poses, intrinsics, view_matrix
from .network import HEAD, AvatarNetwork
from .rasterize import rasterize_with_alpha
from .style_unet import SIDE
from .weights import Photo

Floats = NDArray[np.float32]

FLAME_SCALE = 5.0
FOREHEAD_KEPT = 0.98        # of what the forehead was, from frame to frame
# FLAME's vertices, as the published program lists them
FOREHEAD = np.array([
    2168, 2165, 3068, 2199, 2196, 3720, 2091, 2088, 3524, 625, 628, 3871, 705, 708, 2030, 667, 670, 3708, 3706, 3729,
    3721, 3773, 3789, 3735, 3732, 3786, 3876, 3878, 3913, 3899, 3872, 3874, 3864, 3865, 3158, 3157, 336, 335, 3153,
    3705, 2177, 2176, 3540, 671, 672, 3863, 2134, 16, 17, 2138, 2139, 2567, 2566, 337, 338, 3154, 3712, 2178, 2179,
    3495, 674, 673, 3868, 2135, 27, 18, 1429, 1430,
])
_FRAMES_AT_ONCE = 64
_UPSAMPLER = {"bf16": torch.bfloat16, "fp16": torch.float16}      # else float32; all before it always is


def head_points(head: FlameModel, motion: NDArray[np.floating[Any]], shape: Floats, start: int = 0,
                stop: int | None = None) -> Iterator[Floats]:
    """The points (5023,3) of a motion's frames, as the network was trained: the root at rest, five times the size.

    The forehead follows slowly, from the motion's first frame on, so that a frame is the same whatever `start` is.
    """
    stop = len(motion) if stop is None else stop
    forehead: Floats | None = None
    for first in range(0, stop, _FRAMES_AT_ONCE):
        part = motion[first : min(first + _FRAMES_AT_ONCE, stop)]
        whole = first + len(part) > start       # of earlier frames only the forehead is needed
        points = skin(head, part[:, :100], jaw=part[:, 103:106], shape=shape,
                      vertices=None if whole else FOREHEAD) * np.float32(FLAME_SCALE)
        for at, frame in enumerate(points):
            fresh = frame[FOREHEAD] if whole else frame
            forehead = fresh if forehead is None else (FOREHEAD_KEPT * forehead + (1 - FOREHEAD_KEPT) * fresh)
            if first + at >= start:
                frame[FOREHEAD] = forehead
                yield frame


class Avatar:
    """One person, ready to play."""

    def __init__(self, network: AvatarNetwork, photo: Photo, head: FlameModel, precision: str = "fp32") -> None:
        if head.vertex_count != HEAD:
            raise EngineError(f"The head has {head.vertex_count} vertices where FLAME has {HEAD}.",
                              "Choose a FLAME file.")
        self.network, self.photo, self.head, self.precision = network, photo, head, precision
        self.device = network.head_base.device
        with torch.inference_mode(), memory_in_a_sentence():
            self.identity = network.identity(torch.from_numpy(photo.image).to(self.device), photo.pose)
        network.upsampler.to(_UPSAMPLER.get(precision, torch.float32))
        for weight in network.upsampler.parameters():       # the order that processors and tensor cores like best
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self._upsampled = Recorded(lambda features: (network.upsampler.logits(features),))

    def frames(self, motion: NDArray[np.floating[Any]], start: int = 0, stop: int | None = None, size: int = SIDE,
               fresh_noise: int | None = None) -> Iterator[Floats]:
        """Pictures (4,size,size) of a motion (T,106) from `start` to before `stop`: red, green, blue, alpha, 0 to 1.

        Colours are as the network means them for the screen (sRGB). The motion is not changed.
        `fresh_noise`, a seed, gives every frame noise of its own, as the published program does.
        """
        stop = len(motion) if stop is None else stop
        poses = head_poses(motion[:stop, 100:103], self.photo.pose)
        for at, points in enumerate(head_points(self.head, motion, self.photo.shape, start, stop), start):
            generator = None
            if fresh_noise is not None:
                generator = torch.Generator(self.device).manual_seed(fresh_noise + at)
            with torch.inference_mode(), memory_in_a_sentence():
                picture, alpha = self.picture(points, poses[at], generator)
                rgba = torch.cat([picture, alpha[None]])
                if size != SIDE:
                    rgba = F.interpolate(rgba[None], (size, size), mode="bilinear", antialias=True)[0]
                yield rgba.clamp(0, 1).cpu().numpy()

    def previews(self, motion: NDArray[np.floating[Any]], start: int = 0, stop: int | None = None,
                 size: int = 256) -> Iterator[Floats]:
        """As `frames`, coarsely: the Gaussians' own colours without the upsampler."""
        stop = len(motion) if stop is None else stop
        poses = head_poses(motion[:stop, 100:103], self.photo.pose)
        for at, points in enumerate(head_points(self.head, motion, self.photo.shape, start, stop), start):
            with torch.inference_mode(), memory_in_a_sentence():
                image, alpha = self.features(points, poses[at], size, channels=3)
                yield torch.cat([image / alpha.clamp(min=1e-6), alpha[None]]).clamp(0, 1).cpu().numpy()

    def features(self, points: Floats, pose: Floats, size: int = SIDE,
                 channels: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
        """The drawn Gaussians (C,size,size), and what they hide (size,size). Points (5023,3), pose (3,4)."""
        identity = self.identity
        means = identity.means.clone()
        means[:HEAD] = torch.from_numpy(points)
        colors = identity.colors if channels == identity.colors.shape[1] else identity.colors[:, :channels].contiguous()
        view, K = (torch.from_numpy(value).to(self.device) for value in (view_matrix(pose), intrinsics(size)))
        return rasterize_with_alpha(means, identity.quats, identity.scales, identity.opacities, colors, view, K,
                                    (size, size))

    def picture(self, points: Floats, pose: Floats,
                generator: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The upsampled picture (3,512,512), and what the Gaussians hide (512,512)."""
        features, alpha = self.features(points, pose)
        given = features[None].to(_UPSAMPLER.get(self.precision, torch.float32), memory_format=torch.channels_last)
        if generator is None:
            (logits,) = self._upsampled(given)
        else:       # a recording would repeat its noise
            logits = self.network.upsampler.logits(given, generator)
        return logits[0].float().sigmoid(), alpha
