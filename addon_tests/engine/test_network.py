# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's parts: golden codec and style encoder, cached against plain decoding, training methods."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_network import SCALES, golden, seeded_tensors, unpack_bits  # noqa: E402
from seeded_weights import synthetic_audio, synthetic_motion  # noqa: E402

from engine.codec import Codec, scale_features  # noqa: E402
from engine.config import NetworkConfig  # noqa: E402
from engine.fast_codec import FastCodec  # noqa: E402
from engine.generator import Generator  # noqa: E402
from engine.network import Network  # noqa: E402
from engine.style import StyleEncoder  # noqa: E402

SMALL = {
    "T_DEPTH": 2, "PREV_RATIO": 2, "WIDTH": 48, "HEADS": 4, "CODE_DIM": 16, "AUDIO_ENCODER": "mel",
    "VAE": {"HIDDEN": 32, "DEPTH": 2, "HEADS": 4}, "STYLE": {"WIDTH": 32, "DEPTH": 1, "HEADS": 2, "HIDDEN": 64},
    "MEL": {"WIDTH": 40, "BLOCKS": 2},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small() -> Network:
    torch.manual_seed(5)
    network = Network(NetworkConfig.from_dict(SMALL)).eval()
    torch.nn.init.normal_(network.basic_vae.decoder.out_mapping.weight, std=0.1)
    return network.requires_grad_(False)


def published(module: torch.nn.Module, prefix: str) -> torch.nn.Module:
    tensors = seeded_tensors("artalk_wav2vec", prefix)
    module.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, strict=True)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return published(Codec(NetworkConfig()), "basic_vae.")


def test_style_encoder_is_the_published_one():
    encoder = published(StyleEncoder(NetworkConfig()), "style_encoder.")
    wanted = golden("style_encoder")
    for rows in (37, 50, 100):
        code = encoder(torch.from_numpy(wanted[f"style_in_{rows}"])[None])
        np.testing.assert_allclose(code.numpy(), wanted[f"style_out_{rows}"], atol=1e-5)


def test_style_condition_mixes_in_the_models_own_manner():
    generator = Generator(dataclasses.replace(NetworkConfig(), depth=1))
    names = ("style_cond_embed.", "null_style_cond")
    tensors = {key: value for name in names for key, value in seeded_tensors("artalk_wav2vec", name).items()}
    generator.load_state_dict(tensors, strict=False)
    wanted = golden("style_encoder")
    with torch.no_grad():
        for rows in (37, 50, 100):
            condition = generator.style_condition(torch.from_numpy(wanted[f"style_out_{rows}"]))
            np.testing.assert_allclose(condition.numpy(), wanted[f"style_cond_{rows}"], atol=1e-5)
        assert torch.equal(generator.style_condition(None), generator.null_style_cond)


def test_codec_encodes_as_published(codec: Codec):
    wanted = golden("vae")
    motion = torch.from_numpy(wanted["motion"])[None]
    latent = codec.encode(motion)
    np.testing.assert_allclose(latent[0].numpy(), wanted["encoder_out"], atol=1e-5)
    quantized = codec.quantize(latent[:, :100])
    np.testing.assert_allclose(quantized.features[0].numpy(), wanted["quantized_out_prev"], atol=1e-6)
    bits = {
        "bits_prev": quantized.bits, "bits_this": codec.quantize(latent[:, 100:]).bits,
        "bits_prev_alone": codec.motion_to_bits(motion[:, :100]),
        "bits_zero_motion": codec.motion_to_bits(torch.zeros(1, 100, 106)),
    }
    for name, value in bits.items():
        assert np.array_equal(value[0].numpy(), unpack_bits(wanted[name])), name


def test_codec_decodes_as_published(codec: Codec):
    wanted = golden("vae")
    before, this = (torch.from_numpy(unpack_bits(wanted[name]))[None] for name in ("bits_prev", "bits_this"))
    features = codec.features(this)
    np.testing.assert_allclose(features[0].numpy(), wanted["feat_this"], atol=1e-6)
    motion = codec.decode(codec.features(before), features)[0].numpy()
    np.testing.assert_allclose(motion[:100], wanted["decoded_prev"], atol=1e-4)
    np.testing.assert_allclose(motion[100:], wanted["decoded_this"], atol=1e-4)
    assert np.array_equal(codec.bits_to_motion(before, this)[0].numpy(), motion[100:])


def test_fast_codec_is_the_published_one(codec: Codec):
    wanted, fast = golden("vae"), FastCodec(codec)
    before, this = (torch.from_numpy(unpack_bits(wanted[name]))[None] for name in ("bits_prev", "bits_this"))
    motion = torch.from_numpy(wanted["motion"])[None, :100]
    with torch.inference_mode():
        decoded = fast.bits_to_motion(before, this)
        np.testing.assert_allclose(decoded[0].numpy(), wanted["decoded_this"], atol=1e-4)
        for given, name in ((motion, "bits_prev_alone"), (torch.zeros_like(motion), "bits_zero_motion")):
            assert np.array_equal(fast.motion_to_bits(given)[0].numpy(), unpack_bits(wanted[name])), name


def test_scale_features_are_the_published_ones():
    wanted = golden("vae")
    bits = torch.from_numpy(unpack_bits(wanted["bits_this"]))[None]
    np.testing.assert_allclose(scale_features(bits, SCALES)[0].numpy(), wanted["ms_vqfeat_this"], atol=1e-6)
    for index, length in enumerate((1, 6, 31, 81)):
        features = scale_features(bits[:, :length], SCALES)[0].numpy()
        np.testing.assert_allclose(features, wanted[f"ar_vqfeat_{index}"], atol=1e-6)


def test_quantizer_is_straight_through_and_takes_flips(small: Network):
    latent = torch.randn(2, 100, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    plain = small.basic_vae.quantize(latent)
    torch.testing.assert_close(plain.features, small.basic_vae.features(plain.bits), atol=1e-5, rtol=0)
    plain.features.square().sum().backward()
    assert latent.grad is not None
    assert latent.grad.abs().sum() > 0
    flip = torch.zeros(2, 181, 16, dtype=torch.bool)
    flip[:, 0, :4] = True
    turned = small.basic_vae.quantize(latent, flip)
    assert torch.equal(turned.bits[:, 0, :4], ~plain.bits[:, 0, :4])
    assert torch.equal(turned.bits[:, 0, 4:], plain.bits[:, 0, 4:])
    torch.testing.assert_close(turned.features, small.basic_vae.features(turned.bits), atol=1e-5, rtol=0)


def test_teacher_forced_logits_equal_those_of_decoding(small: Network):
    state = small.start(None)
    audio = small.pool_audio(torch.randn(1, 200, 40, generator=torch.Generator().manual_seed(2)))
    prediction = small.predict_plain(state.style, state.history, audio)
    inputs = scale_features(prediction.bits, SCALES)
    logits = small.logits(state.style, state.history, inputs, audio)
    torch.testing.assert_close(logits, prediction.logits, atol=1e-5, rtol=0)
    # a batch is its clips, one by one
    twice = small.logits(*(x.repeat(2, *[1] * (x.ndim - 1)) for x in (state.style, state.history, inputs, audio)))
    torch.testing.assert_close(twice[1:], logits, atol=1e-5, rtol=0)


def test_no_token_sees_a_finer_scale(small: Network):
    state = small.start(None)
    generator = torch.Generator().manual_seed(3)
    audio, inputs = torch.randn(1, 181, 40, generator=generator), torch.randn(1, 180, 16, generator=generator)
    before = small.logits(state.style, state.history, inputs, audio)
    inputs[:, 31 - 1 :] += 1.0      # scales 4 and 5
    audio[:, 31:] += 1.0
    after = small.logits(state.style, state.history, inputs, audio)
    torch.testing.assert_close(after[:, :31], before[:, :31], atol=1e-6, rtol=0)
    assert not torch.allclose(after[:, 31:], before[:, 31:], atol=1e-3)


def test_every_weight_learns():
    torch.manual_seed(0)
    network = Network(NetworkConfig.from_dict(SMALL))
    codes = network.style_encoder(torch.randn(2, 50, 106))
    motion = torch.randn(2, 200, 106)
    latent = network.basic_vae.encode(motion)
    before, this = (network.basic_vae.quantize(part) for part in latent.split(100, dim=1))
    rebuilt = network.basic_vae.decode(before.features, this.features)
    history = scale_features(before.bits, SCALES)[:, None].expand(-1, 2, -1, -1)
    audio = network.pool_audio(network.audio_encoder(torch.randn(2, 400, 80)))
    logits = network.logits(network.style_condition(codes), history, scale_features(this.bits, SCALES), audio)
    ((rebuilt - motion).square().mean() + logits.square().mean()).backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None and "_head." not in name]
    assert idle == []


@pytest.mark.parametrize("styled", [False, True])
def test_cached_decoding_equals_plain(small: Network, styled: bool):
    samples = synthetic_audio(3, 9.0)
    style = synthetic_motion(21, 50) if styled else None
    plain, cached = list(small.steps(samples, style, plain=True)), list(small.steps(samples, style))
    assert len(plain) == len(cached) == 3
    for one, other in zip(plain, cached, strict=True):
        assert torch.equal(one.prediction.bits, other.prediction.bits)
        torch.testing.assert_close(one.motion, other.motion, atol=1e-5, rtol=0)


def test_style_and_history_matter(small: Network):
    samples = np.zeros(128000, np.float32)
    own = list(small.chunks(samples))
    styled = list(small.chunks(samples, synthetic_motion(4, 50)))
    assert not np.array_equal(own[0], styled[0])
    assert not np.array_equal(own[0], own[1])   # the same silence, another past


@pytest.mark.parametrize(("count", "chunks"), [(1, 1), (63999, 1), (64000, 1), (64001, 2)])
def test_odd_lengths(small: Network, count: int, chunks: int):
    motion = list(small.chunks(synthetic_audio(1, 5.0)[:count]))
    assert [part.shape for part in motion] == [(100, 106)] * chunks
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in motion)
