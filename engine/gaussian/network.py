# SPDX-License-Identifier: GPL-3.0-or-later
"""GAGAvatar's network: a photo -> the Gaussians of an avatar; their drawing -> a picture. Needs torch.

Source: Chu and Harada 2024, "Generalizable and Animatable Gaussian Head Avatar". Tensor names are the checkpoint's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .camera import direction_code, photo_plane
from .dino import PHOTO, PhotoFeatures
from .generators import Gaussians, HeadGenerator, PlaneGenerator
from .style_unet import StyleUNet

HEAD = 5023     # FLAME's vertices, first among an avatar's Gaussians; the planes' points follow


@dataclass
class Identity:
    """The Gaussians of one avatar: means (N,3), of which the first 5023 are set for every frame, quats (N,4),
    scales (N,3), opacities (N,), colors (N,32)."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor


class AvatarNetwork(nn.Module):
    """The whole of it."""

    def __init__(self) -> None:
        super().__init__()
        self.head_base = nn.Parameter(torch.empty(HEAD, 256))
        self.base_model = PhotoFeatures()
        self.gs_generator_g = HeadGenerator()
        self.gs_generator_l0 = PlaneGenerator()
        self.gs_generator_l1 = PlaneGenerator()
        self.upsampler = StyleUNet()

    def identity(self, photo: Tensor, pose: NDArray[np.float32]) -> Identity:
        """A photo (3,H,W), 0 to 1, and its pose (3,4) -> an avatar. To be done once for each."""
        photo = F.interpolate(photo[None], (PHOTO, PHOTO), mode="bilinear", antialias=True)
        local, whole = self.base_model(photo)
        points, direction = (torch.from_numpy(value).to(photo.device) for value in photo_plane(pose))
        code = torch.from_numpy(direction_code(direction.cpu().numpy())).to(photo.device)
        head = self.gs_generator_g(torch.cat([self.head_base, whole.expand(HEAD, -1)], 1), code)
        before, far_before = self.gs_generator_l0(local[0], code)
        behind, far_behind = self.gs_generator_l1(local[0], code)
        means = torch.cat([points.new_zeros(HEAD, 3), points + far_before * direction,
                           points - far_behind * direction])
        parts: list[Gaussians] = [head, before, behind]
        return Identity(
            means, torch.cat([part.quats for part in parts]).contiguous(),
            torch.cat([part.scales for part in parts]).contiguous(),
            torch.cat([part.opacities for part in parts])[:, 0].contiguous(),
            torch.cat([part.colors for part in parts]).contiguous(),
        )
