# SPDX-License-Identifier: GPL-3.0-or-later
"""What the avatar's preview costs Blender, and how fast its pictures come.

    python addon_tests/benchmarks/bench_preview.py [--size 512] [--rounds 5]

The default avatar on a head that moves, without a window: what is drawn is not measured. The fastest round counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import bpy
from avatar_stage import key

import artalk_blender  # mounts the engine
from artalk_blender.gaussian.cache import digests
from artalk_blender.gaussian.frame_reader import read_frame
from artalk_blender.gaussian.session import ask, chosen_avatar, played_now
from artalk_blender.head.handle import find_head
from artalk_blender.worker.job import shared_client, wait_for


def fastest(rounds: int, function: Callable[[int], object]) -> float:
    """Milliseconds."""
    times = []
    for turn in range(rounds):
        began = time.perf_counter()
        function(turn)
        times.append(1000 * (time.perf_counter() - began))
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    artalk_blender.register()
    from artalk_blender.engine.gaussian.shot import Shot

    scene = bpy.context.scene
    bpy.ops.artalk.add_head()
    head = find_head(bpy.context)
    key(head, 1, jawOpen=0.0)
    key(head, 100, jawOpen=1.0)
    graph, frame_ms = bpy.context.view_layer.depsgraph, 1000 / 24
    avatar = chosen_avatar(scene, head)

    def look(turn: int) -> None:
        digests(played_now(head, graph), Shot(options.size, options.size), "", {})

    looked = fastest(10 * options.rounds, look)
    print(f"a look at the head: {looked:.2f} ms of a frame's {frame_ms:.1f} ms, {frame_ms / looked:.0f} times less")

    client = shared_client("")
    shots = (("coarse 256", Shot(256, 256, coarse=True)), (f"full {options.size}", Shot(options.size, options.size)))
    for name, shot in shots:
        def picture(turn: int, shot: Shot = shot) -> None:
            scene.frame_set(10 + turn)
            wait_for(client, ask(client, avatar, played_now(head, graph), shot))

        wait_for(client, ask(client, avatar, played_now(head, graph), shot))
        took = fastest(options.rounds, picture)
        print(f"a picture from the engine, {name}: {took:.0f} ms, {1000 / took:.1f} a second")

    with tempfile.TemporaryDirectory() as folder:
        bpy.ops.wm.save_as_mainfile(filepath=str(Path(folder) / "bench.blend"))
        scene = bpy.context.scene
        scene.frame_start = scene.frame_end = 10
        scene.artalk_avatar.size = options.size
        for form, suffix in (("OPEN_EXR", "exr"), ("PNG", "png")):
            scene.artalk_avatar.format = form
            bpy.ops.artalk.render_avatar()
            (path,) = Path(folder).rglob(f"00010.{suffix}")
            took = fastest(options.rounds, lambda turn, path=path: read_frame(path))
            print(f"a frame of {options.size} from disk, {suffix}: {took:.0f} ms in a thread, {frame_ms / took:.1f} "
                  "times as fast as it plays")
    artalk_blender.unregister()


if __name__ == "__main__":
    main()
