# SPDX-License-Identifier: GPL-3.0-or-later
"""The avatar in the 3D view while one works: it follows the head at the current frame, in scrubbing and playback.

A timer looks at what the head shows now, asks the worker for a picture of just that (preview_plan.py decides when), and
takes in what has come; it never waits. A draw handler draws the picture that there is. Rendered frames that still fit
the head are read from disk instead. From the avatar's camera the picture lies in the corner of the view; from the
scene's it lies where the head stands, as the view sees it. Pictures are drawn as they are, in the screen's colours,
over the view, so no view transform touches them. In background there is no preview.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..engine.gaussian.render import identify
from ..engine.gaussian.shot import SMALLEST, Played, Shot
from ..errors import EngineError
from ..head.handle import find_head
from ..preferences import read_preferences
from ..report import note_problem
from ..runner import Runner, Work
from ..worker.client import Request
from ..worker.job import is_busy, shared_client
from .cache import FrameCache, digests
from .frame_reader import FrameReader
from .preview_draw import Screen, Shown
from .preview_plan import PictureCache, Planner, Wish
from .properties import EXR, SCENE_CAMERA
from .session import Avatar, ask, chosen_avatar, frames_folder, played_now, take_name

_TICK = 1 / 30
_COARSE, _FULL = 256, 1024  # pixels along the longer side
_AHEAD = 8  # frames that are read before they are shown
_FAR = 100.0  # metres
_TO_PIXELS_DOWN = np.diag((1.0, -1.0, -1.0, 1.0))  # Blender looks along -z with +y up


@dataclass(frozen=True)
class View:
    """How a 3D view looks at the world: matrices (4,4), pixels."""

    view: np.ndarray
    window: np.ndarray
    size: tuple[int, int]


def shot_through(view: View, placement: np.ndarray, longest: int, coarse: bool) -> Shot:
    """A shot of a head that stands at `placement` (4,4), as a 3D view sees it, at most so many pixels along the longer
    side. An orthographic view is seen from far away through as long a lens, where a head looks the same."""
    scale = min(1.0, longest / max(view.size))
    width, height = (max(SMALLEST, round(side * scale)) for side in view.size)
    lens, seen = view.window, (_TO_PIXELS_DOWN @ view.view @ placement).astype(np.float32)
    if lens[3, 3]:
        seen[2, 3] = _FAR
        K = np.array([[_FAR * lens[0, 0] * width / 2, 0, (1 + lens[0, 3]) * width / 2],
                      [0, _FAR * lens[1, 1] * height / 2, (1 - lens[1, 3]) * height / 2], [0, 0, 1]], np.float32)
        return Shot(width, height, coarse, seen, K)
    # Blender's window matrix: x and y in -1..1, -z forward
    K = np.array([[lens[0, 0] * width / 2, 0, (1 - lens[0, 2]) * width / 2],
                  [0, lens[1, 1] * height / 2, (1 + lens[1, 2]) * height / 2], [0, 0, 1]], np.float32)
    return Shot(width, height, coarse, seen, K)


class Preview:
    """The preview while it is on."""

    def __init__(self) -> None:
        self.planner = Planner()
        self.pictures: PictureCache[Shown] = PictureCache()
        self.reader = FrameReader()
        self.screen = Screen()
        self._request: Request | None = None
        self._client: Any = None
        self._avatar: Avatar | None = None
        self._naming: Runner | None = None  # finds out in a thread which files the avatar is
        self._disk: FrameCache | None = None
        self._played: Played | None = None
        self.changed = True  # whether the head may look different than at the last look
        self._broken: set[Any] = set()

    # -- what is seen

    def look(self) -> None:
        """One tick: takes in what has come, and asks for what is wanted now. Never waits."""
        self._take_in()
        window = next(iter(bpy.context.window_manager.windows), None)
        scene = window.scene if window is not None else None
        head = find_head(bpy.context) if scene is not None else None
        if head is None:
            self._show(None, "Avatar: select a head")
            return
        try:
            self._want(window, scene, head)
        except EngineError as error:
            self._show(None, str(error))

    def _want(self, window: Any, scene: Any, head: Any) -> None:
        avatar = chosen_avatar(scene, head)
        if avatar != self._avatar or self._naming is None:
            self._avatar, self._naming, self.planner.problem = avatar, Runner(_named(avatar)), ""
        if not self._naming.ended and not self._naming.advance(0.0):
            self._show(None, "Avatar: coming")
            return
        if self.changed or self._played is None:
            self._played, self.changed = played_now(head, window.view_layer.depsgraph), False
        played = self._played
        place = (self.screen.find(window), np.array(head.armature.matrix_world))
        by_scene = scene.artalk_avatar.camera == SCENE_CAMERA
        if by_scene and place[0] is None:
            self._show(None, "Avatar: open a 3D view")
            return
        shot = self._shot(scene, place, False)
        frame = scene.frame_current
        key = digests(played, shot, self._naming.result, self._about(scene))[0]
        reading = not by_scene and self._read_ahead(scene, head, avatar, key, frame)
        playing = any(one.screen.is_animation_playing for one in bpy.context.window_manager.windows)
        busy = is_busy() or bpy.app.is_job_running("RENDER")
        wish = self.planner.next(key, frame, time.monotonic(), playing, busy, self.pictures, reading)
        if wish is not None:
            self._ask(wish, avatar, played, self._shot(scene, place, wish.coarse))
        picture = self.pictures.get((key, False)) or self.pictures.get((key, True))
        self._show(picture, self.planner.state, keep=picture is None, whole=by_scene)

    @staticmethod
    def _about(scene: Any) -> dict[str, Any]:
        """As rendering.py has it, so that frames on disk are known again."""
        settings = scene.artalk_avatar
        return {"form": "exr" if settings.format == EXR else "png", "mark": bool(settings.mark)}

    @staticmethod
    def _shot(scene: Any, place: tuple[View | None, np.ndarray], coarse: bool) -> Shot:
        settings = scene.artalk_avatar
        if settings.camera == SCENE_CAMERA and place[0] is not None:
            return shot_through(place[0], place[1], _COARSE if coarse else _FULL, coarse)
        side = min(_COARSE, settings.size) if coarse else settings.size
        return Shot(side, side, coarse)

    # -- where pictures come from

    def _ask(self, wish: Wish, avatar: Avatar, played: Played, shot: Shot) -> None:
        python = read_preferences(bpy.context).engine_python
        self._client = shared_client(python)
        self._request = ask(self._client, avatar, played, shot, mark=bool(bpy.context.scene.artalk_avatar.mark))
        self._request.quiet = True

    def _take_in(self) -> None:
        """What the worker and the disk have given since."""
        for key, pixels in self.reader.take():
            if pixels is None:
                self._broken.add(key)
            else:
                self.pictures.put((key, False), Shown(pixels), pixels.nbytes)
        request, wish = self._request, self.planner.asked
        if request is None or wish is None:
            return
        self._client.pump()
        if request.status is None:
            return
        self._request = None
        if request.pictures:
            pixels = request.pictures.pop(0)
            self.pictures.put((wish.key, wish.coarse), Shown(pixels), pixels.nbytes)
        if request.error is not None:
            note_problem(request.error)
            self.planner.failed(str(request.error))
        else:
            self.planner.answered()

    def _read_ahead(self, scene: Any, head: Any, avatar: Avatar, key: str, frame: int) -> bool:
        """Has the current frame read from disk if its file still fits, and those that come next; returns whether the
        current one is on its way."""
        folder, _ = frames_folder(avatar, take_name(head))
        form = self._about(scene)["form"]
        if self._disk is None or (self._disk.folder, self._disk.form) != (folder, form):
            self._disk = FrameCache(folder, form)
        wanted = []
        for number in range(frame, frame + 1 + _AHEAD):
            entry = self._disk.entry(number)
            digest = entry.digest if entry is not None else ""
            if digest and (digest, False) not in self.pictures and digest not in self._broken and (
                    number > frame or digest == key):
                wanted.append((digest, self._disk.path(number)))
        self.reader.wish(wanted)
        return any(digest == key for digest, _ in wanted)

    # -- the end

    def _show(self, picture: Shown | None, text: str, keep: bool = False, whole: bool = False) -> None:
        self.screen.show(picture, text, keep, whole)

    def close(self) -> None:
        """Lets go of the worker's request, the thread, pictures and the handler."""
        if self._request is not None:
            self._client.abandon(self._request)
            self._request = None
        self.reader.close()
        self.screen.close()
        self.pictures.clear()


def _named(avatar: Avatar) -> Work[str]:
    """What tells this avatar's files from any others, found in a thread: they may be large."""
    return (yield partial(identify, avatar.path, avatar.head_path))[1]


_preview: Preview | None = None


def is_on() -> bool:
    return _preview is not None


def current() -> Preview | None:
    """The preview that is on, for whoever wants to know how it does."""
    return _preview


def switch(on: bool) -> None:
    """Switches the preview on or off; in background it stays off."""
    global _preview
    if _preview is not None and not on:
        old, _preview = _preview, None
        old.close()
    elif _preview is None and on and not bpy.app.background:
        _preview = Preview()
        _preview.screen.open()
        bpy.app.timers.register(partial(_tick, _preview), first_interval=_TICK)


def _tick(preview: Preview) -> float | None:
    """What Blender calls again and again, until this preview is not the one that is on."""
    if preview is not _preview:
        return None
    _look(preview)
    return _TICK if preview is _preview else None


def _look(preview: Preview) -> None:
    try:
        preview.look()
    except ReferenceError:  # the head was just deleted: the next tick finds another, or none
        pass
    except Exception as error:  # noqa: BLE001  a bug of ours must not stop Blender thirty times a second
        note_problem(error)
        switch(False)


@persistent
def _note_change(*_: Any) -> None:
    """Anything was evaluated anew."""
    if _preview is not None:
        _preview.changed = True


@persistent
def _note_frame(scene: Any, *_: Any) -> None:
    """Another frame: a picture that is there already is drawn with it, and not by drawing all of the view again."""
    if _preview is None:
        return
    _preview.changed = True
    windows = bpy.context.window_manager.windows
    if not bpy.app.is_job_running("RENDER") and any(window.scene == scene for window in windows):
        _look(_preview)


@persistent
def _off(*_: Any) -> None:
    """Another file: what was shown belongs to the old one."""
    switch(False)


_HANDLERS = (("load_pre", _off), ("frame_change_post", _note_frame), ("depsgraph_update_post", _note_change))


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    switch(False)
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
