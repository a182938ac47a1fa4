# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts as they come are, bit for bit, what one shot gives; several sounds at once are what each alone gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from seeded_weights import synthetic_audio, synthetic_motion

from engine.assets import DEFAULT_MODEL
from engine.errors import EngineError
from engine.model import LoadedModel, load_model
from engine.pipeline import Pipeline, frame_count
from engine.smoothing import smooth_motion

TINY = Path(__file__).resolve().parent.parent / "data" / "tiny_model.npz"
LENGTHS = (1, 639, 5000, 5761, 63999, 64000, 64001, 70000, 128000, 130561, 207360)


@pytest.fixture(scope="module", params=["tiny in torch", "tiny in numpy", "default"])
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    if request.param == "default":
        if not DEFAULT_MODEL.is_file():
            pytest.skip("the default model has not been made yet")
        return Pipeline(load_model(device="cpu"))
    if request.param == "tiny in torch":
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
        return Pipeline(load_model(TINY, device="cpu", backend="torch"))
    return Pipeline(load_model(TINY, device="cpu"))


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("count", LENGTHS)
def test_parts_are_what_one_shot_gives(pipeline: Pipeline, count: int, raw: bool):
    samples = synthetic_audio(9, 13.0)[:count]
    parts = list(pipeline.stream(samples, raw=raw))
    assert parts[-1].chunks_done == parts[-1].chunks_total == len(parts) == -(-count // 64000)
    ends = np.cumsum([len(part.motion) for part in parts])
    assert [part.start for part in parts] == [0, *ends[:-1]]
    streamed = np.concatenate([part.motion for part in parts])
    assert streamed.shape == (frame_count(count), 106)
    whole = pipeline.generate(samples, raw=True)
    assert np.array_equal(streamed, whole if raw else smooth_motion(whole))
    assert np.array_equal(streamed, pipeline.generate(samples, raw=raw))


def test_smoothed_parts_come_at_most_four_frames_later(pipeline: Pipeline):
    parts = list(pipeline.stream(synthetic_audio(9, 11.0)))
    assert [part.start + len(part.motion) for part in parts] == [96, 196, 275]


def test_style_reaches_streams_and_batches(pipeline: Pipeline):
    samples, style = synthetic_audio(9, 5.0), synthetic_motion(3, 60)
    styled = pipeline.generate(samples, style)
    assert not np.array_equal(styled, pipeline.generate(samples))
    np.testing.assert_allclose(pipeline.generate_many([samples], style)[0], styled, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_style_that_cannot_be_written_to_is_taken(pipeline: Pipeline):
    style = synthetic_motion(3, 60)
    style.setflags(write=False)
    assert np.isfinite(pipeline.generate(synthetic_audio(9, 1.0), style)).all()


@pytest.mark.parametrize("raw", [True, False])
def test_sounds_together_are_each_alone(pipeline: Pipeline, raw: bool):
    sounds = [synthetic_audio(seed, 10.0)[:count] for seed, count in enumerate((70000, 900, 160000, 64000, 1, 64001))]
    together = pipeline.generate_many(sounds, raw=raw)
    for sound, motion in zip(sounds, together, strict=True):
        alone = pipeline.generate(sound, raw=raw)
        assert motion.shape == alone.shape
        np.testing.assert_allclose(motion, alone, atol=1e-5)
    assert pipeline.generate_many([]) == []


def test_more_sounds_than_run_side_by_side(pipeline: Pipeline):
    sounds = [synthetic_audio(seed, 0.5) for seed in range(19)]
    for sound, motion in zip(sounds, pipeline.generate_many(sounds), strict=True):
        np.testing.assert_allclose(motion, pipeline.generate(sound), atol=1e-5)


def test_bits_of_sounds_together_equal_those_alone(monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch")
    network = load_model(TINY, device="cpu", backend="torch").network
    bits: list[torch.Tensor] = []
    advance = network.advance

    def spy(state, prediction, plain):
        bits.append(prediction.bits)
        return advance(state, prediction, plain)

    sounds = [synthetic_audio(seed, 6.5)[:count] for seed, count in enumerate((104000, 80000, 3000))]
    monkeypatch.setattr(network, "advance", spy)
    LoadedModel("tiny", TINY, network, "cpu").together(sounds)
    first, second = bits
    assert (len(first), len(second)) == (3, 2)
    for index, sound in enumerate(sounds):
        alone = [step.prediction.bits[0] for step in network.steps(sound)]
        assert torch.equal(alone[0], first[index])
        assert len(alone) == 1 or torch.equal(alone[1], second[index])


def test_a_bad_sound_among_good_ones_is_refused(pipeline: Pipeline):
    with pytest.raises(EngineError, match="not numbers"):
        pipeline.generate_many([synthetic_audio(1, 1.0), np.full(100, np.nan, np.float32)])
