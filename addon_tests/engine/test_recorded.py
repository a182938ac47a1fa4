# SPDX-License-Identifier: GPL-3.0-or-later
"""What a graphics card records must be recordable: no look at the numbers, nothing kept. Checked without one, too."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_weights import synthetic_audio, synthetic_motion  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from engine import audio_encoder  # noqa: E402
from engine.config import NetworkConfig  # noqa: E402
from engine.device import memory_in_a_sentence  # noqa: E402
from engine.errors import EngineError  # noqa: E402
from engine.gaussian.style_unet import StyleUNet  # noqa: E402
from engine.network import FastPath, Network  # noqa: E402
from engine.recorded import Recorded  # noqa: E402
from engine.together import motions_together  # noqa: E402

SMALL = {
    "T_DEPTH": 3, "PREV_RATIO": 2, "WIDTH": 48, "HEADS": 4, "CODE_DIM": 16, "AUDIO_ENCODER": "mel",
    "VAE": {"HIDDEN": 32, "DEPTH": 2, "HEADS": 4}, "STYLE": {"WIDTH": 32, "DEPTH": 1, "HEADS": 2, "HIDDEN": 64},
    "MEL": {"WIDTH": 40, "BLOCKS": 2},
}
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")


def make(**changes: object) -> Network:
    torch.manual_seed(5)
    network = Network(NetworkConfig.from_dict({**SMALL, **changes})).eval().requires_grad_(False)
    torch.nn.init.normal_(network.basic_vae.decoder.out_mapping.weight, std=0.1)
    return network


@pytest.fixture
def small() -> Network:
    return make()


def inputs(network: Network, clips: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Style, history, previous bits and features of `clips` clips."""
    generator = torch.Generator().manual_seed(seed)
    state = network.start(synthetic_motion(2, 50)).first(clips)
    noise = 0.1 * torch.randn(state.history.shape, generator=generator)
    features = torch.randn(clips, 200, 40, generator=generator)
    flipped = torch.rand(state.previous_bits.shape, generator=generator) > 0.5
    return state.style.clone(), state.history + noise, flipped, features


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_nothing_looks_at_its_numbers(monkeypatch: pytest.MonkeyPatch, precision: str):
    """Tensors of the meta device have no numbers: whoever asks for one, or mixes in a processor's, fails."""
    monkeypatch.setattr(audio_encoder, "_DEPTH", 2)
    with torch.device("meta"):
        network = Network(NetworkConfig.from_dict({**SMALL, "AUDIO_ENCODER": "wav2vec"})).eval().requires_grad_(False)
        network.precision = precision
        path = FastPath(network)
        features = path.encode(torch.empty(3, 64000))
        style, history = torch.empty(3, 1, 48), torch.empty(3, 2, 180, 16)
        previous = torch.empty(3, 181, 16, dtype=torch.bool)
    assert features.shape == (3, 199, 1024)
    bits, logits = path.predict(style, history, features)
    (motion,) = path.decode(previous, bits, logits)
    bits, history = path.recall(motion, history)
    assert (motion.shape, bits.shape, history.shape) == ((3, 100, 106), (3, 181, 16), (3, 2, 180, 16))
    assert {x.device.type for x in (features, logits, motion, bits, history)} == {"meta"}
    assert (logits.dtype, motion.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize("clips", [1, 3])
def test_a_recording_is_right_for_other_numbers(small: Network, clips: int):
    """Recorded on one sound and replayed on another, as a graphics card will."""
    path = small.fast()
    style, history, previous, features = inputs(small, clips, 1)
    with torch.inference_mode(False), torch.no_grad():
        predict = make_fx(lambda *x: path._predict(*x))(style, history, features)
        bits, logits = predict(style, history, features)
        decode = make_fx(lambda *x: path._decode(*x))(previous, bits, logits)
        recall = make_fx(lambda *x: path._recall(*x))(*decode(previous, bits, logits), history)
        path.generator.forget()
        style, history, previous, features = inputs(small, clips, 2)
        wanted = small.predict_plain(style, history, small.pool_audio(features))
        bits, logits = predict(style, history, features)
        assert torch.equal(bits, wanted.bits)
        (motion,) = decode(previous, bits, logits)
        torch.testing.assert_close(motion, small.basic_vae.bits_to_motion(previous, bits), atol=1e-5, rtol=0)
        again, newest = recall(motion, history)
        assert torch.equal(again, small.basic_vae.motion_to_bits(motion))
        assert torch.equal(newest[:, 0], history[:, 1])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_nothing_is_sent_to_a_card_while_it_records(small: Network, precision: str):
    """A number or a constant that comes from the processor cannot be recorded."""
    small.precision = precision
    path = small.fast()
    style, history, previous, features = inputs(small, 1, 1)
    with torch.inference_mode(False), torch.no_grad():
        bits, logits = path._predict(style, history, features)
        (motion,) = path._decode(previous, bits, logits)
        path.generator.forget()
        traces = [make_fx(lambda *x: path._predict(*x))(style, history, features),
                  make_fx(lambda *x: path._decode(*x))(previous, bits, logits),
                  make_fx(lambda *x: path._recall(*x))(motion, history)]
    assert "aten.native_layer_norm.default" in checked_calls(traces)


def checked_calls(traces: list) -> set[str]:
    """The names of all that is called, none of which looks at a number or brings one from the processor."""
    nodes = [node for trace in traces for node in trace.graph.nodes if node.op == "call_function"]
    names = {str(node.target) for node in nodes}
    forbidden = ("item", "_local_scalar_dense", "nonzero", "lift_fresh", "scalar_tensor", "where", "unique", "index.")
    assert not [name for name in names if name.startswith("aten.") and any(word in name for word in forbidden)]
    assert not [node for node in nodes if "device" in node.kwargs and "_to_copy" in str(node.target)]
    return names


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_the_avatars_upsampler_can_be_recorded(kind: torch.dtype):
    with torch.device("meta"), torch.no_grad():
        upsampler = StyleUNet().to(kind)
        features = torch.empty(1, 32, 512, 512, dtype=kind)
        upsampler.logits(features)      # as the calls before a recording
        trace = make_fx(lambda x: upsampler.logits(x))(features)
    assert "aten.convolution.default" in checked_calls([trace])


def test_on_a_processor_the_work_is_simply_done():
    work = Recorded(lambda x: (2 * x,))
    given = torch.ones(3)
    assert torch.equal(work(given)[0], torch.full((3,), 2.0))


def test_codec_gives_the_plain_motion_and_bits(small: Network):
    _, _, previous, _ = inputs(small, 2, 4)
    _, _, bits, _ = inputs(small, 2, 5)
    plain, fast = small.basic_vae, small.fast().codec
    with torch.inference_mode():
        wanted = plain.bits_to_motion(previous, bits)
        got = fast.bits_to_motion(previous, bits)
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
        assert torch.equal(fast.motion_to_bits(wanted), plain.motion_to_bits(wanted))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_overflow_is_a_sentence_not_a_face(small: Network, precision: str):
    small.attn_blocks[1].ffn[2].weight.mul_(float("inf"))
    small.precision = precision
    with pytest.raises(EngineError, match=f"beyond what {precision} can hold") as caught:
        list(small.chunks(synthetic_audio(3, 1.0)))
    assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match="beyond"):
        motions_together(small, [synthetic_audio(3, 1.0)] * 2)


def test_the_last_chunk_is_not_read_back(small: Network, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    codec = small.fast().codec
    recall = codec.motion_to_bits
    monkeypatch.setattr(codec, "motion_to_bits", lambda motion: (read.append(len(motion)), recall(motion))[1])
    assert len(list(small.chunks(synthetic_audio(3, 11.0)))) == 3
    assert read == [1, 1]


@CUDA
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_card_and_processor_agree(precision: str):
    samples = synthetic_audio(7, 13.0)
    wanted = list(make().steps(samples))
    network = make().cuda()
    network.precision = precision
    got = list(network.steps(samples))
    share = np.mean([float((a.prediction.bits != b.prediction.bits.cpu()).float().mean()) for a, b in zip(wanted, got)])
    assert share == 0 if precision == "fp32" else share < 0.05
    if precision == "fp32":
        for a, b in zip(wanted, got):
            torch.testing.assert_close(b.motion.cpu(), a.motion, atol=1e-4, rtol=0)


@CUDA
def test_recordings_of_several_sizes_stay_right():
    samples = [synthetic_audio(seed, length) for seed, length in enumerate((3.0, 9.0, 5.0, 1.0, 12.0, 2.0))]
    wanted = motions_together(make(), samples)
    network = make().cuda()
    for _ in range(2):
        for one, two in zip(wanted, motions_together(network, samples), strict=True):
            np.testing.assert_allclose(two, one, atol=1e-4)
        alone = np.concatenate(list(network.chunks(samples[1])))
        np.testing.assert_allclose(alone, wanted[1], atol=1e-4)


def test_memory_that_runs_out_is_a_sentence():
    with pytest.raises(EngineError, match="not enough memory") as caught, memory_in_a_sentence():
        torch.empty(1 << 50)
    assert caught.value.code == "memory" and "\n" not in str(caught.value)
    with pytest.raises(EngineError, match="graphics card has not enough memory"), memory_in_a_sentence():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(RuntimeError, match="shape"), memory_in_a_sentence():
        torch.ones(2, 3) @ torch.ones(2, 3)
