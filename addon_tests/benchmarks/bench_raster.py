# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing Gaussians: 180,255 of them as an avatar of the published network has, 512 x 512, 32 channels.

    python addon_tests/benchmarks/bench_raster.py [--threads N] [--repeats N] [--plain] [--channels N] [--size N]

Two scenes, since the time depends on how large the Gaussians are: `wide` with scales as an untrained network gives
them (0.025 and thereabouts), `fine` with scales that just cover the planes. Prints the best and the median of the
repeats in ms; with --plain, how many times slower the plain one is and how far the pictures differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.bench import machine_name
from engine.device import wanted_threads
from engine.gaussian.kernel import rasterize_fast

HEAD, SIDE = 5023, 296


def scene(kind: str, channels: int) -> list[np.ndarray]:
    """Head points on an oval, two planes of Gaussians before and behind it, a camera 9.9 away with a focal of 12."""
    rng = np.random.default_rng(7)
    count = HEAD + 2 * SIDE * SIDE
    oval = rng.normal(size=(HEAD, 3))
    oval *= np.array([0.4, 0.6, 0.5]) / np.linalg.norm(oval, axis=1, keepdims=True)
    x, y = np.meshgrid(np.linspace(1, -1, SIDE) * 9.9 / 12, np.linspace(1, -1, SIDE) * 9.9 / 12)
    planes = [np.stack([x.ravel(), y.ravel(), side * rng.uniform(0.0, 0.5, x.size)], 1) for side in (-1, 1)]
    quats = rng.normal(size=(count, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    middle = {"wide": 0.0, "fine": -2.5}[kind]
    scales = 0.05 / (1 + np.exp(-rng.normal(middle, 1, (count, 3))))
    opacities = 1 / (1 + np.exp(-rng.normal(0, 1, count)))
    view = np.eye(4)
    view[2, 3] = 9.9
    given = [np.concatenate([oval, *planes]), quats, scales, opacities, rng.normal(size=(count, channels)), view]
    return [value.astype(np.float32) for value in given]


def measure(threads: int, repeats: int, plain: bool, channels: int, size: int) -> None:
    """Prints a line for each scene."""
    K = np.array([[6.0 * size, 0, size / 2], [0, 6.0 * size, size / 2], [0, 0, 1]])
    print(f"{machine_name()}; {threads} threads, {size} x {size}, {channels} channels")
    for kind in ("wide", "fine"):
        given = scene(kind, channels)
        rasterize_fast(*given, K, (size, size), threads)
        times, work = [], []
        for _ in range(repeats):
            started, worked = time.perf_counter(), time.process_time()
            image, light = rasterize_fast(*given, K, (size, size), threads)
            times.append(1000 * (time.perf_counter() - started))
            work.append(1000 * (time.process_time() - worked))
        print(f"{kind}: {len(given[0])} Gaussians: {min(times):.1f} ms best, {statistics.median(times):.1f} ms median "
              f"of {repeats}; {min(work):.0f} ms of processor, all threads together; light left {light.mean():.4f}")
        if plain:
            compare_plain(given, K, size, threads, image, min(times))


def compare_plain(given: list[np.ndarray], K: np.ndarray, size: int, threads: int, image: np.ndarray,
                  fast: float) -> None:
    """One run of the plain rasteriser."""
    import torch

    from engine.gaussian.plain import rasterize_plain

    torch.set_num_threads(threads)
    started = time.perf_counter()
    wanted, _ = rasterize_plain(*(torch.from_numpy(value) for value in (*given, K)), (size, size))
    slow = 1000 * (time.perf_counter() - started)
    error = np.abs(image - wanted.numpy()).max(0)
    print(f"      plain {slow:.0f} ms: {slow / fast:.0f} times slower; difference {error.mean():.1e} mean, "
          f"{100 * (error > 1e-4).mean():.3f} % of the pixels over 1e-4, {error.max():.1e} at most")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    measure(options.threads or wanted_threads(), options.repeats, options.plain, options.channels, options.size)


if __name__ == "__main__":
    main()
