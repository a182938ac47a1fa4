# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios of desktop_scenarios.py have in common: looks at the scene, and steps that people take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bpy
from desktop_driver import Desk, Steps, extension

ADD, OPEN, GENERATE = r"artalk\.add_head\(", r"artalk\.open_speech\(", r"artalk\.generate_motion\("
STOP = r"artalk\.stop_job\("


def takes() -> list[Any]:
    """Whole takes."""
    return [action for action in bpy.data.actions if "artalk_take" in action and not is_half(action)]


def halves() -> list[Any]:
    return [action for action in bpy.data.actions if is_half(action)]


def is_half(action: Any) -> bool:
    return "artalk_take" in action and "unfinished" in action["artalk_take"]


def curves_of(action: Any) -> list[Any]:
    """All its F-curves."""
    return [curve for bag in action.layers[0].strips[0].channelbags for curve in bag.fcurves]


def busy() -> bool:
    return bool(extension("worker.job").is_busy())


def begin(desk: Desk) -> Steps:
    """An empty scene and the sidebar on our tab."""
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    bpy.ops.ed.undo_push(message="Empty")
    yield from desk.turns()
    yield from desk.open_sidebar()


def add_head(desk: Desk) -> Steps:
    yield from desk.click(ADD)
    yield from desk.until(lambda: bpy.data.armatures, "a head")
    with desk.inside():
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    desk.area().spaces.active.region_3d.view_distance *= 1.6
    yield from desk.turns()


def open_speech(desk: Desk, path: str) -> Steps:
    """The button, the file browser, its button."""
    yield from desk.click(OPEN)
    yield from choose_file(desk, path)


def choose_file(desk: Desk, path: str) -> Steps:
    def browser() -> Any:
        return next((area for area in desk.window.screen.areas if area.type == "FILE_BROWSER"
                     and area.spaces.active.params is not None), None)

    area = yield from desk.until(browser, "the file browser")
    area.spaces.active.params.directory = str(Path(path).parent).encode()
    yield from desk.turns()
    area.spaces.active.params.filename = Path(path).name
    yield from desk.turns()
    yield from desk.key("RET", "FILE_BROWSER")
    yield from desk.until(lambda: browser() is None, "the file browser's end")
    yield from desk.turns()


def generate(desk: Desk) -> Steps:
    """Clicks, waits for the whole take, returns it."""
    before = len(takes())
    yield from desk.click(GENERATE)
    yield from desk.until(busy, "the job")
    yield from desk.until(lambda: not busy(), "the job's end")
    assert len(takes()) == before + 1 and not halves()
    yield from desk.turns()
    return takes()[-1]


def settings_of(name: str) -> Any:
    return bpy.data.actions[name]["artalk_take"]["settings"]


def row_of(take: str) -> str:
    """A take's button in the list."""
    return rf'artalk\.use_take\(take="{re.escape(take)}"\)'


def played() -> str:
    """Name of the Action that the head plays."""
    return str(bpy.data.armatures and rig().animation_data.action.name)


def rig() -> Any:
    return next(thing for thing in bpy.data.objects if thing.type == "ARMATURE")


def start_playing(desk: Desk) -> Steps:
    screen, frame = desk.window.screen, bpy.context.scene.frame_current
    yield from desk.key("SPACE")
    yield from desk.until(lambda: screen.is_animation_playing and bpy.context.scene.frame_current != frame, "play")


def stop_playing(desk: Desk) -> Steps:
    yield from desk.key("SPACE")
    yield from desk.until(lambda: not desk.window.screen.is_animation_playing, "the end of playing")


def speak(desk: Desk, text: str) -> Steps:
    """Types a text into its panel and clicks the button."""
    yield from desk.open_panel("speak", above=OPEN)
    yield from desk.click(r"artalk\.speech_text")
    yield from desk.write(text)
    yield from desk.press("RET")
    yield from desk.until(lambda: bpy.context.scene.artalk.speech_text == text, "the text")
    yield from desk.click(r"artalk\.speak_text\(")
    yield from desk.until(lambda: not busy() and bpy.context.scene.sequence_editor, "a spoken strip")
    yield from desk.shot("spoken", "UI", above=OPEN)
    yield from desk.open_panel("speak", above=OPEN)


def use_language(language: str) -> str:
    """Switches Blender to a language; returns what it calls it."""
    view = bpy.context.preferences.view
    name = next(name for name in bpy.app.translations.locales if name.split("_")[0] == language)
    view.language = name
    view.use_translate_interface = view.use_translate_reports = view.use_translate_tooltips = True
    return name
