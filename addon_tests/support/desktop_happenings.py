# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in the middle of a job, each a generator that drives a desktop Blender."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import bpy
from desktop_driver import Desk, Steps, extension
from desktop_steps import GENERATE, STOP, add_head, begin, busy, halves, open_speech, takes


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
