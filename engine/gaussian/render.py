# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion + avatar -> a folder of PNG frames that say what they are. Importing this module imports no torch.

Three kinds of avatar: `default`, grown on the default head; a `.ply` of splats that ride on a head; a published
GAGAvatar folder, as it is or followed by a photo's name, which needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
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
from ..flame.model import FlameModel
from ..flame.skinning import motion_vertices
from .grown import grow_from_file
from .ply import read_rigged_ply
from .png import png_bytes
from .rasterize import rasterize_with_alpha
from .rigged import RiggedSplats, camera

Floats = NDArray[np.float32]

NETWORK_FILE, PHOTOS_FILE, HEAD_FILE = "GAGAvatar.pt", "tracked.pt", "FLAME_with_eye.pt"
LARGEST = 4096
_CENTRE = (0.0, -0.03, 0.0)     # between a head's crown and its neck, metres
_FRAMES_AT_ONCE = 64


class Playable(Protocol):
    """What can be rendered: pictures (4,size,size), straight alpha, 0 to 1, of a motion's frames."""

    def frames(self, motion: Floats, start: int = 0, stop: int | None = None, size: int = 512) -> Iterator[Floats]:
        """From `start` to before `stop`."""

    def previews(self, motion: Floats, start: int = 0, stop: int | None = None, size: int = 256) -> Iterator[Floats]:
        """The same, coarsely and fast."""


@dataclass(frozen=True)
class LoadedAvatar:
    """An avatar with where it comes from."""

    name: str
    sha256: str
    player: Playable


class RiggedAvatar:
    """Splats on a head, seen from its front. numpy, and whatever draws."""

    def __init__(self, head: FlameModel, splats: RiggedSplats) -> None:
        self.head, self.splats = head, splats

    def frames(self, motion: Floats, start: int = 0, stop: int | None = None, size: int = 512) -> Iterator[Floats]:
        """Pictures (4,size,size): red, green, blue (sRGB), straight alpha, 0 to 1."""
        stop = len(motion) if stop is None else stop
        view, K = camera(size, _CENTRE)
        for first in range(start, stop, _FRAMES_AT_ONCE):
            for vertices in motion_vertices(self.head, motion[first : min(first + _FRAMES_AT_ONCE, stop)]):
                means, quats, scales = self.splats.posed(vertices, self.head.faces)
                image, alpha = rasterize_with_alpha(means, quats, scales, self.splats.opacities, self.splats.colors,
                                                    view, K, (size, size))
                yield straight(image, alpha)

    def previews(self, motion: Floats, start: int = 0, stop: int | None = None, size: int = 256) -> Iterator[Floats]:
        """The same: there is nothing to leave out but pixels."""
        return self.frames(motion, start, stop, size)


def straight(image: Floats, alpha: Floats) -> Floats:
    """A picture (3,H,W) over black and what is hidden (H,W) -> (4,H,W) with colours as they are without the black."""
    return np.concatenate([image / np.maximum(alpha, 1e-6), alpha[None]]).clip(0, 1)


def load_avatar(avatar: str, head: Path | None = None, device: str = "auto", precision: str = "fp32") -> LoadedAvatar:
    """The avatar that a person names. Raises EngineError in one sentence where there is none."""
    check_choice(device, precision)
    if avatar == "default":
        model, splats = grow_from_file(head or DEFAULT_HEAD)
        return LoadedAvatar("default", model.sha256, RiggedAvatar(model, splats))
    path = Path(avatar).expanduser()
    if path.suffix.lower() == ".ply":
        model = read_flame(head or DEFAULT_HEAD)
        return LoadedAvatar(path.name, _sha256(path) if path.is_file() else "",
                            RiggedAvatar(model, read_rigged_ply(path, len(model.faces))))
    return _load_published(path, head, device, precision)


def _load_published(path: Path, head: Path | None, device: str, precision: str) -> LoadedAvatar:
    """`FOLDER` or `FOLDER/PHOTO`: a photo's name is no file, it is looked up in `tracked.pt`."""
    folder, photo_name = (path, "") if path.is_dir() else (path.parent, path.name)
    if not (folder / NETWORK_FILE).is_file():
        raise EngineError(f"There is no avatar “{path}”.", f"Name a .ply, a folder with {NETWORK_FILE}, or default.")
    check_torch(NETWORK_FILE)
    from .avatar import Avatar
    from .weights import load_avatar_network, photo_of, read_photos

    chosen = choose_device(device)
    check_precision(precision, chosen)
    set_threads()
    entries = read_photos(folder / PHOTOS_FILE)
    photo = photo_of(entries, photo_name or next(iter(entries)), PHOTOS_FILE)
    found = [place / HEAD_FILE for place in (folder, folder.parent) if (place / HEAD_FILE).is_file()]
    if head is None and not found:
        raise EngineError(f"There is no {HEAD_FILE} in “{folder}” or beside it.",
                          "Put it there, or name a FLAME file with --head.")
    model = read_flame(head or found[0])
    with memory_in_a_sentence():
        network = load_avatar_network(folder / NETWORK_FILE, chosen)
        player = Avatar(network, photo, model, precision)
    return LoadedAvatar(f"GAGAvatar {photo.name}", _sha256(folder / NETWORK_FILE), player)


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
                  preview: bool = False, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Path]:
    """Writes frames `start` to before `stop` as `00000.png` and so on; returns their files.

    Every file is whole or not there: what was written stays when a later one fails. An older file of the same name
    is replaced, others are left alone.
    """
    check_size(size)
    _make_folder(folder)
    play = avatar.player.previews if preview else avatar.player.frames
    written: list[Path] = []
    for frame, picture in enumerate(play(motion.motion, start, stop, size), start):
        path = folder / f"{frame:05d}.png"
        pixels = np.ascontiguousarray((picture.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))
        try:
            with replacing(path) as file:
                file.write(png_bytes(pixels, provenance(motion, avatar, frame)))
        except EngineError as error:
            raise EngineError(f"{error.message} The {len(written)} frames before it are finished.",
                              f"{error.remedy} Go on with --frames {frame}:{stop}.", code=error.code) from None
        written.append(path)
        progress(len(written), stop - start)
    return written


def check_size(size: int) -> None:
    """Raises EngineError for pixels along a side that can't be had."""
    if not 16 <= size <= LARGEST:
        raise EngineError(f"Frames of {size} pixels can't be made.", f"Choose a size from 16 to {LARGEST}.")


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
    details: dict[str, Any] = {
        "synthetic": True, "avatar": avatar.name, "avatar_sha256": avatar.sha256, "motion_model": motion.model,
        "motion_version": motion.version, "version": __version__, "frame": frame, "fps": motion.fps,
    }
    return {
        "Software": f"ARTalk for Blender {__version__}",
        "Source": "synthetic",
        "Description": f"Synthetic: computed from speech and the avatar “{avatar.name}”, no recording of a person.",
        "Comment": json.dumps(details),
    }
