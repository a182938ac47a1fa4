# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a FLAME head takes to read in each of its forms, and ten minutes of motion in and out of Blender.

    python addon_tests/benchmarks/bench_files.py [--rounds N] [--minutes N]

Full size (5023 vertices). The pickle reader is printed beside Python's own `pickle.loads` of the same file without
chumpy, which builds the same arrays but runs whatever the file says; forms take turns, the fastest round counts.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "addon_tests" / "support"), str(ROOT / "addon_tests" / "blender")]

import numpy as np  # noqa: E402
from flame_pickles import chumpy, flame_dict, python2  # noqa: E402
from seeded_weights import synthetic_flame  # noqa: E402

from engine.assets import DEFAULT_HEAD  # noqa: E402
from engine.bench import machine_name  # noqa: E402
from engine.flame.file import read_flame  # noqa: E402

LIMIT = 2.0  # seconds that reading a head may take


def race(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each side's fastest round, the sides by turns."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, work in sides.items():
            started = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def write_heads(folder: Path) -> dict[str, Path]:
    """The same head in every form."""
    groups = synthetic_flame(3)
    flat = {name: value for group in groups.values() for name, value in group.items()}
    model = groups["flame_model"]
    paths = {"default head .npz": DEFAULT_HEAD}

    def write(name: str, file: str, data: bytes) -> None:
        paths[name] = folder / file
        paths[name].write_bytes(data)

    with chumpy() as classes:
        content = flame_dict(model, classes)
        write("Python 2 .pkl, chumpy", "old.pkl", python2(content, 2))
        write("Python 2 .pkl as text, chumpy", "text.pkl", python2(content, 0))
    write("Python 3 .pkl, no chumpy", "new.pkl", pickle.dumps(flame_dict(model, None), 4))
    paths["FLAME .npz"] = folder / "flame.npz"
    np.savez(paths["FLAME .npz"], **flat)
    paths["FLAME .npz, packed"] = folder / "packed.npz"
    np.savez_compressed(paths["FLAME .npz, packed"], **flat)
    try:
        import torch
    except ImportError:
        return paths
    paths["FLAME_with_eye.pt"] = folder / "FLAME_with_eye.pt"
    torch.save({group: {name: torch.from_numpy(value) for name, value in arrays.items()}
                for group, arrays in groups.items()}, paths["FLAME_with_eye.pt"])
    return paths


def bench_heads(folder: Path, rounds: int) -> None:
    paths = write_heads(folder)
    plain = paths["Python 3 .pkl, no chumpy"].read_bytes()
    sides: dict[str, Callable[[], object]] = {}
    for name, path in paths.items():
        sides[name] = lambda path=path: read_flame(path)
    sides["pickle.loads alone"] = lambda: pickle.loads(plain)
    best = race(sides, rounds)
    for name, seconds in best.items():
        size = f"{paths[name].stat().st_size / 1e6:5.1f} MB" if name in paths else " " * 8
        print(f"{name:32s} {size} {seconds:7.3f} s   {LIMIT / seconds:6.1f} times under {LIMIT:g} s")


def bench_motion(minutes: float) -> None:
    import bpy
    from artalk_blender.engine.flame.file import read_flame as read_inside
    from synthetic_head import make_motion

    from artalk_blender.animation.read_head import read_head
    from artalk_blender.animation.takes import Provenance, new_take
    from artalk_blender.head.build import build_head
    from artalk_blender.motion.process import ProcessSettings

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene, head = bpy.context.scene, build_head(read_inside(DEFAULT_HEAD), bpy.context)
    motion = make_motion(round(minutes * 60 * 25))
    new_take(head, motion, 1.0, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
    few = min(len(motion), 500)
    read = {"F-curves": True, "evaluated": False}
    spent = race({name: (lambda direct=direct: read_head(head, scene, 1.0, float(few), 25.0, direct))
                  for name, direct in read.items()}, 3)
    for name, seconds in spent.items():
        print(f"read the head, {name:10s} {1e3 * seconds / few:7.3f} ms a frame")
    print(f"F-curves are {spent['evaluated'] / spent['F-curves']:.0f} times as fast")
    started = time.perf_counter()
    found = read_head(head, scene, 1.0, float(len(motion)), 25.0)
    print(f"{minutes:g} minutes ({len(motion)} frames) out: {time.perf_counter() - started:.2f} s, "
          f"largest difference {np.abs(found.motion - motion).max():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    print(machine_name())
    with tempfile.TemporaryDirectory() as folder:
        bench_heads(Path(folder), options.rounds)
    bench_motion(options.minutes)


if __name__ == "__main__":
    main()
