# SPDX-License-Identifier: GPL-3.0-or-later
"""What a frame of a head costs in Blender, beside plainer and more naive builds of the same, and what importing costs.

    python addon_tests/benchmarks/bench_head.py [--frames N] [--rounds N]       (a Python with bpy)

All have 5,023 vertices, five weighted bones, and a random motion on every expression, on root and jaw; all 36 pose
correctives act. Milliseconds are medians of `frame_set`, the builds in turn within a round; the last line of a build
is its ratio to the plain one.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "addon_tests" / "blender")]

import bpy  # noqa: E402
import numpy as np  # noqa: E402
from artalk_blender.engine.assets import DEFAULT_HEAD  # noqa: E402
from artalk_blender.engine.flame.file import read_flame  # noqa: E402
from artalk_blender.engine.flame.model import FlameModel  # noqa: E402
from synthetic_head import make_motion  # noqa: E402

from artalk_blender.animation.fcurves import KEY, Channel, key_path, write_channels  # noqa: E402
from artalk_blender.animation.takes import Provenance, new_take  # noqa: E402
from artalk_blender.head import build  # noqa: E402
from artalk_blender.head.build import Head, build_head  # noqa: E402
from artalk_blender.head.identity import random_coefficients, set_identity  # noqa: E402
from artalk_blender.head.joints import joints_of  # noqa: E402
from artalk_blender.head.names import BONES  # noqa: E402
from artalk_blender.motion.process import ProcessSettings  # noqa: E402

FRAMES = 250
Builder = Callable[[FlameModel, np.ndarray], Head]


def full_model() -> FlameModel:
    """The default head with something in every direction, as FLAME has; its own leaves half of them empty."""
    model = read_flame(DEFAULT_HEAD)
    random = np.random.default_rng(0)

    def some(directions: np.ndarray) -> np.ndarray:
        return (directions + random.normal(0.0, 1e-5, directions.shape)).astype(np.float32)

    return dataclasses.replace(model, expressiondirs=some(model.expressiondirs), posedirs=some(model.posedirs))


def ours(model: FlameModel, motion: np.ndarray) -> Head:
    """(a) Our head with a take on it, and somebody's identity."""
    head = build_head(model, bpy.context)
    set_identity(head, random_coefficients(1), bpy.context)
    new_take(head, motion, 1, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
    return head


def plain(model: FlameModel, motion: np.ndarray) -> Head:
    """(b) 136 plainly keyed shape keys and an armature of five bones."""
    head = ours(model, motion)
    keys = head.shape_keys
    drivers = keys.animation_data.drivers
    for curve in list(drivers):
        drivers.remove(curve)
    wave = 0.1 * np.sin(0.3 * np.arange(len(motion)))
    channels = [Channel(KEY, key_path(key.name), 0, "Plain", wave * np.cos(index))
                for index, key in enumerate(keys.key_blocks[101:])]
    write_channels(keys.animation_data.action, channels, 1.0 + np.arange(len(motion)))
    return head


def naive(model: FlameModel, motion: np.ndarray) -> Head:
    """(c) The same with identity as 300 live keys."""
    head = plain(model, motion)
    for index, value in enumerate(random_coefficients(1)):
        key = build._add_key(head.mesh, f"identity_{index:03d}", model.shapedirs[:, :, index])
        key.value = value
    return head


def summed_joints(model: FlameModel, motion: np.ndarray) -> Head:
    """(d) Ours, but where the joints are by simple expressions: 15 sums of five sums of 20 products.

    Only the sums: that a bone moves by its own rotation, Blender would take for a dependency cycle.
    """
    head = ours(model, motion)
    armature, keys = head.armature, head.shape_keys
    bpy.data.objects.remove(joints_of(armature))
    for joint in range(len(BONES)):
        for axis in range(3):
            name = f"joint_{joint}_{axis}"
            parts = [f"{name}_{start}" for start in range(0, 100, 20)]
            for start, part in zip(range(0, 100, 20), parts, strict=True):
                letters = "abcdefghijklmnopqrst"
                driver = _driven(armature, part, {
                    letter: (keys, "KEY", key_path(key)) for letter, key in
                    zip(letters, head.expression_keys[start:start + 20], strict=True)})
                factors = head.joint_shift[joint, axis, start:start + 20]
                driver.expression = "+".join(f"{factor:.2g}*{letter}"
                                             for letter, factor in zip(letters, factors, strict=True))
                assert driver.is_simple_expression
            driver = _driven(armature, name, {f"part{i}": (armature, "OBJECT", f'["{part}"]')
                                              for i, part in enumerate(parts)})
            driver.type = "SUM"
    return head


def _driven(armature: Any, name: str, variables: dict[str, tuple[Any, str, str]]) -> Any:
    """A new custom property of the armature with a driver that reads `variables`: owner, its kind, data path."""
    armature[name] = 0.0
    driver = armature.driver_add(f'["{name}"]').driver
    for letter, (owner, kind, path) in variables.items():
        variable = driver.variables.new()
        variable.name = letter
        variable.targets[0].id_type = kind
        variable.targets[0].id, variable.targets[0].data_path = owner, path
    return driver


BUILDS: dict[str, Builder] = {
    "(a) our head, a take on it": ours,
    "(b) 136 keyed shape keys": plain,
    "(c) identity as 300 live keys": naive,
    "(d) ours, joints by sums in drivers": summed_joints,
}


def staged(make: Builder, model: FlameModel, motion: np.ndarray) -> Any:
    """A scene with nothing else in it."""
    scene = bpy.data.scenes.new("bench")
    bpy.context.window.scene = scene
    scene.render.fps, scene.render.fps_base = 25, 1.0
    make(model, motion)
    return scene


def frame_times(scene: Any, frames: int) -> list[float]:
    """Milliseconds of each `frame_set`, after two to warm up."""
    bpy.context.window.scene = scene
    spent = []
    for frame in range(1, frames + 3):
        started = time.perf_counter()
        scene.frame_set(frame)
        spent.append(1e3 * (time.perf_counter() - started))
    return spent[2:]


def importing(runs: int = 5) -> tuple[float, float]:
    """Seconds to read the default head and to build it, medians."""
    reads, builds = [], []
    for _ in range(runs):
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        started = time.perf_counter()
        model = read_flame(DEFAULT_HEAD)
        read = time.perf_counter()
        build_head(model, bpy.context)
        reads.append(read - started)
        builds.append(time.perf_counter() - read)
    return statistics.median(reads), statistics.median(builds)


def identities(runs: int = 10) -> float:
    """Seconds for one change of identity, median: what a step of a slider costs."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    spent = []
    for seed in range(runs + 1):
        started = time.perf_counter()
        set_identity(head, random_coefficients(seed), bpy.context)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    read, built = importing()
    print(f"Blender {bpy.app.version_string}")
    print(f"import of the default head    {read + built:7.3f} s   (read {read:.3f}, build {built:.3f}; target 2)")
    print(f"change of identity            {1e3 * identities():7.1f} ms")
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    model, motion = full_model(), make_motion(FRAMES)
    scenes = {name: staged(make, model, motion) for name, make in BUILDS.items()}
    times: dict[str, list[float]] = {name: [] for name in BUILDS}
    for _ in range(options.rounds):
        for name, scene in scenes.items():
            times[name] += frame_times(scene, min(options.frames, FRAMES - 2))
    medians = {name: statistics.median(spent) for name, spent in times.items()}
    base = medians["(b) 136 keyed shape keys"]
    for name, median in medians.items():
        print(f"{name:33s} {median:7.3f} ms a frame   x {median / base:.2f}")


if __name__ == "__main__":
    main()
