# SPDX-License-Identifier: GPL-3.0-or-later
"""Full size, seeded weights: the bits, motion, logits and inner values of the published implementation.

Takes about 5 GB and a minute. The two wav2vec configurations share their audio encoder, so sounds are heard
once for both.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_network import golden, outputs, seeded_tensors, unpack_bits  # noqa: E402
from seeded_weights import synthetic_audio  # noqa: E402

from engine.architecture import config_for  # noqa: E402
from engine.device import set_threads  # noqa: E402
from engine.network import Network, Step  # noqa: E402
from engine.smoothing import smooth_motion  # noqa: E402
from engine.weights import build_network  # noqa: E402

AUDIO = {"1p3": (11, 1.3), "4p0": (12, 4.0), "11p7": (14, 11.7)}
CASES = [f"{length}_{manner}" for length in AUDIO for manner in ("default", "style")]
PASSES = (1, 6, 31, 81)     # tokens of the published program's passes at scales 0 to 3


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
def heard(deep: Network) -> dict[str, list[torch.Tensor]]:
    """What the fast path hears in every sound: features (1,199,1024) of its chunks."""
    with torch.inference_mode():
        return {length: list(deep.audio_features(synthetic_audio(*sound))) for length, sound in AUDIO.items()}


@pytest.fixture(scope="module")
def released(deep: Network, heard: dict[str, list[torch.Tensor]]) -> Network:
    """Depth 12, previous ratio 1; shares the weights that both have."""
    deep._fast = None       # its copies of weights need not lie beside those of this one
    tensors = seeded_tensors("artalk_wav2vec", reuse=deep.state_dict())
    network = build_network(config_for(tensors, None, "12x1"), tensors, "12x1")
    assert (network.config.depth, network.config.prev_ratio) == (12, 1)
    return network


def run(network: Network, wanted: dict[str, np.ndarray], case: str, plain: bool) -> list[Step]:
    """Run a golden case and compare bits, history bits, motion and the first chunk's logits."""
    length, manner = case.split("_")
    samples = synthetic_audio(*AUDIO[length])
    style = wanted["style_motion"] if manner == "style" else None
    steps = list(network.steps(samples, style, plain))
    bits = np.concatenate([step.prediction.bits.numpy() for step in steps])
    previous = np.concatenate([step.previous_bits.numpy() for step in steps])
    assert np.array_equal(bits, unpack_bits(wanted[f"{case}/bits"]))
    assert np.array_equal(previous, unpack_bits(wanted[f"{case}/prev_bits"]))
    motion = np.concatenate([step.motion[0].numpy() for step in steps])[: len(wanted[f"{case}/motion"])]
    np.testing.assert_allclose(motion, wanted[f"{case}/motion"], rtol=0, atol=1e-4)
    smoothed = smooth_motion(motion)[:, :104]   # the golden one still has the jaw's other two axes
    np.testing.assert_allclose(smoothed, wanted[f"{case}/motion_smoothed"][:, :104], rtol=0, atol=1e-4)
    logits = steps[0].prediction.logits[0].flatten(1).numpy()
    np.testing.assert_allclose(logits[::3], wanted[f"{case}/logits_chunk0_scale4_step3"], rtol=0, atol=2e-4)
    compare_passes([logits[:tokens] for tokens in PASSES], wanted, case)
    return steps


def compare_passes(logits: list[np.ndarray], wanted: dict[str, np.ndarray], case: str) -> None:
    """Logits (n,64) of the passes at scales 0 to 3 against the golden ones, which were rounded to float16."""
    expected = wanted[f"{case}/logits_chunk0_scale0to3"]
    rounding = np.spacing(np.abs(expected)).astype(np.float32) / 2
    error = np.abs(np.concatenate(logits) - expected.astype(np.float32))
    assert (error <= 2e-4 + rounding).all(), error.max()


def hearing_parts(network: Network) -> dict[str, torch.nn.Module]:
    encoder = network.audio_encoder
    return {"conv_feat": encoder.feature_extractor, "projected": encoder.feature_projection,
            "pos_conv": encoder.encoder.pos_conv_embed, "features": encoder}


def compare_hearing(network: Network, seen: dict[str, list[np.ndarray]], length: str) -> None:
    """What the parts of the encoder gave for a sound's first chunk, against the golden values."""
    wanted = golden("artalk_wav2vec_12x1")      # both configurations hear the same
    samples = synthetic_audio(*AUDIO[length])[:64000]
    samples = torch.from_numpy(np.pad(samples, (0, 64000 - len(samples))))[None]
    normal = network.audio_encoder.normalise(samples)[0, ::97]
    np.testing.assert_allclose(normal, wanted[f"{length}/audio_norm_step97"], rtol=0, atol=1e-5)
    inner = {name: seen[name][0] for name in ("conv_feat", "projected", "pos_conv")}
    inner["conv_feat"] = inner["conv_feat"].T       # channels first
    for name, values in inner.items():
        expected = wanted[f"{length}/{name}_step9x17"]
        np.testing.assert_allclose(values[::9, ::17], expected, rtol=0, atol=2e-4, err_msg=name)
    compare_features(network, torch.from_numpy(seen["features"][0])[None], length)


def compare_features(network: Network, features: torch.Tensor, length: str) -> None:
    """Features (1,199,1024) of a sound's first chunk against the golden values."""
    wanted = golden("artalk_wav2vec_12x1")
    assert tuple(features.shape) == tuple(wanted[f"{length}/audio_feat_chunk0_shape"]) == (1, 199, 1024)
    ends = {
        "audio_feat_chunk0_step7x13": features[0, ::7, ::13],
        "audio_feat_chunk0_frame_mean": features[0].mean(dim=1),
        "audio_feat_chunk0_frame_absmean": features[0].abs().mean(dim=1),
        "audio_cond_step5x29": network.pool_audio(features)[0, ::5, ::29],
    }
    for name, values in ends.items():
        np.testing.assert_allclose(values, wanted[f"{length}/{name}"], rtol=0, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("length", AUDIO)
def test_fast_hearing(deep: Network, heard: dict, length: str):
    compare_features(deep, heard[length][0], length)


@pytest.mark.parametrize("case", CASES)
def test_depth_16_ratio_2(deep: Network, heard: dict, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(deep, "audio_features", lambda *_: iter(heard[case.split("_")[0]]))
    run(deep, golden("artalk_wav2vec_16x2"), case, plain=False)


def test_depth_16_ratio_2_on_the_plain_path(deep: Network):
    wanted = golden("artalk_wav2vec_16x2")
    with outputs({**hearing_parts(deep), "logits": deep.logits_head}) as seen:
        run(deep, wanted, "4p0_style", plain=True)
    compare_hearing(deep, seen, "4p0")
    compare_passes(seen["logits"][:4], wanted, "4p0_style")


@pytest.mark.parametrize("case", CASES)
def test_released_configuration(released: Network, heard: dict, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(released, "audio_features", lambda *_: iter(heard[case.split("_")[0]]))
    run(released, golden("artalk_wav2vec_12x1"), case, plain=False)


def test_plain_hearing_of_a_long_sound(released: Network):
    """The other two sounds are heard in the tests of the plain path."""
    with outputs(hearing_parts(released)) as seen, torch.inference_mode():
        next(released.audio_features(synthetic_audio(*AUDIO["11p7"]), plain=True))
    compare_hearing(released, seen, "11p7")


def layers(network: Network) -> dict[str, torch.nn.Module]:
    """The modules whose outputs the golden file of inner values has, by its names."""
    decoder = network.basic_vae.decoder.decoder_transformer     # attentions and feed-forwards in turn
    return {
        **{f"audio_layer{i}": network.audio_encoder.encoder.layers[i] for i in (0, 1, 11, 23)},
        **{f"block{i}": network.attn_blocks[i] for i in (0, 1, 5, 11)},
        **{f"vae_decoder_block{i}": decoder[i] for i in (0, 7, 15)},
        "block0_attn": network.attn_blocks[0].attn, "head_in": network.cond_logits_head,
    }


def test_released_configuration_on_the_plain_path(released: Network, monkeypatch: pytest.MonkeyPatch):
    wanted, case = golden("artalk_wav2vec_12x1"), "1p3_default"
    tokens: dict[str, list[np.ndarray]] = {"in_feat": [], "in_prev": [], "in_cond": []}

    def note(name: str, method: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def noting(*given: torch.Tensor) -> torch.Tensor:
            made = method(*given)
            tokens[name].append(made[0].numpy())
            return made

        return noting

    for name, method in (("in_feat", "input_tokens"), ("in_prev", "history_tokens"), ("in_cond", "pool_audio")):
        monkeypatch.setattr(released, method, note(name, getattr(released, method)))
    with outputs({**hearing_parts(released), **layers(released), "logits": released.logits_head}) as seen:
        run(released, wanted, case, plain=True)
    compare_layers(seen | tokens)
    compare_hearing(released, seen, "1p3")
    compare_passes(seen["logits"][:4], wanted, case)


def compare_layers(seen: dict[str, list[np.ndarray]]) -> None:
    """All that the golden file of inner values has of the 1.3 s sound without a style."""
    debug = golden("artalk_wav2vec_12x1_debug")
    compared = 0
    for name, expected in debug.items():
        layer, _, kind = name.rpartition("_")
        if kind == "shape":
            assert (1, *seen[layer][-1].shape) == tuple(expected), name
        elif kind == "step9x17":
            np.testing.assert_allclose(seen[layer][-1][::9, ::17], expected, rtol=0, atol=2e-4, err_msg=name)
        elif kind == "step3x29":        # of an earlier pass
            layer, scale = layer.split("_scale")
            np.testing.assert_allclose(seen[layer][int(scale)][::3, ::29], expected, rtol=0, atol=2e-4, err_msg=name)
        else:
            continue
        compared += 1
    assert compared == len(debug) - 3 == 41, "all but the seeds and the length"


def test_mimi_configuration():
    wanted = golden("artalk_mimi_12x1")
    tensors = seeded_tensors("artalk_mimi")
    network = build_network(config_for(tensors, None, "mimi"), tensors, "mimi")
    assert network.config.audio_encoder == "mimi"
    hearing = network.audio_encoder.acoustic_model
    samples = synthetic_audio(15, 4.0)
    with outputs({"seanet": hearing.encoder, "downsampled": hearing.downsample}) as seen:
        (step,) = network.steps(samples)
    np.testing.assert_allclose(seen["seanet"][0][::9, ::17], wanted["seanet_step9x17"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(seen["downsampled"][0][::9, ::5], wanted["downsampled_step9x5"], rtol=0, atol=1e-3)
    with torch.inference_mode():
        codes, features = hearing.quantizer(torch.from_numpy(seen["downsampled"][0])[None])
    assert np.array_equal(codes[0].numpy(), wanted["codes"])
    np.testing.assert_allclose(features[0].T[::3, ::7], wanted["features_step3x7"], rtol=0, atol=1e-3)
    assert np.array_equal(step.prediction.bits[0].numpy(), unpack_bits(wanted["bits"]))
    np.testing.assert_allclose(step.motion[0].numpy(), wanted["motion"], rtol=0, atol=1e-4)
