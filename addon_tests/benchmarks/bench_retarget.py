# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting by geometry: how long it takes and how well the lips do, beside the pseudo-inverse. numpy alone.

    python addon_tests/benchmarks/bench_retarget.py [--repeats 3] [--frames 1500 15000]

Motion: the default model's of the demo speech, smoothed, repeated to the length. Targets are the default head in
another mesh, with 52 ARKit keys and no bone: in its own place; 1.4 times as large, turned, of other proportions; and
far from it in its proportions, tiny, in a coarse mesh that rounds the lips off. Times are the least of the repeats:
“ask” is the motion's right-hand sides, “solve” the sliders of all frames, “live” the sliders after a strength was
changed, from those before; “cpu” is the processor's time over all threads, which a busy machine changes less.

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
from artalk_blender.retarget.transfer import Transfer, prepare

FAR = Place(0.02, rotation((0.3, 1.0, -0.2), 2.0), (1.0, 2.0, 3.0), 2.5)
TARGETS = {"own proportions": (Place(), {}), "other proportions": (ELSEWHERE, {}),
           "landmarks guessed": (ELSEWHERE, {"marks": False}), "far off, coarse": (FAR, {"remesh": dual_mesh})}


TIMED = "other proportions"


def least(repeats: int, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the quickest run, and of processor time in the one that took least."""
    times, busy = [], []
    for _ in range(repeats):
        begin, own = time.perf_counter(), time.process_time()
        work()
        times.append(time.perf_counter() - begin)
        busy.append(time.process_time() - own)
    return min(times), min(busy)


def print_times(transfer: Transfer, frames: int, repeats: int) -> None:
    """One line: ask, solve, live, and the pseudo-inverse of the same frames; of each the processor's time too."""
    speech = speech_motion()
    motion = np.tile(speech, (-(-frames // len(speech)), 1))[:frames]
    ask = least(repeats, lambda: transfer.reduce(motion))
    reduced = transfer.reduce(motion)
    solve = least(repeats, lambda: transfer.weights(reduced))
    start = transfer.weights(reduced)
    other = transfer.with_options(Options(smoothness=2.0, contact=1.5))
    live = least(repeats, lambda: other.weights(reduced, start, live=True))
    some = motion[: min(frames, 1500)]
    plain = least(1, lambda: pseudo_inverse(transfer, some))
    parts = [ask, solve, live, tuple(seconds * frames / len(some) for seconds in plain)]
    text = "".join(f"{wall:10.3f}{busy:8.2f}" for wall, busy in parts)
    print(f"{frames:8d} x {len(transfer.target.names):d}{text}{frames / 25 / (ask[0] + solve[0]):12.0f}x", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, nargs="*", default=[1500, 15000])
    options = parser.parse_args()
    source, motion = source_face(), speech_motion()
    print(f"numpy {np.__version__}\n\n{'target':20s}{'prepare s':>10s}{'':>18s}{'correlation':>12s}{'closure mm':>12s}"
          f"{'jerk':>10s}{'error mm':>12s}")
    timed: Transfer | None = None
    for name, (place, kind) in TARGETS.items():
        target = made(place, **kind)
        begin = time.perf_counter()
        transfer = prepare(source, target.face)
        seconds = time.perf_counter() - begin
        ours = measure(target, place, motion, transfer.solve(motion).weights)
        plain = measure(target, place, motion, pseudo_inverse(transfer, motion))
        print(f"{name:20s}{seconds:10.2f}{'this':>18s}{ours.text()}\n{'':30s}{'pseudo-inverse':>18s}{plain.text()}",
              flush=True)
        if name == TIMED:
            timed = transfer
    print(f"\n{'seconds, and of processor time':>13s}\n{'frames x':>10s}{'K':>3s}"
          + "".join(f"{what:>10s}{'cpu':>8s}" for what in ("ask", "solve", "live", "pinv")) + f"{'real time':>13s}")
    assert timed is not None
    for frames in options.frames:
        print_times(timed, frames, options.repeats)


if __name__ == "__main__":
    main()
