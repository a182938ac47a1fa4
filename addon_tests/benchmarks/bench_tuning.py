# SPDX-License-Identifier: GPL-3.0-or-later
"""What tuning costs after generation, step by step, beside generating the same with the default model. numpy alone.

    python addon_tests/benchmarks/bench_tuning.py [--minutes 10] [--rounds 5]

Every round runs each step and a generation once; the least of each is printed in milliseconds, then the ratio. The head
is the default one; "nameless" is the same head told by its Gram matrices, as FLAME's are.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
from real_motion import default_head, default_model, demo_speech

from artalk_blender.motion.gate import loudness
from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import FaceChannels, region_grams
from engine.pipeline import Pipeline

PLAIN = ProcessSettings(smooth=False, clamp=False)
STEPS = {
    "nothing": PLAIN,
    "smooth": ProcessSettings(clamp=False),
    "clamp": ProcessSettings(smooth=False),
    "smoothing 0.1 s": ProcessSettings(smooth=False, clamp=False, smoothing=0.1),
    "smoothing 1 s": ProcessSettings(smooth=False, clamp=False, smoothing=1.0),
    "intensity": ProcessSettings(smooth=False, clamp=False, intensity=1.2),
    "regions": ProcessSettings(smooth=False, clamp=False, lips=1.2, cheeks=0.8, brows=1.5),
    "jaw and head": ProcessSettings(smooth=False, clamp=False, jaw_gain=1.2, head_gain=0.5),
    "silence gate": ProcessSettings(smooth=False, clamp=False, silence_gate=1.0),
    "blinks": ProcessSettings(smooth=False, clamp=False, blinks=16.0),
    "all": ProcessSettings(smoothing=0.1, intensity=1.6, lips=1.2, cheeks=0.8, brows=1.5, jaw_gain=1.2, head_gain=0.5,
                           silence_gate=1.0, blinks=16.0),
}


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    speech = demo_speech()
    samples = np.resize(speech, round(16000 * 60 * options.minutes))
    pipeline = Pipeline(default_model())
    raw, level = pipeline.generate(samples, raw=True), loudness(samples)
    head = default_head()
    weights = np.tile(np.abs(np.sin(np.arange(head.vertex_count)))[:, None], (1, 3))
    faces = {
        "named": FaceChannels(head.expression_names),
        "nameless": FaceChannels(tuple(f"e{index}" for index in range(100)),
                                 region_grams(head.expressiondirs, weights), blink=np.eye(100, dtype=np.float32)[0]),
    }
    works: dict[str, Callable[[], object]] = {"generate": lambda: pipeline.generate(samples, raw=True),
                                              "loudness, once a take": lambda: loudness(samples)}
    for kind, face in faces.items():
        for step, settings in STEPS.items():
            works[f"{step} ({kind})"] = lambda s=settings, f=face: process_motion(raw, s, f, level)
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            spent[name].append(milliseconds(work))
    print(f"{len(raw)} frames, {options.minutes:g} minutes, least of {options.rounds}; numpy {np.__version__}\n")
    generate = min(spent["generate"])
    print(f"{'':26s}{'ms':>10s}{'of generating':>16s}")
    for name, times in spent.items():
        print(f"{name:26s}{min(times):10.1f}{min(times) / generate:15.4f}x")


if __name__ == "__main__":
    main()
