# SPDX-License-Identifier: GPL-3.0-or-later
"""The upsampler: 32 feature channels -> a picture, both 512 x 512. Needs torch.

A U-Net reads the features; its levels scale and shift a StyleGAN2 generator's. Sources: Karras et al. 2020, "Analyzing
and Improving the Image Quality of StyleGAN"; Wang et al. 2021, "Towards Real-World Blind Face Restoration with
Generative Facial Prior" (GFPGAN). Tensor names are the published checkpoint's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 512
STYLE = 512
_UNET = {4: 256, 8: 256, 16: 256, 32: 256, 64: 128, 128: 64, 256: 32, 512: 16}
_SIDES = (8, 16, 32, 64, 128, 256, 512)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, 0.2)


class _ResidualBlock(nn.Module):
    """Halves or doubles the side between its two convolutions."""

    def __init__(self, given: int, made: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(given, given, 3, padding=1)
        self.conv2 = nn.Conv2d(given, made, 3, padding=1)
        self.skip = nn.Conv2d(given, made, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = _leaky(self.conv2(_scaled(_leaky(self.conv1(x)), self.factor)))
        if self.factor > 1:     # a 1 x 1 convolution and the resizing can change places; this order is the cheaper one
            return out + _scaled(self.skip(x), self.factor)
        return out + self.skip(_scaled(x, self.factor))


class _ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and its outputs so that their power stays."""

    def __init__(self, given: int, made: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, made, given, kernel, kernel))
        self.modulation = nn.Linear(STYLE, given)
        self._squares: Tensor | None = None

    def scale(self, style: Tensor) -> Tensor:
        """Style (1,512) -> the input channels' factors (1,I)."""
        return self.modulation(style)

    def power(self, scale: Tensor) -> Tensor:
        """Factors (1,I) -> what the output channels are divided by, (1,O): StyleGAN2's demodulation."""
        if self._squares is None or self._squares.dtype != scale.dtype or self._squares.device != scale.device:
            self._squares = self.weight[0].float().square().sum((2, 3)).T.to(scale.dtype).contiguous()
        return (scale.square() @ self._squares + 1e-8).rsqrt()


class _StyleConv(nn.Module):
    def __init__(self, given: int, made: int, doubles: bool) -> None:
        super().__init__()
        self.doubles = doubles
        self.weight = nn.Parameter(torch.zeros(1))      # of the noise
        self.bias = nn.Parameter(torch.zeros(1, made, 1, 1))
        self.modulated_conv = _ModulatedConv(given, made, 3)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """x (1,I,S,S) -> (1,O,S,S), or twice the side; noise (1,1,side,side)."""
        weight = self.modulated_conv.weight[0]
        scale = self.modulated_conv.scale(style)
        power = self.modulated_conv.power(scale) * 2**0.5
        if weight.numel() < noise.numel() * len(weight):        # whichever is smaller is scaled
            weight = weight * power.T[..., None, None] * scale[..., None, None]
            x = F.conv2d(_scaled(x, 2) if self.doubles else x, weight, self.bias.flatten(), padding=1)
        else:
            x = x * scale[..., None, None]
            x = F.conv2d(_scaled(x, 2) if self.doubles else x, weight, padding=1)
            x = torch.addcmul(self.bias, x, power[..., None, None])
        return _leaky(x.add_(self.weight * noise))


class _ToRGB(nn.Module):
    def __init__(self, given: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.modulated_conv = _ModulatedConv(given, 3, 1)

    def forward(self, x: Tensor, style: Tensor, picture: Tensor | None) -> Tensor:
        """x (1,I,S,S), and the picture of half the side -> (1,3,S,S)."""
        weight = self.modulated_conv.weight[0] * self.modulated_conv.scale(style)[..., None, None]
        out = F.conv2d(x, weight) + self.bias
        return out if picture is None else out + _scaled(picture, 2)


class _Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 512, 4, 4))


class _Normalise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class _Decoder(nn.Module):
    """StyleGAN2's generator, with its levels scaled and shifted from outside."""

    def __init__(self) -> None:
        super().__init__()
        mlp: list[nn.Module] = [_Normalise()]
        for _ in range(8):
            mlp += [nn.Linear(STYLE, STYLE), nn.LeakyReLU(0.2)]
        self.style_mlp = nn.Sequential(*mlp)
        self.constant_input = _Constant()
        self.style_conv1 = _StyleConv(512, 512, doubles=False)
        self.to_rgb1 = _ToRGB(512)
        self.style_convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        given = 512
        for side in _SIDES:
            made = 2 * _UNET[side]
            self.style_convs.extend([_StyleConv(given, made, doubles=True), _StyleConv(made, made, doubles=False)])
            self.to_rgbs.append(_ToRGB(made))
            given = made
        for at in range(1 + 2 * len(_SIDES)):
            side = 4 << ((at + 1) // 2)
            self.noises.register_buffer(f"noise{at}", torch.zeros(1, 1, side, side))

    def forward(self, code: Tensor, conditions: Sequence[tuple[Tensor, Tensor]],
                generator: torch.Generator | None) -> Tensor:
        """A style code (1,512) and a (factor, shift) for each level -> picture (1,3,512,512), unbounded."""
        style = self.style_mlp(code)

        def noise(at: int) -> Tensor:
            fixed: Tensor = getattr(self.noises, f"noise{at}")
            if generator is None:
                return fixed
            return torch.randn(fixed.shape, generator=generator, device=fixed.device, dtype=fixed.dtype)

        x = self.style_conv1(self.constant_input.weight, style, noise(0))
        picture: Tensor = self.to_rgb1(x, style, None)
        for level, ((factor, shift), to_rgb) in enumerate(zip(conditions, self.to_rgbs, strict=True)):
            x = self.style_convs[2 * level](x, style, noise(2 * level + 1))
            x = self.style_convs[2 * level + 1](torch.addcmul(shift, x, factor), style, noise(2 * level + 2))
            picture = to_rgb(x, style, picture)
        return picture


class StyleUNet(nn.Module):
    """Features of a picture -> the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_body_first = nn.Conv2d(32, _UNET[SIDE], 1)
        self.conv_body_down = nn.ModuleList(
            _ResidualBlock(_UNET[side], _UNET[side // 2], 0.5) for side in reversed(_SIDES))
        self.final_conv = nn.Conv2d(_UNET[4], _UNET[4], 3, padding=1)
        self.final_linear = nn.Linear(_UNET[4] * 16, STYLE)
        self.conv_body_up = nn.ModuleList(_ResidualBlock(_UNET[side // 2], _UNET[side], 2) for side in _SIDES)
        self.stylegan_decoder = _Decoder()
        self.condition_scale = nn.ModuleList(_condition(_UNET[side]) for side in _SIDES)
        self.condition_shift = nn.ModuleList(_condition(_UNET[side]) for side in _SIDES)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Features (1,32,512,512) -> picture (1,3,512,512), 0 to 1.

        The published program draws new noise for every picture, which flickers. Here it is the checkpoint's own, the
        same for every picture; with a `generator` it is drawn from that.
        """
        return self.logits(features, generator).sigmoid()

    def logits(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `forward`, before the sigmoid."""
        x = _leaky(self.conv_body_first(features))
        skips = []
        for block in self.conv_body_down:
            x = block(x)
            skips.append(x)
        x = _leaky(self.final_conv(x))
        code = self.final_linear(x.flatten(1))      # channel by channel, whatever the order in memory
        conditions = []
        for block, factor, shift in zip(self.conv_body_up, self.condition_scale, self.condition_shift, strict=True):
            x = block(x + skips.pop())
            conditions.append((factor(x), shift(x)))
        return self.stylegan_decoder(code, conditions, generator)


def _condition(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2),
                         nn.Conv2d(width, 2 * width, 3, padding=1))
