# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a desktop Blender: moves its mouse and presses its keys, looks at the scene, takes pictures.

    blender --enable-event-simulate --python desktop_driver.py -- SCENARIO OUT [ARGUMENT ...]

A scenario is a generator function in desktop_scenarios.py that is given a `Desk`. It yields to let Blender go on. What
it is after it waits for, never for a time. Buttons are found as people find them: by pointing at one place after the
other of the sidebar, until what is under the pointer is what is looked for.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

PACKAGE = "bl_ext.user_default.artalk"
PATIENCE = 120.0  # seconds for what is waited for
Steps = Generator[None, None, Any]
_ROW = 10  # pixels: about half a button's height
_ABOVE = 42  # pixels: the header of its panel
CALM = 6  # turns of Blender's loop until everything is drawn
_DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_KEYS = {" ": "SPACE", ".": "PERIOD", ",": "COMMA", **{str(digit): name for digit, name in enumerate(_DIGITS)}}


def extension(name: str) -> Any:
    """A module of the installed extension."""
    return importlib.import_module(f"{PACKAGE}.{name}")


class Desk:
    """The window, the pointer, the keys."""

    def __init__(self, out: Path, arguments: list[str]) -> None:
        self.out, self.arguments = out, arguments
        self.facts: dict[str, Any] = {"pictures": {}, "stretches_ms": []}
        self.drawn: dict[str, int] = {}
        self.photographed = self.searched = 0.0  # seconds that pictures, and looking for buttons, took
        self.worked_besides = 0.0  # of processors, for both
        self._at = (0, 0)
        self._places: dict[str, tuple[float, float]] = {}

    # -- where things are

    @property
    def window(self) -> Any:
        return bpy.context.window_manager.windows[0]

    def area(self, kind: str = "VIEW_3D") -> Any:
        return next(area for area in self.window.screen.areas if area.type == kind)

    def region(self, kind: str = "UI", area: str = "VIEW_3D") -> Any:
        return next(region for region in self.area(area).regions if region.type == kind)

    def inside(self, region: str = "WINDOW", area: str = "VIEW_3D") -> Any:
        """Context in which operators see a region, as after a click into it."""
        return bpy.context.temp_override(window=self.window, area=self.area(area), region=self.region(region, area))

    # -- waiting

    def turns(self, count: int = CALM) -> Steps:
        for _ in range(count):
            yield

    def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Steps:
        """Waits for a condition; returns what it gave. AssertionError where it never comes."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"This never came: {what}"
            yield
        return found

    # -- pointer and keys

    def send(self, kind: str, value: str, **keys: Any) -> None:
        self.window.event_simulate(type=kind, value=value, x=self._at[0], y=self._at[1], **keys)

    def point(self, x: float, y: float) -> Steps:
        """Moves the pointer, in pixels of the window from its lower left corner."""
        self._at = (round(x), round(y))
        self.send("MOUSEMOVE", "NOTHING")
        yield

    def press(self, kind: str, **keys: Any) -> Steps:
        self.send(kind, "PRESS", **keys)
        yield
        self.send(kind, "RELEASE", **keys)
        yield

    def key(self, kind: str, area: str = "VIEW_3D", **keys: Any) -> Steps:
        """Presses a key with the pointer in the middle of an area."""
        yield from self.rest(area)
        yield from self.press(kind, **keys)
        yield from self.turns()

    def rest(self, area: str = "VIEW_3D") -> Steps:
        """Points at the middle of an area, where no button is lit."""
        region = self.region("WINDOW", area)
        yield from self.point(region.x + region.width // 3, region.y + region.height // 2)
        yield

    def write(self, text: str) -> Steps:
        for letter in text:
            kind = _KEYS.get(letter, letter.upper())
            self.window.event_simulate(type=kind, value="PRESS", unicode=letter, x=self._at[0], y=self._at[1])
            self.window.event_simulate(type=kind, value="RELEASE", x=self._at[0], y=self._at[1])
            yield

    # -- the sidebar's buttons

    def open_sidebar(self, area: str = "VIEW_3D") -> Steps:
        if self.region("UI", area).width <= 1:
            yield from self.key("N", area)
            yield from self.until(lambda: self.region("UI", area).width > 1, "the sidebar")
        self.region("UI", area).active_panel_category = "ARTalk"
        self.region("UI", area).tag_redraw()
        yield from self.turns()

    def under(self, area: str = "VIEW_3D") -> str:
        """What is under the pointer: an operator as Python writes it, the path of a property, or ""."""
        with self.inside("UI", area):
            if bpy.context.property is not None:
                return str(bpy.context.property[1])
            if not bpy.ops.ui.copy_python_command_button.poll():
                return ""
            manager = bpy.context.window_manager
            manager.clipboard = ""
            bpy.ops.ui.copy_python_command_button()
            return str(manager.clipboard)

    def find(self, what: str, across: float = 0.35, area: str = "VIEW_3D") -> Steps:
        """Points at the button whose operator or property matches `what`; scrolls the sidebar where it must."""
        began, worked = time.monotonic(), time.process_time()
        yield from self._find(what, across, area)
        self.searched += time.monotonic() - began
        self.worked_besides += time.process_time() - worked

    def _find(self, what: str, across: float, area: str) -> Steps:
        region = self.region("UI", area)
        if what in self._places:
            yield from self.point(*region_point(region, self._places[what]))
            yield from self.turns(3)
            if re.search(what, self.under(area)):
                return
        x = region.x + across * region.width
        for _ in range(2):
            for turn in range(12):
                for y in self._heights(region):
                    yield from self.point(x, y)
                    if re.search(what, self.under(area)) and (yield from self._rests_on(what, area, (x, y), (0, 1))):
                        self._places[what] = region.view2d.region_to_view(x - region.x, self._at[1] - region.y)
                        return
                seen = region.view2d.region_to_view(0, 0)
                for _ in range(8):
                    yield from self.press("WHEELDOWNMOUSE")
                yield from self.turns()
                if region.view2d.region_to_view(0, 0) == seen and turn:
                    break
            for _ in range(60):
                yield from self.press("WHEELUPMOUSE")
            yield from self.turns()
        raise AssertionError(f"There is no button {what} in the sidebar")

    def _heights(self, region: Any) -> list[int]:
        """Where to look in a sidebar: from the pointer down, as what comes next mostly lies there; then the rest."""
        all_of_it = list(range(region.y + region.height - _ROW, region.y + _ROW, -_ROW))
        there = region.x <= self._at[0] < region.x + region.width
        below = [y for y in all_of_it if there and y <= self._at[1] + 2 * _ROW]
        return below + all_of_it[: len(all_of_it) - len(below)]

    def beside(self, row: str, what: str, area: str = "VIEW_3D") -> Steps:
        """Points at a button in the same row as another, to the right of it."""
        yield from self.find(row, area=area)
        region, y = self.region("UI", area), self._at[1]
        for x in range(self._at[0], region.x + region.width, _ROW):
            yield from self.point(x, y)
            if re.search(what, self.under(area)) and (yield from self._rests_on(what, area, (x, y), (-1, 0))):
                return
        raise AssertionError(f"There is no button {what} beside {row}")

    def _rests_on(self, what: str, area: str, place: tuple[float, float], back: tuple[int, int]) -> Steps:
        """Whether the pointer is still on what was found once Blender has come to rest: what is lit may be one move
        behind. Then it goes back, half a step at a time."""
        for half in range(3):
            yield from self.point(*(at + half * sign * _ROW / 2 for at, sign in zip(place, back, strict=True)))
            yield from self.turns(3)
            if re.search(what, self.under(area)):
                return True
        return False

    def click(self, what: str = "", **where: Any) -> Steps:
        """Clicks a button of the sidebar, or where the pointer is."""
        if what:
            yield from self.find(what, **where)
        yield from self.press("LEFTMOUSE")
        yield from self.turns()

    def drag(self, what: str, by: int, steps: int = 8, **where: Any) -> Steps:
        """Drags a slider sideways by so many pixels."""
        yield from self.find(what, **where)
        x, y = self._at
        self.send("LEFTMOUSE", "PRESS")
        yield
        for k in range(1, steps + 1):
            yield from self.point(x + by * k / steps, y)
            yield from self.turns(2)
        self.send("LEFTMOUSE", "RELEASE")
        yield from self.turns()

    def open_panel(self, name: str, above: str, area: str = "VIEW_3D") -> Steps:
        """Opens a closed panel by clicking its header, which lies somewhere below the button `above`."""
        yield from self.turns()
        if self._is_open(name):
            return
        yield from self.find(above, area=area)
        x, top = self.region("UI", area).x + 60, self._at[1]
        for y in range(top - 10, self.region("UI", area).y, -10):
            yield from self.point(x, y)
            if self.under(area):
                continue
            before = self._open_panels()
            yield from self.press("LEFTMOUSE")
            yield from self.turns(3)
            self.region("UI", area).tag_redraw()
            yield from self.turns()
            if self._is_open(name):
                self._places.clear()
                return
            if self._open_panels() != before:
                yield from self.press("LEFTMOUSE")
                yield from self.turns()
        raise AssertionError(f"There is no header of {name} below {above}")

    def _open_panels(self) -> set[str]:
        return {name for name, when in self.drawn.items() if when >= max(self.drawn.values()) - 1}

    def _is_open(self, name: str) -> bool:
        return name in self._open_panels()

    # -- pictures

    def shot(self, name: str, crop: str = "", area: str = "VIEW_3D", rest: bool = True, above: str = "") -> Steps:
        """Takes a picture of the window, or of one region of it, from a little above a button on. The time that this
        takes is nobody's but the test's."""
        began, worked = time.monotonic(), time.process_time()
        top = 0
        if above:
            yield from self._find(above, 0.35, area)
            top = self._at[1] + _ABOVE
        if rest:
            yield from self.rest(area)
        for one in self.window.screen.areas:
            one.tag_redraw()
        yield from self.turns(2 * CALM)
        framebuffer = os.environ.get("ARTALK_FRAMEBUFFER")
        if framebuffer:
            shutil.copy(framebuffer, self.out / f"{name}.xwd")
        else:
            with bpy.context.temp_override(window=self.window):
                bpy.ops.screen.screenshot(filepath=str(self.out / f"{name}.png"))
        width, height = self.window.width, self.window.height
        box = (0, 0, width, height)
        if crop:
            region = self.region(crop, area)
            top = min(top or height, region.y + region.height)
            box = (region.x, height - top, region.x + region.width, height - region.y)
        self.facts["pictures"][name] = box
        self.photographed += time.monotonic() - began
        self.worked_besides += time.process_time() - worked

    # -- the end

    def save_facts(self) -> None:
        stretches = sorted(self.facts.pop("stretches_ms"), reverse=True)
        self.facts["longest_ms"] = [round(value, 1) for value in stretches[:10]]
        self.facts["modal_calls"] = len(stretches)
        (self.out / "facts.json").write_text(json.dumps(self.facts, indent=1))


def region_point(region: Any, place: tuple[float, float]) -> tuple[float, float]:
    """Pixels of the window of a place in a sidebar that may have been scrolled since."""
    x, y = region.view2d.view_to_region(*place, clip=False)
    return region.x + x, region.y + y


def time_jobs(desk: Desk) -> None:
    """Notes how long each call holds Blender in which a job of the extension does something."""
    job = extension("worker.job")

    def note(began: float) -> None:
        desk.facts.get("stretches_ms", []).append(1000.0 * (time.perf_counter() - began))

    step, start = job.ModalJob.modal, job.ModalJob.run

    # Blender counts the parameters of what it calls, so they are all named
    def modal(self: Any, context: Any, event: Any) -> Any:
        began = time.perf_counter()
        try:
            return step(self, context, event)
        finally:
            note(began)

    def run(self: Any, context: Any, modal: bool) -> Any:
        began = time.perf_counter()
        try:
            return start(self, context, modal)
        finally:
            note(began)

    job.ModalJob.modal, job.ModalJob.run = modal, run


def watch_panels(desk: Desk) -> None:
    """Notes which panels are drawn: closed ones are not."""
    count = [0]

    def watched(cls: type) -> None:
        draw = cls.draw  # type: ignore[attr-defined]
        name = cls.__name__.removeprefix("ARTALK_PT_")

        def call(self: Any, context: Any) -> None:
            count[0] += name.endswith("main")
            desk.drawn[name] = count[0]
            draw(self, context)

        cls.draw = call  # type: ignore[attr-defined]

    for cls in extension("ui.panels").CLASSES:
        watched(cls)


def main() -> None:
    arguments = sys.argv[sys.argv.index("--") + 1:]
    scenario, out = arguments[0], Path(arguments[1])
    desk = Desk(out, arguments[2:])
    preferences = bpy.context.preferences
    preferences.view.show_splash = False
    preferences.use_preferences_save = False
    preferences.view.filebrowser_display_type = "SCREEN"
    time_jobs(desk)
    watch_panels(desk)
    steps = getattr(importlib.import_module("desktop_scenarios"), scenario)(desk)
    clipboard: list[str] = []

    def turn() -> float | None:
        if not clipboard:
            clipboard.append(bpy.context.window_manager.clipboard)
        try:
            next(steps)
            return 0.0
        except StopIteration:
            bpy.context.window_manager.clipboard = clipboard[0]
            desk.save_facts()
            bpy.ops.wm.quit_blender()
        except BaseException:
            desk.facts["failure"] = traceback.format_exc()
            traceback.print_exc()
            steps_of_failure = desk.shot("failure", rest=False)
            bpy.app.timers.register(lambda: _fail(desk, steps_of_failure), persistent=True)
        return None

    bpy.app.timers.register(turn, first_interval=0.5, persistent=True)


def _fail(desk: Desk, steps: Steps) -> float | None:
    try:
        next(steps)
        return 0.0
    except StopIteration:
        pass
    desk.save_facts()
    sys.stdout.flush()
    os._exit(1)  # a dialog may be open


if __name__ == "__main__":
    sys.modules["desktop_driver"] = sys.modules["__main__"]  # for the scenarios, which use what is here
    try:
        main()
    except BaseException:
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)  # else the window stays open
