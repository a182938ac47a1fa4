# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: answers requests on a pipe until it closes. No torch import here; models bring what they need.

One thread reads the pipe, so that a cancel is heard while a chunk is being computed; the main thread works.
When the pipe ends (Blender closed, crashed or was killed) the process ends at once: it holds nothing to save.
"""

from __future__ import annotations

import os
import platform
import queue
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import __version__, protocol
from .device import give_back_memory
from .errors import EngineError
from .gaussian.requests import AvatarDesk
from .model import load_model
from .passage import Passage
from .pipeline import Model, Pipeline, warnings_for
from .protocol import Array, Message


def claim_pipe() -> tuple[BinaryIO, BinaryIO]:
    """The protocol's (input, output). File descriptor 1 is turned to stderr, so no stray print can reach the pipe."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


def serve() -> int:
    """Runs the worker on this process's standard input and output; returns the exit status."""
    incoming, outgoing = claim_pipe()
    return Worker(incoming, outgoing).run()


class Worker:
    """One client's requests, one after another."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._write_lock = threading.Lock()
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._model: Model | None = None
        self._model_key: tuple[Any, ...] = ()
        self._avatars = AvatarDesk()

    def run(self) -> int:
        threading.Thread(target=self._read, name="artalk-pipe", daemon=True).start()
        while (message := self._requests.get()) is not None:
            if message.type == protocol.SHUTDOWN:
                self._send(Message(protocol.DONE, message.id, {"status": protocol.OK}))
                return 0
            self._answer(message)
        return 0

    def _read(self) -> None:
        try:
            while (message := protocol.read_message(self._incoming)) is not None:
                if message.type == protocol.CANCEL:
                    self._cancelled.add(int(message.fields.get("target", 0)))
                else:
                    self._requests.put(message)
        except protocol.ProtocolError as error:
            print(f"artalk worker: unreadable request: {error}", file=sys.stderr)
        os._exit(0)

    def _send(self, message: Message) -> None:
        with self._write_lock:
            protocol.write_message(self._outgoing, message)

    def _answer(self, request: Message) -> None:
        """Runs one request and ends it in exactly one `done`, whatever happens."""
        status, fields = protocol.OK, {}
        try:
            if request.id in self._cancelled:
                raise EngineError("Cancelled.", code="cancelled")
            fields = self._run(request)
        except EngineError as error:
            status = protocol.CANCELLED if error.code == "cancelled" else protocol.FAILED
            if status == protocol.FAILED:
                self._report(request.id, error.code, error.message, error.remedy)
        except MemoryError:
            status = protocol.FAILED
            self._report(request.id, "memory", "There is not enough memory for this.",
                         "Close other programs or use a shorter sound.")
        except Exception as error:  # noqa: BLE001  the worker must outlive a bug and say what it was
            status = protocol.FAILED
            self._report(request.id, "internal", f"The engine failed: {type(error).__name__}: {error}.",
                         "Please report this with the log.", traceback.format_exc())
        self._cancelled.discard(request.id)
        self._send(Message(protocol.DONE, request.id, {"status": status, **fields}))

    def _report(self, request: int, code: str, message: str, remedy: str, trace: str = "") -> None:
        fields = {"code": code, "message": message, "remedy": remedy, "traceback": trace}
        self._send(Message(protocol.ERROR, request, fields))

    def _run(self, request: Message) -> dict[str, Any]:
        match request.type:
            case protocol.HELLO:
                return self._hello(request)
            case protocol.LOAD:
                return self._load(request)
            case protocol.UNLOAD:
                self._drop_model()
                self._avatars.drop()
                return {}
            case protocol.GENERATE:
                return self._generate(request)
            case protocol.RENDER:
                return self._avatars.answer(request, self._send, lambda: request.id in self._cancelled)
            case _:
                raise EngineError(f"This engine can't answer “{request.type}”.", "Update the extension.",
                                  code="unsupported")

    def _hello(self, request: Message) -> dict[str, Any]:
        if request.fields.get("version") != protocol.VERSION:
            raise EngineError("The engine and the extension are of different versions.", "Install both from one zip.",
                              code="unsupported")
        self._send(Message(protocol.READY, request.id, {
            "version": protocol.VERSION, "engine": __version__, "python": platform.python_version(),
            "pid": os.getpid(),
        }))
        return {}

    def _load(self, request: Message) -> dict[str, Any]:
        """Loads the model that the request names, or keeps it where it is loaded already."""
        key = tuple(request.fields.get(name) or None for name in ("model", "device", "precision"))
        if self._model is None or key != self._model_key:
            self._drop_model()      # two models at once may not fit
            path, device, precision = key
            self._model = load_model(path, device=device or "auto", precision=precision or "fp32")
            self._model_key = key
        return {"model": self._model.name, "sha256": self._model.sha256, "device": self._model.device,
                "precision": self._model.precision}

    def _drop_model(self) -> None:
        if self._model is not None:
            self._model, self._model_key = None, ()
            give_back_memory()

    def _generate(self, request: Message) -> dict[str, Any]:
        samples = _array(request, "samples")
        if samples is None:
            raise EngineError("The request holds no sound.", code="bad_input")
        if "model" in request.fields or self._model is None:
            self._load(request)
        assert self._model is not None
        for text in warnings_for(samples):
            self._send(Message(protocol.LOG, request.id, {"level": "warning", "text": text}))
        raw = bool(request.fields.get("raw", False))
        started = time.perf_counter()
        parts = Pipeline(self._model).stream(
            samples, _array(request, "style"), raw, lambda: request.id in self._cancelled, _passage(request),
        )
        frames = 0
        for part in parts:
            motion = np.ascontiguousarray(part.motion, "<f4")
            self._send(Message(protocol.MOTION, request.id, {"start": part.start, "raw": raw},
                               {"motion": Array("float32", motion.shape, motion.tobytes())}))
            self._send(Message(protocol.PROGRESS, request.id, {"done": part.chunks_done, "total": part.chunks_total}))
            frames += len(motion)
        return {
            "frames": frames, "seconds": time.perf_counter() - started, "model": self._model.name,
            "sha256": self._model.sha256, "device": self._model.device, "precision": self._model.precision,
        }


def _passage(request: Message) -> Passage:
    """The range that a request asks for; the whole sound where it names none."""
    numbers = {name: request.fields[name] for name in ("start_frame", "frames", "variation") if name in request.fields}
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise EngineError(f"`{name}` must be a whole number.", code="bad_input")
    strength = request.fields.get("strength")
    if strength is not None and (not isinstance(strength, (int, float)) or isinstance(strength, bool)):
        raise EngineError("`strength` must be a number.", code="bad_input")
    return Passage(history=_array(request, "history"), strength=strength, **numbers)


def _array(request: Message, name: str) -> NDArray[np.float32] | None:
    """A float32 array of the request, or None where it has none of that name."""
    array = request.arrays.get(name)
    if array is None:
        return None
    if array.dtype != "float32":
        raise EngineError(f"`{name}` must be float32.", code="bad_input")
    return np.frombuffer(array.data, "<f4").reshape(array.shape).astype(np.float32)
