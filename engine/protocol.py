# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender and the worker say to each other. Standard library only; read by both sides, so names cannot drift.

A frame on the pipe is

    4 bytes   length of the header, little-endian
    header    JSON object: {"type": ..., "id": ..., "payload": [{"name", "dtype", "shape"}, ...], ...}
    payload   the arrays' raw little-endian bytes, one after another, C order

Every request (any message to the worker with an id) ends in exactly one `done`. End of input ends the worker.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

VERSION = 1

# to the worker
HELLO = "hello"  # first message: {version}; answered by `ready`
LOAD = "load"  # {model, backend, device, precision}: get a model ready
UNLOAD = "unload"  # give its memory back, and the avatar's
# {raw} and, of passage.py, {start_frame, frames, variation, strength}; payload samples (N,) f32 16 kHz
# [style (50,106) f32] [history (H,106) f32] -> motion, progress
GENERATE = "generate"
# {avatar: "default" | a .ply | a published folder [/photo], head: a FLAME file, device, precision: all may be left out,
#  size: side or [width, height], 512; fps of the frames, 25; frames: [ascending indices], left out: all of them;
#  mode: "full" | "preview" | "splats"; dtype: "uint8" | "float16"; mark: draws “synthetic” into the picture;
#  guard, true: bring the motion within what the avatar knows; first_frame: how people call index 0, to be told where;
#  paths: [of the .ply to write for every frame, with mode "splats"]}
# payload motion (T,106) f32 [neck (T,3)] [eyes (T,6)] [shape (300,) identity, for avatars without one]
# [view (4,4) or (T,4,4) with K (3,3) or (T,3,3): a camera in the head's space; left out: the avatar's own]
# [placement (4,4) or (T,4,4), with mode "splats"] -> frame, progress; done {frames, seconds, avatar, sha256,
# outside: [[first, last], ...] of the indices that were brought within}
RENDER = "render"
CANCEL = "cancel"  # {target}: stop the request with that id
SHUTDOWN = "shutdown"  # finish and exit
# from the worker
READY = "ready"  # {version, engine, python, pid}
PROGRESS = "progress"  # {done, total, text}
LOG = "log"  # {text}
MOTION = "motion"  # {start, raw}, payload motion (T,106) f32: frames start..start+T
# {index, outside}, payload image (H,W,4), top row first: uint8 is sRGB with straight alpha, float16 is scene-linear
# with colours times alpha; {index, outside, path} where a file was written
FRAME = "frame"
ERROR = "error"  # {code, message, remedy, traceback}
DONE = "done"  # {status: ok | cancelled | failed, ...}; the last message of a request

TO_WORKER = frozenset({HELLO, LOAD, UNLOAD, GENERATE, RENDER, CANCEL, SHUTDOWN})
FROM_WORKER = frozenset({READY, PROGRESS, LOG, MOTION, FRAME, ERROR, DONE})

OK, CANCELLED, FAILED = "ok", "cancelled", "failed"

ITEM_SIZES = {"float32": 4, "float16": 2, "int32": 4, "int64": 8, "uint8": 1}
MAX_HEADER = 4 << 20
MAX_PAYLOAD = 2 << 30  # an hour of 16 kHz float32 samples is 230 MB

_LENGTH = struct.Struct("<I")


class ProtocolError(Exception):
    """The other side sent something that is no frame of this protocol."""


@dataclass(frozen=True)
class Array:
    """An array on the wire: `data` holds its little-endian bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | bytearray | memoryview

    @property
    def byte_count(self) -> int:
        return ITEM_SIZES[self.dtype] * math.prod(self.shape)


@dataclass(frozen=True)
class Message:
    """One frame: its type, the request it belongs to, other header fields, arrays by name."""

    type: str
    id: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)


def write_message(stream: BinaryIO, message: Message) -> None:
    """Writes one frame and flushes. Raises ProtocolError when an array's bytes do not fit its shape."""
    payload = []
    for name, array in message.arrays.items():
        if len(memoryview(array.data).cast("B")) != array.byte_count:
            raise ProtocolError(f"array {name!r} does not fit its shape {array.shape}")
        payload.append({"name": name, "dtype": array.dtype, "shape": list(array.shape)})
    header = {**message.fields, "type": message.type, "id": message.id, "payload": payload}
    encoded = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    if len(encoded) > MAX_HEADER:
        raise ProtocolError("header too long")
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    for array in message.arrays.values():
        stream.write(array.data)
    stream.flush()


def read_message(stream: BinaryIO) -> Message | None:
    """The next frame, or None at the end of input. Raises ProtocolError on anything else."""
    prefix = _read_exactly(stream, _LENGTH.size, at_start=True)
    if prefix is None:
        return None
    (length,) = _LENGTH.unpack(prefix)
    if length > MAX_HEADER:
        raise ProtocolError("header too long")
    encoded = _read_exactly(stream, length)
    try:
        header = json.loads(encoded or b"")
    except ValueError:
        raise ProtocolError("header is not JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise ProtocolError("header has no type")
    identifier = header.pop("id", 0)
    if not isinstance(identifier, int):
        raise ProtocolError("id is no whole number")
    arrays = {}
    left = MAX_PAYLOAD
    for name, empty in _declared(header.pop("payload", [])):
        left -= empty.byte_count
        if left < 0:
            raise ProtocolError("payload too large")
        arrays[name] = Array(empty.dtype, empty.shape, _read_exactly(stream, empty.byte_count) or b"")
    return Message(header.pop("type"), identifier, header, arrays)


def _declared(payload: Any) -> list[tuple[str, Array]]:
    """The arrays that a header announces, still without data."""
    if not isinstance(payload, list):
        raise ProtocolError("payload is no list")
    result = []
    for entry in payload:
        try:
            name, dtype, shape = entry["name"], entry["dtype"], tuple(entry["shape"])
        except (TypeError, KeyError):
            raise ProtocolError("payload entry is incomplete") from None
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape)
        if not isinstance(name, str) or dtype not in ITEM_SIZES or not whole:
            raise ProtocolError("payload entry is of an unknown kind")
        result.append((name, Array(dtype, shape, b"")))
    return result


def _read_exactly(stream: BinaryIO, count: int, at_start: bool = False) -> bytes | None:
    """`count` bytes; None when the stream ended before the first of them and `at_start` allows it."""
    parts: list[bytes] = []
    left = count
    while left:
        part = stream.read(left)
        if not part:
            if at_start and left == count:
                return None
            raise ProtocolError("the stream ended inside a frame")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
