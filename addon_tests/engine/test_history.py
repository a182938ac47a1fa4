# SPDX-License-Identifier: GPL-3.0-or-later
"""A range of a sound: the frames before it condition the model, the sound around it is heard, variations are seeded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from seeded_weights import synthetic_audio, synthetic_motion
from test_worker import answers, ask, sound, worker  # noqa: F401  # a fixture

from engine import protocol
from engine.assets import DEFAULT_MODEL, DEMO_SPEECH
from engine.chunking import split_samples
from engine.config import NetworkConfig
from engine.errors import EngineError
from engine.model import LoadedModel, load_model
from engine.passage import Passage
from engine.pipeline import Pipeline
from engine.protocol import Array, Message

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "addon_tests" / "data" / "tiny_model.npz"
SOUND = synthetic_audio(9, 14.3)
Run = Callable[..., np.ndarray]


def runner(network, **more: bool) -> Run:
    """Raw motion (T,106) of a network for sound, style and passage."""
    def run(samples: np.ndarray = SOUND, style: np.ndarray | None = None, **wish) -> np.ndarray:
        passage = Passage(**wish).checked(len(samples))
        motion = np.concatenate(list(network.chunks(samples, style, passage=passage, **more)))
        return motion[: passage.frame_count(len(samples))]

    return run


def portable(path: Path | None) -> Run:
    return runner(load_model(path, device="cpu", backend="numpy").network)


def in_torch(path: Path | None, plain: bool = False) -> Run:
    pytest.importorskip("torch").set_num_threads(1)
    return runner(load_model(path, device="cpu", backend="torch").network, plain=plain)


@pytest.fixture(scope="module", params=["numpy", "torch", "plain torch"])
def way(request: pytest.FixtureRequest) -> Callable[[Path | None], Run]:
    return {"numpy": portable, "torch": in_torch, "plain torch": lambda path: in_torch(path, plain=True)}[request.param]


def file_of(model: str) -> Path | None:
    """The tiny model reads two chunks before, the default one."""
    if model == "default" and not DEFAULT_MODEL.is_file():
        pytest.skip("the default model has not been made yet")
    return TINY if model == "tiny" else None


@pytest.mark.parametrize("model", ["tiny", "default"])
@pytest.mark.parametrize("variation", [0, 5])
def test_the_models_own_past_gives_its_very_motion_again(way, model: str, variation: int):
    run = way(file_of(model))
    style = synthetic_motion(3, 50)
    whole = run(style=style, variation=variation)
    assert len(whole) == 358
    for start in (0, 100, 200, 300):
        again = run(style=style, start_frame=start, history=whole[:start], variation=variation)
        assert np.array_equal(again, whole[start:]), start
    part = run(style=style, start_frame=200, frames=37, history=whole[:200], variation=variation)
    assert np.array_equal(part, whole[200:237])


@pytest.mark.parametrize(("model", "chunks"), [("tiny", 2), ("default", 1)])
def test_the_motion_before_is_read_as_far_as_the_network_reads(way, model: str, chunks: int):
    run = way(file_of(model))
    reach = 100 * chunks
    past = synthetic_motion(6, 300)
    wish = {"start_frame": 130, "frames": 90}
    motion = run(history=past, **wish)
    assert np.array_equal(run(history=past[-reach:], **wish), motion)
    for chunk in range(chunks):
        other = past.copy()
        other[300 - reach + 100 * chunk :][:100] *= -1.0
        assert not np.array_equal(run(history=other, **wish), motion)
    other = past.copy()
    other[: 300 - reach] += 1.0
    assert np.array_equal(run(history=other, **wish), motion)


def test_a_short_past_is_zeros_and_then_the_motion(way):
    run = way(TINY)
    past = synthetic_motion(6, 30)
    filled = np.concatenate([np.zeros((70, 106), np.float32), past])
    wish = {"start_frame": 30, "frames": 50}
    assert np.array_equal(run(history=past, **wish), run(history=filled, **wish))
    assert np.array_equal(run(history=past[:0], **wish), run(**wish))


@pytest.mark.parametrize("start", [1, 57, 100, 333])
def test_the_sound_around_a_range_is_heard(start: int):
    encoder = load_model(None, device="cpu", backend="numpy").network.audio_encoder
    whole = np.concatenate(list(encoder.chunks(SOUND)))[2 * start :]
    heard = np.concatenate(list(encoder.chunks(SOUND, Passage(start, 20))))
    count = min(len(whole), len(heard), 715 - 2 * start - 40)   # beyond the sound's end silence is as long as is asked
    np.testing.assert_allclose(heard[:count], whole[:count], atol=2e-5)
    cut_off = next(encoder.chunks(SOUND[start * 640 : (start + 20) * 640]))
    assert np.abs(cut_off[:40] - whole[:40]).max() > 0.1


def test_the_last_piece_holds_the_sound_after_the_range():
    pieces = list(split_samples(SOUND, Passage(120, 110)))
    assert len(pieces) == 2
    assert np.array_equal(np.concatenate(pieces), SOUND[120 * 640 : 320 * 640])
    (last,) = split_samples(SOUND, Passage(300))
    assert np.array_equal(last[: len(SOUND) - 192000], SOUND[192000:]) and not last[len(SOUND) - 192000 :].any()


@pytest.mark.parametrize("model", ["tiny", "default"])
@pytest.mark.parametrize("variation", [1, 2**31 - 1])
def test_a_variation_has_the_same_bits_in_numpy_and_torch(model: str, variation: int):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    path = file_of(model)
    passage = Passage(40, 150, synthetic_motion(6, 40), variation)
    network = load_model(path, device="cpu", backend="torch").network
    plain, fast = (list(network.steps(SOUND, None, plain, passage)) for plain in (True, False))
    other = list(load_model(path, device="cpu", backend="numpy").network.steps(SOUND, None, passage))
    assert len(plain) == len(fast) == len(other) == 2
    for one, two, three in zip(plain, fast, other, strict=True):
        assert torch.equal(one.prediction.bits, two.prediction.bits)
        assert np.array_equal(one.prediction.bits[0].numpy(), three.bits)
        np.testing.assert_allclose(three.motion, one.motion[0].numpy(), atol=1e-4)


def test_variations_differ_and_repeat(way):
    run = way(TINY)
    own = run()
    first, again, second = run(variation=1), run(variation=1), run(variation=2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, own) and not np.array_equal(first, second)


def test_a_styles_strength(way):
    run, style = way(TINY), synthetic_motion(3, 50)
    assert np.array_equal(run(style=style, strength=1.1), run(style=style))
    assert np.array_equal(run(style=style, strength=0.0), run())
    assert not np.array_equal(run(style=style, strength=2.0), run(style=style))


@pytest.mark.parametrize("noisy", [False, True])
def test_a_graphics_card_can_record_variations(noisy: bool):
    """Nothing in a chunk's work asks for a number or sends one to the card, with noise as without."""
    torch = pytest.importorskip("torch")
    from torch.fx.experimental.proxy_tensor import make_fx

    network = load_model(TINY, device="cpu", backend="torch").network
    path, state = network.fast(), network.start(None)
    more = (network.to_device(Passage(variation=1).noise(0, network.config))[None],) if noisy else ()
    with torch.inference_mode(False), torch.no_grad():
        features = torch.randn(1, 200, network.config.audio_width)
        given = (state.style.clone(), state.history.clone(), features, *more)
        path._predict(*given)
        path.generator.forget()
        trace = make_fx(lambda *x: path._predict(*x))(*given)
    names = {str(node.target) for node in trace.graph.nodes if str(node.target).startswith("aten.")}
    assert any(name.startswith("aten.native_layer_norm") for name in names)
    assert not [name for name in names if any(word in name for word in ("item", "nonzero", "lift_fresh", "where"))]


@pytest.mark.parametrize("backend", ["plain", "fast"])
def test_on_a_graphics_card_too(backend: str):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a graphics card")
    network = load_model(TINY, device="cuda").network
    whole = runner(network, plain=backend == "plain")(variation=2)
    again = runner(network, plain=backend == "plain")(variation=2, start_frame=200, history=whole[:200])
    assert np.array_equal(again, whole[200:])
    np.testing.assert_allclose(whole, portable(TINY)(variation=2), atol=1e-3)


def test_noise_is_logistic_and_hangs_on_the_place_in_the_sound():
    config = NetworkConfig()
    noise = Passage(variation=3).noise(0, config)
    assert noise.shape == (181, 32) and noise.dtype == np.float32
    for logit in (-2.0, 0.0, 1.0):      # a bit is 1 as often as the model says
        assert (logit > noise).mean() == pytest.approx(1.0 / (1.0 + np.exp(-logit)), abs=0.02)
    assert np.array_equal(Passage(variation=3).noise(2, config), Passage(200, variation=3).noise(0, config))
    assert Passage(40).noise(0, config) is None


def test_the_default_models_lips_stay_with_the_sound():
    """A variation is another face for the same words: its lips open and close with those of the model's own choice."""
    from engine.assets import DEFAULT_HEAD
    from engine.flame.file import read_flame
    from engine.flame.lips import lip_curves

    pytest.importorskip("av")
    from engine.audio_file import read_audio

    run, head = portable(None), read_flame(DEFAULT_HEAD)
    speech = read_audio(DEMO_SPEECH)
    own, other = (run(speech, variation=variation) for variation in (0, 4))
    lips, others = (lip_curves(head, motion).aperture for motion in (own, other))
    assert np.corrcoef(lips, others)[0, 1] > 0.98
    assert not np.array_equal(own, other)


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"start_frame": -1}, "outside the sound"),
    ({"start_frame": 358}, "outside the sound"),
    ({"start_frame": 300, "frames": 59}, "outside the sound"),
    ({"frames": 0}, "outside the sound"),
    ({"variation": -1}, "whole number from 0"),
    ({"variation": 2**31}, "whole number from 0"),
    ({"strength": -0.1}, "strength is a number from 0 to 3"),
    ({"strength": float("nan")}, "strength is a number from 0 to 3"),
    ({"history": np.zeros((3, 105), np.float32)}, r"\(H,106\), not \(3, 105\)"),
    ({"history": np.zeros(106, np.float32)}, r"\(H,106\)"),
    ({"history": np.full((3, 106), np.nan, np.float32)}, "not numbers"),
    ({"history": np.full((3, 106), 1e300)}, "not numbers"),
])
def test_what_cannot_be_is_a_sentence(wish: dict, sentence: str):
    pipeline = Pipeline(load_model(TINY, device="cpu", backend="numpy"))
    with pytest.raises(EngineError, match=sentence):
        pipeline.generate(SOUND, passage=Passage(**wish))


@pytest.mark.parametrize("raw", [True, False])
def test_parts_of_a_range_count_from_the_start_of_the_sound(raw: bool):
    network = load_model(TINY, device="cpu", backend="numpy").network
    parts = list(Pipeline(LoadedModel("tiny", TINY, network, "cpu")).stream(SOUND, raw=raw, passage=Passage(50, 250)))
    assert [part.chunks_done for part in parts] == [1, 2, 3] and parts[0].start == 50
    assert parts[-1].start + len(parts[-1].motion) == 300


def test_the_worker_makes_a_range(worker: subprocess.Popen[bytes]):  # noqa: F811
    past = synthetic_motion(6, 60).astype("<f4")
    arrays = {**sound(SOUND), "history": Array("float32", past.shape, past.tobytes())}
    fields = {"raw": True, "model": str(TINY), "start_frame": 60, "frames": 25, "variation": 2}
    ask(worker, Message(protocol.GENERATE, 1, fields, arrays))
    *parts, done = answers(worker, 1)
    (motion,) = (part for part in parts if part.type == protocol.MOTION)
    assert done.fields["status"] == protocol.OK and done.fields["frames"] == 25 and motion.fields["start"] == 60
    passage = Passage(60, 25, past, 2)
    wanted = Pipeline(load_model(TINY)).generate(SOUND, raw=True, passage=passage)
    np.testing.assert_allclose(np.frombuffer(motion.arrays["motion"].data, "<f4").reshape(-1, 106), wanted, atol=1e-5)
    for name, value in (("frames", 2.5), ("variation", True), ("start_frame", "1"), ("strength", "1")):
        ask(worker, Message(protocol.GENERATE, 2, {**fields, name: value}, arrays))
        error, done = answers(worker, 2)
        assert done.fields["status"] == protocol.FAILED and f"`{name}` must be" in error.fields["message"]


def test_no_torch_is_needed():
    program = "import sys, engine.passage\nassert not {'torch', 'bpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_command_line_makes_variations(tmp_path: Path):
    pytest.importorskip("av")
    made = []
    for name, more in (("own", ()), ("other", ("--variation", "3", "--strength", "1.5"))):
        command = [sys.executable, "-m", "engine", "generate", DEMO_SPEECH, "--out", tmp_path / f"{name}.npz", *more]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        with np.load(tmp_path / f"{name}.npz") as content:
            made.append(content["motion"])
    assert made[0].shape == made[1].shape and not np.array_equal(*made)
    wrong = subprocess.run([*command[:7], "--variation", "-1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and wrong.stderr.startswith("A variation is a whole number")
