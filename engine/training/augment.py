# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes clean synthetic speech sound like anybody, anywhere: random changes to mel band power, on the fly.

Everything works on batches (B, F, 80) of log power or power in torch, without touching a waveform: rooms,
noise, other talkers, microphones and other heads are all simple in this domain. Random numbers come from one
generator, so a seed repeats a run.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..mel import FEATURE_FLOOR, HIGHEST_HZ, LOWEST_HZ, POWER_FLOOR, SPEECH_RANGE

FRAMES_PER_SECOND = 100
TALKERS = 6
TONES = 8  # different tones among the phones of one item
DECIBEL = math.log(10.0) / 10.0  # nepers of power


class Augmenter:
    """Random augmentation with its own generator."""

    def __init__(self, seed: int, light: float = 0.3) -> None:
        self.light = light  # share of each batch that gets only the warps and a tone control
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform random numbers."""
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def chosen(self, share: float, count: int) -> Tensor:
        """Which of the items get something: (count, 1, 1) float of zeros and ones."""
        return (torch.rand(count, 1, 1, generator=self.generator) < share).float()

    def __call__(self, log_power: Tensor) -> Tensor:
        """Clean log power (B, F, 80) to augmented, normalised features of the same shape; the first items are
        the light ones.
        """
        items = len(log_power)
        log_power = log_power + self._curve(items, 8.0) * DECIBEL * self.chosen(0.9, items)
        light = round(self.light * items)
        floor = 100.0 * DECIBEL
        quiet = torch.maximum(log_power[:light], log_power[:light].amax(dim=(1, 2), keepdim=True) - floor)
        return torch.cat([normalised(quiet), self._masked(normalised(self._heavy(log_power[light:])))])

    def _heavy(self, log_power: Tensor) -> Tensor:
        """Rooms, noise, other talkers and microphones: log power to log power."""
        items = len(log_power)
        power = log_power.exp()
        roomy = round(0.5 * items)
        power = torch.cat([self._reverberated(power[:roomy]), power[roomy:]])
        level = speech_level(power)
        power = power + self._noise(power, level) * self.chosen(0.75, items)
        power = power + self._babble(power, level) * self.chosen(0.4, items)
        power = power + self._clicks(power, level) * self.chosen(0.15, items)
        power = power + level * torch.exp(-self.uniform(45.0, 85.0, items, 1, 1) * DECIBEL)
        log_power = power.clamp_min(POWER_FLOOR).log() + self._band_limits(items)
        log_power = torch.lerp(log_power, smoothed(log_power), self.chosen(0.3, items))
        middle = log_power.mean(dim=(1, 2), keepdim=True)
        log_power = middle + (log_power - middle) * self.uniform(0.75, 1.15, items, 1, 1)
        # A floor after the band limits: no recorder is silent where its filter has taken everything away.
        ground = log_power.amax(dim=(1, 2), keepdim=True) - self.uniform(60.0, 110.0, items, 1, 1) * DECIBEL
        return torch.maximum(log_power, ground)

    def retuned(self, log_power: Tensor, phone: Tensor) -> Tensor:
        """A tone control of its own for every phone of half of the items; phone (B, F) int64 numbers them
        from the start.

        A synthesiser's M always murmurs alike; no two people's do. What remains is how the sounds around it
        move.
        """
        items = len(log_power)
        curves = torch.cat([self._curve(items, 6.0) for _ in range(TONES)], dim=1) * DECIBEL
        curves = curves + self.uniform(-4.0, 4.0, items, TONES, 1) * DECIBEL
        each = torch.nn.functional.one_hot(phone % TONES, TONES).float()
        for _ in range(2):  # the tone glides over some 50 ms, as it does in a mouth
            each = 0.5 * each + 0.25 * (each.roll(1, dims=1) + each.roll(-1, dims=1))
            each = 0.5 * each + 0.25 * (each.roll(2, dims=1) + each.roll(-2, dims=1))
        return log_power + torch.bmm(each, curves) * self.chosen(0.5, items)

    def _curve(self, items: int, reach_db: float) -> Tensor:
        """Random smooth curves over the bands (items, 1, 80), most of it tilt, in dB."""
        x = torch.linspace(0.0, math.pi, 80)
        basis = torch.stack([torch.cos(order * x) / order for order in (1, 2, 3, 4, 5)])
        return (self.uniform(-reach_db, reach_db, items, 5) @ basis)[:, None]

    def _reverberated(self, power: Tensor) -> Tensor:
        """An exponential tail of .1 to .9 s reverberation time, weaker or stronger than the direct sound."""
        items = len(power)
        step = 6.0 * math.log(10.0) / FRAMES_PER_SECOND / self.uniform(0.1, 0.9, items, 1)
        tail = torch.exp(-step * torch.arange(60.0))
        strength = torch.exp(self.uniform(-9.0, 3.0, items, 1) * DECIBEL)
        kernel = strength * tail / tail.sum(dim=1, keepdim=True)
        kernel[:, 0] += 1.0
        # Zero padding beyond the kernel's length keeps the end of the segment from leaking into its
        # beginning.
        size = power.shape[1] + kernel.shape[1]
        spectrum = torch.fft.rfft(power, size, dim=1) * torch.fft.rfft(kernel, size, dim=1)[:, :, None]
        return torch.fft.irfft(spectrum, size, dim=1)[:, : power.shape[1]].clamp_min(POWER_FLOOR)

    def _noise(self, power: Tensor, level: Tensor) -> Tensor:
        """Coloured noise, 2 dB over to 35 dB under the speech (15 in the middle), swelling and fading."""
        items, frames, bands = power.shape
        colour = torch.exp(self._curve(items, 14.0) * DECIBEL)
        colour = colour / colour.mean(dim=2, keepdim=True)
        knots = self.uniform(-6.0, 6.0, items, 1, max(2, frames // 40)) * self.uniform(0.0, 1.0, items, 1, 1)
        swell = nn.functional.interpolate(knots, frames, mode="linear", align_corners=True).transpose(1, 2)
        # The power of a noise in one window is spread like this; without it the net learns to see
        # through any noise.
        grain = -torch.log(self.uniform(1e-3, 1.0, 2, items, frames, bands)).mean(dim=0)
        under = torch.minimum(self.uniform(-2.0, 35.0, items, 1, 1), self.uniform(0.0, 45.0, items, 1, 1))
        ratio = torch.exp(-under * DECIBEL)
        return level * ratio * colour * torch.exp(swell * DECIBEL) * grain

    def _babble(self, power: Tensor, level: Tensor) -> Tensor:
        """One to six other talkers of the batch, 2 to 30 dB under the speech."""
        items, frames, _ = power.shape
        shifts = torch.randint(1, max(2, items), (TALKERS,), generator=self.generator).tolist()
        delays = torch.randint(0, frames, (TALKERS,), generator=self.generator).tolist()
        others = torch.zeros_like(power)
        for number, (shift, delay) in enumerate(zip(shifts, delays, strict=True)):
            talker = (power / level).roll(shift, dims=0).roll(delay, dims=1)
            others = others + talker * (self.chosen(0.4, items) if number else 1.0)
        others = others / speech_level(others)
        return level * torch.exp(-self.uniform(2.0, 30.0, items, 1, 1) * DECIBEL) * others

    def _clicks(self, power: Tensor, level: Tensor) -> Tensor:
        """Short wide-band knocks."""
        items, frames, _ = power.shape
        hit = (torch.rand(items, frames, 1, generator=self.generator) < 0.01).float()
        hit = hit + 0.2 * hit.roll(1, dims=1)
        strength = torch.exp(self.uniform(-20.0, 6.0, items, 1, 1) * DECIBEL)
        return level * hit * strength * torch.exp(self._curve(items, 8.0) * DECIBEL)

    def _band_limits(self, items: int) -> Tensor:
        """High-pass and low-pass filters of random corner and slope: log gain (items, 1, 80)."""
        band = torch.arange(80.0)
        high = (self.uniform(2.0, 16.0, items, 1, 1) - band).clamp_min(0.0) * self.uniform(
            1.0, 6.0, items, 1, 1
        )
        low = (band - self.uniform(42.0, 76.0, items, 1, 1)).clamp_min(0.0) * self.uniform(
            2.0, 10.0, items, 1, 1
        )
        cut = high * self.chosen(0.35, items) + low * self.chosen(0.35, items)
        return -cut.clamp_max(60.0) * DECIBEL

    def _masked(self, features: Tensor) -> Tensor:
        """A few bands and a few moments hidden."""
        items, frames, bands = features.shape
        first, span = self.uniform(0.0, 80.0, items, 1, 1), self.uniform(0.0, 8.0, items, 1, 1)
        band = torch.arange(float(bands))
        hidden = ((band >= first) & (band < first + span)).float() * self.chosen(0.5, items)
        start, length = self.uniform(0.0, float(frames), items, 1, 1), self.uniform(0.0, 5.0, items, 1, 1)
        time = torch.arange(float(frames))[None, :, None]
        hidden = torch.maximum(
            hidden, ((time >= start) & (time < start + length)).float() * self.chosen(0.3, items)
        )
        return features * (1.0 - hidden)


def smoothed(log_power: Tensor) -> Tensor:
    """Log power (B, F, 80) blurred a little along the bands, as a cheap codec or a wide formant does."""
    for _ in range(3):
        below = torch.cat([log_power[..., :1], log_power[..., :-1]], dim=-1)
        above = torch.cat([log_power[..., 1:], log_power[..., -1:]], dim=-1)
        log_power = 0.5 * log_power + 0.25 * (below + above)
    return log_power


def speech_level(power: Tensor) -> Tensor:
    """Mean power of the louder frames (B, 1, 1), to which noise is set in proportion."""
    frames = power.mean(dim=2)
    loud = frames >= frames.quantile(0.6, dim=1, keepdim=True)
    return ((frames * loud).sum(dim=1) / loud.sum(dim=1)).clamp_min(1e-8)[:, None, None]


def normalised(log_power: Tensor) -> Tensor:
    """The same normalisation as `engine.mel.log_mel`, for a batch: each item minus its bands' mean in its
    speech frames.
    """
    level = log_power.mean(dim=2)
    frames = level.shape[1]
    rank = min(max(int(0.02 * frames), 30), frames // 2)
    loud = level.kthvalue(frames - rank, dim=1, keepdim=True).values
    weight = (level > loud - SPEECH_RANGE).float()[:, :, None]
    mean = (log_power * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    return (log_power - mean).clamp_min(FEATURE_FLOOR)


def warped(log_power: Tensor, start: Tensor, speed: Tensor, head: Tensor, frames: int) -> Tensor:
    """Play log power (B, S, 80) from frame start (B,) at a speed (B,), with formants moved by a factor head
    (B,).
    """
    items, length, bands = log_power.shape
    time = start[:, None] + speed[:, None] * torch.arange(float(frames))

    def band_of(hz: Tensor) -> Tensor:
        low, high = (2595.0 * math.log10(1.0 + edge / 700.0) for edge in (LOWEST_HZ, HIGHEST_HZ))
        return (2595.0 * torch.log10(1.0 + hz / 700.0) - low) / (high - low) * (bands + 1) - 1.0

    low, high = (2595.0 * math.log10(1.0 + edge / 700.0) for edge in (LOWEST_HZ, HIGHEST_HZ))
    mel = low + (torch.arange(float(bands)) + 1.0) * (high - low) / (bands + 1)
    band = band_of(700.0 * (10.0 ** (mel / 2595.0) - 1.0)[None] / head[:, None])
    x = (band * 2.0 / (bands - 1) - 1.0)[:, None, :].expand(items, frames, bands)
    y = (time * 2.0 / (length - 1) - 1.0)[:, :, None].expand(items, frames, bands)
    grid = torch.stack([x, y], dim=-1)
    return nn.functional.grid_sample(log_power[:, None], grid, padding_mode="border", align_corners=True)[
        :, 0
    ]
