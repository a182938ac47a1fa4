# SPDX-License-Identifier: GPL-3.0-or-later
"""A frame of an avatar, part by part: the published network on seeded weights, and the default avatar.

    python addon_tests/benchmarks/bench_avatar.py [--device auto|cpu|cuda] [--precision fp32|bf16|fp16] [--threads N]
        [--frames N]

Prints ms per frame (median) and, since a busy machine makes a clock useless, ms of processor of all threads together.
On a graphics card (`--device cuda --precision fp16`) the upsampler is recorded, and the faster of gsplat and
diff-gaussian-rasterization draws. The network needs torch and 4 GB; without torch only the default avatar is measured.
The rasteriser alone, and how much faster it is than the plain one: bench_raster.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from engine.bench import machine_name
from engine.device import THREADS_VARIABLE, wanted_threads
from engine.gaussian.pixels import FORMATS, file_bytes, pixels_for
from engine.gaussian.rasterize import choose_backend, is_there
from engine.gaussian.render import load_avatar
from engine.gaussian.shot import Played, Shot

ROOT = Path(__file__).resolve().parents[2]


def line(name: str, work: Callable[[], object], repeats: int, settle: Callable[[], None] = lambda: None) -> None:
    """Runs something once to warm up, then `repeats` times, and prints what it took."""
    work()
    settle()
    times, worked = [], []
    for _ in range(repeats):
        started, processor = time.perf_counter(), time.process_time()
        work()
        settle()
        times.append(1000 * (time.perf_counter() - started))
        worked.append(1000 * (time.process_time() - processor))
    print(f"{name:34} {statistics.median(times):8.1f} ms   {statistics.median(worked):8.1f} ms of processor   "
          f"{1000 / statistics.median(times):6.1f} a second", flush=True)


def speaking(frames: int) -> np.ndarray:
    """A motion whose head, jaw and face all move."""
    motion = np.random.default_rng(0).normal(size=(1, 106)) * np.sin(np.arange(frames) * 0.3)[:, None] * 0.3
    motion[:, 100:103] *= 0.2
    motion[:, 103:] = [[0.1 - 0.1 * np.cos(at * 0.5), 0, 0] for at in range(frames)]
    return motion.astype(np.float32)


def stepping(frames: Iterator[np.ndarray]) -> Callable[[], object]:
    return lambda: next(frames)


def pictures(player: Any, frames: int, size: int, coarse: bool = False) -> Iterator[np.ndarray]:
    return player.pictures(Played(speaking(frames + 1)), Shot(size, size, coarse), range(frames + 1))


def default_avatar(frames: int) -> None:
    """What shows with no download."""
    player = load_avatar("default").player
    for size in (256, 512):
        line(f"default avatar, {size} x {size}", stepping(pictures(player, frames, size)), frames)
    line("default avatar, a preview, 256 x 256", stepping(pictures(player, frames, 256, coarse=True)), frames)
    picture = next(pictures(player, 1, 512))
    for form in FORMATS:
        line(f"a file, {form}, 512 x 512", lambda form=form: file_bytes(pixels_for(form, picture), {}), frames)


def published(device: str, precision: str, frames: int) -> None:
    """The network at full size: every part of a frame, then the whole."""
    import torch
    from seeded_network import seeded_tensors
    from seeded_weights import synthetic_image, synthetic_transform

    from engine.device import check_precision, choose_device
    from engine.flame.file import read_flame
    from engine.gaussian.avatar import Avatar, head_points
    from engine.gaussian.camera import head_poses
    from engine.gaussian.weights import Photo, build_avatar_network

    chosen = choose_device(device)
    check_precision(precision, chosen)
    torch.set_num_threads(wanted_threads())
    network = build_avatar_network(seeded_tensors("gagavatar"), "seeded", chosen)
    photo = Photo("seeded", synthetic_image(61), synthetic_transform(62), np.zeros(300, np.float32))
    started = time.perf_counter()
    avatar = Avatar(network, photo, read_flame(ROOT / "assets" / "default_head.npz"), precision)
    print(f"identity, once an avatar: {time.perf_counter() - started:.1f} s")
    settle = torch.cuda.synchronize if chosen.type == "cuda" else (lambda: None)
    motion = speaking(max(frames + 1, 64))
    line("head points of 64 frames", lambda: list(head_points(avatar.head, motion[:64], photo.shape, range(64))), 2)
    points = next(head_points(avatar.head, motion, photo.shape, [0]))
    pose = head_poses(motion[:1, 100:103], photo.pose)[0]
    with torch.inference_mode():
        line("rasterising 32 channels", lambda: avatar.features(points, pose), frames, settle)
        features = avatar.features(points, pose)[0][None].to(
            next(network.upsampler.parameters()).dtype, memory_format=torch.channels_last)
        line(f"upsampler in {precision}", lambda: network.upsampler.logits(features), frames, settle)
    line("a whole frame, 512 x 512", stepping(pictures(avatar, frames, 512)), frames)
    line("a preview, 256 x 256", stepping(pictures(avatar, frames, 256, coarse=True)), frames)
    if choose_backend(device=chosen.type) == "card":
        from engine.gaussian.card import FASTEST

        print(f"the card's pictures were drawn by {FASTEST.choice(32, (512, 512)) or 'the only one that is there'}")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--frames", type=int, default=5)
    options = parser.parse_args()
    if options.threads:
        os.environ[THREADS_VARIABLE] = str(options.threads)
    print(f"{machine_name()}; {wanted_threads()} threads; drawn by {choose_backend()}")
    default_avatar(options.frames)
    if is_there("torch"):
        published(options.device, options.precision, options.frames)


if __name__ == "__main__":
    main()
