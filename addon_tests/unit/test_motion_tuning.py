# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, smoothing, gains and clamp, on the default model's motion and on edges. Without Blender."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from real_motion import default_head, demo_motion, lips

from artalk_blender.errors import ArtalkError
from artalk_blender.motion.limits import bend, clamp_motion
from artalk_blender.motion.process import RANGES, ProcessSettings, gaussian, process_motion
from artalk_blender.motion.regions import BROWS, CHEEKS, LIPS, FaceChannels
from engine.smoothing import smooth_motion

PLAIN = ProcessSettings(clamp=False)
EVERYTHING = ProcessSettings(smoothing=0.1, intensity=1.2, lips=0.8, cheeks=1.5, brows=1.3, head_gain=0.7, jaw_gain=1.1,
                             offset_ms=20.0, silence_gate=1.0, blinks=16.0, blink_seed=3)


@pytest.fixture(scope="module")
def face() -> FaceChannels:
    return FaceChannels(default_head().expression_names)


# --- settings ---

def test_settings_survive_a_file():
    assert ProcessSettings.from_dict(json.loads(json.dumps(EVERYTHING.as_dict()))) == EVERYTHING
    assert ProcessSettings.from_dict({"lips": 1, "colour": "red"}) == ProcessSettings()
    assert ProcessSettings.from_dict({}) == ProcessSettings()
    stored = ProcessSettings.from_dict({"smooth": 0, "clamp": 1, "blink_seed": np.int64(4), "lips": np.float32(0.5)})
    assert stored == ProcessSettings(smooth=False, blink_seed=4, lips=0.5)
    assert all(type(value) in (bool, int, float) for value in stored.as_dict().values())


@pytest.mark.parametrize("name", RANGES)
def test_every_number_is_checked(name):
    low, high = RANGES[name]
    for value in (low, high):
        ProcessSettings.from_dict({name: value})
    for value in (low - 1, high + 1, float("nan"), "much", None, True, [1.0]):
        with pytest.raises(ValueError, match=rf"^{name} is .* from .* to .*, not "):
            ProcessSettings.from_dict({name: value})


@pytest.mark.parametrize("name", ["smooth", "clamp"])
def test_every_switch_is_checked(name):
    for value in ("yes", 2, None, 0.5, [True]):
        with pytest.raises(ValueError, match=rf"^{name} is true or false, not "):
            ProcessSettings.from_dict({name: value})


# --- as it is ---

def test_defaults_are_the_published_smoothing(face):
    raw = demo_motion()
    assert np.array_equal(process_motion(raw, None, face), smooth_motion(raw))
    assert np.array_equal(process_motion(raw), smooth_motion(raw))
    assert np.array_equal(process_motion(raw, ProcessSettings(smooth=False), face), raw)


@pytest.mark.parametrize("frames", [0, 1, 2, 8, 9, 60])
@pytest.mark.parametrize("named", [False, True])
def test_everything_on_motion_of_any_length(face, frames, named):
    raw = np.random.default_rng(frames).normal(0, 0.2, (frames, 106)).astype(np.float32)
    kept = raw.copy()
    quiet = np.full(frames, -100.0, np.float32)
    result = process_motion(raw, EVERYTHING, face if named else None, quiet)
    assert result.shape == (frames, 106) and result.dtype == np.float32 and np.isfinite(result).all()
    assert np.array_equal(raw, kept)
    if named:
        assert not result[:, face.region(LIPS).nonzero()[0]].any()
    assert not result[:, 103:106].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_values_that_are_no_numbers_are_refused(value):
    raw = np.zeros((20, 106), np.float32)
    raw[7, 50] = value
    with pytest.raises(ArtalkError, match="not numbers, or far too large"):
        process_motion(raw)


def test_loudness_of_another_clip_is_refused():
    with pytest.raises(ValueError, match=r"loudness of this motion is \(20,\)"):
        process_motion(np.zeros((20, 106)), None, None, np.zeros(19))


# --- smoothing ---

def test_gaussian_is_scipys():
    filters = pytest.importorskip("scipy.ndimage")
    values = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
    for sigma in (0.3, 1.0, 4.2, 25.0):
        expected = filters.gaussian_filter1d(values.astype(np.float64), sigma, 0, mode="nearest",
                                             radius=max(1, int(np.ceil(3 * sigma))))
        assert np.abs(gaussian(values, sigma) - expected).max() < 2e-6


def test_smoothing_keeps_what_is_constant_and_quiets_the_rest(face):
    still = np.full((40, 106), 0.05, np.float32)
    still[:, 104:] = 0.0
    assert process_motion(still, ProcessSettings(smoothing=0.3), face) == pytest.approx(still, abs=1e-6)
    raw = demo_motion()
    rough = [np.abs(np.diff(process_motion(raw, ProcessSettings(smoothing=s), face), axis=0)).sum(0).mean()
             for s in (0.0, 0.04, 0.1, 0.3)]
    assert all(after < 0.9 * before for before, after in itertools.pairwise(rough))


# --- gains ---

@pytest.mark.parametrize(("name", "region"), [("lips", LIPS), ("cheeks", CHEEKS), ("brows", BROWS)])
@pytest.mark.parametrize("gain", [0.0, 0.5, 1.7])
def test_named_channels_are_scaled_exactly(face, name, region, gain):
    raw = np.random.default_rng(5).uniform(0.0, 0.5, (30, 106)).astype(np.float32)
    before, after = process_motion(raw, PLAIN, face), process_motion(raw, replace(PLAIN, **{name: gain}), face)
    inside = face.region(region)
    assert 5 <= inside.sum() < 30
    assert after[:, :100][:, inside] == pytest.approx(gain * before[:, :100][:, inside], rel=1e-6)
    assert np.array_equal(after[:, :100][:, ~inside], before[:, :100][:, ~inside])
    assert after[:, 103:] == pytest.approx((gain if region == LIPS else 1.0) * before[:, 103:], rel=1e-6)
    assert np.array_equal(after[:, 100:103], before[:, 100:103])


def test_intensity_and_head_gain(face):
    raw = demo_motion()
    before = process_motion(raw, PLAIN, face)
    assert process_motion(raw, replace(PLAIN, intensity=0.6), face) == pytest.approx(0.6 * before, abs=1e-6)
    assert not process_motion(raw, replace(PLAIN, intensity=0.0), face).any()
    after = process_motion(raw, replace(PLAIN, head_gain=2.0), face)
    assert np.array_equal(after[:, 100:103], 2.0 * before[:, 100:103])
    assert np.array_equal(np.delete(after, [100, 101, 102], 1), np.delete(before, [100, 101, 102], 1))


@pytest.mark.parametrize("gain", [0.5, 1.5, 2.5])
def test_lips_that_touch_still_touch_under_another_jaw_gain(face, gain):
    before = lips(process_motion(demo_motion(), None, face))
    after = lips(process_motion(demo_motion(), ProcessSettings(jaw_gain=gain), face))
    closed = before.aperture < 2e-4
    assert closed.sum() > 20
    assert np.percentile(after.aperture[closed], 95) < 5e-4
    opened = after.aperture[~closed].mean() / before.aperture[~closed].mean()
    assert opened < 0.85 if gain < 1.0 else opened > 1.2
    assert after.jaw == pytest.approx(gain * before.jaw, abs=1e-6)


def test_without_regions_lips_are_the_jaw():
    raw = demo_motion()
    before, after = (process_motion(raw, settings) for settings in (PLAIN, replace(PLAIN, lips=0.5, cheeks=0.0)))
    assert np.array_equal(before[:, :103], after[:, :103])
    assert after[:, 103] == pytest.approx(0.5 * before[:, 103])


# --- clamp ---

def test_bend_is_the_identity_inside_and_never_flat_outside():
    values = np.linspace(-6.0, 8.0, 2001)
    bent = bend(values, 0.0, 1.0, 0.2)
    inside = (values >= 0.0) & (values <= 1.0)
    assert np.array_equal(bent[inside], values[inside])
    slope = np.diff(bent) / np.diff(values)
    assert slope.min() > 0.0 and slope.max() < 1.0 + 1e-9
    assert bent.min() > -0.2 and bent.max() < 1.2
    assert np.abs(np.diff(slope)).max() < 0.08, "no kink"


def test_sane_motion_passes_and_insane_is_bent(face):
    raw = demo_motion()
    assert np.array_equal(clamp_motion(smooth_motion(raw), face), smooth_motion(raw))
    wild = process_motion(raw, ProcessSettings(intensity=5.0, head_gain=5.0, jaw_gain=5.0), face)
    free = process_motion(raw, ProcessSettings(intensity=5.0, head_gain=5.0, jaw_gain=5.0, clamp=False), face)
    close = face.names.index("mouthClose")
    assert free[:, :100].max() > 3.0
    assert np.delete(wild[:, :100], close, 1).max() < 1.3 and wild[:, :100].min() > -0.2
    assert wild[:, 103].max() < 0.63 and wild[:, 103].min() > -0.18
    peak = int(free[:, 0].argmax())
    assert wild[:, 0].argmax() == peak and wild[peak, 0] > wild[peak - 1, 0], "a peak stays a peak"


def test_nameless_channels_pass_as_far_as_published_motion_goes():
    golden = np.load("addon_tests/data/golden/motion_stats.npz")
    mean, deviation = golden["mean"], golden["std"]
    motion = np.stack([mean - 3.5 * deviation, mean, mean + 3.5 * deviation])
    motion[:, 103:] = mean[103:]
    assert np.array_equal(clamp_motion(motion, None), motion)
    assert np.abs(clamp_motion(100.0 * motion, None)[:, :100]).max() < 6.5


def test_a_head_turned_too_far_keeps_its_axis():
    motion = np.zeros((4, 106), np.float32)
    motion[:, 100:103] = np.array([[0.6, 0.6, 0.6], [3.0, 0.0, 0.0], [-1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    clamped = clamp_motion(motion, None)[:, 100:103]
    assert np.array_equal(clamped[[0, 3]], motion[[0, 3], 100:103])
    assert np.linalg.norm(clamped, axis=1).max() < 1.7
    for before, after in zip(motion[1:3, 100:103], clamped[1:3], strict=True):
        assert before @ after == pytest.approx(np.linalg.norm(before) * np.linalg.norm(after), rel=1e-5)
