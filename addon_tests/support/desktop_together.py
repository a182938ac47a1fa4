# SPDX-License-Identifier: GPL-3.0-or-later
"""One take on four characters in a desktop Blender: all of them speak side by side with the head it was made for."""

from __future__ import annotations

import bpy
import numpy as np
from desktop_driver import Desk, Steps, extension
from desktop_steps import add_head, begin, busy, generate, open_speech

RETARGET = r"artalk\.retarget\("
CAST = ("Cartoon", "Another Person", "Rigify Face", "ARKit Face")


def speak_together(desk: Desk) -> Steps:
    """Arguments: a sound, and the file of addon_tests/tools/cast.py."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    take = yield from generate(desk)
    name, head = take.name, bpy.context.view_layer.objects.active.name
    bring(desk.arguments[1])
    for thing in bpy.context.scene.objects:
        thing.select_set(thing.type == "MESH" and thing.visible_get())
    with desk.inside():
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    for thing in bpy.context.scene.objects:
        thing.select_set(thing.name == head)
    space = desk.area().spaces.active
    space.shading.color_type, space.overlay.show_overlays = "MATERIAL", False
    yield from desk.open_panel("retarget", above=r"artalk\.simplify_take\(")
    for count, target in enumerate(CAST, 1):
        bpy.context.view_layer.objects.active = bpy.data.objects[head]
        bpy.context.scene.artalk_retarget.target = bpy.data.objects[target]
        yield from desk.click(RETARGET)
        yield from desk.until(lambda wanted=count: not busy() and len(retargeted()) == wanted, f"a take on {target}")
        yield from desk.turns()
    desk.facts["lips_mm"] = {made.name: made.report.get("lips_mm", []) for made in retargeted()}
    aperture = opening(name)
    opened = int(aperture.argmax())
    spoken = np.flatnonzero(aperture > 0.3 * aperture.max())
    inside = np.arange(spoken[0], spoken[-1])
    yield from desk.find(RETARGET)
    for _ in range(30):
        yield from desk.press("WHEELDOWNMOUSE")
    for moment, frame in (("open", opened), ("closed", int(inside[aperture[inside].argmin()]))):
        bpy.context.scene.frame_set(frame + 1)
        yield from desk.shot(f"together_{moment}")


def bring(path: str) -> None:
    """The cast's objects into the scene; the shapes that draw Rigify's controls stay out of it."""
    with bpy.data.libraries.load(path) as (there, here):
        here.objects = [name for name in there.objects if not name.startswith("WGT-")]
    for thing in here.objects:
        bpy.context.scene.collection.objects.link(thing)


def retargeted() -> list:
    player = extension("retarget.player")
    return [player.retarget_of_take(action) for action in bpy.data.actions if player.retargets(action)]


def opening(take: str) -> np.ndarray:
    """(T,) about how far the source's mouth is open, as radians of its jaw, by frame of the scene."""
    action = bpy.data.actions[take]
    curves = [curve for bag in action.layers[0].strips[0].channelbags for curve in bag.fcurves]
    jaw = next(curve for curve in curves if '"jaw"' in curve.data_path and curve.array_index == 1)
    close = next(curve for curve in curves if '"mouthClose"' in curve.data_path)
    frames = range(1, int(action.frame_range[1]) + 1)
    return np.array([2 * jaw.evaluate(frame) - 0.26 * close.evaluate(frame) for frame in frames])
