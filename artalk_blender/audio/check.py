# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a sound will do for lip-sync: how long and how loud, and what is wrong with it, in plain sentences.

numpy alone; slice by slice, so that whoever reads a long file holds nobody up. Speech and its pauses are told as the
silence gate tells them (motion/gate.py).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..motion.gate import SILENCE_DB, pauses

Floats = NDArray[np.float64]

_BLOCKS_PER_SECOND = 100  # over which an offset and rumble are taken off
_BLOCKS = 4  # a frame of loudness: 40 ms
_ENOUGH = 16000  # samples a second tell a level as well as more do
_SLICE_SECONDS = 0.5

_FLAT = 1e-4  # of the top: samples this near to it are at it
_RUN = 3  # samples at the top, one after the other; a wave that is whole turns sooner
_NEAR_TOP = 0.98  # tops of slices that are one ceiling
_LEAST_TOP = 0.1  # below -20 dBFS nothing clips
_CLIPPED_RUNS = 4

_INAUDIBLE_DB = -65.0
_QUIET_DB = -45.0
_NOISY_DB = 22.0  # speech over what is heard between words, where that is heard: in a pause, or in some seconds
_PAUSE, _WORD, _LONG_ENOUGH = 8, 25, 100  # frames
_NOISY_WORD_DB = 8.0  # and over the softest sound of a word alone
_GOOD_RATE = 16000
_LONG_SECONDS = 20 * 60.0
_SHORT_SECONDS = 0.2

_LOUDER_DB = 6.0  # one channel than the other
_EACH_SHARE = 0.12  # of the speech, in which each of the channels is the louder one
_FOLLOWS = 0.25  # correlation of two channels' loudness; one voice in both has nearly 1
_CANCELS_DB = 10.0  # what is lost where the channels are mixed


@dataclass(frozen=True)
class Finding:
    """What is wrong with a sound: its `kind` in one word, a sentence, and what to do."""

    kind: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text} {self.remedy}"


@dataclass(frozen=True)
class SoundReport:
    """What a sound is like. Decibels are below full scale: of the highest sample, of speech, and between words."""

    seconds: float
    rate: int
    channels: int
    peak_db: float
    speech_db: float
    floor_db: float
    findings: tuple[Finding, ...] = ()

    @property
    def summary(self) -> str:
        """Length and level in one line."""
        minutes, seconds = divmod(round(self.seconds, 1), 60.0)
        length = f"{minutes:.0f} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"
        return length if self.speech_db <= SILENCE_DB else f"{length}, speech at {self.speech_db:.0f} dB"

    def has(self, kind: str) -> bool:
        return any(finding.kind == kind for finding in self.findings)


def check_sound(samples: NDArray[np.floating[Any]], rate: float) -> SoundReport:
    """Samples (N,) or (N,C), full scale at 1, at `rate` a second -> what they are like.

    Raises ValueError where they are no such thing.
    """
    steps = checking(samples, rate)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def checking(samples: NDArray[np.floating[Any]], rate: float) -> Generator[float, None, SoundReport]:
    """The same in steps of half a second of sound; yields how much of it is heard, 0 to 1."""
    samples = np.asarray(samples)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or samples.shape[1] < 1:
        raise ValueError("samples are (N,) or (N,channels)")
    listener = SoundListener(rate, samples.shape[1])
    step = max(1, round(_SLICE_SECONDS * rate))
    for start in range(0, len(samples), step):
        listener.hear(samples[start : start + step])
        yield min(1.0, (start + step) / len(samples))
    return listener.report()


class SoundListener:
    """Hears a sound slice by slice, then says what it is like."""

    def __init__(self, rate: float, channels: int) -> None:
        if not (math.isfinite(rate) and rate >= 100.0 and channels >= 1):
            raise ValueError("a sound has 100 samples a second or more, and a channel")
        self._rate, self._channels, self._count = float(rate), channels, 0
        self._block = max(1, round(rate / _BLOCKS_PER_SECOND))
        self._stride = max(1, math.ceil(rate / _ENOUGH) if rate > 1.5 * _ENOUGH else 1)
        self._left = np.zeros((0, channels), np.float32)
        self._top, self._runs = 0.0, 0  # the highest sample, and how often the wave stays there
        self._beyond = 0  # samples above full scale
        self._power: list[Floats] = []  # (B,1+C) of the mix and of every channel

    def hear(self, samples: NDArray[np.floating[Any]]) -> None:
        """The next samples (n,C) or (n,)."""
        samples = np.asarray(samples, np.float32).reshape(-1, self._channels)
        self._count += len(samples)
        if len(samples):
            samples = self._look_at_tops(samples)
        whole = np.concatenate([self._left, samples]) if len(self._left) else samples
        blocks = len(whole) // self._block
        self._left = whole[blocks * self._block :].copy()
        if blocks:
            self._power.append(self._powers(whole[: blocks * self._block].reshape(blocks, self._block, -1)))

    def _look_at_tops(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Counts where the wave stays at the top, if these samples reach it; returns them, finite."""
        top = max(float(samples.max()), -float(samples.min()))
        if not math.isfinite(top):
            samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
            top = float(np.abs(samples).max())
        if top < max(_NEAR_TOP * self._top, _LEAST_TOP):
            return samples
        if _NEAR_TOP * top > self._top:
            self._runs = 0  # what was found lay below the ceiling
        self._top = max(self._top, top)
        level = top * (1.0 - _FLAT)
        for wave in samples.T:
            self._runs += _runs_at_top(np.flatnonzero(wave >= level)) + _runs_at_top(np.flatnonzero(wave <= -level))
        if top > 1.0 + _FLAT:  # as a lossy file has it where the recording was clipped
            self._beyond += int((np.abs(samples) > 1.0 + _FLAT).sum())
        return samples

    def _powers(self, blocks: NDArray[np.float32]) -> Floats:
        """Power (B,1+C) of the mix and of each channel, of blocks (B,n,C), without their offset."""
        waves = np.ascontiguousarray(blocks[:, :: self._stride].transpose(2, 0, 1))
        if self._channels > 1:
            waves = np.concatenate([waves.mean(0)[None], waves])
        count = waves.shape[2]
        squares, means = np.einsum("cbn,cbn->cb", waves, waves) / count, waves @ np.full(count, 1 / count, np.float32)
        power = np.maximum(squares - means**2, 0.0).astype(np.float64).T
        return power if self._channels > 1 else np.repeat(power, 2, axis=1)

    def report(self) -> SoundReport:
        """What was heard, all in all."""
        seconds = self._count / self._rate
        levels = self._levels()
        speech = _in_speech(levels[:, 0])
        facts = SoundReport(seconds, round(self._rate), self._channels, _decibels(self._top**2),
                            *_speech_and_floor(levels[:, 0], speech))
        found = [*self._of_length(seconds), *self._of_level(levels, speech, facts), *self._of_channels(levels)]
        if found and found[-1].kind == "voices":  # the other voice is no noise
            found = [finding for finding in found if finding.kind != "noisy"]
        return replace(facts, findings=tuple(found))

    def _levels(self) -> Floats:
        """Loudness (T,1+C) in dB of 40 ms each, of the mix and of every channel."""
        power = np.concatenate(self._power) if self._power else np.zeros((0, 1 + self._channels))
        frames = len(power) // _BLOCKS
        mean = power[: frames * _BLOCKS].reshape(frames, _BLOCKS, 1 + self._channels).mean(1)
        return 10.0 * np.log10(mean + 10.0 ** (SILENCE_DB / 10.0))

    def _of_length(self, seconds: float) -> list[Finding]:
        found = []
        if seconds < _SHORT_SECONDS:
            found.append(Finding("short", f"The sound is only {seconds:.2f} s long.", "Choose a longer one."))
        if seconds > _LONG_SECONDS:
            found.append(Finding("long", f"The sound is {seconds / 60:.0f} minutes long.",
                                 "Cut it into lines, so that each can be made again alone."))
        if self._rate < _GOOD_RATE:
            found.append(Finding("dull", f"The sound has {self._rate / 1000:.3g} kHz, as a telephone: s, f and t are "
                                         "hard to hear.", "Use the original recording, at 16 kHz or more."))
        return found

    def _of_level(self, levels: Floats, speech: NDArray[np.bool_], facts: SoundReport) -> list[Finding]:
        if self._count < _SHORT_SECONDS * self._rate:
            return []  # too short to tell
        if _is_silent(levels[:, 0]):
            if len(levels) and levels[:, 1:].max() > _INAUDIBLE_DB:
                return []  # the channels cancel each other out: said there
            return [Finding("silent", "Nothing is heard in the sound.", "Choose another, or another channel.")]
        found = []
        if self._runs >= _CLIPPED_RUNS or self._beyond >= _CLIPPED_RUNS * _RUN:
            found.append(Finding("clipped", "The sound is clipped: its loudest parts are cut off.",
                                 "Record it again with less gain, or use the version before it was made louder."))
        if facts.speech_db < _QUIET_DB:
            found.append(Finding("quiet", f"The voice is very quiet, at {facts.speech_db:.0f} dB.",
                                 "Record it closer, or turn the strip's volume up."))
        spread = facts.speech_db - facts.floor_db
        heard = levels[:, 0] > SILENCE_DB + 10.0  # digital silence tells of no noise
        between = (heard & ~speech).sum() >= _PAUSE or len(speech) >= _LONG_ENOUGH
        if len(speech) >= _WORD and spread < (_NOISY_DB if between else _NOISY_WORD_DB):
            found.append(Finding("noisy", f"The voice stands out by only {max(spread, 0.0):.0f} dB from what else is "
                                          "heard: noise, music or other voices.",
                                 "Use the voice alone, or take the noise out."))
        return found

    def _of_channels(self, levels: Floats) -> list[Finding]:
        if self._channels < 2 or not len(levels):
            return []
        mix, each = levels[:, 0], levels[:, 1:]
        loudest = each.max(1)
        power = 10.0 ** (each / 10.0)
        if _is_silent(loudest):
            return []
        if _decibels(power.mean()) - _decibels((10.0 ** (mix / 10.0)).mean()) > _CANCELS_DB + 10 * math.log10(
                self._channels):
            return [Finding("cancels", "The channels cancel each other out where they are mixed.",
                            "Turn one of them over, or use one alone.")]
        if self._channels == 2 and _two_voices(each, _in_speech(loudest)):
            return [Finding("voices", "Each channel has its own voice.", "Split it into two strips, one a head.")]
        return []


def _runs_at_top(at_top: NDArray[np.int64]) -> int:
    """How many runs of samples one after the other are among these."""
    if len(at_top) < _RUN:
        return 0
    apart = np.flatnonzero(np.diff(at_top, prepend=-2, append=at_top[-1] + 2) != 1)
    return int((np.diff(apart) >= _RUN).sum())


def _decibels(power: float) -> float:
    return 10.0 * math.log10(power + 10.0 ** (SILENCE_DB / 10.0))


def _is_silent(level: Floats) -> bool:
    """Whether nothing in it is as loud as speech that someone could hear; a click alone is none."""
    return len(level) == 0 or float(np.sort(level)[-min(len(level), 3)]) < _INAUDIBLE_DB


def _in_speech(level: Floats) -> NDArray[np.bool_]:
    """(T,) frames outside of pauses."""
    speech = np.ones(len(level), bool)
    for start, stop in pauses(level):
        speech[start:stop] = False
    return speech


def _speech_and_floor(level: Floats, speech: NDArray[np.bool_]) -> tuple[float, float]:
    """dB of speech, its loud half, and of what is heard between words and in the pauses."""
    recorded = level > SILENCE_DB + 10.0
    loud = level[speech & recorded]
    if not len(loud):
        return SILENCE_DB, SILENCE_DB
    top = _decibels(float((10.0 ** (loud[loud >= np.median(loud)] / 10.0)).mean()))
    return top, float(np.percentile(level[recorded], 5.0))


def _two_voices(each: Floats, speech: NDArray[np.bool_]) -> bool:
    """Whether two channels' loudness (T,2) tells of two talkers: now one is louder, now the other, or neither follows.

    One voice, wherever it stands between the microphones, is always louder in the same channel.
    """
    if speech.sum() < 25:
        return False
    both = each[speech]
    apart = both[:, 0] - both[:, 1]
    # a channel with nothing but its own noise takes no turns
    alive = [float(np.percentile(both[:, channel], 95)) for channel in (0, 1)]
    if min(alive) < max(alive) - 25.0 or min(alive) < _INAUDIBLE_DB:
        return False
    if min((apart > _LOUDER_DB).mean(), (apart < -_LOUDER_DB).mean()) >= _EACH_SHARE:
        return True
    floor = np.maximum(both, np.percentile(each, 10.0, axis=0) + 3.0)
    spread = floor.std(0)
    return bool(min(spread) > 3.0 and np.corrcoef(floor.T)[0, 1] < _FOLLOWS)
