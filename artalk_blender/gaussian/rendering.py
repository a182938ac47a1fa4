# SPDX-License-Identifier: GPL-3.0-or-later
"""The avatar's frames of a head's motion, as files; only those that changed are rendered, in slices like generation.py.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import bpy
import numpy as np
from numpy.typing import NDArray

from ..animation.nla import playing_take
from ..animation.read_head import animated_range
from ..animation.take_data import TAKE_KEY
from ..engine.gaussian import guard, pixels
from ..engine.gaussian.render import identify, said_of
from ..engine.gaussian.shot import Played, Shot
from ..errors import ArtalkError, EngineError
from ..head.handle import Head, find_head, head_of
from ..preferences import read_preferences
from ..runner import AGAIN, Work
from ..worker.client import Request
from ..worker.job import Job, shared_client
from .cache import FrameCache, digests
from .camera import places_in_steps, scene_size
from .properties import EXR, SCENE_CAMERA
from .session import ask, chosen_avatar, frames_folder, played_in_steps, take_name, wanted_range

Result = TypeVar("Result")
HeadKey = tuple[str, str | None]
_MOST_AT_ONCE, _BYTES_AT_ONCE = 64, 256 << 20       # frames of one request: they wait in memory to be written
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class Rendered:
    """What came of it: where the frames lie, scene frames first to last, how many were new, which were softened."""

    folder: Path
    first: int
    last: int
    new: int
    outside: list[int]


class AvatarRender:
    """One render, from what the context has when it begins. Raises ArtalkError where there is nothing to render."""

    def __init__(self, context: Any) -> None:
        scene, head = context.scene, find_head(context)
        if head is None:
            raise ArtalkError("There is no head.", "Select one, or add one with Add > ARTalk Head.")
        settings = scene.artalk_avatar
        self.avatar = chosen_avatar(scene, head)
        self.first, self.last = wanted_range(scene, head)
        if not 0 <= self.last - self.first < _MOST_FRAMES:
            raise ArtalkError("The range to render ends before it begins, or has more than a million frames.",
                              "Set its first and last frame.")
        self._since = self.first
        if self.avatar.remembers and (played := animated_range(head)) is not None:
            self._since = min(self.first, int(np.floor(played[0])))     # so that every range gives the same frames
        self._scene, self._armature = scene.name, key_of(head)
        self._size = scene_size(scene) if settings.camera == SCENE_CAMERA else (settings.size, settings.size)
        self._by_scene = settings.camera == SCENE_CAMERA
        self._form = pixels.EXR if settings.format == EXR else pixels.PNG
        self._mark = bool(settings.mark)
        self._python = read_preferences(context).engine_python
        folder, self._kept = frames_folder(self.avatar, take_name(head))
        self.cache = FrameCache(folder, self._form)
        self._facts = _facts_of(head)
        self._about: dict[int, tuple[str, dict[str, Any]]] = {}
        self._sha256 = ""
        self._new = 0

    def work(self, job: Job) -> Work[Rendered]:
        """Renders what is not there yet; finished frames stay, however it ends."""
        played, shot = yield from self._read(job)
        job.show("Looking at the frames that are there")
        stale = yield partial(self._stale, played, shot)
        try:
            for start in range(0, len(stale), self._at_once(shot)):
                yield from self._render(job, played, shot, stale[start : start + self._at_once(shot)], len(stale))
        finally:
            if self._new:
                self.cache.save()
        outside = yield self._outside
        self._tell(job, len(stale), outside)
        return Rendered(self.cache.folder, self.first, self.last, self._new, outside)

    def _read(self, job: Job) -> Work[tuple[Played, Shot]]:
        """What is played from where; nothing else is let through meanwhile, which would meet a scene of our own."""
        job.alone = True
        try:
            head, scene = self._find()
            played = yield from shown(job, "Reading the head", played_in_steps(head, scene, self._since, self.last))
            if not self._by_scene:
                return played, Shot(*self._size)
            head, scene = self._find()
            places = yield from shown(job, "Reading the camera", places_in_steps(
                scene, head, self._since, self.last, self._size))
            return played, Shot(*self._size, views=places.views, Ks=places.Ks)
        finally:
            job.alone = False

    def _find(self) -> tuple[Head, Any]:
        scene = bpy.data.scenes.get(self._scene)
        head = find_again(self._armature)
        if scene is None or head is None:
            raise ArtalkError("The head is gone.", "Add it again and render once more.")
        return head, scene

    def _stale(self, played: Played, shot: Shot) -> list[int]:
        """The scene frames that have to be rendered. Needs no Blender data."""
        self._sha256, fingerprint = identify(self.avatar.path, self.avatar.head_path)
        about = {"form": self._form, "mark": self._mark}
        found = digests(played, shot, fingerprint, about, self.avatar.remembers)
        for frame in range(self.first, self.last + 1):
            self._about[frame] = found[frame - self._since], {"frame": frame, "fps": played.rate, **self._facts}
        stale = [frame for frame, (digest, _) in self._about.items() if not self.cache.is_fresh(frame, digest)]
        self.cache.make(stale)
        return stale

    @staticmethod
    def _at_once(shot: Shot) -> int:
        return max(1, min(_MOST_AT_ONCE, _BYTES_AT_ONCE // (shot.width * shot.height * 8)))

    def _render(self, job: Job, played: Played, shot: Shot, frames: list[int], total: int) -> Work[None]:
        """Asks for some frames, and writes each as it comes."""
        client = shared_client(self._python)
        dtype = "float16" if self._form == pixels.EXR else "uint8"
        indices = [frame - self._since for frame in frames]
        request = yield partial(ask, client, self.avatar, played, shot, indices, dtype, self._mark)

        def write() -> Work[None]:
            while request.pictures:
                index = min(request.pictures)
                yield partial(self._write, request, index, request.pictures.pop(index))
            if request.cancel_asked is None:
                job.show(f"Rendering: {self._new} of {total}", self._new / total)

        job.show("Starting the engine" if client.pid is None else "Getting the avatar ready", self._new / total)
        yield from job.follow(client, request, "Rendering", write)
        yield from write()

    def _write(self, request: Request, index: int, image: NDArray[Any]) -> None:
        """One frame's file. Needs no Blender data."""
        frame, outside = index + self._since, index in request.outside
        digest, facts = self._about[frame]
        texts = said_of(self.avatar.name, self._sha256, {**facts, "digest": digest, "outside": outside})
        try:
            self.cache.write(frame, pixels.file_bytes(image, texts), digest, outside)
        except EngineError as error:
            raise ArtalkError(f"{error.message} The {self._new} frames before it are finished.",
                              "Free some space and render again: it goes on from there.", error.code) from None
        self._new += 1

    def _outside(self) -> list[int]:
        entries = ((frame, self.cache.entry(frame)) for frame in range(self.first, self.last + 1))
        return [frame for frame, entry in entries if entry is not None and entry.outside]

    def _tell(self, job: Job, new: int, outside: list[int]) -> None:
        total = self.last - self.first + 1
        job.say(f"Rendered {new} of {total} frames; they lie in “{self.cache.folder}”." if new
                else f"All {total} frames were there already, in “{self.cache.folder}”.")
        if text := guard.sentence(outside):
            job.say(text, "WARNING")
        if not self._kept:
            job.say("The file isn't saved: the frames lie in a temporary folder until Blender ends.", "WARNING")


def key_of(head: Head) -> HeadKey:
    """What finds a head again later: its armature's name, and the library that it is linked from."""
    library = head.armature.library
    return head.armature.name, library.filepath if library is not None else None


def find_again(key: HeadKey) -> Head | None:
    """The head of a key, where it is still there."""
    return head_of(bpy.data.objects.get(key))


def _facts_of(head: Head) -> dict[str, Any]:
    """Where the motion comes from, for the files' metadata."""
    take = playing_take(head)
    if take is None:
        return {"head": head.name}
    about = take[TAKE_KEY]
    named = {name: str(about.get(name, "")) for name in ("model_name", "model_sha256", "audio_name", "audio_sha256")}
    return {"take": take.name, **named}


def shown(job: Job, what: str, steps: Generator[float, None, Result]) -> Work[Result]:
    """A generator of short steps as work that says how far it is."""
    try:
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            job.show(f"{what}: {round(100 * done)} %", done)
            yield AGAIN
    finally:
        steps.close()
