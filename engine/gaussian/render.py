# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion + avatar -> a folder of PNG frames that say what they are. Importing this module imports no torch.

Three kinds of avatar: `default`, grown on the default head; a `.ply` of splats that ride on a head; a published
GAGAvatar folder, as it is or followed by a photo's name, which needs torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import DEFAULT_HEAD
from ..device import check_choice, check_precision, check_torch, choose_device, memory_in_a_sentence, set_threads
from ..errors import EngineError
from ..files import MotionFile, replacing
from ..flame.file import read_flame
from .grown import grow_from_file
from .guard import Known, known_flame, known_of_head
from .pixels import PNG, file_bytes, marked, pixels_for
from .ply import read_rigged_ply
from .rigged_avatar import RiggedAvatar
from .shot import Played, Shot
from .splats import Splats

Floats = NDArray[np.float32]

NETWORK_FILE, PHOTOS_FILE, HEAD_FILE = "GAGAvatar.pt", "tracked.pt", "FLAME_with_eye.pt"


class Playable(Protocol):
    """What can be rendered: pictures (4,H,W), straight alpha, sRGB, 0 to 1, of a motion's frames."""

    def pictures(self, played: Played, shot: Shot, wanted: Sequence[int]) -> Iterator[Floats]:
        """One of each wanted frame, these ascending."""

    def splats_at(self, played: Played, frame: int) -> Splats:
        """A frame's Gaussians where the head is, metres, FLAME's axes."""


@dataclass(frozen=True)
class LoadedAvatar:
    """An avatar with where it comes from and what it knows."""

    name: str
    sha256: str
    player: Playable
    known: Known


def load_avatar(avatar: str, head: Path | None = None, device: str = "auto", precision: str = "fp32") -> LoadedAvatar:
    """The avatar that a person names. Raises EngineError in one sentence where there is none."""
    check_choice(device, precision)
    if avatar == "default":
        model, splats = grow_from_file(head or DEFAULT_HEAD)
        return LoadedAvatar("default", model.sha256, RiggedAvatar(model, splats), known_of_head(model.expression_names))
    path = Path(avatar).expanduser()
    if path.suffix.lower() == ".ply":
        model = read_flame(head or DEFAULT_HEAD)
        splats = read_rigged_ply(path, len(model.faces))
        return LoadedAvatar(path.name, _sha256(path), RiggedAvatar(model, splats),
                            known_of_head(model.expression_names))
    return _load_published(path, head, device, precision)


def _load_published(path: Path, head: Path | None, device: str, precision: str) -> LoadedAvatar:
    folder, photo_name = _published(path)
    check_torch(NETWORK_FILE)
    from .avatar import Avatar
    from .weights import load_avatar_network, photo_of, read_photos

    chosen = choose_device(device)
    check_precision(precision, chosen)
    set_threads()
    entries = read_photos(folder / PHOTOS_FILE)
    photo = photo_of(entries, photo_name or next(iter(entries)), PHOTOS_FILE)
    model = read_flame(_head_beside(folder, head))
    with memory_in_a_sentence():
        network = load_avatar_network(folder / NETWORK_FILE, chosen)
        player = Avatar(network, photo, model, precision)
    return LoadedAvatar(f"GAGAvatar {photo.name}", _sha256(folder / NETWORK_FILE), player, known_flame())


def _published(path: Path) -> tuple[Path, str]:
    """`FOLDER` or `FOLDER/PHOTO`: a photo's name is no file, it is looked up in `tracked.pt`."""
    folder, photo_name = (path, "") if path.is_dir() else (path.parent, path.name)
    if not (folder / NETWORK_FILE).is_file():
        raise EngineError(f"There is no avatar “{path}”.", f"Name a .ply, a folder with {NETWORK_FILE}, or default.")
    return folder, photo_name


def _head_beside(folder: Path, head: Path | None) -> Path:
    found = [place / HEAD_FILE for place in (folder, folder.parent) if (place / HEAD_FILE).is_file()]
    if head is None and not found:
        raise EngineError(f"There is no {HEAD_FILE} in “{folder}” or beside it.",
                          "Put it there, or name a FLAME file with --head.")
    return head or found[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_range(text: str | None, count: int) -> tuple[int, int]:
    """`A:B` -> (A, B): frames from A to before B, counted from 0; either may be left out."""
    if text is None:
        return 0, count
    first, colon, behind = text.partition(":")
    if not colon or not all(part == "" or part.isdecimal() for part in (first.strip(), behind.strip())):
        raise EngineError(f"“{text}” is no range of frames.", "Write A:B: from frame A to before frame B, from 0 on.")
    start, stop = int(first or 0), int(behind) if behind.strip() else count
    if not start < stop or stop > count:
        raise EngineError(f"The motion has no frames {text}: it has {count}.", f"Choose within 0:{count}.")
    return start, stop


def render_frames(motion: MotionFile, avatar: LoadedAvatar, folder: Path, size: int, start: int, stop: int,
                  preview: bool = False, progress: Callable[[int, int], None] = lambda done, total: None,
                  form: str = PNG, mark: bool = False) -> list[Path]:
    """Writes frames `start` to before `stop` as `00000.png` (or `.exr`) and so on; returns their files.

    Every file is whole or not there: what was written stays when a later one fails. An older file of the same name
    is replaced, others are left alone.
    """
    shot = Shot(size, size, preview)
    _make_folder(folder)
    written: list[Path] = []
    pictures = avatar.player.pictures(Played(motion.motion, rate=motion.fps), shot, range(start, stop))
    for frame, picture in enumerate(pictures, start):
        path = folder / f"{frame:05d}.{form}"
        pixels = pixels_for(form, marked(picture) if mark else picture)
        try:
            with replacing(path) as file:
                file.write(file_bytes(pixels, provenance(motion, avatar, frame)))
        except EngineError as error:
            raise EngineError(f"{error.message} The {len(written)} frames before it are finished.",
                              f"{error.remedy} Go on with --frames {frame}:{stop}.", code=error.code) from None
        written.append(path)
        progress(len(written), stop - start)
    return written


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise EngineError(f"“{folder}” is a file, not a folder.", "Name another folder.", code="bad_output")
    if not folder.parent.is_dir():
        raise EngineError(f"There is no folder “{folder.parent}”.", "Make it, or choose another.", code="bad_output")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise EngineError(f"The folder “{folder}” can't be made: {error.strerror}.", "Choose another.",
                          code="bad_output") from None


def provenance(motion: MotionFile, avatar: LoadedAvatar, frame: int) -> dict[str, str]:
    """What a frame's file says of itself."""
    return said_of(avatar.name, avatar.sha256, {"motion_model": motion.model, "motion_version": motion.version,
                                                "frame": frame, "fps": motion.fps})


def said_of(name: str, sha256: str, more: Mapping[str, Any]) -> dict[str, str]:
    """What a picture of an avatar says of itself, with further facts; keys are PNG's own."""
    details = {"synthetic": True, "avatar": name, "avatar_sha256": sha256, "version": __version__, **more}
    return {
        "Software": f"ARTalk for Blender {__version__}",
        "Source": "synthetic",
        "Description": f"Synthetic: computed from speech and the avatar “{name}”, no recording of a person.",
        "Comment": json.dumps(details),
    }


def identify(avatar: str, head: Path | None = None) -> tuple[str, str]:
    """(its main file's sha256 as in LoadedAvatar, one of all that its pictures come from), without loading it.

    Remembered while the files stay the same. Raises EngineError where they are not there.
    """
    parts = [__version__]
    path = Path(avatar).expanduser()
    if avatar == "default" or path.suffix.lower() == ".ply":
        files = [head or DEFAULT_HEAD] if avatar == "default" else [path, head or DEFAULT_HEAD]
        if avatar == "default" and files[0].with_suffix(".png").is_file():
            files.append(files[0].with_suffix(".png"))
    else:
        folder, photo = _published(path)
        files = [folder / NETWORK_FILE, folder / PHOTOS_FILE, _head_beside(folder, head)]
        parts.append(photo)
    found = []
    for file in files:
        if not file.is_file():
            raise EngineError(f"There is no avatar file “{file}”.", "Check the path.")
        status = file.stat()
        found.append(_remembered_sha256(file, status.st_mtime_ns, status.st_size))
    return found[0], hashlib.sha256("\n".join(parts + found).encode()).hexdigest()


@functools.lru_cache(maxsize=32)
def _remembered_sha256(path: Path, changed: int, size: int) -> str:
    return _sha256(path)
