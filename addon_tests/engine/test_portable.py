# SPDX-License-Identifier: GPL-3.0-or-later
"""The numpy network against the torch one on seeded weights, and what it must not import."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from seeded_weights import synthetic_audio, synthetic_motion

from engine.chunking import padded_mel
from engine.config import NetworkConfig
from engine.portable.network import PortableNetwork
from engine.portable.ops import area_pool, erf, gelu, gelu_tanh, layer_norm, linear_spread, silu
from engine.portable.weights import expected_shapes

CONFIGS = {
    "usual": {
        "T_DEPTH": 4, "WIDTH": 192, "HEADS": 6, "VAE": {"HIDDEN": 160, "DEPTH": 3, "HEADS": 5}, "AUDIO_ENCODER": "mel",
    },
    "odd": {
        "T_DEPTH": 2, "PREV_RATIO": 2, "WIDTH": 96, "HEADS": 4, "CODE_DIM": 16, "AUDIO_ENCODER": "mel",
        "VAE": {"HIDDEN": 64, "DEPTH": 2, "HEADS": 4}, "MEL": {"WIDTH": 64, "BLOCKS": 3, "KERNEL": 7},
        "STYLE": {"WIDTH": 48, "DEPTH": 2, "HEADS": 4, "HIDDEN": 96}, "STYLE_GUIDANCE": 1.3,
    },
}


DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.mark.parametrize("manner", ["default", "style"])
def test_the_same_without_torch(manner: str):
    """The outputs were made by the torch network (support/make_tiny_model.py); this needs numpy alone."""
    portable = PortableNetwork.from_file(DATA / "tiny_model.npz")
    style = synthetic_motion(21, 50) if manner == "style" else None
    steps = list(portable.steps(synthetic_audio(14, 6.5), style))
    with np.load(DATA / "tiny_model_golden.npz") as wanted:
        bits = np.stack([step.bits for step in steps])
        assert np.array_equal(np.packbits(bits, axis=-1), wanted[f"{manner}_bits"])
        motion = np.concatenate([step.motion for step in steps])
        np.testing.assert_allclose(motion, wanted[f"{manner}_motion"], atol=1e-4)


def make(path: Path, config: dict) -> tuple:
    """(torch network, numpy network) with the same random weights of healthy sizes."""
    torch = pytest.importorskip("torch")
    from engine.network import Network
    from engine.weights import load_network, save_npz

    torch.manual_seed(3)
    torch.set_num_threads(1)
    network = Network(NetworkConfig.from_dict(config)).requires_grad_(False)
    mean, std = torch.randn(106) * 0.1, torch.rand(106) * 0.2 + 0.05
    for part in (network.basic_vae, network.style_encoder):
        part.set_statistics(mean, std)
    torch.nn.init.normal_(network.basic_vae.decoder.out_mapping.weight, std=0.05)
    network.logits_head.weight.mul_(3.0)
    save_npz(network, path, np.float16)
    return load_network(path), PortableNetwork.from_file(path)


@pytest.fixture(scope="module", params=list(CONFIGS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    return make(tmp_path_factory.mktemp("models") / "model.npz", CONFIGS[request.param])


@pytest.mark.parametrize("styled", [False, True])
def test_bits_equal_and_motion_within_a_ten_thousandth(pair: tuple, styled: bool):
    network, portable = pair
    samples = synthetic_audio(14, 9.3)
    style = synthetic_motion(21, 50, np.full(106, 0.05), np.full(106, 0.1)) if styled else None
    wanted, got = list(network.steps(samples, style, plain=True)), list(portable.steps(samples, style))
    assert len(wanted) == len(got) == 3
    for one, other in zip(wanted, got, strict=True):
        assert np.array_equal(one.prediction.bits[0].numpy(), other.bits)
        np.testing.assert_allclose(other.logits, one.prediction.logits[0].numpy(), atol=1e-4)
        np.testing.assert_allclose(other.motion, one.motion[0].numpy(), atol=1e-4)
        assert other.motion.dtype == other.logits.dtype == np.float32


def test_audio_features_have_no_seams(pair: tuple):
    network, portable = pair
    torch = pytest.importorskip("torch")
    samples = synthetic_audio(6, 12.0)[: 3 * 64000 - 777]
    with torch.inference_mode():
        whole = network.audio_encoder(torch.from_numpy(padded_mel(samples))[None])[0].split(200)
        for one, by_torch, by_numpy in zip(
            whole, network.audio_features(samples), portable.audio_encoder.chunks(samples), strict=True
        ):
            np.testing.assert_allclose(by_torch[0], one, atol=2e-5)
            np.testing.assert_allclose(by_numpy, one, atol=2e-5)


@pytest.mark.parametrize("count", [1, 640, 63999, 64001])
def test_odd_lengths(pair: tuple, count: int):
    motion = list(pair[1].chunks(synthetic_audio(1, 5.0)[:count]))
    assert [part.shape for part in motion] == [(100, 106)] * (1 + count // 64001)
    assert all(np.isfinite(part).all() for part in motion)


def test_expected_shapes_are_the_networks(pair: tuple):
    network, _ = pair
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert expected_shapes(network.config) == shapes


def test_faster_than_a_fifth_of_real_time(tmp_path: Path):
    _, portable = make(tmp_path / "model.npz", CONFIGS["usual"])
    samples = synthetic_audio(5, 8.0)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        list(portable.chunks(samples))
        times.append(time.perf_counter() - start)
    assert min(times) / 8.0 < 0.2


@pytest.mark.parametrize("length", [1, 5, 25, 50, 199, 200])
@pytest.mark.parametrize("size", [1, 5, 25, 50, 100])
def test_pooling_and_spreading_equal_torch(length: int, size: int):
    torch = pytest.importorskip("torch")
    from engine import codec

    x = np.random.default_rng(length).normal(size=(length, 7)).astype(np.float32)
    t = torch.from_numpy(x)[None]
    np.testing.assert_allclose(area_pool(x, size), codec.area_pool(t, size)[0].numpy(), atol=1e-6)
    if length <= 100:
        np.testing.assert_allclose(linear_spread(x, 100), codec.linear_spread(t, 100)[0].numpy(), atol=1e-6)


def test_functions_equal_torch():
    torch = pytest.importorskip("torch")
    from torch.nn import functional as F

    x = np.concatenate([np.linspace(-30, 30, 4001), [0.0, -0.0, 100.0, -100.0]]).astype(np.float32)
    t = torch.from_numpy(x)
    np.testing.assert_allclose(erf(x), torch.erf(t).numpy(), atol=2e-7)
    np.testing.assert_allclose(gelu(x), F.gelu(t).numpy(), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(gelu_tanh(x), F.gelu(t, approximate="tanh").numpy(), atol=2e-6, rtol=1e-6)
    np.testing.assert_allclose(silu(x), F.silu(t).numpy(), atol=2e-6, rtol=1e-6)
    rows = np.random.default_rng(0).normal(size=(9, 33)).astype(np.float32)
    np.testing.assert_allclose(
        layer_norm(rows, 1e-5), F.layer_norm(torch.from_numpy(rows), (33,), eps=1e-5).numpy(), atol=2e-6
    )


def test_imports_neither_torch_nor_scipy():
    program = (
        "import sys, engine.model, engine.portable.network, engine.device\n"
        "assert not {'torch', 'scipy', 'bpy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
