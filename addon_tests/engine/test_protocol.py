# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames on the pipe: round trips, and refusal of everything that is no frame."""

from __future__ import annotations

import io
import json
import struct

import pytest

from engine.protocol import Array, Message, ProtocolError, read_message, write_message


def frame(header: object, body: bytes = b"") -> io.BytesIO:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(struct.pack("<I", len(encoded)) + encoded + body)


def test_round_trip_with_arrays_back_to_back() -> None:
    first = Message("generate", 7, {"raw": True, "text": "größer"}, {
        "samples": Array("float32", (3,), struct.pack("<3f", 1, 2, 3)), "empty": Array("uint8", (0, 4), b""),
    })
    stream = io.BytesIO()
    write_message(stream, first)
    write_message(stream, Message("done", 7, {"status": "ok"}))
    stream.seek(0)
    assert read_message(stream) == first
    assert read_message(stream) == Message("done", 7, {"status": "ok"})
    assert read_message(stream) is None


@pytest.mark.parametrize("stream", [
    io.BytesIO(b"\x01"),
    io.BytesIO(struct.pack("<I", 10) + b"{}"),
    io.BytesIO(struct.pack("<I", 0xFFFFFFFF)),
    frame(b"not json"),
    frame([1, 2]),
    frame({"id": 1}),
    frame({"type": "x", "id": "one"}),
    frame({"type": "x", "payload": {}}),
    frame({"type": "x", "payload": [{"name": "a"}]}),
    frame({"type": "x", "payload": [{"name": "a", "dtype": "object", "shape": [1]}]}, b"1234"),
    frame({"type": "x", "payload": [{"name": "a", "dtype": "float32", "shape": [-1]}]}, b"1234"),
    frame({"type": "x", "payload": [{"name": "a", "dtype": "float32", "shape": [2]}]}, b"1234"),
    frame({"type": "x", "payload": [{"name": "a", "dtype": "float32", "shape": [1 << 40]}]}),
])
def test_refuses_what_is_no_frame(stream: io.BytesIO) -> None:
    with pytest.raises(ProtocolError):
        read_message(stream)


def test_refuses_to_write_bytes_that_do_not_fit() -> None:
    with pytest.raises(ProtocolError):
        write_message(io.BytesIO(), Message("x", 1, {}, {"a": Array("float32", (2,), b"1234")}))
