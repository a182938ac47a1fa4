# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's splats as they stand, as `.ply` files for programs that draw splats themselves, Blender's own among them.

The files are the common ones of 3D Gaussian splatting, in the scene's world space, metres and Z up. The engine writes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import bpy

from ..engine.gaussian import guard
from ..errors import ArtalkError
from ..head.handle import find_head
from ..preferences import read_preferences
from ..runner import Work
from ..worker.job import Job, shared_client
from .camera import places_in_steps
from .rendering import find_again, key_of, shown
from .session import chosen_avatar, message_of, played_in_steps


class SplatHandover:
    """Frames `first` to `last` of the context's head to `path`; where they are several, each with its number."""

    def __init__(self, context: Any, path: Path, first: int, last: int) -> None:
        head = find_head(context)
        if head is None:
            raise ArtalkError("There is no head.", "Select one, or add one with Add > ARTalk Head.")
        if path.suffix.lower() != ".ply":
            raise ArtalkError(f"“{path.name}” must end in .ply.", f"Name it “{path.stem or 'splats'}.ply”.")
        if not path.parent.is_dir():
            raise ArtalkError(f"There is no folder “{path.parent}”.", "Make it, or choose another.", "bad_output")
        if last < first:
            raise ArtalkError("The range ends before it begins.", "Set its first and last frame.")
        self._avatar = chosen_avatar(context.scene, head)
        self._armature, self._scene = key_of(head), context.scene.name
        self._first, self._last = first, last
        self._python = read_preferences(context).engine_python
        numbered = (path.with_name(f"{path.stem}_{frame:05d}.ply") for frame in range(first, last + 1))
        self.paths = [path] if first == last else list(numbered)

    def work(self, job: Job) -> Work[list[Path]]:
        """Writes the files; each is whole or not there."""
        job.alone = True
        try:
            head, scene = find_again(self._armature), bpy.data.scenes[self._scene]
            if head is None:
                raise ArtalkError("The head is gone.", "Add it again and export once more.")
            played = yield from shown(job, "Reading the head", played_in_steps(head, scene, self._first, self._last))
            head, scene = find_again(self._armature), bpy.data.scenes[self._scene]
            if head is None:
                raise ArtalkError("The head is gone.", "Add it again and export once more.")
            places = yield from shown(job, "Reading the head", places_in_steps(
                scene, head, self._first, self._last, None))
            del head, scene
        finally:
            job.alone = False
        fields = {"mode": "splats", "paths": [str(path) for path in self.paths]}
        client = shared_client(self._python)
        message = message_of(self._avatar, played, None, fields, {"placement": places.placements})
        request = yield partial(client.render, *message)
        yield from job.follow(client, request, "Writing splats")
        job.say(f"Wrote {len(self.paths)} files of splats to “{self.paths[0].parent}”." if len(self.paths) > 1
                else f"Wrote the splats to “{self.paths[0].name}”.")
        if text := guard.sentence(self._first + index for index in sorted(request.outside)):
            job.say(text, "WARNING")
        return self.paths
