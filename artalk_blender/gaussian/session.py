# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender asks of the worker for an avatar: which one, the head's motion at scene frames, a request for pictures.

Whoever shows frames needs this module and `cache.py`:

    avatar = chosen_avatar(scene, head)
    played = yield from played_in_steps(head, scene, first, last)       # as it really plays, at scene frames
    played = played_at(head, scene, frame)                              # one of them
    played = played_now(head, depsgraph)                                # what the head looks like at this moment
    request = ask(client, avatar, played, Shot(256, 256, coarse=True))  # request.pictures: index -> (H,W,4)
    folder, kept = frames_folder(avatar, take_name(head))
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..animation.nla import playing_take
from ..animation.read_head import HeadMotion, animated_range, read_head, read_in_steps, read_now
from ..audio.strip import scene_rate
from ..engine.gaussian.render import HEAD_FILE, NETWORK_FILE
from ..engine.gaussian.shot import Played, Shot
from ..errors import ArtalkError
from ..head.handle import Head
from ..head.identity import built_identity
from ..head.source import model_path
from ..motion.layout import MOTION_FPS
from ..preferences import read_preferences
from ..worker.client import Request, WorkerClient
from .properties import DEFAULT, FILE, TAKE_RANGE

FOLDER = "artalk_frames"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Avatar:
    """One that was chosen: how people call it, what the worker is told (engine/gaussian/render.py), its head's file.

    `remembers`: whether a frame depends on the ones before it, as GAGAvatar's forehead does.
    """

    name: str
    path: str
    head: str = ""
    remembers: bool = False

    @property
    def head_path(self) -> Path | None:
        return Path(self.head) if self.head else None


def chosen_avatar(scene: Any, head: Head) -> Avatar:
    """The scene's avatar for a head. Raises ArtalkError where it is not there."""
    settings = scene.artalk_avatar
    if settings.avatar == DEFAULT:
        return Avatar("default", "default", str(model_path(head)))
    if settings.avatar == FILE:
        path = Path(bpy.path.abspath(settings.file))
        if not settings.file or path.suffix.lower() != ".ply":
            raise ArtalkError("No .ply of splats is chosen.", "Choose one under Avatar, or take the default avatar.")
        if not path.is_file():
            raise ArtalkError(f"There is no avatar file “{path}”.", "Choose it again under Avatar.")
        return Avatar(path.stem, str(path), str(model_path(head)))
    folder = Path(bpy.path.abspath(settings.folder))
    if not settings.folder or not (folder / NETWORK_FILE).is_file():
        raise ArtalkError(f"There is no {NETWORK_FILE} in the folder “{settings.folder}”.",
                          "Choose the published folder under Avatar, or take the default avatar.")
    beside = any((place / HEAD_FILE).is_file() for place in (folder, folder.parent))
    name, flame = settings.photo.strip(), read_preferences(bpy.context).head
    if not beside and not flame:
        raise ArtalkError(f"There is no {HEAD_FILE} in “{folder}” or beside it.",
                          "Put it there, or choose a FLAME head in the preferences.")
    return Avatar(f"GAGAvatar {name}".strip(), str(folder / name) if name else str(folder), "" if beside else flame,
                  remembers=True)


def why_no_avatar(scene: Any) -> str:
    """Why the scene's avatar can't be rendered, for a button, in one sentence; empty where it seems to be there."""
    settings = scene.artalk_avatar
    if settings.avatar == FILE and not settings.file:
        return "Choose a .ply of splats under Avatar"
    if settings.avatar not in (DEFAULT, FILE) and not settings.folder:
        return "Choose the folder of GAGAvatar.pt under Avatar"
    return ""


# -- what it plays


def wanted_range(scene: Any, head: Head) -> tuple[int, int]:
    """First and last scene frame that the settings ask for. Raises ArtalkError where nothing is animated."""
    if scene.artalk_avatar.range != TAKE_RANGE:
        if scene.use_preview_range:
            return scene.frame_preview_start, scene.frame_preview_end
        return scene.frame_start, scene.frame_end
    found = animated_range(head)
    if found is None:
        raise ArtalkError(f"Nothing is animated on “{head.name}”.", "Generate motion first, or render the scene range.")
    return int(np.floor(found[0])), int(np.ceil(found[1]))


def played_in_steps(head: Head, scene: Any, first: int, last: int) -> Generator[float, None, Played]:
    """What the head plays at the scene frames `first` to `last`, both included: hand edits, tuning, NLA and all.

    In short steps, like `read_in_steps`; yields the part that is done.
    """
    rate, shape = scene_rate(scene), _identity(head)
    # a step of a scene frame, where it otherwise takes one of the motion's
    read = yield from read_in_steps(head, scene, first, last, MOTION_FPS)
    return _played(read, rate, shape)


def played_at(head: Head, scene: Any, frame: int) -> Played:
    """The one frame, read as `played_in_steps` reads it, so that it has the same digest."""
    return _played(read_head(head, scene, frame, frame, MOTION_FPS), scene_rate(scene), _identity(head))


def played_now(head: Head, depsgraph: Any) -> Played:
    """One frame: what Blender has evaluated of the head, unkeyed changes too."""
    return _played(read_now(head, depsgraph), scene_rate(depsgraph.scene), _identity(head))


def _played(read: HeadMotion, rate: float, shape: NDArray[np.float32]) -> Played:
    return Played(read.motion, read.neck if read.neck_moves else None, read.eyes if read.eyes_move else None,
                  shape, rate)


def _identity(head: Head) -> NDArray[np.float32]:
    return built_identity(head).astype(np.float32)


# -- asking


def ask(client: WorkerClient, avatar: Avatar, played: Played, shot: Shot, frames: Sequence[int] | None = None,
        dtype: str = "uint8", mark: bool = False) -> Request:
    """Asks the worker for pictures of frames (indices into `played`; all where left out).

    dtype "uint8": sRGB, straight alpha; "float16": scene-linear, premultiplied. Top row first.
    """
    fields: dict[str, Any] = {"mode": "preview" if shot.coarse else "full", "size": [shot.width, shot.height],
                              "dtype": dtype, "mark": mark}
    arrays = {name: value for name, value in (("view", shot.views), ("K", shot.Ks)) if value is not None}
    return client.render(*message_of(avatar, played, frames, fields, arrays))


def message_of(avatar: Avatar, played: Played, frames: Sequence[int] | None, fields: dict[str, Any],
               arrays: dict[str, NDArray[np.float32]]) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Fields and arrays of a `render` request (engine/protocol.py)."""
    fields = {"avatar": avatar.path, "head": avatar.head, "fps": played.rate, **fields}
    if frames is not None:
        fields["frames"] = [int(frame) for frame in frames]
    parts = {"motion": played.motion, "neck": played.neck, "eyes": played.eyes, "shape": played.shape}
    return fields, {**{name: value for name, value in parts.items() if value is not None}, **arrays}


# -- where frames lie


def take_name(head: Head) -> str:
    """What the frames are called after: the take that plays, else the head."""
    take = playing_take(head)
    return str(take.name) if take is not None else head.name


def frames_folder(avatar: Avatar, take: str) -> tuple[Path, bool]:
    """The folder of an avatar's frames of a take, and whether it is kept: without a saved file it lies in Blender's
    temporary folder and goes when Blender ends."""
    name = f"{safe_name(avatar.name)}-{safe_name(take)}"
    if bpy.data.filepath:
        return Path(bpy.data.filepath).parent / FOLDER / name, True
    return Path(bpy.app.tempdir) / FOLDER / name, False


def safe_name(name: str) -> str:
    """A name as part of a folder's on every system; where it had to change, different names stay different."""
    plain = re.sub(r"[^\w.+ -]", "_", name).strip(" .")[:_LONGEST_NAME].rstrip(" .") or "unnamed"
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
