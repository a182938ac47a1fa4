# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher: phones with times and the sound's prosody -> motion (T,106) at 25 fps on the default head.

The jaw bone and the mouth shapes come from the viseme targets, eyes, brows and head from prosody. The
aperture of the lips is the quantity that is steered: mouthClose takes back whatever the jaw and the other
shapes open too much, through linear gains measured on the head. Made so that the *smoothed* motion is what
was meant: the published smoothing is undone beforehand. Everything is a function of phones, sound and style.
numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..blinks import motion_with_blinks
from ..smoothing import savitzky_golay
from . import prosody as prosody_module
from .phones import LABELS
from .prosody import Prosody
from .styles import Style
from .visemes import GRID, LipTargets, activations, lip_targets

FPS = 25.0
CHANNELS = 106
JAW_RADIANS = 0.26
"""Jaw rotation that equals jawOpen 1."""
EMPHASIS = 0.10
"""How much further a fully stressed moment opens."""
OPENNESS = 0.46
"""Aperture of a stressed open vowel, in units of the jaw's rotation alone (1 = jawOpen 1)."""
CLOSE, FUNNEL, PUCKER = 18, 19, 20
SMILE, STRETCH, ROLL_LOWER, ROLL_UPPER = (23, 24), (29, 30), 31, 32
PRESS, DOWN, UP = (35, 36), (37, 38), (39, 40)
BROW_DOWN, BROW_INNER, BROW_OUTER = (41, 42), 43, (44, 45)
SQUINT, WIDE = (5, 12), (6, 13)
JAW, HEAD = 103, slice(100, 103)


@dataclass(frozen=True)
class LipGains:
    """What one unit of a channel adds to the aperture, in units of the jaw at 0.26 rad (metres in ``unit``).
    """

    channels: tuple[tuple[int, float], ...] = (
        (FUNNEL, 0.10),
        (PUCKER, -0.03),
        (ROLL_LOWER, 0.06),
        (37, 0.13),
        (38, 0.13),
        (39, 0.10),
        (40, 0.10),
    )
    unit: float = 0.022

    def aperture(self, motion: np.ndarray) -> np.ndarray:
        """Motion (T,106) -> aperture (T,) in metres by the linear gains; negative where the lips press."""
        total = motion[:, JAW] / JAW_RADIANS - motion[:, CLOSE]
        for channel, gain in self.channels:
            total = total + gain * motion[:, channel]
        return total * self.unit


def frame_count(seconds: float) -> int:
    """Frames of motion for so many seconds of sound."""
    return int(np.ceil(seconds * FPS - 1e-9))


def _sample(track: np.ndarray, frames: int) -> np.ndarray:
    """A track at GRID -> (frames,) at 25 fps, frame k at k / 25 s."""
    return np.interp(np.arange(frames) / FPS, np.arange(len(track)) / GRID, track)


def _mouth(
    targets: LipTargets, emphasis: np.ndarray, style: Style, frames: int, gains: LipGains
) -> np.ndarray:
    """Mouth channels of (frames,106) so that the aperture is what the targets say."""
    motion = np.zeros((frames, CHANNELS))
    energy = np.clip(1 + EMPHASIS * gaussian_filter1d(emphasis, 0.06 * GRID), 0.75, 1.2) * style.openness
    gate = targets.gate
    speech = gaussian_filter1d(targets.speech, 0.015 * GRID)
    shape = {
        name: _sample(getattr(targets, name) * speech, frames)
        for name in ("funnel", "pucker", "stretch", "smile")
    }
    free = {name: _sample(getattr(targets, name) * gate * energy, frames) for name in ("down", "up")}
    roll = _sample(targets.roll * speech, frames)
    sealed = _sample(gaussian_filter1d((1 - gate) * speech, 0.012 * GRID), frames)
    aperture = OPENNESS * np.minimum(_sample(targets.open * gate * energy, frames), 1.25)
    jaw = OPENNESS * np.minimum(_sample(targets.jaw * energy, frames), 1.25)
    motion[:, FUNNEL] = 0.7 * shape["funnel"]
    motion[:, PUCKER] = shape["pucker"]
    for pair, value in (
        (STRETCH, shape["stretch"]),
        (SMILE, shape["smile"]),
        (DOWN, free["down"]),
        (UP, free["up"]),
        (PRESS, 0.22 * sealed),
    ):
        motion[:, list(pair)] += value[:, None]
    motion[:, ROLL_LOWER] = roll
    motion[:, ROLL_UPPER] = 0.10 * sealed
    motion[:, list(SMILE)] += max(style.smile, 0.0)
    motion[:, [25, 26]] += max(-style.smile, 0.0)
    opened = sum(gain * motion[:, channel] for channel, gain in gains.channels)
    needed = aperture - 0.035 * sealed - opened
    motion[:, JAW] = np.maximum(jaw, needed)
    motion[:, CLOSE] = motion[:, JAW] - needed
    still = np.clip(_sample(targets.speech, frames) * 8, 0, 1)
    motion[:, CLOSE] *= still
    motion[:, JAW] = JAW_RADIANS * motion[:, JAW] * still
    return motion


def _brows(motion: np.ndarray, emphasis: np.ndarray, style: Style) -> None:
    """Brows and lids without the blinks, written into ``motion``."""
    frames = len(motion)
    slow = _sample(gaussian_filter1d(np.maximum(emphasis, 0), 0.12 * GRID), frames)
    fall_back = _sample(gaussian_filter1d(np.maximum(-emphasis, 0), 0.2 * GRID), frames)
    motion[:, BROW_INNER] = 0.55 * style.brows * slow + max(style.brow_offset, 0) * 0.5
    motion[:, list(BROW_OUTER)] = (0.42 * style.brows * slow + max(style.brow_offset, 0) * 0.4)[:, None]
    motion[:, list(BROW_DOWN)] = (0.12 * style.brows * fall_back + max(-style.brow_offset, 0))[:, None]
    motion[:, list(WIDE)] = (0.18 * style.brows * slow)[:, None]
    motion[:, list(SQUINT)] += style.squint + max(style.smile, 0) * 0.4


def _head(targets: LipTargets, emphasis: np.ndarray, style: Style, frames: int) -> np.ndarray:
    """Head rotation (frames,3): nods on stress, a turn where phrases start and end, a slow tilt with
    loudness.
    """
    presence = np.clip(gaussian_filter1d(targets.speech, 0.3 * GRID), 0, 1)
    quick = gaussian_filter1d(emphasis, 0.11 * GRID)
    slow = gaussian_filter1d(emphasis, 0.45 * GRID)
    phrase = presence - np.clip(gaussian_filter1d(targets.speech, 0.8 * GRID), 0, 1)
    turn = np.stack(
        [0.14 * quick - 0.05 * phrase, 0.09 * slow + 0.10 * phrase, 0.08 * slow - 0.05 * phrase], 1
    )
    turn = gaussian_filter1d(turn * presence[:, None], 0.05 * GRID, axis=0) * style.head
    return np.stack([_sample(turn[:, axis], frames) for axis in range(3)], 1)


def before_smoothing(motion: np.ndarray) -> np.ndarray:
    """(T,106) whose published smoothing is nearly the given motion (one step of iterative deconvolution)."""
    if len(motion) < 9:
        return motion
    sharp = 2 * motion - savitzky_golay(motion, 5, 2)
    sharp[:, HEAD] = 2 * motion[:, HEAD] - savitzky_golay(motion[:, HEAD], 9, 3)
    return sharp


def motion_from_activations(
    active: np.ndarray,
    prosody: Prosody,
    seconds: float,
    style: Style | None = None,
    gains: LipGains | None = None,
    threshold: float = 0.3,
    labels: Sequence[str] = LABELS,
) -> np.ndarray:
    """Phone shares (N, labels) at GRID and prosody -> RAW motion (T,106) float32, as a model should give it.

    Without blinks: those are put in by `engine.blinks`.
    """
    style, gains = style or Style(), gains or LipGains()
    frames = frame_count(seconds)
    targets = lip_targets(active, labels, threshold)
    emphasis = prosody_module.stress(prosody, targets.speech, targets.open)
    motion = _mouth(targets, emphasis, style, frames, gains)
    _brows(motion, emphasis, style)
    motion[:, HEAD] = _head(targets, emphasis, style, frames)
    return before_smoothing(motion).astype(np.float32)


def motion_from_phones(
    phones: Sequence[tuple[float, float, str]],
    seconds: float,
    sound: np.ndarray | None = None,
    seed: int = 0,
    style: Style | None = None,
    gains: LipGains | None = None,
) -> np.ndarray:
    """Phones (start s, end s, label) [and their sound (S,) at 16 kHz] -> RAW motion (T,106) float32.

    Without sound a prosody is imagined from the seed.
    """
    samples = int(np.ceil(seconds * GRID)) + 1
    active = activations(phones, samples, LABELS)
    if sound is None:
        heard = prosody_module.imagined(1 - active[:, LABELS.index("sil")], np.random.default_rng(seed))
    else:
        heard = prosody_module.measure(sound, samples)
    return motion_with_blinks(motion_from_activations(active, heard, seconds, style, gains))


def head_gains(path: Path) -> LipGains:
    """Measure the gains on a head file in FLAME's format: metres of aperture for a little of each mouth
    channel.
    """
    from ..flame.file import read_flame
    from ..flame.lips import lip_curves

    model = read_flame(path)
    probe = np.zeros((53, CHANNELS), np.float32)
    probe[:, JAW] = 0.12  # lips apart, so that a closing channel shows too
    for channel in range(52):
        probe[channel + 1, channel] = 0.2
    aperture = lip_curves(model, probe).aperture.astype(np.float64)
    jaw = np.zeros((2, CHANNELS), np.float32)
    jaw[:, JAW] = (0.06, 0.12)
    opened = lip_curves(model, jaw).aperture.astype(np.float64)
    unit = float(opened[1] - opened[0]) / 0.06 * JAW_RADIANS
    gain = (aperture[1:] - aperture[0]) / 0.2 / unit
    mouth = [c for c in range(19, 41) if abs(gain[c]) > 0.005]
    return LipGains(tuple((c, float(gain[c])) for c in mouth), unit)
