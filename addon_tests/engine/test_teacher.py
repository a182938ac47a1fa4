# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher's motion: lips closed on every bilabial, rest in silence, the same for the same seed, within
limits.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from engine.smoothing import smooth_motion
from engine.training.phone_strings import random_phones
from engine.training.teacher import CHANNELS, JAW, JAW_RADIANS, LipGains, Style, motion_from_phones
from engine.training.visemes import BILABIALS

SECONDS = 20.0


def _apart(motion: np.ndarray, start: float, end: float) -> float:
    """The smallest aperture between two times (s), frames joined by straight lines."""
    curve = LipGains().aperture(motion)
    times = np.arange(int(start * 500), int(end * 500) + 1) / 500
    return float(np.interp(times, np.arange(len(curve)) / 25, curve).min())


@pytest.mark.parametrize("seed", range(6))
def test_lips_touch_in_every_bilabial(seed: int) -> None:
    phones = random_phones(np.random.default_rng(seed), SECONDS)
    raw = motion_from_phones(phones, SECONDS, seed=seed)
    smooth = smooth_motion(raw)
    opened = float(np.percentile(LipGains().aperture(smooth), 95))
    closures = [(start, end) for start, end, label in phones if label in BILABIALS and end < SECONDS - 0.1]
    assert len(closures) > 10
    for start, end in closures:
        assert _apart(raw, start - 0.01, end + 0.01) <= 0.0
        assert _apart(smooth, start - 0.02, end + 0.02) < 0.05 * opened


def test_vowels_stay_open() -> None:
    phones = [
        (0.3 + 0.2 * i, 0.5 + 0.2 * i, label)
        for i, label in enumerate(["D", "AA", "T", "AE", "K", "AA", "N", "EH"])
    ]
    curve = LipGains().aperture(smooth_motion(motion_from_phones(phones, 2.5)))
    for start, _end, label in phones:
        if label in ("AA", "AE"):
            assert curve[int((start + 0.1) * 25)] > 0.006


def test_silence_is_rest_except_for_blinks() -> None:
    motion = motion_from_phones([(0.0, 6.0, "sil")], 6.0, sound=np.zeros(96000, np.float32))
    lips = np.delete(motion, [0, 7], axis=1)
    assert np.abs(lips).max() < 1e-6
    assert motion.shape == (150, CHANNELS)


def test_finite_within_limits_and_deterministic() -> None:
    phones = random_phones(np.random.default_rng(9), SECONDS)
    first = motion_from_phones(phones, SECONDS, seed=9)
    assert first.dtype == np.float32 and np.isfinite(first).all()
    assert np.array_equal(first, motion_from_phones(phones, SECONDS, seed=9))
    assert first[:, JAW].min() > -0.03 and first[:, JAW].max() < 0.75 * JAW_RADIANS
    assert np.abs(first[:, 100:103]).max() < 0.25
    assert first[:, :100].min() > -0.2 and first[:, :100].max() < 1.3
    assert np.abs(first[:, 46:100]).max() == 0


def test_style_changes_the_motion() -> None:
    phones = random_phones(np.random.default_rng(3), SECONDS)
    plain = motion_from_phones(phones, SECONDS, seed=3)
    wide = motion_from_phones(phones, SECONDS, seed=3, style=Style(openness=1.3, smile=0.3))
    assert LipGains().aperture(wide).max() > 1.1 * LipGains().aperture(plain).max()
    assert wide[:, 23].mean() > plain[:, 23].mean() + 0.2


def test_blinks_come_at_a_human_rate() -> None:
    motion = motion_from_phones(random_phones(np.random.default_rng(4), 120.0), 120.0, seed=4)
    closing = (motion[1:, 0] > 0.5) & (motion[:-1, 0] <= 0.5)
    assert 10 <= closing.sum() / 2.0 <= 22
