# SPDX-License-Identifier: GPL-3.0-or-later
"""Random phone strings with times: speech-like timing without sound, for the codec's training and for tests.
"""

from __future__ import annotations

import numpy as np

from .phones import BILABIALS, CONSONANTS, SILENCE, VOWELS
from .styles import random_style
from .teacher import LipGains, motion_from_phones


def random_phones(rng: np.random.Generator, seconds: float) -> list[tuple[float, float, str]]:
    """Phones (start s, end s, label) that fill ``seconds``: syllables in phrases, pauses, many lip closures.
    """
    phones: list[tuple[float, float, str]] = []
    now = 0.0
    pace = float(rng.uniform(0.7, 1.45))

    def add(label: str, length: float) -> None:
        nonlocal now
        phones.append((now, now + length, label))
        now += length

    add(SILENCE, float(rng.uniform(0.0, 0.8)))
    phrase = int(rng.integers(2, 14))
    while now < seconds:
        for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
            pool = BILABIALS if rng.random() < 0.33 else CONSONANTS
            add(str(rng.choice(pool)), float(np.clip(rng.lognormal(np.log(0.075), 0.4), 0.03, 0.25)) * pace)
        add(str(rng.choice(VOWELS)), float(np.clip(rng.lognormal(np.log(0.10), 0.45), 0.04, 0.4)) * pace)
        phrase -= 1
        if phrase <= 0:
            add(SILENCE, float(rng.choice([rng.uniform(0.08, 0.6), rng.uniform(0.3, 2.0)])))
            phrase = int(rng.integers(2, 14))
    return [(start, min(end, seconds), label) for start, end, label in phones if start < seconds]


def random_motion(seed: int, seconds: float, styled: bool, gains: LipGains | None = None) -> np.ndarray:
    """RAW teacher motion (T,106) of a random phone string, in the neutral or in a random style."""
    rng = np.random.default_rng(seed)
    phones = random_phones(rng, seconds)
    style = random_style(rng) if styled else None
    return motion_from_phones(phones, seconds, seed=seed, style=style, gains=gains)
