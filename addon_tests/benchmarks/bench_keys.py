# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing keys in bulk beside Blender's keyframe_insert, and tuning a take again.

    python addon_tests/benchmarks/bench_keys.py [--frames 15000] [--inserted 300] [--rounds 3]

106 channels that all move. keyframe_insert gets slower the more keys a curve has, and the whole of it would take
minutes, so it is run on fewer frames and its cost per key there times all keys is printed as what it is: an
extrapolation, too low rather than too high. Both run in turns in one process; the fastest of the rounds counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import bpy
import numpy as np
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame

from artalk_blender import compat
from artalk_blender.animation.fcurves import KEY, OBJECT, Channel, bone_path, find_curve, key_path, write_channels
from artalk_blender.animation.takes import Provenance, curves_of, new_take, retune
from artalk_blender.head.build import build_head
from artalk_blender.motion.process import ProcessSettings


def channels(head, values: np.ndarray) -> list[Channel]:
    """100 expressions and 6 of the bones' locations."""
    faces = [Channel(KEY, key_path(name), 0, "Face", values[:, c]) for c, name in enumerate(head.expression_keys)]
    bones = [Channel(OBJECT, bone_path(bone, "location"), axis, bone, values[:, 100 + 3 * i + axis])
             for i, bone in enumerate(("root", "jaw")) for axis in range(3)]
    return faces + bones


def bulk(head, values: np.ndarray, frames: np.ndarray):
    """Seconds, and the Action."""
    action = bpy.data.actions.new("bulk")
    action.slots.new(id_type=KEY, name="face")
    action.slots.new(id_type=OBJECT, name="bones")
    wanted = channels(head, values)
    started = time.perf_counter()
    write_channels(action, wanted, frames)
    return time.perf_counter() - started, action


def one_by_one(head, values: np.ndarray, frames: np.ndarray) -> float:
    """Seconds a key of keyframe_insert, the way a script does it: set the property, insert the key."""
    keys = [head.shape_keys.key_blocks[name] for name in head.expression_keys]
    bones = [head.armature.pose.bones[bone] for bone in ("root", "jaw")]
    started = time.perf_counter()
    for row, frame in zip(values.tolist(), frames.tolist()):
        for key, value in zip(keys, row):
            key.value = value
            key.keyframe_insert("value", frame=frame)
        for i, bone in enumerate(bones):
            bone.location = row[100 + 3 * i : 103 + 3 * i]
            bone.keyframe_insert("location", frame=frame)
    spent = time.perf_counter() - started
    for owner in (head.shape_keys, head.armature):
        bpy.data.actions.remove(owner.animation_data.action)
    return spent / values.size


def check(action, values: np.ndarray, frames: np.ndarray) -> str:
    """Whether the handles are Blender's own auto-clamped ones: level at extremes, none left at zero."""
    path = action.layers[0].strips[0].channelbag(action.slots[0]).fcurves[0].data_path
    keys = find_curve(action, (KEY, path, 0)).keyframe_points
    left = np.empty(2 * len(keys), np.float32)
    keys.foreach_get("handle_left", left)
    before = left.copy()
    keys.handles_recalc()
    keys.foreach_get("handle_left", left)
    y = values[:, 0]
    extreme = np.flatnonzero((y[1:-1] - y[:-2]) * (y[2:] - y[1:-1]) < 0) + 1
    level = np.abs(left.reshape(-1, 2)[extreme, 1] - y[extreme]).max() < 1e-6
    computed = np.allclose(before, left) and (frames[1:] - left.reshape(-1, 2)[1:, 0] > 0.1).all()
    return "right" if level and computed and keys[1].handle_left_type == "AUTO_CLAMPED" else "WRONG"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=15000)
    parser.add_argument("--inserted", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    random = np.random.default_rng(0)
    time_axis = np.arange(options.frames)[:, None] / 25
    values = np.sin(2 * np.pi * random.uniform(0.3, 4.0, 106) * time_axis + random.uniform(0, 6.28, 106))
    values = (0.3 * values).astype(np.float32)
    frames = 1.0 + np.arange(options.frames) * (30 / 1.001 / 25)
    whole, single, judged = [], [], "right"
    for _ in range(options.rounds):
        seconds, action = bulk(head, values, frames)
        whole.append(seconds)
        judged = check(action, values, frames)
        bpy.data.actions.remove(action)
        single.append(one_by_one(head, values[: options.inserted], frames))
    keys = values.size
    best, each = min(whole), min(single)
    print(f"Blender {compat.VERSION_TEXT}, 106 channels x {options.frames} frames = {keys} keys")
    print(f"in bulk          {best:9.3f} s        {1e9 * best / keys:9.1f} ns a key   handles {judged}")
    print(f"keyframe_insert  {each * keys:9.1f} s        {1e9 * each:9.1f} ns a key   (measured on {options.inserted} "
          f"frames, {106 * options.inserted} keys; the seconds are extrapolated)")
    print(f"ratio            {each * keys / best:9.0f} x")

    action = new_take(head, values, 1.0, 30 / 1.001, Provenance("bench"))
    spent = []
    for gain in np.linspace(0.5, 1.5, options.rounds):
        started = time.perf_counter()
        assert retune(action, ProcessSettings(intensity=float(gain), silence_gate=0.5, smoothing=0.02)) == action
        spent.append(time.perf_counter() - started)
    print(f"retune a take    {min(spent):9.3f} s        {len(curves_of(action))} curves, all looked at and rewritten")


if __name__ == "__main__":
    main()
