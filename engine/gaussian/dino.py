# SPDX-License-Identifier: GPL-3.0-or-later
"""What GAGAvatar sees in the photo: DINOv2's ViT-B/14 and a pyramid over its last four blocks. Needs torch.

Sources: Oquab et al. 2023, "DINOv2"; Ranftl et al. 2021, "Vision Transformers for Dense Prediction". Our own modules
rather than a library's: the checkpoint spells its tensors as DINOv2's repository does, one size of picture is ever
seen, and what is needed is short. Tensor names are the published checkpoint's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, DEPTH, PATCH = 768, 12, 12, 14
PHOTO = 518         # pixels of the photo's side: 37 patches
_LEVELS = (256, 512, 1024, 1024)
_HIDDEN = 256


class _LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B,L,768) -> (B,L,768)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn, self.mlp = _Attention(), _FeedForward()
        self.ls1, self.ls2 = _LayerScale(), _LayerScale()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class _PatchEmbed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)


class VisionTransformer(nn.Module):
    """DINOv2 ViT-B/14 for pictures of 518 x 518."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (PHOTO // PATCH) ** 2, WIDTH))
        self.patch_embed = _PatchEmbed()
        self.blocks = nn.ModuleList(_Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Picture (B,3,518,518), normalised -> the last four blocks' patches (B,1369,768), each through the norm."""
        x = self.patch_embed.proj(picture).flatten(2).mT
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        seen = []
        for at, block in enumerate(self.blocks):
            x = block(x)
            if at >= DEPTH - 4:
                seen.append(self.norm(x)[:, 1:])
        return seen


class _ResidualUnit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1)
        self.conv2 = nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class _Fusion(nn.Module):
    """Adds a level to the coarser ones and grows to the next one's size; the coarsest has nothing to be added to."""

    def __init__(self, adds: bool) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(_HIDDEN, _HIDDEN, 1)
        if adds:
            self.resConfUnit1 = _ResidualUnit()
        self.resConfUnit2 = _ResidualUnit()

    def forward(self, x: Tensor, level: Tensor | None, side: int) -> Tensor:
        if level is not None:
            x = x + self.resConfUnit1(level)
        x = F.interpolate(self.resConfUnit2(x), (side, side), mode="bilinear", align_corners=True)
        return self.out_conv(x)


class PhotoFeatures(nn.Module):
    """A photo as features for the planes' points, and one vector for the head's."""

    def __init__(self) -> None:
        super().__init__()
        self.dino_model = VisionTransformer()
        self.projects = nn.ModuleList(nn.Conv2d(WIDTH, width, 1) for width in _LEVELS)
        self.resize_layers = nn.ModuleList([
            nn.ConvTranspose2d(_LEVELS[0], _LEVELS[0], 4, 4), nn.ConvTranspose2d(_LEVELS[1], _LEVELS[1], 2, 2),
            nn.Identity(), nn.Conv2d(_LEVELS[3], _LEVELS[3], 3, 2, 1),
        ])
        self.layer_rn = nn.ModuleList(nn.Conv2d(width + 3, _HIDDEN, 3, padding=1, bias=False) for width in _LEVELS)
        self.refinenet = nn.ModuleList(_Fusion(adds=at > 0) for at in range(4))
        self.output_conv = nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Photo (B,3,518,518), 0 to 1 -> features (B,256,296,296) and (B,768).

        What is meant to stand for the whole photo is its top left patch: the class token is gone by then. The
        pyramid's levels get the normalised photo beside them, before their features. As published.
        """
        mean, deviation = photo.new_tensor([0.485, 0.456, 0.406]), photo.new_tensor([0.229, 0.224, 0.225])
        photo = (photo - mean[:, None, None]) / deviation[:, None, None]
        seen = self.dino_model(photo)
        side = PHOTO // PATCH
        levels = []
        for patches, project, resize, layer in zip(seen, self.projects, self.resize_layers, self.layer_rn, strict=True):
            level = resize(project(patches.mT.unflatten(-1, (side, side))))
            small = F.interpolate(photo, level.shape[-2:], mode="bilinear", antialias=True)
            levels.append(layer(torch.cat([small, level], 1)))
        x: Tensor = levels[3]
        sides = [levels[2].shape[-1], levels[1].shape[-1], levels[0].shape[-1], 2 * levels[0].shape[-1]]
        for fusion, level, grown in zip(self.refinenet, [None, *levels[2::-1]], sides, strict=True):
            x = fusion(x, level, grown)
        return self.output_conv(x), seen[-1][:, 0]
