# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's `render`: what is asked for is checked here, the avatar kept, pictures sent one by one.

No torch import; an avatar brings what it needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import protocol
from ..device import give_back_memory
from ..errors import EngineError
from ..protocol import Array, Message
from .guard import in_ranges, sentence
from .pixels import Floats, in_light, marked, on_screen
from .render import LoadedAvatar, load_avatar
from .shot import MOTION_RATE, Played, Shot

Send = Callable[[Message], None]
PICTURES, COARSE, SPLATS = "full", "preview", "splats"
_PIXELS: dict[str, Callable[[Floats], NDArray[Any]]] = {"uint8": on_screen, "float16": in_light}
_Answers = Iterator[tuple[dict[str, Any], dict[str, Array]]]


class AvatarDesk:
    """One avatar at a time, ready for the next request."""

    def __init__(self) -> None:
        self._avatar: LoadedAvatar | None = None
        self._key: tuple[Any, ...] = ()

    def drop(self) -> None:
        """Gives the avatar's memory back."""
        if self._avatar is not None:
            self._avatar, self._key = None, ()
            give_back_memory()

    def answer(self, request: Message, send: Send, is_cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Does a `render` request (protocol.py says what it may hold) and returns the fields of its `done`.

        Raises EngineError: `cancelled` where that was asked for between two frames, else what is wrong with it.
        """
        fields = request.fields
        played = Played(_needed(request, "motion"), _floats(request, "neck"), _floats(request, "eyes"),
                        _floats(request, "shape"), _number(fields, "fps", MOTION_RATE))
        mode = _choice(fields, "mode", PICTURES, (PICTURES, COARSE, SPLATS))
        wanted = _wanted(fields, len(played))
        shot = Shot(*_size(fields.get("size", 512)), mode == COARSE, _floats(request, "view"), _floats(request, "K"))
        shot.check_frames(len(played))
        made = partial(_files, request, _paths(fields, wanted)) if mode == SPLATS else partial(_pictures, request, shot)
        avatar = self._loaded(fields)
        played, outside = _guarded(avatar, played, wanted, bool(fields.get("guard", True)))
        started = time.perf_counter()
        answers = made(avatar, played, wanted)
        for done, frame in enumerate(wanted, 1):
            if is_cancelled():
                raise EngineError("Cancelled.", code="cancelled")
            about, arrays = next(answers)
            about |= {"index": frame, "outside": frame in outside}
            send(Message(protocol.FRAME, request.id, about, arrays))
            send(Message(protocol.PROGRESS, request.id, {"done": done, "total": len(wanted)}))
        if outside and "first_frame" in fields:
            first = int(_number(fields, "first_frame", 0))
            text = sentence(first + frame for frame in sorted(outside))
            send(Message(protocol.LOG, request.id, {"level": "warning", "text": text}))
        return {"frames": len(wanted), "seconds": time.perf_counter() - started, "avatar": avatar.name,
                "sha256": avatar.sha256, "outside": in_ranges(sorted(outside))}

    def _loaded(self, fields: dict[str, Any]) -> LoadedAvatar:
        """The avatar that the request names, or the one that is there where it is the same."""
        key = tuple(fields.get(name) or None for name in ("avatar", "head", "device", "precision"))
        for value in key:
            if value is not None and not isinstance(value, str):
                raise EngineError("An avatar is named by its path.")
        if self._avatar is None or key != self._key:
            self.drop()     # two at once may not fit
            name, head, device, precision = key
            self._avatar = load_avatar(name or "default", Path(head) if head else None, device or "auto",
                                       precision or "fp32")
            self._key = key
        return self._avatar


def _pictures(request: Message, shot: Shot, avatar: LoadedAvatar, played: Played, wanted: list[int]) -> _Answers:
    """One picture of every wanted frame."""
    dtype, mark = _choice(request.fields, "dtype", "uint8", tuple(_PIXELS)), bool(request.fields.get("mark", False))
    for picture in avatar.player.pictures(played, shot, wanted):
        pixels = _PIXELS[dtype](marked(picture) if mark else picture)
        yield {}, {"image": Array(dtype, pixels.shape, pixels.tobytes())}


def _files(request: Message, paths: list[Path], avatar: LoadedAvatar, played: Played, wanted: list[int]) -> _Answers:
    """One file of splats for every wanted frame."""
    places = _floats(request, "placement")
    for frame, path in zip(wanted, paths, strict=True):
        splats = avatar.player.splats_at(played, frame)
        if places is not None:
            splats = splats.placed(places if places.ndim == 2 else places[frame])
        splats.write(path, f"Synthetic: the avatar {avatar.name}, made by ARTalk for Blender")
        yield {"path": str(path)}, {}


def _guarded(avatar: LoadedAvatar, played: Played, wanted: list[int], guard: bool) -> tuple[Played, set[int]]:
    """What is played within what the avatar knows, and the wanted frames where it was not."""
    if not guard:
        return played, set()
    motion, outside = avatar.known.within(played.motion)
    return played.with_motion(motion), {frame for frame in wanted if outside[frame]}


def _floats(request: Message, name: str) -> Floats | None:
    array = request.arrays.get(name)
    if array is None:
        return None
    if array.dtype != "float32":
        raise EngineError(f"`{name}` must be float32.")
    return np.frombuffer(array.data, "<f4").reshape(array.shape).astype(np.float32)


def _needed(request: Message, name: str) -> Floats:
    value = _floats(request, name)
    if value is None or not len(value.shape) or not len(value):
        raise EngineError(f"The request holds no {name}.")
    return value


def _number(fields: dict[str, Any], name: str, default: float) -> float:
    value = fields.get(name, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise EngineError(f"`{name}` must be a number.")
    return float(value)


def _choice(fields: dict[str, Any], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = fields.get(name, default)
    if value not in choices:
        raise EngineError(f"`{name}` is “{value}”.", f"Choose one of {', '.join(choices)}.")
    return str(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(value: Any) -> tuple[int, int]:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2 or not all(map(_is_whole, pair)):
        raise EngineError("`size` must be a whole number, or two: width and height.")
    return pair[0], pair[1]


def _wanted(fields: dict[str, Any], count: int) -> list[int]:
    """Which of the motion's frames, ascending."""
    wanted = fields.get("frames", list(range(count)))
    if not isinstance(wanted, list) or not all(map(_is_whole, wanted)):
        raise EngineError("`frames` must be a list of whole numbers.")
    if any(not 0 <= frame < count for frame in wanted) or sorted(set(wanted)) != wanted:
        raise EngineError(f"`frames` must be ascending numbers of the motion's {count} frames.")
    return wanted


def _paths(fields: dict[str, Any], wanted: list[int]) -> list[Path]:
    paths = fields.get("paths")
    if not isinstance(paths, list) or len(paths) != len(wanted) or not all(isinstance(path, str) for path in paths):
        raise EngineError("`paths` must name a file for every frame.")
    return [Path(path) for path in paths]
