# SPDX-License-Identifier: GPL-3.0-or-later
"""The mel encoder: shapes, how far it looks, and that a long recording needs no chunks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engine import mel  # noqa: E402
from engine.mel_encoder import MelEncoder, load_encoder, save_encoder  # noqa: E402

REACH = 25  # features on each side: 6 blocks of 4, and the stem's two mel frames


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return MelEncoder().eval()


def features(encoder, frames: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return encoder(torch.from_numpy(frames)[None])[0].numpy()


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, mel.BANDS)).astype(np.float32)


@pytest.mark.parametrize("frames", [2, 3, 100, 301])
def test_shapes(encoder, frames):
    made = encoder(torch.from_numpy(np.stack([noise(frames), noise(frames, 1)])))
    assert made.shape == (2, frames // 2, encoder.config["WIDTH"])
    heads = encoder.heads(made)
    assert heads.phones.shape == (2, frames // 2, 36)
    assert heads.aperture.shape == heads.width.shape == heads.closure.shape == (2, frames // 2)


def test_the_labels_fit_the_heads():
    pytest.importorskip("scipy")
    from engine.mel_encoder import PHONE_CLASSES
    from engine.training.phones import LABELS

    assert len(LABELS) == PHONE_CLASSES


def test_small_enough(encoder):
    assert 0.7e6 < sum(p.numel() for p in encoder.parameters()) < 1.5e6


def test_looks_half_a_second_each_way_and_no_further(encoder):
    frames = noise(400)
    plain = features(encoder, frames)
    frames[200] += 3.0
    changed = np.flatnonzero(np.abs(features(encoder, frames) - plain).max(axis=1) > 0)
    assert changed.min() >= 100 - REACH
    assert changed.max() <= 100 + REACH
    assert changed.min() <= 100 - 20
    assert changed.max() >= 100 + 20


def test_a_middle_part_is_the_same_on_its_own(encoder):
    frames = noise(800)
    whole = features(encoder, frames)
    part = features(encoder, frames[200:600])
    np.testing.assert_allclose(part[REACH:-REACH], whole[100 + REACH : 300 - REACH], atol=1e-5)


def test_saved_and_read_again(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "encoder.npz")
    again = load_encoder(tmp_path / "encoder.npz")
    frames = noise(60)
    assert np.array_equal(features(again, frames), features(encoder, frames))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder.npz"]
