# SPDX-License-Identifier: GPL-3.0-or-later
"""From features to Gaussians: one for each vertex of the head, one for each point of two planes. Needs torch.

Two oddities of the published program are kept, since its weights were trained with them: the head's quaternions are
made one length along the wrong axis, so that they hardly turn anything; and the planes' colours pass the sigmoid in
the first three columns of the map rather than in the first three channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 32
DIRECTION = 27      # values of `camera.direction_code`
_LARGEST = 0.05     # standard deviation


@dataclass
class Gaussians:
    """N of them without their places: colors (N,32), opacities (N,1), scales (N,3), quats (N,4)."""

    colors: Tensor
    opacities: Tensor
    scales: Tensor
    quats: Tensor


class HeadGenerator(nn.Module):
    """Gaussians of the head's vertices."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_layers = nn.Sequential(nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                                            nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256))
        self.color_layers = _two_layers(CHANNELS)
        self.opacity_layers = _two_layers(1)
        self.scale_layers = _two_layers(3)
        self.rotation_layers = _two_layers(4)

    def forward(self, features: Tensor, direction: Tensor) -> Gaussians:
        """Features (V,1024) and a direction (27,) -> V Gaussians."""
        x = self.feature_layers(features)
        x = torch.cat([x, direction.expand(len(x), -1)], -1)
        colors = self.color_layers(x)
        return Gaussians(
            torch.cat([colors[:, :3].sigmoid(), colors[:, 3:]], 1), self.opacity_layers(x).sigmoid(),
            self.scale_layers(x).sigmoid() * _LARGEST,
            F.normalize(self.rotation_layers(x), dim=0),    # along the vertices, as published
        )


def _two_layers(made: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(256 + DIRECTION, 128), nn.ReLU(), nn.Linear(128, made))


class PlaneGenerator(nn.Module):
    """Gaussians of a plane's points, and how far from it they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.gaussian_conv = nn.Sequential(
            nn.Conv2d(256 + DIRECTION, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, CHANNELS + 1 + 3 + 4 + 1, 1),
        )

    def forward(self, features: Tensor, direction: Tensor) -> tuple[Gaussians, Tensor]:
        """Features (256,S,S) and a direction (27,) -> S * S Gaussians row by row, and distances (S * S, 1), 0 to 1."""
        height, width = features.shape[-2:]
        x = torch.cat([features, direction[:, None, None].expand(-1, height, width)])[None]
        colors, opacities, scales, quats, distances = self.gaussian_conv(x)[0].split([CHANNELS, 1, 3, 4, 1])
        colors = torch.cat([colors[..., :3].sigmoid(), colors[..., 3:]], -1)    # columns, as published
        parts = (colors, opacities.sigmoid(), scales.sigmoid() * _LARGEST, F.normalize(quats, dim=0),
                 distances.sigmoid())
        *made, far = (part.flatten(1).T for part in parts)
        return Gaussians(*made), far
