# SPDX-License-Identifier: GPL-3.0-or-later
"""How right and how fast the checks of sound and lips are, on the default model's motion of the demo. numpy alone.

    python addon_tests/benchmarks/bench_check.py [--minutes 10] [--rounds 3]

First what the lip-sync check finds in motion that is shifted, held open and babbling by known amounts; then what each
part costs beside generating the same, all in one round after the other, the least of each in milliseconds, and the
longest single step, which is how long an interface may have to wait.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
from real_motion import default_head, default_model, demo_motion, demo_speech, lips, raw_motion_of

from artalk_blender.audio.check import checking
from artalk_blender.motion.check import HeardLips, LipReport, PlayedLips, check_lips
from artalk_blender.motion.gate import loudness, pauses
from artalk_blender.motion.process import process_motion
from artalk_blender.motion.regions import FaceChannels
from artalk_blender.motion.timing import TimeMap
from engine.pipeline import Pipeline
from engine.portable.hearing import Hearing

TIMES = TimeMap.steady(0.0, 25.0)
SHIFTS = (-200, -160, -120, -80, -40, 0, 40, 80, 120, 160, 200)


def heard_of(samples: np.ndarray) -> HeardLips:
    return HeardLips.from_phones(Hearing.from_file().phones(samples), loudness(samples))


def checked(aperture: np.ndarray, heard: HeardLips, late_ms: float = 0.0) -> LipReport:
    return check_lips(PlayedLips(np.arange(len(aperture)) / 25 + late_ms / 1000, np.float64(aperture)), heard, TIMES)


def aperture_of(raw: np.ndarray) -> np.ndarray:
    return lips(process_motion(raw, None, FaceChannels(default_head().expression_names))).aperture


def accuracy() -> None:
    """Prints what is found and what is not."""
    heard, aperture = heard_of(demo_speech()), aperture_of(demo_motion())
    untouched = checked(aperture, heard)
    print(f"untouched: {len(untouched.findings)} findings, {untouched.closures} closures heard, lag "
          f"{untouched.lag.milliseconds:+.1f} ms")
    found = [checked(aperture, heard, shift).lag.milliseconds for shift in SHIFTS]
    print("shifted by  ms " + "".join(f"{shift:7d}" for shift in SHIFTS))
    print("recovered   ms " + "".join(f"{one:7.1f}" for one in found))
    print(f"largest error  {max(abs(one - shift) for one, shift in zip(found, SHIFTS, strict=True)):.1f} ms")
    hits = extra = 0
    for start, stop in heard.closures():
        open_there = aperture.copy()
        part = slice(int((start - 0.08) * 25), int((stop + 0.08) * 25) + 2)
        open_there[part] = np.maximum(open_there[part], 0.003)
        missed = checked(open_there, heard).of_kind("closure")
        hit = any((finding.start, finding.stop) == (start, stop) for finding in missed)
        hits, extra = hits + hit, extra + len(missed) - hit
    print(f"closures held open one by one: {hits} of {untouched.closures} found, {extra} neighbours with them")
    gap = np.zeros(32000, np.float32)
    samples = np.concatenate([demo_speech(), gap, demo_speech(), gap])
    heard, aperture = heard_of(samples), aperture_of(raw_motion_of(samples))
    babble, count = aperture.copy(), 0
    for start, stop in pauses(heard.level):
        if stop - start > 40:
            babble[start:stop], count = aperture[30 : 30 + stop - start], count + 1
    print(f"babble put into {count} pauses: {len(checked(babble, heard).of_kind('pause'))} found; at rest: "
          f"{len(checked(aperture, heard).of_kind('pause'))}\n")


def longest(steps: Iterator[object]) -> float:
    """Milliseconds of the longest step."""
    worst = 0.0
    while True:
        started = time.perf_counter()
        try:
            next(steps)
        except StopIteration:
            return max(worst, 1e3 * (time.perf_counter() - started))
        worst = max(worst, 1e3 * (time.perf_counter() - started))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    accuracy()
    speech = demo_speech()
    samples = np.resize(speech, round(16000 * 60 * options.minutes))
    stereo = np.resize(np.stack([speech, 0.5 * speech], 1), (round(48000 * 60 * options.minutes), 2))
    pipeline, hearing = Pipeline(default_model()), Hearing.from_file()
    heard = HeardLips.from_phones(hearing.phones(samples), loudness(samples))
    played = PlayedLips(np.arange(len(heard.level)) / 25, np.float64(np.resize(aperture_of(demo_motion()),
                                                                              len(heard.level))))
    works: dict[str, Callable[[], float]] = {
        "generate": lambda: longest(iter([pipeline.generate(samples, raw=True)])),
        "check sound, 16 kHz mono": lambda: longest(checking(samples, 16000)),
        "check sound, 48 kHz stereo": lambda: longest(checking(stereo, 48000)),
        "hear phones": lambda: longest(hearing.listen(samples)),
        "compare lips": lambda: longest(check_lips(played, heard, TIMES) for _ in range(1)),
    }
    spent: dict[str, list[float]] = {name: [] for name in works}
    steps: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            started = time.perf_counter()
            steps[name].append(work())
            spent[name].append(1e3 * (time.perf_counter() - started))
    print(f"{options.minutes:g} minutes, least of {options.rounds}; numpy {np.__version__}")
    print(f"{'':28s}{'ms':>10s}{'longest step ms':>18s}{'of generating':>16s}")
    for name, times in spent.items():
        step = f"{min(steps[name]):18.1f}" if name != "generate" else f"{'':18s}"
        print(f"{name:28s}{min(times):10.1f}{step}{min(times) / min(spent['generate']):15.4f}x")


if __name__ == "__main__":
    main()
