# SPDX-License-Identifier: GPL-3.0-or-later
"""Gains on one part of a face whose channels have no names, measured on the default head's vertices. No Blender."""

from __future__ import annotations

import numpy as np
import pytest
from real_motion import default_head, demo_motion

from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import BROWS, LIPS, FaceChannels, apply_gains, gain_operators, region_grams
from engine.flame.landmarks import points_on_faces

HEAD = default_head()
MARKS = points_on_faces(HEAD, HEAD.v_template[None], HEAD.landmarks)[0].astype(np.float64)
GROUPS = {"lips": MARKS[48:68], "brows": np.concatenate([MARKS[17:27], MARKS[36:48]])}
NAMELESS = tuple(f"expression_{index:03d}" for index in range(100))


def near(points: np.ndarray, radius: float) -> np.ndarray:
    """(V,) 1 at the points, 0 from `radius` metres on."""
    apart = np.linalg.norm(HEAD.v_template[:, None] - points, axis=-1).min(1)
    return np.clip(2.0 * (1.0 - apart / radius), 0.0, 1.0)


def weights() -> np.ndarray:
    """(V,3) of lips, cheeks, brows."""
    lips, brows = near(GROUPS["lips"], 0.025), near(GROUPS["brows"], 0.02)
    cheeks = near(np.stack([(MARKS[31] + MARKS[2]) / 2, (MARKS[35] + MARKS[14]) / 2, MARKS[30]]), 0.04)
    return np.stack([lips, cheeks * (1.0 - lips) * (1.0 - brows), brows * (1.0 - lips)], 1)


def principal_components(seed: int, fields: float) -> np.ndarray:
    """(V,3,100) unlike any ARKit shape: of random faces of the default head, with smooth random fields besides.

    `fields` is their strength in metres. As in FLAME each component moves lips, cheeks and brows, 1 is one deviation.
    """
    random = np.random.default_rng(seed)
    named = np.abs(random.normal(0, 0.25, (400, 100))) * (random.random((400, 100)) < 0.6)
    faces = named @ HEAD.expressiondirs.reshape(-1, 100).T
    centres = HEAD.v_template[random.integers(0, len(HEAD.v_template), 200)]
    squares = ((HEAD.v_template[:, None] - centres) ** 2).sum(-1)
    spread = np.exp(-squares / (2 * 0.02**2)) * (HEAD.v_template[:, 2:] > np.median(HEAD.v_template[:, 2]))
    strength = random.normal(0, fields, (400, 200, 3))
    faces += np.einsum("vc,ncx->nvx", spread, strength, optimize=True).reshape(400, -1)
    faces -= faces.mean(0)
    _, size, components = np.linalg.svd(faces, full_matrices=False)
    return (components[:100] * size[:100, None] / 20.0).T.reshape(-1, 3, 100).astype(np.float32)


def motion_of(directions: np.ndarray, coefficients: np.ndarray, group: str) -> np.ndarray:
    """(T,N,3) metres by which the vertices within 5 mm of a group's landmarks are moved."""
    part = directions[near(GROUPS[group], 0.010) >= 1.0]
    assert len(part) > 40
    return np.einsum("vxc,tc->tvx", part, coefficients)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


@pytest.fixture(scope="module", params=[0.0, 0.0003], ids=["components", "with fields"])
def nameless(request) -> tuple[np.ndarray, FaceChannels]:
    directions = principal_components(1, request.param)
    return directions, FaceChannels(NAMELESS, region_grams(directions, weights()))


def test_grams_are_the_squares_of_what_moves():
    weight = weights()
    gram = region_grams(HEAD.expressiondirs, weight)
    assert gram.shape == (3, 100, 100) and gram.dtype == np.float32
    coefficients = np.random.default_rng(0).normal(size=100)
    moved = (HEAD.expressiondirs @ coefficients).astype(np.float64)
    for region in range(3):
        expected = (weight[:, region, None] * moved**2).sum()
        assert coefficients @ gram[region] @ coefficients == pytest.approx(expected, rel=1e-3)


def test_stilled_lips_are_still_and_brows_go_on(nameless):
    directions, face = nameless
    before = np.random.default_rng(2).normal(size=(60, 100)).astype(np.float32)
    after = apply_gains(before, face, np.array([[0.0, 1.0, 1.0]]))
    lips, brows = (motion_of(directions, before, name) for name in GROUPS)
    still, moving = (motion_of(directions, after, name) for name in GROUPS)
    assert rms(still) < 0.05 * rms(lips)
    assert rms(moving - brows) < 0.06 * rms(brows)
    assert np.abs(after).max() < 2.0 * np.abs(before).max(), "no component is driven wild"


def test_stilled_brows_are_still_and_lips_go_on(nameless):
    directions, face = nameless
    before = np.random.default_rng(3).normal(size=(60, 100)).astype(np.float32)
    after = apply_gains(before, face, np.array([[1.0, 1.0, 0.0]]))
    lips, brows = (motion_of(directions, before, name) for name in GROUPS)
    moving, still = (motion_of(directions, after, name) for name in GROUPS)
    assert rms(still) < 0.12 * rms(brows)
    assert rms(moving - lips) < 0.03 * rms(lips)


def test_gains_are_linear_and_one_changes_nothing(nameless):
    _, face = nameless
    before = np.random.default_rng(4).normal(size=(30, 100)).astype(np.float32)
    assert np.array_equal(apply_gains(before, face, np.ones((1, 3))), before)
    none, half, double = (apply_gains(before, face, np.array([[gain, 1.0, 1.0]])) for gain in (0.0, 0.5, 2.0))
    assert half == pytest.approx((before + none) / 2, abs=1e-5)
    assert double == pytest.approx(2 * before - none, abs=1e-5)
    fading = np.ones((30, 3))
    fading[:, 0] = np.linspace(0, 1, 30)
    mixed = apply_gains(before, face, fading)
    assert mixed == pytest.approx(none + (before - none) * fading[:, :1], abs=1e-5)


def test_the_same_gain_everywhere_is_that_gain_where_anything_moves(nameless):
    directions, face = nameless
    before = np.random.default_rng(5).normal(size=(30, 100)).astype(np.float32)
    after = apply_gains(before, face, np.full((1, 3), 0.5))
    for name in GROUPS:
        whole = motion_of(directions, before, name)
        assert rms(motion_of(directions, after, name) - 0.5 * whole) < 0.02 * rms(whole)


def test_nameless_pauses_are_ten_times_stiller(nameless):
    directions, face = nameless
    random = np.random.default_rng(6)
    raw = np.zeros((200, 106), np.float32)
    raw[:, :100] = random.normal(size=(200, 100))
    raw[:, 103] = random.uniform(0, 0.2, 200)
    level = np.where((np.arange(200) > 80) & (np.arange(200) < 150), -80.0, -20.0).astype(np.float32)
    free, gated = (process_motion(raw, ProcessSettings(silence_gate=gate), face, level) for gate in (0.0, 1.0))
    moved = [np.abs(np.diff(motion_of(directions, motion[90:142, :100], "lips"), axis=0)).sum()
             for motion in (free, gated)]
    assert moved[1] < 0.1 * moved[0]
    assert not gated[90:142, 103].any()
    speech = np.r_[0:81, 150:200]
    assert np.array_equal(free[speech], gated[speech])


def test_an_empty_region_harms_nothing():
    gram = np.zeros((3, 100, 100), np.float32)
    assert not gain_operators(gram).any()
    gram[LIPS] = region_grams(HEAD.expressiondirs, weights())[LIPS]
    face = FaceChannels(NAMELESS, gram)
    before = demo_motion()[:, :100]
    assert np.abs(apply_gains(before, face, np.array([[1.0, 1.0, 0.0]])) - before).max() == 0.0
    assert np.isfinite(apply_gains(before, face, np.array([[0.0, 1.0, 1.0]]))).all()


def test_names_say_what_moves_what():
    face = FaceChannels(HEAD.expression_names)
    parts = [face.region(index) for index in range(3)]
    assert face.named and face.has_regions and not (np.sum(parts, 0) > 1).any()
    without = {name for name, held in zip(face.names, np.any(parts, 0), strict=True) if not held}
    assert {name for name in without if not name.startswith("corrective_")} == {
        name for name in face.names if name.startswith("eyeLook")}
    assert face.names.index("eyeSquintLeft") in np.flatnonzero(parts[BROWS])
    nameless = FaceChannels(NAMELESS)
    assert not nameless.has_regions and not nameless.region(LIPS).any() and not nameless.with_jaw.any()


@pytest.mark.parametrize(("fault", "words"), [
    ({"names": ("a",)}, "100 expression names, not 1"),
    ({"gram": np.zeros((2, 100, 100))}, "gram of a face is"),
    ({"gram": np.full((3, 100, 100), np.nan)}, "gram of a face is"),
    ({"blink": np.zeros(52)}, "blink of a face is"),
])
def test_wrong_faces_are_refused(fault, words):
    with pytest.raises(ValueError, match=words):
        FaceChannels(**({"names": NAMELESS} | fault))


def test_wrong_directions_and_weights_are_refused():
    with pytest.raises(ValueError, match="expression directions are"):
        region_grams(np.zeros((5, 3, 50)), np.zeros((5, 3)))
    for wrong in (np.zeros((4, 3)), np.full((5, 3), -1.0), np.full((5, 3), np.nan)):
        with pytest.raises(ValueError, match="region weights are"):
            region_grams(np.zeros((5, 3, 100)), wrong)
