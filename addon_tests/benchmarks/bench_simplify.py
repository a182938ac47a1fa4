# SPDX-License-Identifier: GPL-3.0-or-later
"""How many keys simplifying leaves of ten minutes of speech, how far off they are in Blender, and how long it takes.

    python addon_tests/benchmarks/bench_simplify.py [--seconds N] [--millimetres MM] [--degrees DEG]

Real motion: the default model on the demo speech, repeated. Errors are measured again in Blender, independently of
what the simplifier says: both takes' F-curves are evaluated at whole scene frames at 60 fps, skinned by the engine.

Then the take is tuned, on the head and on an ARKit face in another mesh: how long that holds Blender up until all keys
are there, and how long taking them out again goes on beside Blender once the slider rests, with its longest slice.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))

import bpy
import numpy as np
from artalk_blender.engine.assets import DEFAULT_HEAD, DEMO_SPEECH
from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.flame.lips import lip_curves
from artalk_blender.engine.flame.skinning import skin
from artalk_blender.engine.model import load_model
from artalk_blender.engine.pipeline import SAMPLE_RATE, Pipeline
from characters import remeshed

from artalk_blender import compat
from artalk_blender.animation.beside import thinning
from artalk_blender.animation.fcurves import find_curve, key_path
from artalk_blender.animation.take_data import TAKE_KEY, curves_of
from artalk_blender.animation.takes import Bound, Provenance, duplicate_take, new_take, retune, simplify_take
from artalk_blender.audio.samples import read_sound
from artalk_blender.head.build import build_head
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.motion.rotations import normalised, quaternions_to_axis_angle, turn_between
from artalk_blender.retarget.work import make_retarget
from artalk_blender.runner import Runner

FPS = 60.0
CONTACT = 1e-3  # metres


def speech_motion(seconds: float) -> np.ndarray:
    """Raw motion (T,106) of the demo speech repeated for so long."""
    speech = read_sound(DEMO_SPEECH)
    count = round(seconds * SAMPLE_RATE)
    samples = np.tile(speech, count // len(speech) + 1)[:count]
    return np.concatenate([part.motion for part in Pipeline(load_model(None)).stream(samples, raw=True)])


def evaluated(action, head, frames):
    """Expressions (K,100) and quaternions of root and jaw (K,4) as Blender evaluates an Action at whole frames."""
    def curve(place, rest):
        found = find_curve(action, place)
        return np.array([found.evaluate(frame) for frame in frames]) if found else np.full(len(frames), rest)

    expression = np.stack([curve(("KEY", key_path(name), 0), 0.0) for name in head.expression_keys], 1)
    turns = [normalised(np.stack([curve(("OBJECT", f'pose.bones["{bone}"].rotation_quaternion', i), float(i == 0))
                                  for i in range(4)], 1)) for bone in ("root", "jaw")]
    return expression, *turns


def key_count(action) -> int:
    return sum(len(curve.keyframe_points) for place in curves_of(action) if (curve := find_curve(action, place)))


def tuned(what: str, action, player) -> None:
    """Tunes a simplified take as a slider does."""
    started = time.perf_counter()
    retune(action, ProcessSettings(lips=0.9), None, player, thin=False)
    held = time.perf_counter() - started
    work, slices, started = Runner(thinning(action[TAKE_KEY]["id"])), [0.0], time.perf_counter()
    ended = False
    while not ended:
        begin = time.perf_counter()
        ended = work.advance(0.02)
        slices.append(time.perf_counter() - begin)
        time.sleep(0.005)
    print(f"tuned on the {what}: all keys after {held:.2f} s; taken out beside Blender in "
          f"{time.perf_counter() - started:.1f} s, of which {sum(slices):.2f} s in Blender, "
          f"{1e3 * max(slices):.0f} ms at a time at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--millimetres", type=float, default=0.1)
    parser.add_argument("--degrees", type=float, default=0.1)
    options = parser.parse_args()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    model = read_flame(DEFAULT_HEAD)
    head = build_head(model, bpy.context)
    raw = speech_motion(options.seconds)
    dense = new_take(head, raw, 1.0, FPS, Provenance("demo"))
    sparse = duplicate_take(dense)
    started, busy = time.perf_counter(), time.process_time()
    _, found = simplify_take(sparse, Bound(options.millimetres, options.degrees), head)
    spent, busy = time.perf_counter() - started, time.process_time() - busy

    frames = np.arange(1, round(options.seconds * FPS), 1 + int(options.seconds > 60))
    before, after = evaluated(dense, head, frames), evaluated(sparse, head, frames)
    corners = np.unique(model.faces[model.landmarks.faces[48:68]])
    jaws = [quaternions_to_axis_angle(state[2]) for state in (before, after)]
    off = [skin(model, state[0], jaw=jaw, vertices=corners) for state, jaw in zip((before, after), jaws)]
    millimetres = 1e3 * np.linalg.norm(off[0] - off[1], axis=2).max(1)
    angle = np.degrees(max(np.linalg.norm(turn_between(before[i], after[i]), axis=1).max() for i in (1, 2)))
    gaps = []
    for state, jaw in zip((before, after), jaws):
        motion = np.concatenate([state[0], np.zeros((len(frames), 3)), jaw], 1)
        gaps.append(lip_curves(model, motion).aperture)
    gap = gaps[0]
    low = np.flatnonzero((gap[1:-1] <= CONTACT) & (gap[1:-1] <= gap[:-2]) & (gap[1:-1] <= gap[2:])) + 1
    kept = gaps[1][low] <= gap[low] + 1e-3 * options.millimetres

    print(f"Blender {compat.VERSION_TEXT}, {len(raw)} motion frames ({options.seconds:g} s of speech), bound "
          f"{options.millimetres:g} mm at the lips and {options.degrees:g} degrees")
    print(f"keys      {key_count(dense):9d} dense {key_count(sparse):9d} simplified "
          f"{key_count(dense) / key_count(sparse):8.2f}x fewer")
    print(f"lips      {millimetres.max():9.4f} mm at worst, {np.percentile(millimetres, 99):.4f} mm in 99 % of frames "
          f"({len(frames)} frames at {FPS:g} fps, all lip landmarks)")
    print(f"turns     {angle:9.4f} degrees at worst, head and jaw")
    part = kept.mean() if len(low) else 1.0
    print(f"closures  {len(low):9d} of which {part:.2%} stay within {options.millimetres:g} mm "
          f"(simplifier: {found.closures_kept} of {found.closures}, {found.millimetres:.4f} mm)")
    print(f"time      {spent:9.2f} s ({busy:.2f} s of processor time)")

    tuned("head", sparse, head)
    target = make_retarget(dense.name, remeshed().name, (), "names", "auto", ())
    action = new_take(target, raw, 1.0, FPS, Provenance("demo"))
    started, many = time.perf_counter(), key_count(action)
    _, found = simplify_take(action, Bound(options.millimetres, options.degrees), target)
    print(f"on another face: {many / key_count(action):.1f}x fewer keys, {found.millimetres:.4f} mm at the lips, "
          f"{found.closures_kept} of {found.closures} closures, {time.perf_counter() - started:.2f} s", flush=True)
    tuned("target", action, target)


if __name__ == "__main__":
    main()
