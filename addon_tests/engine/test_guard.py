# SPDX-License-Identifier: GPL-3.0-or-later
"""What avatars know: nothing that people and the published motion do is changed, everything beyond comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_motion import default_head, default_model, demo_speech

from engine.gaussian.guard import in_ranges, known_arkit, known_flame, known_of_head, sentence
from engine.pipeline import Pipeline

STATISTICS = Path(__file__).parents[1] / "data" / "golden" / "motion_stats.npz"


@pytest.fixture(scope="module")
def published() -> np.ndarray:
    """(20000,106) normal motion with the published motion's means and deviations."""
    stats = np.load(STATISTICS)
    noise = np.random.default_rng(1).standard_normal((20_000, 106))
    return (stats["mean"] + stats["std"] * noise).astype(np.float32)


def test_published_motion_is_known(published: np.ndarray):
    stats = np.load(STATISTICS)
    known = known_flame()
    reach = np.abs(stats["mean"]) + 4 * stats["std"]
    assert (reach[:100] <= known.highest[:100]).all() and (reach[103:] <= known.highest[103:]).all()
    held, outside = known.within(published)
    assert outside.mean() < 1e-3
    np.testing.assert_array_equal(held[~outside], published[~outside])


def test_the_default_models_speech_is_known():
    known = known_of_head(default_head().expression_names)
    motion = Pipeline(default_model()).generate(demo_speech()[: 5 * 16000])
    assert not known.within(motion)[1].any()


@pytest.mark.parametrize("known", [known_flame(), known_arkit(["jawOpen"] * 100)], ids=["flame", "arkit"])
def test_what_is_beyond_comes_to_the_edge(known, published: np.ndarray):
    wild = published[:2000] * 6
    before = wild.copy()
    held, outside = known.within(wild)
    np.testing.assert_array_equal(wild, before)
    assert held.dtype == np.float32 and outside.all()
    assert (held >= known.lowest).all() and (held <= known.highest).all()
    assert np.linalg.norm(held[:, :100], axis=1).max() <= known.radius * (1 + 1e-6)
    np.testing.assert_array_equal(held[:, 100:103], wild[:, 100:103]), "a head turns as it likes"
    np.testing.assert_allclose(known.within(held)[0], held, rtol=1e-6)
    # no frame jumps: nearby motions stay nearby
    near = wild + np.float32(1e-3)
    steps = np.linalg.norm(known.within(near)[0] - held, axis=1) / np.linalg.norm(near - wild, axis=1)
    assert steps.max() <= 1.01


def test_the_frames_are_told():
    assert in_ranges([]) == [] and sentence([]) == ""
    assert in_ranges([3, 4, 5, 9]) == [(3, 5), (9, 9)]
    assert sentence([120, 121, 131]) == "Outside of what the avatar knows, and softened: frames 120-121, 131."
    assert sentence(range(0, 20, 2)).endswith("frames 0, 2, 4, 6 and 6 more stretches.")
