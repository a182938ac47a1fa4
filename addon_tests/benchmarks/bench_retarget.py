# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting by geometry: how long it takes and how well the lips do, beside the pseudo-inverse. numpy alone.

    python addon_tests/benchmarks/bench_retarget.py [--repeats 3] [--frames 1500 15000]

Motion: the default model's of the demo speech, smoothed, repeated to the length. Targets are the default head in
another mesh, with 52 ARKit keys and no bone: in its own place; 1.4 times as large, turned, of other proportions; and
far from it in its proportions, tiny, in a coarse mesh that rounds the lips off. Times are the least of the repeats:
“ask” is the motion's right-hand sides, “solve” the sliders of all frames, “live” the sliders after a strength was
changed, from those before.

Quality, on 188 frames: correlation of the target's aperture with the source's; the widest aperture in mm (of the
source's size) while the source's lips touch; jerk of the lips over that of the source's lips warped onto the target;
rms distance in mm to these. The pseudo-inverse has the same correspondences, frames and weights, and is cut to the
sliders' limits.
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
from retarget_measures import measure, pseudo_inverse, speech_motion
from retarget_targets import ELSEWHERE, Place, dual_mesh, made, rotation, source_face

from artalk_blender.retarget.face import Options
from artalk_blender.retarget.transfer import LIVE_ROUNDS, Transfer, prepare

FAR = Place(0.02, rotation((0.3, 1.0, -0.2), 2.0), (1.0, 2.0, 3.0), 2.5)
TARGETS = {"own proportions": (Place(), {}), "other proportions": (ELSEWHERE, {}),
           "landmarks guessed": (ELSEWHERE, {"marks": False}), "far off, coarse": (FAR, {"remesh": dual_mesh})}


def least(repeats: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest run."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def print_times(transfer: Transfer, frames: int, repeats: int) -> None:
    """One line: ask, solve, live, and the pseudo-inverse of the same frames."""
    speech = speech_motion()
    motion = np.tile(speech, (-(-frames // len(speech)), 1))[:frames]
    ask = least(repeats, lambda: transfer.reduce(motion))
    reduced = transfer.reduce(motion)
    solve = least(repeats, lambda: transfer.weights(reduced))
    start = transfer.weights(reduced)
    other = transfer.with_options(Options(smoothness=2.0, contact=1.5))
    live = least(repeats, lambda: other.weights(reduced, start, LIVE_ROUNDS))
    plain = least(1, lambda: pseudo_inverse(transfer, motion[: min(frames, 1500)])) * frames / min(frames, 1500)
    print(f"{frames:8d} x {len(transfer.target.names):d}{ask:10.3f}{solve:10.3f}{ask + solve:10.3f}{live:10.3f}"
          f"{plain:12.3f}{frames / 25 / (ask + solve):12.0f}x", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, nargs="*", default=[1500, 15000])
    options = parser.parse_args()
    source, motion = source_face(), speech_motion()
    print(f"numpy {np.__version__}\n\n{'target':20s}{'prepare s':>10s}{'':>18s}{'correlation':>12s}{'closure mm':>12s}"
          f"{'jerk':>10s}{'error mm':>12s}")
    transfer = None
    for name, (place, kind) in TARGETS.items():
        target = made(place, **kind)
        begin = time.perf_counter()
        transfer = prepare(source, target.face)
        seconds = time.perf_counter() - begin
        ours = measure(target, place, motion, transfer.solve(motion).weights)
        plain = measure(target, place, motion, pseudo_inverse(transfer, motion))
        print(f"{name:20s}{seconds:10.2f}{'this':>18s}{ours.text()}\n{'':30s}{'pseudo-inverse':>18s}{plain.text()}",
              flush=True)
    assert transfer is not None
    print(f"\n{'frames x sliders':>13s}{'ask s':>8s}{'solve s':>10s}{'both s':>10s}{'live s':>10s}{'pinv s':>12s}"
          f"{'of real time':>13s}")
    for frames in options.frames:
        print_times(transfer, frames, options.repeats)


if __name__ == "__main__":
    main()
