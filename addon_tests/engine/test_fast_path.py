# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast path against the plain one: equal bits in float32; the parts on their own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_weights import synthetic_audio, synthetic_motion  # noqa: E402

from engine import audio_encoder, fast_encoder  # noqa: E402
from engine.audio_encoder import Wav2VecEncoder  # noqa: E402
from engine.config import NetworkConfig  # noqa: E402
from engine.fast_encoder import FastWav2Vec  # noqa: E402
from engine.fast_generator import FastGenerator  # noqa: E402
from engine.network import Network  # noqa: E402

SMALL = {
    "T_DEPTH": 3, "PREV_RATIO": 2, "WIDTH": 48, "HEADS": 4, "CODE_DIM": 16, "AUDIO_ENCODER": "mel",
    "VAE": {"HIDDEN": 32, "DEPTH": 2, "HEADS": 4}, "STYLE": {"WIDTH": 32, "DEPTH": 1, "HEADS": 2, "HIDDEN": 64},
    "MEL": {"WIDTH": 40, "BLOCKS": 2},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small() -> Network:
    torch.manual_seed(5)
    network = Network(NetworkConfig.from_dict(SMALL)).eval()
    torch.nn.init.normal_(network.basic_vae.decoder.out_mapping.weight, std=0.1)
    return network.requires_grad_(False)


@pytest.fixture
def hearing(monkeypatch: pytest.MonkeyPatch) -> Wav2VecEncoder:
    """The wav2vec encoder with two layers."""
    monkeypatch.setattr(audio_encoder, "_DEPTH", 2)
    torch.manual_seed(3)
    return Wav2VecEncoder().eval().requires_grad_(False)


def conditions(network: Network, clips: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    state = network.start(synthetic_motion(2, 50))
    noise = 0.1 * torch.randn(clips, *state.history.shape[1:], generator=generator)
    return (state.style.expand(clips, -1, -1), state.history + noise,
            torch.randn(clips, 181, 40, generator=generator))


@pytest.mark.parametrize("clips", [1, 3])
def test_generator_gives_the_plain_bits(small: Network, clips: int):
    fast = FastGenerator(small)
    inputs = conditions(small, clips)
    with torch.inference_mode():
        wanted = small.predict_plain(*inputs)
        for _ in range(2):      # the second time in the room of the first
            got = fast.predict(*inputs)
            assert torch.equal(got.bits, wanted.bits)
            torch.testing.assert_close(got.logits, wanted.logits, atol=1e-5, rtol=0)


def test_generator_shares_its_weights_with_the_network(small: Network):
    names = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    fast = FastGenerator(small)
    query = small.attn_blocks[0].attn.query.weight
    assert query.data_ptr() == fast.blocks[0].attention.joint.weight.data_ptr()
    assert all(torch.equal(tensor, names[name]) for name, tensor in small.state_dict().items())


def test_encoder_hears_the_same_alone_and_in_a_batch(hearing: Wav2VecEncoder):
    samples = torch.from_numpy(synthetic_audio(6, 12.0)).view(3, 64000)
    fast = FastWav2Vec(hearing)
    with torch.inference_mode():
        wanted = torch.cat([hearing(chunk) for chunk in samples.split(1)])
        torch.testing.assert_close(fast(samples), wanted, atol=2e-5, rtol=0)
        torch.testing.assert_close(fast(samples[1:2]), wanted[1:2], atol=2e-5, rtol=0)


@pytest.mark.parametrize("count", [0, 1, 399, 400, 401, 20800, 31999, 63680, 63999, 64000])
def test_encoder_hears_short_lines_as_the_plain_one(hearing: Wav2VecEncoder, count: int):
    samples = torch.zeros(2, 64000)
    samples[0, :count] = torch.from_numpy(synthetic_audio(6, 4.0))[:count]
    samples[1] = torch.from_numpy(synthetic_audio(7, 4.0))
    with torch.inference_mode():
        torch.testing.assert_close(FastWav2Vec(hearing)(samples), hearing(samples), atol=2e-5, rtol=0)


def test_clips_that_share_their_past_give_the_plain_bits(small: Network):
    style, history, audio = conditions(small, 3)
    history = history[:1].expand(3, -1, -1, -1)
    with torch.inference_mode():
        wanted = small.predict_plain(style, history, audio)
        assert torch.equal(FastGenerator(small).predict(style, history, audio).bits, wanted.bits)


def test_encoder_in_bfloat16_is_close(hearing: Wav2VecEncoder):
    samples = torch.from_numpy(synthetic_audio(6, 4.0))[None]
    with torch.inference_mode():
        wanted, got = hearing(samples), FastWav2Vec(hearing, torch.bfloat16)(samples)
    assert got.dtype == torch.float32
    assert 0 < float((got - wanted).square().mean().sqrt()) < 0.02 * float(wanted.std())


def test_generator_in_bfloat16_is_close(small: Network):
    inputs = conditions(small, 1)
    with torch.inference_mode():
        wanted, got = small.predict_plain(*inputs), FastGenerator(small, torch.bfloat16).predict(*inputs)
    assert got.logits.dtype == torch.float32
    assert float((got.bits != wanted.bits).float().mean()) < 0.05
    assert small.attn_blocks[0].attn.query.weight.dtype == torch.float32


def test_first_chunk_does_not_wait_for_the_others(monkeypatch: pytest.MonkeyPatch, hearing: Wav2VecEncoder):
    heard: list[int] = []
    monkeypatch.setattr(fast_encoder, "CHUNKS_AT_ONCE", 4)
    network = Network(NetworkConfig.from_dict({**SMALL, "AUDIO_ENCODER": "wav2vec"})).eval().requires_grad_(False)
    encode = network.encode
    monkeypatch.setattr(network, "encode", lambda chunks, plain: (heard.append(len(chunks)), encode(chunks, plain))[1])
    parts = network.steps(synthetic_audio(4, 33.0))
    next(parts)
    assert heard == [1]
    assert len(list(parts)) == 8
    assert heard == [1, 2, 4, 2]


def test_new_weights_are_taken_up(small: Network):
    samples = synthetic_audio(3, 3.0)
    before = next(small.chunks(samples))
    state = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    state["vqfeat_embed.weight"] *= 3.0
    state["null_style_cond"] *= -2.0
    small.load_state_dict(state)
    after = next(small.chunks(samples))
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, next(small.chunks(samples, plain=True)), atol=1e-5)
