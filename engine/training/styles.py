# SPDX-License-Identifier: GPL-3.0-or-later
"""How somebody talks: the teacher's manners, the named ones among them, and random ones to learn from. numpy only."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class Style:
    """How somebody talks. The default is the neutral style, which a model gives without a style.

    Factors on the mouth's opening, on brows and on head moves; a smile (negative: corners down); brows raised
    (negative: lowered) and eyes narrowed throughout, as shares of the whole shape.
    """

    openness: float = 1.0
    smile: float = 0.0
    brows: float = 1.0
    brow_offset: float = 0.0
    head: float = 1.0
    squint: float = 0.0


NEUTRAL = Style()
NAMED = {
    "neutral": NEUTRAL,
    "lively": Style(openness=1.2, smile=0.06, brows=2.0, brow_offset=0.08, head=2.0),
    "calm": Style(openness=0.76, smile=0.0, brows=0.3, brow_offset=0.0, head=0.3, squint=0.04),
    "happy": Style(openness=1.06, smile=0.36, brows=1.3, brow_offset=0.18, head=1.3, squint=0.05),
    "angry": Style(openness=1.12, smile=-0.14, brows=0.5, brow_offset=-0.42, head=1.5, squint=0.22),
}
"""What the panel offers. `python -m engine.training.make_styles` writes them as style motions."""


def random_style(rng: np.random.Generator) -> Style:
    """A plausible speaker: half of them near a named style, fainter or stronger; half of them a mixture of anything."""
    if rng.random() < 0.5:
        named = list(NAMED.values())[int(rng.integers(len(NAMED)))]
        strength = rng.uniform(0.4, 1.25)
        plain, full = np.array(astuple(NEUTRAL)), np.array(astuple(named))
        values = plain + strength * (full - plain) + rng.normal(0.0, 0.02, len(plain))
        openness, smile, brows, brow_offset, head, squint = (float(value) for value in values)
        return Style(openness, smile, max(brows, 0.0), brow_offset, max(head, 0.1), max(squint, 0.0))
    energy = rng.uniform(-1.0, 1.0)  # who moves the brows much mostly moves the head much
    return Style(
        openness=float(rng.uniform(0.72, 1.25)),
        smile=float(rng.choice([0.0, rng.uniform(-0.12, 0.35)])),
        brows=float(1.1 + 0.5 * energy + rng.uniform(-0.4, 0.4)),
        brow_offset=float(rng.choice([0.0, rng.uniform(-0.4, 0.3)])),
        head=float(1.2 + 0.6 * energy + rng.uniform(-0.4, 0.4)),
        squint=float(rng.choice([0.0, rng.uniform(0.0, 0.25)])),
    )
