# SPDX-License-Identifier: GPL-3.0-or-later
"""A range of a take made again: how its joins look beside the take's own motion, and what it costs. numpy alone.

    python addon_tests/benchmarks/bench_regenerate.py [--trials 40] [--minutes 5] [--rounds 5]

Joins: ranges of random length and place are made again with variations and put in by `splice`, by a hard cut and by the
usual alternative, an offset at each end that dies away in six frames. Printed is the largest change across either end
(position, speed, acceleration from frame to frame) in multiples of the size that 97 of 100 of the take's own have: the
median and the worst 5 % of the ranges; and how many closures of the new motion are lost. "Turned" is a take whose head
was turned by 5 degrees by hand, "other words" one whose sound was edited since.

Cost: two seconds of a long take again beside all of it, interleaved, the least of each in milliseconds, and the ratio.
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
from numpy.typing import NDArray
from real_motion import default_model, demo_motion, demo_speech, lips

from artalk_blender.motion.layout import EXPRESSION, HEAD_ROTATION, JAW_POSE
from artalk_blender.motion.resample import closures
from artalk_blender.motion.splice import splice
from engine.passage import Passage
from engine.pipeline import Pipeline

Floats = NDArray[np.float32]
PARTS = {"face": EXPRESSION, "head": HEAD_ROTATION, "jaw": JAW_POSE}
DECAY = 6  # frames


def aperture(motion: Floats) -> Floats:
    return lips(motion).aperture


def hard_cut(old: Floats, new: Floats, start: int) -> Floats:
    return np.concatenate([old[:start], new, old[start + len(new) :]])


def dying_offset(old: Floats, new: Floats, start: int) -> Floats:
    """What is missing to the old motion's straight continuation is added at each end, less and less."""
    result, stop, frames = hard_cut(old, new, start), start + len(new), min(DECAY, len(new) // 2)
    t = np.arange(frames) / frames
    weights = (1.0 - t**3 * (t * (6.0 * t - 15.0) + 10.0))[:, None]
    result[start : start + frames] += weights * (2 * old[start - 1] - old[start - 2] - new[0])
    result[stop - frames : stop] += weights[::-1] * (2 * old[stop] - old[stop + 1] - new[-1])
    return result


WAYS: dict[str, Callable[[Floats, Floats, int], Floats]] = {
    "splice": lambda old, new, start: splice(old, new, start, aperture), "hard cut": hard_cut, "offset": dying_offset,
}


def jumps(motion: Floats, part: slice, order: int) -> NDArray[np.float64]:
    return np.linalg.norm(np.diff(motion[:, part].astype(np.float64), n=order, axis=0), axis=1)


def at_ends(old: Floats, motion: Floats, start: int, stop: int) -> list[float]:
    """The largest change of each part and order across either end, against the take's own."""
    return [max(jumps(motion, part, order)[end - order : end].max() for end in (start, stop))
            / np.percentile(jumps(old, part, order), 97) for part in PARTS.values() for order in (1, 2, 3)]


def takes() -> dict[str, Floats]:
    own = demo_motion()
    turned = own.copy()
    turned[:, 101] += np.radians(5.0)
    return {"as made": own, "turned": turned, "other words": np.roll(own, 37, axis=0)}


def joins(pipeline: Pipeline, trials: int) -> None:
    columns = [f"{name} {order}" for name in PARTS for order in ("pos", "speed", "acc")]
    print(f"{'median / worst 5 %':24s}" + "".join(f"{name:>13s}" for name in columns) + "   closures lost")
    for kind, old in takes().items():
        random = np.random.default_rng(0)
        found: dict[str, list[list[float]]] = {name: [] for name in WAYS}
        lost, closed = dict.fromkeys(WAYS, 0), 0
        for trial in range(trials):
            length = int(random.integers(8, 120))
            start = int(random.integers(4, len(old) - length - 4))
            passage = Passage(start, length, old[:start], trial + 1)
            new = pipeline.generate(demo_speech(), raw=True, passage=passage)
            shut = closures(aperture(new))
            closed += len(shut)
            for name, way in WAYS.items():
                motion = way(old, new, start)
                found[name].append(at_ends(old, motion, start, start + length))
                lost[name] += int((aperture(motion[start : start + length])[shut] > 1e-3).sum())
        for name, sizes in found.items():
            middle, worst = np.median(sizes, axis=0), np.percentile(sizes, 95, axis=0)
            cells = "".join(f"{one:7.2f} /{other:5.2f}" for one, other in zip(middle, worst, strict=True))
            print(f"{kind + ', ' + name:24s}{cells}   {lost[name]:3d} of {closed}")


def cost(pipeline: Pipeline, minutes: float, rounds: int) -> None:
    samples = np.resize(demo_speech(), round(16000 * 60 * minutes))
    middle = len(samples) // 1280
    whole = pipeline.generate(samples, raw=True)
    works: dict[str, Callable[[], object]] = {
        "all of it": lambda: pipeline.generate(samples, raw=True),
        "2 s again": lambda: pipeline.generate(
            samples, raw=True, passage=Passage(middle, 50, whole[middle - 400 : middle], 1)),
        "joining": lambda: splice(whole, whole[100:150], middle, aperture),
    }
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            spent[name].append(1e3 * (time.perf_counter() - started))
    print(f"\n{minutes:g} minutes of speech, {len(whole)} frames, least of {rounds}; numpy {np.__version__}")
    for name, times in spent.items():
        print(f"{name:12s}{min(times):10.1f} ms{min(spent['all of it']) / min(times):10.1f} times as fast as all of it")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pipeline = Pipeline(default_model())
    joins(pipeline, options.trials)
    cost(pipeline, options.minutes, options.rounds)


if __name__ == "__main__":
    main()
