# SPDX-License-Identifier: GPL-3.0-or-later
"""Short, long, loud, crooked and broken sounds: each gives motion of the right length, or one sentence."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from seeded_weights import synthetic_audio

from engine.assets import DEFAULT_HEAD, DEFAULT_MODEL, DEMO_SPEECH
from engine.audio_file import read_audio
from engine.errors import EngineError
from engine.flame.file import read_flame
from engine.flame.lips import lip_curves
from engine.model import load_model
from engine.pipeline import Pipeline, warnings_for

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "addon_tests" / "data" / "tiny_model.npz"
RATE = 16000
LOUDEST_RADIANS = 1.0   # no head turns, and no jaw opens, further than that


@pytest.fixture(scope="module", params=["tiny in torch", "default"])
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    if request.param == "default":
        if not DEFAULT_MODEL.is_file():
            pytest.skip("the default model has not been made yet")
        return Pipeline(load_model(device="cpu"))
    pytest.importorskip("torch")
    return Pipeline(load_model(TINY, device="cpu", backend="torch"))


@pytest.mark.parametrize("count", [1, 2, 639, 640, 641, 8 * 640, 9 * 640, 64000, 64001, 127999, 128000, 128001, 192001])
def test_every_length_has_its_frames(pipeline: Pipeline, count: int):
    motion = pipeline.generate(synthetic_audio(2, 13.0)[:count])
    assert motion.shape == (math.ceil(count / 640), 106)
    assert motion.dtype == np.float32 and np.isfinite(motion).all()
    assert not motion[:, 104:].any()


@pytest.mark.parametrize(("samples", "sentence"), [
    (np.zeros(0, np.float32), "no sound"), (np.zeros((100, 2), np.float32), "no sound"),
    (np.full(100, np.nan, np.float32), "not numbers"), (np.array([0.0, np.inf], np.float32), "not numbers"),
    (np.array([0.0, -np.inf], np.float32), "not numbers"), (np.array([1e300]), "not numbers"),
])
def test_what_no_one_can_hear_is_refused_before_anything_runs(pipeline: Pipeline, samples: np.ndarray, sentence: str):
    with pytest.raises(EngineError, match=sentence) as caught:
        next(pipeline.stream(samples))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("samples", [
    np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32), np.ones(RATE, np.float32),
    np.full(RATE, 1e6, np.float32), np.full(RATE, 1e-30, np.float32),
    np.sign(synthetic_audio(5, 1.0)), 1000.0 * synthetic_audio(5, 1.0),
    np.eye(1, RATE, RATE // 2, dtype=np.float32)[0],
], ids=["silence", "dc", "full dc", "huge dc", "denormal", "square", "far over full scale", "click"])
def test_strange_sounds_give_calm_motion(pipeline: Pipeline, samples: np.ndarray):
    motion = pipeline.generate(samples)
    assert motion.shape == (25, 106) and np.isfinite(motion).all()


def test_other_number_types_are_taken(pipeline: Pipeline):
    speech = synthetic_audio(6, 2.0)
    wanted = pipeline.generate(speech)
    assert np.array_equal(pipeline.generate(speech.astype(np.float64)), wanted)
    assert np.array_equal(pipeline.generate(np.repeat(speech, 2)[::2]), wanted)


def test_a_sound_is_not_written_to(pipeline: Pipeline):
    speech = synthetic_audio(6, 5.0)
    speech.setflags(write=False)
    pipeline.generate(speech)


def test_silence_is_announced():
    assert warnings_for(np.zeros(RATE, np.float32)) and not warnings_for(synthetic_audio(1, 1.0))


def test_clipped_and_shifted_speech_still_moves_the_lips_alike():
    """Loudness, an offset and some clipping are the recording's matter, not the talker's."""
    pipeline, head = Pipeline(load_model(device="cpu")), read_flame(DEFAULT_HEAD)
    speech = read_audio(DEMO_SPEECH)[: 6 * RATE]
    speech = speech / np.abs(speech).max()
    clean = lip_curves(head, pipeline.generate(0.5 * speech)).aperture
    for changed in (np.clip(2.0 * speech, -1.0, 1.0), 0.5 * speech + np.float32(0.2), 0.05 * speech):
        motion = pipeline.generate(changed)
        assert np.abs(motion[:, 100:]).max() < LOUDEST_RADIANS
        assert np.corrcoef(clean, lip_curves(head, motion).aperture)[0, 1] > 0.8


HOUR = """
import sys
import numpy as np
from engine.bench import peak_megabytes
from engine.model import load_model
from engine.pipeline import Pipeline
seconds = int(sys.argv[1])
noise = 0.003 * np.random.default_rng(1).standard_normal(16000 * 60, np.float32)
samples = np.resize(noise, 16000 * seconds)
pipeline = Pipeline(load_model(device="cpu"))
frames = sum(len(part.motion) for part in pipeline.stream(samples))
print(frames, peak_megabytes())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows' Python does not tell a process's memory")
def test_an_hour_takes_hardly_more_memory_than_a_minute():
    peaks = {}
    for seconds in (60, 3600):
        done = subprocess.run([sys.executable, "-c", HOUR, str(seconds)], cwd=ROOT, capture_output=True, text=True,
                              check=True)
        frames, peaks[seconds] = (float(word) for word in done.stdout.split())
        assert frames == 25 * seconds
    sound = 3600 * RATE * 4 / 2**20     # the hour itself, which the caller holds, not the engine
    assert peaks[3600] - peaks[60] - sound <= 200


DROPPED = """
import sys
import numpy as np
from engine.device import give_back_memory
from engine.model import load_model
from engine.pipeline import Pipeline


def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


model = load_model(device="cpu", backend="torch")   # torch itself stays
Pipeline(model).generate(np.zeros(64000, np.float32))
del model
give_back_memory()
before = resident()
models = [load_model(device="cpu", backend="torch", precision=sys.argv[1]) for _ in range(4)]
for model in models:
    Pipeline(model).generate(np.zeros(64000, np.float32))
held = resident()
del models, model
give_back_memory()
print(before, held, resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of a process's memory")
def test_a_dropped_model_gives_its_memory_back():
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", DROPPED, "fp32"], cwd=ROOT, capture_output=True, text=True, check=True)
    before, held, after = (float(word) for word in done.stdout.split())
    assert held - before > 20
    assert after - before < 0.25 * (held - before) + 5
