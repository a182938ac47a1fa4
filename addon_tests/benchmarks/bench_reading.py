# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to read a head that plays through the NLA, and a sound strip that is retimed in parts.

    python addon_tests/benchmarks/bench_reading.py [--minutes 10] [--rounds 3]

Needs Blender's module. Every round does each once; the least of each is printed in seconds. For the head: plain
F-curves, what Blender evaluates, the longest of its steps in milliseconds (the first sets the evaluation up), and the
ratio. For the strip: the sound alone, then with its times (pitch follows the speed), then as it is played (pitch kept,
5.x only).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))

import bpy
import numpy as np
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from conftest import voice, write_wav
from synthetic_head import make_motion

from artalk_blender.animation.nla import push_take
from artalk_blender.animation.read_head import read_head, read_in_steps
from artalk_blender.animation.takes import Provenance, new_take, play_take
from artalk_blender.audio.samples import read_sound
from artalk_blender.audio.strip import add_sound_strip, read_strip
from artalk_blender.head.build import build_head
from artalk_blender.motion.process import ProcessSettings


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def empty_scene() -> bpy.types.Scene:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return bpy.context.scene


def time_head(minutes: float, rounds: int) -> None:
    """Print what reading a head costs."""
    scene = empty_scene()
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    count = round(minutes * 1500)
    take = new_take(head, make_motion(count), 1.0, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
    direct, evaluated, first, longest = [], [], [], []
    for _ in range(rounds):
        play_take(take, head)
        direct.append(seconds(lambda: read_head(head, scene, 1.0, count, 25.0, True)))
        push_take(take, head)
        stamps = [time.perf_counter()]
        for _ in read_in_steps(head, scene, 1.0, count, 25.0):
            stamps.append(time.perf_counter())
        steps = np.diff(stamps)
        evaluated.append(time.perf_counter() - stamps[0])
        first.append(steps[0])
        longest.append(steps[1:].max())
        for owner in (head.shape_keys, head.armature):
            owner.animation_data.nla_tracks.remove(owner.animation_data.nla_tracks[0])
    print(f"head, {count} frames of motion: F-curves {min(direct):.2f} s, evaluated {min(evaluated):.2f} s "
          f"({min(evaluated) / min(direct):.1f}x)")
    print(f"  steps: the first {1e3 * min(first):.0f} ms, the longest of the others {1e3 * min(longest):.0f} ms")


def retimed(scene: bpy.types.Scene, path: Path, frames: int) -> bpy.types.SoundStrip:
    """A strip whose first half plays slower and its second half faster."""
    strip = add_sound_strip(scene, path, 0)
    if hasattr(strip, "left_handle"):
        strip.retiming_keys.add(timeline_frame=frames // 2)
    else:
        window = bpy.context.window_manager.windows[0]
        area = window.screen.areas[0]
        area.type = "SEQUENCE_EDITOR"
        region = next(region for region in area.regions if region.type == "WINDOW")
        scene.sequence_editor.active_strip = strip
        with bpy.context.temp_override(window=window, area=area, region=region, scene=scene):
            bpy.ops.sequencer.retiming_key_add(timeline_frame=frames // 2)
    strip.retiming_keys[1].timeline_frame = round(0.6 * frames)
    return strip


def time_strip(minutes: float, rounds: int) -> None:
    """Print what hearing a retimed strip costs."""
    scene = empty_scene()
    scene.render.fps = 25
    with tempfile.TemporaryDirectory() as folder:
        path = write_wav(Path(folder) / "speech.wav", voice(60.0 * minutes))
        strip = retimed(scene, path, round(1500 * minutes))
        alone, times, played = [], [], []
        for _ in range(rounds):
            alone.append(seconds(lambda: read_sound(path)))
            for keep, found in ((False, times), (True, played)):
                if hasattr(strip, "pitch_correction"):
                    strip.pitch_correction = keep
                elif keep:
                    continue
                found.append(seconds(lambda: read_strip(strip, scene)))
    kept = f", as played {min(played):.2f} s ({min(played) / min(alone):.1f}x)" if played else ""
    print(f"strip, {minutes:g} minutes: its sound {min(alone):.2f} s, with its times {min(times):.2f} s "
          f"({min(times) / min(alone):.1f}x){kept}")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"Blender {bpy.app.version_string}")
    time_head(options.minutes, options.rounds)
    time_strip(options.minutes, options.rounds)


if __name__ == "__main__":
    main()
