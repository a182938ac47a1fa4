# SPDX-License-Identifier: GPL-3.0-or-later
"""What users do, each a generator that drives a desktop Blender (`desktop_driver.py`) and looks at what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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


def busy() -> bool:
    return bool(extension("worker.job").is_busy())


# -- steps that scenarios share


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


# -- the scenarios


def first_use(desk: Desk) -> Steps:
    """From an empty scene to a playing head, four clicks."""
    yield from begin(desk)
    yield from desk.shot("empty")
    yield from add_head(desk)
    yield from desk.shot("head")
    yield from open_speech(desk, desk.arguments[0])
    yield from desk.shot("ready")
    yield from desk.click(GENERATE)
    yield from desk.until(lambda: halves() or takes(), "keys")
    yield from desk.shot("running")
    yield from desk.until(lambda: not busy(), "the job's end")
    assert len(takes()) == 1 and not halves()
    yield from desk.turns()
    yield from desk.shot("generated")
    yield from desk.key("SPACE")
    screen = desk.window.screen
    frame = bpy.context.scene.frame_current
    yield from desk.until(lambda: screen.is_animation_playing and bpy.context.scene.frame_current > frame + 10, "play")
    yield from desk.key("SPACE")
    yield from desk.until(lambda: not screen.is_animation_playing, "the end of playing")
    yield from desk.shot("played")


def tuning(desk: Desk) -> Steps:
    """A slider is dragged and the keys follow; one undo takes that back."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    take = yield from generate(desk)
    name = take.name
    yield from desk.open_panel("tune", above=r"artalk\.simplify_take\(")
    before = settings_of(name)["intensity"]
    yield from desk.drag(r"artalk\.intensity", 60, across=0.75)
    yield from desk.until(lambda: settings_of(name)["intensity"] != before, "the take's new tuning")
    assert abs(settings_of(name)["intensity"] - bpy.context.scene.artalk.intensity) < 1e-6
    yield from desk.shot("tuned")
    yield from desk.key("Z", ctrl=True)
    yield from desk.until(lambda: settings_of(name)["intensity"] == before, "the tuning as it was")
    assert bpy.context.scene.artalk.intensity == before


def settings_of(name: str) -> Any:
    return bpy.data.actions[name]["artalk_take"]["settings"]


def error(desk: Desk) -> Steps:
    """A file that is no sound is a sentence, and nothing is added."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    editor = bpy.context.scene.sequence_editor
    assert editor is None or not len(editor.strips)
    yield from desk.shot("error")
    with desk.inside():
        assert bpy.ops.artalk.copy_report() == {"FINISHED"}
    said = bpy.context.window_manager.clipboard
    assert said.startswith("ARTalk for Blender") and str(Path.home()) not in said


def interrupted(desk: Desk) -> Steps:
    """Something happens in the middle of a job: arguments are the sound and what happens."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    yield from desk.click(GENERATE)
    yield from desk.until(halves, "keys while the rest is made")
    yield from HAPPENINGS[desk.arguments[1]](desk)
    desk.facts["takes"], desk.facts["halves"] = len(takes()), len(halves())


def until_idle(desk: Desk) -> Steps:
    yield from desk.until(lambda: not busy(), "the job's end")
    yield from desk.turns()
    assert not halves()


def escape(desk: Desk) -> Steps:
    yield from desk.key("ESC")
    yield from until_idle(desk)
    assert not takes()
    yield from desk.shot("stopped")


def stop_button(desk: Desk) -> Steps:
    yield from desk.click(STOP, across=0.83)
    yield from until_idle(desk)
    assert not takes()


def undo(desk: Desk) -> Steps:
    yield from desk.key("Z", ctrl=True)
    yield from until_idle(desk)


def save(desk: Desk) -> Steps:
    path = str(desk.out / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    other = shutil.copy(path, desk.out / "read.blend")  # Blender reads nothing from the file that is open
    with bpy.data.libraries.load(str(other)) as (there, _):
        assert not there.actions
    yield from until_idle(desk)
    assert len(takes()) == 1


def open_file(desk: Desk) -> Steps:
    path = str(desk.out / "other.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    yield from until_idle(desk)
    assert not takes()


def new_file(desk: Desk) -> Steps:
    bpy.ops.wm.read_homefile(app_template="")
    yield from until_idle(desk)
    assert not takes()


def delete_head(desk: Desk) -> Steps:
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    yield from until_idle(desk)
    assert not takes()


def remove_strip(desk: Desk) -> Steps:
    strips = bpy.context.scene.sequence_editor.strips
    strips.remove(strips[0])
    yield from until_idle(desk)
    assert len(takes()) == 1  # its sound was heard already


def change_scene(desk: Desk) -> Steps:
    desk.window.scene = bpy.data.scenes.new("Other")
    yield from until_idle(desk)
    assert len(takes()) == 1


def disable(desk: Desk) -> Steps:
    module = extension("worker.job")
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.artalk")
    yield from desk.turns()
    assert module._client is None and not module._running
    assert not halves() and not takes()


def quit_blender(desk: Desk) -> Steps:
    desk.facts["takes"], desk.facts["halves"] = 0, 0
    desk.save_facts()
    bpy.ops.wm.quit_blender()
    yield


HAPPENINGS: dict[str, Callable[[Desk], Steps]] = {
    each.__name__: each for each in (escape, stop_button, undo, save, open_file, new_file, delete_head, remove_strip,
                                     change_scene, disable, quit_blender)
}
