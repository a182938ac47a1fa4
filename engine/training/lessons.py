# SPDX-License-Identifier: GPL-3.0-or-later
"""Lessons for the generator: what is heard (features at 50 a second) beside what the face should do (motion
at 25).

A lesson joins several utterances to half a minute, so that most chunks have a history. Two sources: random
phone strings with *imagined* features (phones and prosody written down instead of heard; to pre-train without
an audio encoder), and the synthetic speech heard by the trained encoder. Needs torch only for the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..mel import FEATURE_FLOOR
from . import prosody as prosody_module
from .phone_strings import random_phones
from .phones import LABELS, SILENCE
from .prosody import Prosody
from .styles import random_style
from .teacher import CHANNELS, LipGains, motion_from_activations
from .visemes import GRID, activations, lip_targets

if TYPE_CHECKING:
    from ..mel_encoder import MelEncoder
    from .corpus import Utterance

CHUNK = 100
FEATURES_PER_FRAME = 2
UTTERANCE_SAMPLES = 1280
"""Utterances are filled with zeros to a multiple of this (two motion frames), so that all rates stay in step.
"""
LONG_SILENCE = 0.5  # s
_SPREADS = (0.012, 0.045, 0.15)


@dataclass
class Lesson:
    """``features`` (2 * (T + 100), D) float16, ``neutral`` and ``styled`` (T + 100, 106) float32 raw motion
    without blinks, ``mel`` (4 * (T + 100), 80) float16 where there is sound; the last 100 of the frames are the
    silence after the end.
    """

    features: np.ndarray
    neutral: np.ndarray
    styled: np.ndarray
    mel: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """Frames of speech."""
        return len(self.neutral) - CHUNK


def imagined_features(active: np.ndarray, prosody: Prosody, width: int) -> np.ndarray:
    """Phone activations (N, phones) at GRID and prosody -> features (N50, width) like an ideal encoder's,
    zero-padded.
    """
    opening = lip_targets(active, LABELS).open
    emphasis = prosody_module.stress(prosody, 1 - active[:, LABELS.index(SILENCE)], opening)
    tracks = np.concatenate(
        [active, emphasis[:, None], prosody.pitch[:, None] / 3, prosody.loudness[:, None] / 20], 1
    )
    blurred = [gaussian_filter1d(tracks, spread * GRID, axis=0, mode="nearest") for spread in _SPREADS]
    step = int(GRID / 50)
    heard = np.concatenate(blurred, 1)[: (len(active) - 1) // step * step : step] * 2.0 - 0.5
    return np.pad(heard, ((0, 0), (0, width - heard.shape[1]))).astype(np.float32)


def imagined_lesson(seed: int, seconds: float, width: int, gains: LipGains) -> Lesson:
    """A random phone string whose features say what an ideal encoder would hear."""
    rng = np.random.default_rng(seed)
    samples = int((seconds + CHUNK / 25) * GRID) + 1
    active = activations(random_phones(rng, seconds), samples, LABELS)
    heard = prosody_module.imagined(1 - active[:, LABELS.index(SILENCE)], rng)
    total = seconds + CHUNK / 25
    neutral = motion_from_activations(active, heard, total, None, gains)
    styled = motion_from_activations(active, heard, total, random_style(rng), gains)
    features = imagined_features(active, heard, width).astype(np.float16)
    return Lesson(features, neutral, styled)


def grouped(utterances: Iterable[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Utterances in groups of at least so many seconds."""
    group: list[Utterance] = []
    length = 0.0
    for utterance in utterances:
        group.append(utterance)
        length += len(utterance.samples) / 16000
        if length >= seconds:
            yield group
            group, length = [], 0.0


def joined(group: list[Utterance]) -> tuple[list[np.ndarray], list[tuple[float, float, str]], float]:
    """Samples of each utterance (filled to whole motion frames), all phones on one clock, and the seconds in
    all.
    """
    sounds, phones, now = [], [], 0.0
    for utterance in group:
        sound = np.pad(utterance.samples, (0, -len(utterance.samples) % UTTERANCE_SAMPLES))
        sounds.append(sound)
        phones += [(now + start, now + end, label) for start, end, label in utterance.phones]
        now += len(sound) / 16000
    return sounds, phones, now


def group_prosody(sounds: list[np.ndarray], samples: int) -> Prosody:
    """Prosody of joined utterances, each measured on its own, at GRID; silence fills up to ``samples``."""
    parts = [prosody_module.measure(sound, int(len(sound) / 16000 * GRID)) for sound in sounds]
    loudness = np.concatenate([part.loudness for part in parts])
    pitch = np.concatenate([part.pitch for part in parts])
    missing = samples - len(loudness)
    return Prosody(np.pad(loudness, (0, missing), constant_values=-60.0), np.pad(pitch, (0, missing)))


def heard_activations(posterior: np.ndarray, samples: int) -> np.ndarray:
    """Posteriors (N50, phones) at 50 a second -> (samples, phones) at GRID."""
    place = np.minimum(np.arange(samples) / GRID * 50, len(posterior) - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, len(posterior) - 1)
    part = (place - low)[:, None]
    return posterior[low] * (1 - part) + posterior[high] * part


@dataclass
class Heard:
    """Joined utterances as the encoder gets them: ``mel`` (F + 400, 80) float16, prosody, true phones,
    seconds.
    """

    mel: np.ndarray
    prosody: Prosody
    phones: list[tuple[float, float, str]]
    seconds: float


def heard(group: list[Utterance], mel: np.ndarray) -> Heard:
    """What can be prepared once for any encoder; ``mel`` of the joined utterances with 4 s of silence behind.
    """
    sounds, phones, seconds = joined(group)
    samples = round((seconds + CHUNK / 25) * GRID) + 1
    return Heard(mel.astype(np.float16), group_prosody(sounds, samples), phones, seconds)


def silent_lesson(encoder: MelEncoder, seconds: float) -> Lesson:
    """Nothing but silence, in which the face rests."""
    import torch

    frames = round((seconds + CHUNK / 25) * 25)
    mel = np.full((4 * frames, 80), FEATURE_FLOOR, np.float32)
    with torch.inference_mode():
        features = encoder(torch.from_numpy(mel)[None])[0].numpy()
    rest = np.zeros((frames, CHANNELS), np.float32)
    return Lesson(features.astype(np.float16), rest, rest, mel.astype(np.float16))


def heard_lesson(
    sound: Heard, encoder: MelEncoder, gains: LipGains, seed: int, trust: float, threshold: float
) -> Lesson:
    """A lesson of synthetic speech.

    ``trust`` is the share of what the encoder itself heard (0: only the known phone times). What it cannot
    hear it cannot show: with full trust the generator learns a sure mapping instead of an average over
    doubts, and ``threshold`` decides how sure a closure has to be.
    """
    import torch

    total = sound.seconds + CHUNK / 25
    samples = len(sound.prosody.pitch)
    with torch.inference_mode():
        features = encoder(torch.from_numpy(sound.mel.astype(np.float32))[None])
        posterior = encoder.heads(features).phones[0, :, : len(LABELS)].softmax(-1).numpy()
    active = heard_activations(posterior, samples)
    if trust < 1:
        active = (1 - trust) * activations(sound.phones, samples, LABELS) + trust * active
    # Where nobody speaks for long the face rests, whatever was heard.
    for start, end, label in sound.phones:
        if label == SILENCE and end - start > LONG_SILENCE:
            middle = slice(round((start + 0.1) * GRID), round((end - 0.1) * GRID))
            active[middle] = np.eye(len(LABELS))[LABELS.index(SILENCE)]
    neutral = motion_from_activations(active, sound.prosody, total, None, gains, threshold)
    style = random_style(np.random.default_rng(seed))
    styled = motion_from_activations(active, sound.prosody, total, style, gains, threshold)
    return Lesson(features[0].numpy().astype(np.float16), neutral, styled, sound.mel)
