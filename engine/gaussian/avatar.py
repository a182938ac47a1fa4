# SPDX-License-Identifier: GPL-3.0-or-later
"""A GAGAvatar that plays motions: its Gaussians are made once, for a frame only the head's points and the camera move.

Needs torch. The forehead's running average starts anew with every motion; in the published program it goes on from
whatever was rendered before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from .shot import MOTION_RATE, Played, Shot
from .splats import Splats
from .style_unet import SIDE
from .weights import Photo

Floats = NDArray[np.float32]

FLAME_SCALE = 5.0
FOREHEAD_KEPT = 0.98        # of what the forehead was, from frame to frame at 25 frames a second
# FLAME's vertices, as the published program lists them
FOREHEAD = np.array([
    2168, 2165, 3068, 2199, 2196, 3720, 2091, 2088, 3524, 625, 628, 3871, 705, 708, 2030, 667, 670, 3708, 3706, 3729,
    3721, 3773, 3789, 3735, 3732, 3786, 3876, 3878, 3913, 3899, 3872, 3874, 3864, 3865, 3158, 3157, 336, 335, 3153,
    3705, 2177, 2176, 3540, 671, 672, 3863, 2134, 16, 17, 2138, 2139, 2567, 2566, 337, 338, 3154, 3712, 2178, 2179,
    3495, 674, 673, 3868, 2135, 27, 18, 1429, 1430,
])
_FRAMES_AT_ONCE = 64
_UPSAMPLER = {"bf16": torch.bfloat16, "fp16": torch.float16}      # else float32; all before it always is


def head_points(head: FlameModel, motion: NDArray[np.floating[Any]], shape: Floats, wanted: Sequence[int],
                rate: float = MOTION_RATE) -> Iterator[Floats]:
    """The points (5023,3) of a motion's wanted frames (ascending), as the network was trained: the root at rest, five
    times the size.

    The forehead follows slowly, from the motion's first frame on, so that a frame is the same whatever is wanted
    besides; at other rates than 25 frames a second it is as slow in seconds.
    """
    kept = FOREHEAD_KEPT ** (MOTION_RATE / rate)
    chosen = set(wanted)
    forehead: Floats | None = None
    for first in range(0, max(wanted, default=-1) + 1, _FRAMES_AT_ONCE):
        part = motion[first : first + _FRAMES_AT_ONCE]
        whole = not chosen.isdisjoint(range(first, first + len(part)))     # of others only the forehead is needed
        points = skin(head, part[:, :100], jaw=part[:, 103:106], shape=shape,
                      vertices=None if whole else FOREHEAD) * np.float32(FLAME_SCALE)
        for at, frame in enumerate(points, first):
            fresh = frame[FOREHEAD] if whole else frame
            forehead = fresh if forehead is None else (kept * forehead + (1 - kept) * fresh)
            if at in chosen:
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

    def pictures(self, played: Played, shot: Shot, wanted: Sequence[int],
                 fresh_noise: int | None = None) -> Iterator[Floats]:
        """Pictures (4,H,W) of the wanted frames (ascending): red, green, blue, straight alpha, 0 to 1.

        Colours are as the network means them for the screen (sRGB). A coarse shot is the Gaussians' own colours without
        the upsampler. The motion is not changed; of its eyes and shape the network knows nothing.
        `fresh_noise`, a seed, gives every frame noise of its own, as the published program does.
        """
        for frame, points, pose in self._heads(played, wanted):
            generator = None
            if fresh_noise is not None:
                generator = torch.Generator(self.device).manual_seed(fresh_noise + frame)
            given = shot.camera(frame)
            view, K = (view_matrix(pose), intrinsics(shot.width)) if given is None else self._seen(given, pose)
            with torch.inference_mode(), memory_in_a_sentence():
                if shot.coarse:
                    image, alpha = self._drawn(points, view, K, (shot.width, shot.height), channels=3)
                    rgba = torch.cat([image / alpha.clamp(min=1e-6), alpha[None]])
                else:
                    rgba = self._whole(points, view, K, shot, generator)
                yield rgba.clamp(0, 1).cpu().numpy()

    def splats_at(self, played: Played, frame: int) -> Splats:
        """A frame's Gaussians where the head is, metres, FLAME's axes; the network's colours before its upsampler."""
        (_, points, pose), = self._heads(played, [frame])
        identity = self.identity
        means = identity.means.cpu().numpy().copy()
        means[:HEAD] = points
        rest = (identity.quats, identity.scales, identity.opacities, identity.colors[:, :3])
        splats = Splats.of(means, *(value.float().cpu().numpy() for value in rest))
        matrix = np.eye(4)
        matrix[:3] = self._turned(pose) / np.array([FLAME_SCALE] * 3 + [1.0])
        return splats.placed(matrix)

    def _heads(self, played: Played, wanted: Sequence[int]) -> Iterator[tuple[int, Floats, Floats]]:
        """The wanted frames, each with its points and its pose."""
        motion = played.joined()
        poses = head_poses(motion[list(wanted), 100:103], self.photo.pose)
        points = head_points(self.head, motion, self.photo.shape, wanted, played.rate)
        yield from zip(wanted, points, poses, strict=True)

    def _turned(self, pose: Floats) -> NDArray[np.float64]:
        """(3,4): from points that look straight ahead to the head as it is turned, about FLAME's root, metres."""
        turn = np.diag((-1.0, 1.0, -1.0)) @ pose[:, :3].T.astype(np.float64)
        neutral = self.head.v_template + self.head.shapedirs @ self.photo.shape
        root = np.asarray(self.head.J_regressor[0] @ neutral, np.float64)
        return np.concatenate([turn, (root - turn @ root)[:, None]], 1)

    def _seen(self, camera: tuple[Floats, Floats], pose: Floats) -> tuple[Floats, Floats]:
        """A camera in the head's space for points five times the size that don't turn."""
        view = np.eye(4)
        view[:3] = self._turned(pose)
        view = np.asarray(camera[0], np.float64) @ view
        view[:3, 3] *= FLAME_SCALE
        return view.astype(np.float32), camera[1]

    def _whole(self, points: Floats, view: Floats, K: Floats, shot: Shot,
               generator: torch.Generator | None) -> torch.Tensor:
        """A picture (4,H,W) through the upsampler, which knows one size: the square around the shot, then cut."""
        side = max(shot.width, shot.height)
        left, top = (side - shot.width) / 2, (side - shot.height) / 2
        K = K.copy()
        K[:2, 2] += (left, top)
        K[:2] *= np.float32(SIDE / side)
        picture, alpha = self._finished(*self._drawn(points, view, K, (SIDE, SIDE)), generator)
        rgba = torch.cat([picture, alpha[None]])
        if side != SIDE:
            rgba = F.interpolate(rgba[None], (side, side), mode="bilinear", antialias=True)[0]
        return rgba[:, int(top) : int(top) + shot.height, int(left) : int(left) + shot.width]

    def features(self, points: Floats, pose: Floats, size: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
        """The drawn Gaussians (32,size,size), and what they hide (size,size). Points (5023,3), pose (3,4)."""
        return self._drawn(points, view_matrix(pose), intrinsics(size), (size, size))

    def _drawn(self, points: Floats, view: Floats, K: Floats, size: tuple[int, int],
               channels: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
        identity = self.identity
        means = identity.means.clone()
        means[:HEAD] = torch.from_numpy(points)
        colors = identity.colors if channels == identity.colors.shape[1] else identity.colors[:, :channels].contiguous()
        seen, lens = (torch.from_numpy(value).to(self.device) for value in (view, K))
        return rasterize_with_alpha(means, identity.quats, identity.scales, identity.opacities, colors, seen, lens,
                                    size)

    def picture(self, points: Floats, pose: Floats,
                generator: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The upsampled picture (3,512,512), and what the Gaussians hide (512,512)."""
        return self._finished(*self.features(points, pose), generator)

    def _finished(self, features: torch.Tensor, alpha: torch.Tensor,
                  generator: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
        given = features[None].to(_UPSAMPLER.get(self.precision, torch.float32), memory_format=torch.channels_last)
        if generator is None:
            (logits,) = self._upsampled(given)
        else:       # a recording would repeat its noise
            logits = self.network.upsampler.logits(given, generator)
        return logits[0].float().sigmoid(), alpha
