# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting in a desktop Blender: landmarks are clicked on a stranger's face, crossed at first; then it speaks."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import bpy
import numpy as np
from bpy_extras import view3d_utils
from desktop_driver import PACKAGE, Desk, Steps, extension
from desktop_steps import add_head, begin, busy, generate, open_speech
from mathutils import Vector

SEEN = 7  # clicks until a picture is taken
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
    with drawings() as drawn:
        yield from click_landmarks(desk, target, swapped)
        assert drawn and not marks(), "seen while they are clicked, and gone afterwards"
        drawn.clear()
        desk.area().tag_redraw()
        yield from desk.turns()
        assert not drawn
    desk.facts["crossed_off_mm"] = off_mm(target, swapped)
    yield from desk.click(RETARGET)
    yield from desk.until(lambda: not busy() and len(takes_on(target)) == 1, "a take by crossed landmarks")
    desk.facts["crossed"] = report_on(target)["notes"]
    yield from click_landmarks(desk, target, places, "clicking")
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
    yield from stop_clicking(desk, target, arrays)


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


def click_landmarks(desk: Desk, target: bpy.types.Object, places: dict[str, np.ndarray], picture: str = "") -> Steps:
    """Starts the clicking from the sidebar and clicks each place where the picture shows it, whatever plays. With the
    name of a picture: one is taken on the way, with the mouth opened meanwhile."""
    bpy.context.scene.frame_set(1)
    kept = target.get("artalk_landmarks", "")
    yield from desk.click(CLICK)
    region = desk.region("WINDOW")
    for count, place in enumerate(places.values()):
        if picture and count == SEEN:
            open_mouth(target)
            yield from desk.shot(picture, "WINDOW", rest=False)
            view, distance = desk.area().spaces.active.region_3d, desk.area().spaces.active.region_3d.view_distance
            yield from desk.press("WHEELUPMOUSE")
            yield from desk.until(lambda: view.view_distance < distance, "a nearer view")  # noqa: B023 - waits here
            yield from desk.turns()
        spot = view3d_utils.location_3d_to_region_2d(region, desk.area().spaces.active.region_3d, shown(target, place))
        yield from desk.point(region.x + spot.x, region.y + spot.y)
        yield from desk.turns(2)
        yield from desk.press("LEFTMOUSE")
        yield from desk.turns(2)
    yield from desk.until(lambda: target.get("artalk_landmarks", "") not in ("", kept), "clicked landmarks")


@contextmanager
def drawings() -> Iterator[list[int]]:
    """How many marks were drawn, each time that the view was."""
    kind, drawn = extension("ui.landmark_marks").Marks, []
    draw = kind.draw

    def noted(self: object) -> None:
        drawn.append(len(self._spots))  # type: ignore[attr-defined]
        draw(self)

    kind.draw = noted
    try:
        yield drawn
    finally:
        kind.draw = draw


def marks() -> list[object]:
    """All that are drawn over views."""
    kind = extension("ui.landmark_marks").Marks
    return [one for one in gc.get_objects() if type(one) is kind and one.is_open]


def stop_clicking(desk: Desk, target: bpy.types.Object, arrays: dict[str, np.ndarray]) -> Steps:
    """Every way to stop: nothing is drawn afterwards, and what was clicked before stays."""
    name, kept = target.name, target["artalk_landmarks"]
    path = str(desk.out / "clicking.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)

    def remove() -> None:
        bpy.data.objects.remove(bpy.data.objects[name])
        desk.area().tag_redraw()

    ways = {"esc": partial(desk.key, "ESC"), "too few": partial(desk.key, "RET"),
            "undo": partial(desk.key, "Z", ctrl=True), "gone": partial(once, remove),
            "open": partial(once, partial(bpy.ops.wm.open_mainfile, filepath=path)),
            "disabled": partial(once, partial(bpy.ops.preferences.addon_disable, module=PACKAGE))}
    for way, stop in ways.items():
        bpy.ops.wm.open_mainfile(filepath=path)
        yield from desk.turns()
        if way == "undo":  # a target that was not there before
            remove()
            bpy.ops.ed.undo_push(message="Without it")
            bpy.context.scene.artalk_retarget.target = stranger(arrays)
            bpy.ops.ed.undo_push(message="With it")
        yield from desk.open_sidebar()
        yield from desk.click(CLICK)
        yield from desk.until(marks, f"marks before {way}")
        yield from desk.key("SPACE")
        yield from stop()
        yield from desk.rest()
        yield from desk.until(lambda: not marks(), f"the end of the marks: {way}")
        left = bpy.data.objects.get(name)
        assert left is None if way in ("undo", "gone") else left["artalk_landmarks"] == kept, way


def once(act: Callable[[], object]) -> Steps:
    act()
    yield


def open_mouth(target: bpy.types.Object) -> None:
    """Goes to a frame in which what plays opens its mouth."""
    last = int(target.data.shape_keys.animation_data.action.frame_range[1])

    def opening(frame: int) -> float:
        bpy.context.scene.frame_set(frame)
        return float(target.data.shape_keys.key_blocks["sculpt 00"].value)

    bpy.context.scene.frame_set(max(range(1, last, 4), key=opening))


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
