# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting in a desktop Blender: landmarks are clicked on a stranger's face, crossed at first; then it speaks."""

from __future__ import annotations

import bpy
import numpy as np
from bpy_extras import view3d_utils
from desktop_driver import Desk, Steps, extension
from desktop_steps import add_head, begin, busy, generate, open_speech
from mathutils import Vector

CLICK, RETARGET = r"artalk\.retarget_landmarks\(", r"artalk\.retarget\("


def retarget_by_clicks(desk: Desk) -> Steps:
    """Arguments: a sound, and the target as arrays in Blender's axes: points, triangles, keys (K,V,3), marks (10,3)."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    take = (yield from generate(desk)).name
    arrays = dict(np.load(desk.arguments[1]))
    target = stranger(arrays)
    yield from face_both(desk)
    settings = bpy.context.scene.artalk_retarget
    settings.target, settings.method = target, "geometry"
    yield from desk.open_panel("retarget", above=r"artalk\.simplify_take\(")
    names = list(extension("retarget.face").LANDMARKS)
    places = dict(zip(names, arrays["marks"], strict=True))

    swapped = {name: places[other(name)] for name in names}
    yield from click_landmarks(desk, target, swapped)
    desk.facts["crossed_off_mm"] = off_mm(target, swapped)
    yield from desk.click(RETARGET)
    yield from desk.until(lambda: not busy() and len(takes_on(target)) == 1, "a take by crossed landmarks")
    desk.facts["crossed"] = report_on(target)["notes"]
    yield from click_landmarks(desk, target, places)
    desk.facts["off_mm"] = off_mm(target, places)
    yield from desk.click(RETARGET)
    yield from desk.until(lambda: not busy() and len(takes_on(target)) == 2, "a take by landmarks")
    yield from desk.turns()
    report = report_on(target)
    desk.facts["notes"], desk.facts["lips_mm"] = report["notes"], report["lips_mm"]
    opened = openings(target, bpy.data.actions[take])
    desk.facts["opened"] = [float(value) for value in opened]
    bpy.context.scene.frame_set(1 + int(opened.argmax()))
    yield from desk.shot("side_by_side")
    yield from desk.shot("retargeted", "UI", above=CLICK)


def other(name: str) -> str:
    return name.replace("right", "?").replace("left", "right").replace("?", "left")


def stranger(arrays: dict[str, np.ndarray]) -> bpy.types.Object:
    data = bpy.data.meshes.new("Stranger")
    data.from_pydata(arrays["points"].tolist(), [], arrays["triangles"].tolist())
    data.shade_smooth()
    thing = bpy.data.objects.new("Stranger", data)
    bpy.context.collection.objects.link(thing)
    thing.shape_key_add(name="Basis")
    for index, moved in enumerate(arrays["keys"]):
        key = thing.shape_key_add(name=f"sculpt {index:02d}", from_mix=False)
        key.value = 0.0  # new ones stand at 1 in some versions
        key.points.foreach_set("co", (arrays["points"] + moved).astype(np.float32).ravel())
    return thing


def face_both(desk: Desk) -> Steps:
    with desk.inside():
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_all()
    desk.area().spaces.active.region_3d.view_distance *= 1.15
    yield from desk.turns()


def click_landmarks(desk: Desk, target: bpy.types.Object, places: dict[str, np.ndarray]) -> Steps:
    """Starts the clicking from the sidebar and clicks each place where the picture shows it, whatever plays."""
    bpy.context.scene.frame_set(1)
    kept = target.get("artalk_landmarks", "")
    yield from desk.click(CLICK)
    region = desk.region("WINDOW")
    for place in places.values():
        spot = view3d_utils.location_3d_to_region_2d(region, desk.area().spaces.active.region_3d, shown(target, place))
        yield from desk.point(region.x + spot.x, region.y + spot.y)
        yield from desk.turns(2)
        yield from desk.press("LEFTMOUSE")
        yield from desk.turns(2)
    yield from desk.until(lambda: target.get("artalk_landmarks", "") not in ("", kept), "clicked landmarks")


def shown(target: bpy.types.Object, place: np.ndarray) -> Vector:
    """Where a place of the mesh at rest is seen now."""
    place, rest = Vector(place), target.data.shape_keys.reference_key.points
    nearest = min(range(len(rest)), key=lambda index: (rest[index].co - place).length)
    played = target.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices[nearest].co
    return place + played - rest[nearest].co


def off_mm(target: bpy.types.Object, places: dict[str, np.ndarray]) -> dict[str, float]:
    """How far what was kept lies from where it was clicked."""
    kept = extension("retarget.work").landmarks_of(extension("retarget.targets").target_of(target))
    return {name: round(1e3 * float(np.linalg.norm(np.array(kept[name]) - place)), 1) for name, place in places.items()}


def takes_on(target: bpy.types.Object) -> list[bpy.types.Action]:
    """Retargeted takes."""
    return [action for action in bpy.data.actions if extension("retarget.player").retargets(action)]


def report_on(target: bpy.types.Object) -> dict:
    player = extension("retarget.player")
    return player.retarget_of_take(player.retarget_take_on(target)).report


def openings(target: bpy.types.Object, take: bpy.types.Action) -> np.ndarray:
    """(T,) the first key, which opens its mouth, by frame of the scene."""
    result = []
    for frame in range(1, int(take.frame_range[1]) + 1, 2):
        bpy.context.scene.frame_set(frame)
        result += [target.data.shape_keys.key_blocks["sculpt 00"].value] * 2
    return np.array(result)
