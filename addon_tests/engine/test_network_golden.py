# SPDX-License-Identifier: GPL-3.0-or-later
"""Full size, seeded weights: every bit and the motion of the published implementation. Takes about 2 GB and minutes."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_network import golden, seeded_tensors, unpack_bits  # noqa: E402
from seeded_weights import synthetic_audio  # noqa: E402

from engine.architecture import config_for  # noqa: E402
from engine.device import set_threads  # noqa: E402
from engine.network import Network, Step  # noqa: E402
from engine.smoothing import smooth_motion  # noqa: E402
from engine.weights import build_network  # noqa: E402

AUDIO = {"1p3": (11, 1.3), "4p0": (12, 4.0), "11p7": (14, 11.7)}


@pytest.fixture(scope="module", autouse=True)
def _free_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    set_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def deep() -> Iterator[Network]:
    """Depth 16, previous ratio 2."""
    tensors = seeded_tensors("artalk_wav2vec_16x2")
    network = build_network(config_for(tensors, None, "16x2"), tensors, "16x2")
    assert (network.config.depth, network.config.prev_ratio) == (16, 2)
    yield network
    del network, tensors
    gc.collect()


@pytest.fixture(scope="module")
def released(deep: Network) -> Network:
    """Depth 12, previous ratio 1; shares the weights that both have."""
    tensors = seeded_tensors("artalk_wav2vec", reuse=deep.state_dict())
    network = build_network(config_for(tensors, None, "12x1"), tensors, "12x1")
    assert (network.config.depth, network.config.prev_ratio) == (12, 1)
    return network


def run(network: Network, wanted: dict[str, np.ndarray], case: str, plain: bool) -> list[Step]:
    """Run a golden case and compare bits, history bits and motion."""
    length, manner = case.split("_")
    samples = synthetic_audio(*AUDIO[length])
    style = wanted["style_motion"] if manner == "style" else None
    steps = list(network.steps(samples, style, plain))
    bits = np.concatenate([step.prediction.bits.numpy() for step in steps])
    previous = np.concatenate([step.previous_bits.numpy() for step in steps])
    assert np.array_equal(bits, unpack_bits(wanted[f"{case}/bits"]))
    assert np.array_equal(previous, unpack_bits(wanted[f"{case}/prev_bits"]))
    motion = np.concatenate([step.motion[0].numpy() for step in steps])[: len(wanted[f"{case}/motion"])]
    np.testing.assert_allclose(motion, wanted[f"{case}/motion"], atol=1e-4)
    smoothed = smooth_motion(motion)[:, :104]   # the golden one still has the jaw's other two axes
    np.testing.assert_allclose(smoothed, wanted[f"{case}/motion_smoothed"][:, :104], atol=1e-4)
    logits = steps[0].prediction.logits[0].flatten(1).numpy()
    np.testing.assert_allclose(logits[::3], wanted[f"{case}/logits_chunk0_scale4_step3"], atol=2e-4)
    return steps


@pytest.mark.parametrize("case", ["1p3_style", "4p0_default"])
def test_depth_16_ratio_2(deep: Network, case: str):
    run(deep, golden("artalk_wav2vec_16x2"), case, plain=False)


def test_audio_encoder(released: Network):
    wanted = golden("artalk_wav2vec_12x1")
    samples = torch.from_numpy(np.pad(synthetic_audio(*AUDIO["1p3"]), (0, 64000 - 20800)))[None]
    encoder = released.audio_encoder
    with torch.inference_mode():
        np.testing.assert_allclose(encoder.normalise(samples)[0, ::97], wanted["1p3/audio_norm_step97"], atol=1e-5)
        features = encoder(samples)
    assert tuple(features.shape) == tuple(wanted["1p3/audio_feat_chunk0_shape"]) == (1, 199, 1024)
    np.testing.assert_allclose(features[0, ::7, ::13], wanted["1p3/audio_feat_chunk0_step7x13"], atol=2e-4)
    pooled = released.pool_audio(features)
    np.testing.assert_allclose(pooled[0, ::5, ::29], wanted["1p3/audio_cond_step5x29"], atol=2e-4)


@pytest.mark.parametrize(
    ("case", "plain"), [("1p3_default", True), ("4p0_style", False), ("11p7_default", False)]
)
def test_released_configuration(released: Network, case: str, plain: bool):
    run(released, golden("artalk_wav2vec_12x1"), case, plain)


def test_mimi_configuration():
    wanted = golden("artalk_mimi_12x1")
    tensors = seeded_tensors("artalk_mimi")
    network = build_network(config_for(tensors, None, "mimi"), tensors, "mimi")
    assert network.config.audio_encoder == "mimi"
    samples = synthetic_audio(15, 4.0)
    (step,) = network.steps(samples)
    with torch.inference_mode():
        features = network.audio_encoder(torch.from_numpy(samples)[None])
    np.testing.assert_allclose(features[0, ::3, ::7], wanted["features_step3x7"], atol=1e-3)
    assert np.array_equal(step.prediction.bits[0].numpy(), unpack_bits(wanted["bits"]))
    np.testing.assert_allclose(step.motion[0].numpy(), wanted["motion"], atol=1e-4)
