# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to raw motion, without Blender."""

from __future__ import annotations

import numpy as np
import pytest
from artalk_blender.engine.flame.skinning import rotation_matrices

from artalk_blender.motion.process import ProcessSettings, axis_angle_to_quaternions, process_motion


def motion(frames: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, (frames, 106)).astype(np.float32)


def matrices(quaternions: np.ndarray) -> np.ndarray:
    w, x, y, z = quaternions.T
    return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                     2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                     2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1).reshape(-1, 3, 3)


def test_quaternions_are_flames_rotations():
    random = np.random.default_rng(1).normal(0, 1.5, (50, 3))
    vectors = np.concatenate([random, np.zeros((1, 3)), np.full((1, 3), 1e-9)])
    vectors = np.concatenate([random, np.zeros((1, 3)), np.full((1, 3), 1e-9)])
    assert np.abs(matrices(axis_angle_to_quaternions(vectors)) - rotation_matrices(vectors)).max() < 1e-6


def test_raw_motion_stays_as_it_is():
    raw = motion()
    kept = raw.copy()
    still = process_motion(raw, ProcessSettings(head_gain=0.0))
    assert np.array_equal(raw, kept)
    assert not still[:, 100:103].any() and still[:, :100].any()
    assert np.array_equal(process_motion(raw, ProcessSettings(smooth=False, clamp=False)), raw)


@pytest.mark.parametrize("frames", [0, 1, 2, 8, 9])
def test_short_motion(frames):
    assert process_motion(motion(frames)).shape == (frames, 106)


def test_anything_else_is_refused():
    with pytest.raises(ValueError, match=r"\(T,106\)"):
        process_motion(np.zeros((4, 100)))
