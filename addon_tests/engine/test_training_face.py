# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher's blinks and styles, and the changed voices and other sounds of the training speech."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from engine.blinks import APART, CHUNK, CLOCK, eyelids, motion_with_blinks, next_blinks, pauses, with_blinks
from engine.smoothing import smooth_motion
from engine.training.not_speech import not_speech
from engine.training.styles import NAMED, random_style
from engine.training.voices import badly_recorded, other_speaker


def _all_blinks(jaw: np.ndarray) -> list[int]:
    motion = np.zeros((len(jaw), 106), np.float32)
    motion[:, 103] = jaw
    lids = smooth_motion(motion_with_blinks(motion))[:, 0]
    return [int(start) for start in np.flatnonzero((lids[1:] > 0.6) & (lids[:-1] <= 0.6))]


def test_pauses_have_their_blinks() -> None:
    jaw = np.full(300, 0.05)
    jaw[75:90] = 0.0  # a pause
    jaw[150:153] = 0.0  # too short to be one
    jaw[250:] = 0.0  # the end
    assert pauses(jaw, True) == [78, 253]
    starts = _all_blinks(jaw)
    assert len(starts) == 3 and starts[0] == pytest.approx(78, abs=1) and starts[2] == pytest.approx(253, abs=1)


def test_blinks_without_a_pause_are_frequent_enough_and_irregular() -> None:
    for jaw in (np.zeros(1500), np.full(1500, 0.1)):
        starts = _all_blinks(jaw)
        assert 14 <= len(starts) <= 16
        apart = np.diff(starts)
        assert apart.min() >= APART and apart.std() > 15


def test_any_pauses_give_a_human_rate() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        jaw = np.repeat(rng.random(1500 // 6) < rng.uniform(0.1, 0.9), 6) * 0.1
        starts = _all_blinks(jaw)
        assert 12 <= len(starts) <= 24
        assert np.diff(starts).min() >= 12
    assert next_blinks([], [CLOCK[0]]) == [CLOCK[1]]


def test_chunk_by_chunk_is_the_whole() -> None:
    motion = np.zeros((430, 106), np.float32)
    motion[:, 103] = np.random.default_rng(2).random(430) * 0.1
    whole = motion_with_blinks(motion)
    parts = list(with_blinks(motion[start : start + CHUNK] for start in range(0, 430, CHUNK)))
    assert np.array_equal(np.concatenate(parts), whole)
    assert not motion[:, 0].any()


def test_smoothed_lids_close_fully() -> None:
    motion = np.zeros((100, 106), np.float32)
    motion[:, 0] = eyelids([40], 100)
    lids = smooth_motion(motion)[:, 0]
    assert 0.9 < lids.max() < 1.1 and lids[:36].max() < 0.05 and lids[50:].max() < 0.1


def test_random_styles_are_within_reach_of_the_named() -> None:
    rng = np.random.default_rng(0)
    made = [random_style(rng) for _ in range(300)]
    assert all(style.head > 0 and style.brows >= 0 and 0.5 < style.openness < 1.4 for style in made)
    assert min(style.brow_offset for style in made) < 0.9 * NAMED["angry"].brow_offset
    assert max(style.smile for style in made) > 0.9 * NAMED["happy"].smile


def _buzz(seconds: float, hertz: float, formant: float) -> np.ndarray:
    """Pulses through one resonance, (N,) in 16-bit units."""
    from scipy.signal import lfilter

    pulses = np.zeros(round(seconds * 16000))
    pulses[:: round(16000 / hertz)] = 8000.0
    angle, radius = 2 * np.pi * formant / 16000, 0.95
    return np.asarray(lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], pulses))


def test_another_speaker_has_other_formants_and_the_same_pitch() -> None:
    sound = _buzz(1.0, 125.0, 1200.0)
    other = other_speaker(sound, 1.25, 0.0, False, np.random.default_rng(0))
    assert other.shape == sound.shape
    hertz = np.fft.rfftfreq(len(sound), 1 / 16000)

    def balance(one: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(one)) ** 2
        return float(power[(hertz > 1400) & (hertz < 1700)].sum() / power[(hertz > 1050) & (hertz < 1350)].sum())

    assert balance(other) > 5 * balance(sound)
    spectrum = np.abs(np.fft.rfft(other))
    assert spectrum[np.isclose(hertz % 125, 0)].sum() > 10 * spectrum[np.isclose(hertz % 125, 62)].sum()


def test_whispered_speech_keeps_its_loudness_over_time() -> None:
    sound = np.concatenate([_buzz(0.5, 125.0, 1200.0), np.zeros(8000)])
    whispered = other_speaker(sound, 1.0, 0.0, True, np.random.default_rng(0))
    assert whispered.shape == sound.shape and np.isfinite(whispered).all()
    assert np.abs(whispered[:7000]).mean() > 20 * np.abs(whispered[9000:]).mean()
    hertz = np.fft.rfftfreq(7000, 1 / 16000)
    spectrum = np.abs(np.fft.rfft(whispered[:7000]))
    assert hertz[spectrum.argmax()] == pytest.approx(1250, abs=400)


def test_bad_recordings_stay_in_range() -> None:
    rng = np.random.default_rng(3)
    for _ in range(12):
        made = badly_recorded(_buzz(0.3, 200.0, 900.0), rng)
        assert made.shape == (4800,) and np.isfinite(made).all()


def test_sounds_of_nobody_are_loud_and_repeatable() -> None:
    for seed in range(16):
        made = not_speech(1.0, np.random.default_rng(seed))
        assert made.shape == (16000,) and made.dtype == np.int16 and 8000 < np.abs(made).max() <= 12000
        assert np.array_equal(made, not_speech(1.0, np.random.default_rng(seed)))
