# SPDX-License-Identifier: GPL-3.0-or-later
"""A nameless head finds out how it blinks: measured on the default head's lids and lips. No Blender."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_motion_regions import HEAD, NAMELESS, motion_of, principal_components, weights

from artalk_blender.motion.blinks import find_blinks, lid_signal
from artalk_blender.motion.lids import blink_direction
from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import FaceChannels, region_grams
from engine.flame.landmarks import points_on_faces
from engine.flame.skinning import skin


def lid_gap(model, motion: np.ndarray) -> np.ndarray:
    """(T,) metres between the lids, over the four pairs of landmarks."""
    marks = points_on_faces(model, skin(model, motion[:, :100], jaw=motion[:, 103:106]), HEAD.landmarks)
    return (marks[:, [37, 38, 43, 44], 1] - marks[:, [41, 40, 47, 46], 1]).mean(1)


@pytest.mark.parametrize("fields", [0.0, 0.0003, 0.001])
def test_lids_close_and_lips_stay(fields):
    model = replace(HEAD, expressiondirs=principal_components(1, fields))
    gram = region_grams(model.expressiondirs, weights())
    blink = blink_direction(model, gram)
    gaps = lid_gap(model, np.stack([np.zeros(106), np.r_[blink, np.zeros(6)]]))
    assert gaps[0] > 0.005 and abs(gaps[1]) < 0.03 * gaps[0]
    assert np.abs(motion_of(model.expressiondirs, blink[None], "lips")).max() < 0.0003
    face = FaceChannels(NAMELESS, gram, blink)
    random = np.random.default_rng(0)
    raw = np.zeros((1500, 106), np.float32)
    raw[:, :100] = 0.3 * random.normal(size=(1, 100))
    motion = process_motion(raw, ProcessSettings(blinks=16.0), face)
    found = find_blinks(lid_signal(motion[:, :100], face))
    assert 14 <= len(found) <= 18
    rest = lid_gap(model, motion[:1])[0]
    assert np.abs(lid_gap(model, motion[found]) - (rest - gaps[0])).max() < 0.0005


def test_the_default_head_finds_its_own_blink():
    blink = blink_direction(HEAD, region_grams(HEAD.expressiondirs, weights()))
    names = HEAD.expression_names
    for side in ("Left", "Right"):
        assert blink[names.index(f"eyeBlink{side}")] > 0.8
    strongest = np.argsort(-np.abs(blink))[:2]
    assert {names[index] for index in strongest} == {"eyeBlinkLeft", "eyeBlinkRight"}


def test_heads_that_cannot_blink_say_so():
    gram = region_grams(HEAD.expressiondirs, weights())
    assert blink_direction(replace(HEAD, landmarks=None), gram) is None
    mute = np.zeros_like(HEAD.expressiondirs)
    assert blink_direction(replace(HEAD, expressiondirs=mute), region_grams(mute, weights())) is None
    mouth = HEAD.expressiondirs.copy()
    mouth[:, :, [index for index, name in enumerate(HEAD.expression_names) if name.startswith("eye")]] = 0.0
    assert blink_direction(replace(HEAD, expressiondirs=mouth), region_grams(mouth, weights())) is None
