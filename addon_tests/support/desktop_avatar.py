# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the avatar's scenario (desktop_scenarios.py): playing with the preview on, and frames where they can go."""

from __future__ import annotations

import time
from typing import Any

import bpy
from desktop_driver import Desk, Steps, extension
from desktop_steps import busy, start_playing, stop_playing

_FRAMES = 8  # that are played again and again


def play_rounds(desk: Desk, which: str, asked: list[int]) -> Steps:
    """Starts to play a few frames, every one of them, until nothing is asked for any more in a whole round; notes how
    many frames a second another round has."""
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 22, 22 + _FRAMES - 1
    scene.sync_mode = "NONE"
    yield from start_playing(desk)
    rounds: list[int] = []
    while len(rounds) < 2 or rounds[-1]:
        before, began = asked[0], time.monotonic()
        for _ in range(_FRAMES):
            last = scene.frame_current
            yield from desk.until(lambda last=last: scene.frame_current != last, "the next frame")
        rounds.append(asked[0] - before)
    rate = round(_FRAMES / (time.monotonic() - began), 2)
    desk.facts.setdefault("played", {})[which] = {"fps": rate, "asked": rounds}


def watched_playback(desk: Desk, preview: Any) -> Steps:
    """Plays with the preview on; notes how long it holds Blender each time it looks."""
    now = preview.current()
    look, asked, ticks = now.look, [0], []
    ask = now._ask

    def counted(*arguments: Any) -> None:
        asked[0] += 1
        ask(*arguments)

    def timed() -> None:
        began = time.perf_counter()
        look()
        ticks.append(1000 * (time.perf_counter() - began))

    now._ask, now.look = counted, timed
    yield from play_rounds(desk, "with it", asked)
    yield from desk.shot("preview_playing", rest=False)
    yield from stop_playing(desk)
    bpy.context.scene.use_preview_range = False
    ticks.sort()
    desk.facts["tick_ms"] = {"median": round(ticks[len(ticks) // 2], 2), "longest": round(ticks[-1], 2)}
    desk.facts["dropped"] = now.planner.dropped


def final_render(desk: Desk) -> Steps:
    """The avatar before a wall, under AgX, rendered through the compositor: a picture, too."""
    scene = bpy.context.scene
    scene.view_settings.view_transform = "AgX"
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.image_settings.file_format, scene.render.filepath = "PNG", str(desk.out / "rendered.png")
    scene.display.shading.background_type, scene.display.shading.background_color = "VIEWPORT", (0.05, 0.09, 0.13)
    for thing in scene.objects:
        thing.hide_render = True
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    bpy.ops.render.render(write_still=True)
    desk.facts["pictures"]["rendered"] = (0, 0, scene.render.resolution_x, scene.render.resolution_y)
    yield


def frames_everywhere(desk: Desk) -> Steps:
    """Renders frames, adds them to the compositor and makes a film; then looks at the nodes."""
    scene = bpy.context.scene
    scene.render.resolution_x = scene.render.resolution_y = 256
    blend = desk.out / "talk.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    with desk.inside():
        bpy.ops.artalk.render_avatar("INVOKE_DEFAULT")
    yield from desk.until(lambda: not busy(), "the rendered frames")
    folder = next((desk.out / "artalk_frames").iterdir())
    assert len(list(folder.glob("*.exr"))) == scene.frame_end - scene.frame_start + 1
    scene.frame_set(26)
    yield from desk.until(lambda: extension("gaussian.preview").current().planner.state == "Avatar: frame 26", "disk")
    scene.frame_set(25)
    with desk.inside():
        assert bpy.ops.artalk.add_avatar_to_compositor() == {"FINISHED"}
        assert bpy.ops.artalk.avatar_movie(filepath=str(desk.out / "talk.mp4")) == {"FINISHED"}
    desk.facts["film"] = (desk.out / "talk.mp4").stat().st_size
    area = desk.area()
    area.ui_type = "CompositorNodeTree"
    yield from desk.turns()
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=desk.window, area=area, region=region):
        bpy.ops.node.view_all()
    yield from desk.shot("compositor", rest=False)
    area.ui_type = "VIEW_3D"
    yield from desk.turns()
    yield from final_render(desk)
