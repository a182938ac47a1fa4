# SPDX-License-Identifier: GPL-3.0-or-later
"""A handle on the child process: requests out, answers in, and what happens when it dies. No `bpy` module use.

Two threads move bytes, so that the caller never waits for a pipe; everything else happens in `pump()`, on the
caller's thread. A cancel is asked for, acknowledged by the worker, and after five seconds forced.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..engine import protocol
from ..engine.passage import WHOLE, Passage
from ..engine.protocol import Array, Message
from ..errors import ArtalkError

CANCEL_PATIENCE = 5.0  # seconds
_STDERR_LINES = 60
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


@dataclass
class Request:
    """One request and what has come back so far. `status` is None until it ends: ok, cancelled or failed."""

    id: int
    type: str
    status: str | None = None
    error: ArtalkError | None = None
    result: dict[str, Any] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    warnings: list[str] = field(default_factory=list)
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    pictures: dict[int, NDArray[Any]] = field(default_factory=dict)  # (H,W,4) by index; whoever takes one pops it
    outside: set[int] = field(default_factory=set)  # indices whose motion was brought within what the avatar knows
    cancel_asked: float | None = None
    quiet: bool = False  # asked on the side: nobody has to wait for it, jobs go first

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def motion(self) -> NDArray[np.float32]:
        """(T,106): the motion that has arrived."""
        return np.concatenate(self.parts) if self.parts else np.zeros((0, 106), np.float32)


class WorkerClient:
    """Starts the worker on the first request, and again after it has died."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.command = list(command)
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._incoming: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._stderr: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._stderr_thread: threading.Thread | None = None
        self._open: dict[int, Request] = {}
        self._next_id = 1

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None while none runs."""
        return self._process.pid if self._process is not None else None

    @property
    def busy(self) -> bool:
        """Whether a request is under way that somebody waits for."""
        return any(not request.quiet for request in self._open.values())

    @property
    def log(self) -> str:
        """The last lines that the worker wrote to its stderr."""
        return "\n".join(self._stderr)

    def request(self, kind: str, fields: dict[str, Any] | None = None,
                arrays: dict[str, NDArray[np.float32]] | None = None) -> Request:
        """Sends a request. Raises ArtalkError where the worker can't be started."""
        if self._process is None:
            self._start()
            self._send(protocol.HELLO, {"version": protocol.VERSION}, {})
        return self._send(kind, fields or {}, arrays or {})

    def generate(self, samples: NDArray[np.float32], model: str = "", style: NDArray[np.float32] | None = None,
                 device: str = "auto", precision: str = "fp32", passage: Passage = WHOLE) -> Request:
        """Asks for the raw motion of samples (N,) at 16 kHz, or of a passage of them; `model` "" is the default one."""
        arrays = {"samples": samples}
        if style is not None:
            arrays["style"] = style
        if passage.history is not None:
            arrays["history"] = passage.history
        fields = {"model": model, "device": device, "precision": precision, "raw": True,
                  "start_frame": passage.start_frame, "variation": passage.variation}
        fields |= {name: value for name in ("frames", "strength") if (value := getattr(passage, name)) is not None}
        return self.request(protocol.GENERATE, fields, arrays)

    def render(self, fields: dict[str, Any], arrays: dict[str, NDArray[np.float32]]) -> Request:
        """Asks for pictures of an avatar; fields and arrays as protocol.py has them."""
        return self.request(protocol.RENDER, fields, arrays)

    def give_memory_back(self) -> None:
        """Has the worker forget its model and its avatar, if it runs; nobody has to wait for that."""
        if self._process is not None:
            self._outgoing.put(Message(protocol.UNLOAD, self._next_id))
            self._next_id += 1

    def cancel(self, request: Request) -> None:
        """Asks the worker to stop a request; `pump` forces it when nothing comes of that."""
        if request.status is None and request.cancel_asked is None:
            request.cancel_asked = time.monotonic()
            self._outgoing.put(Message(protocol.CANCEL, 0, {"target": request.id}))

    def abandon(self, request: Request) -> None:
        """Cancels a request that nobody waits for any more."""
        self.cancel(request)
        self._open.pop(request.id, None)

    def pump(self, wait: float = 0.0) -> None:
        """Takes in what has arrived; waits up to `wait` seconds for the first message."""
        while True:
            try:
                message = self._incoming.get(timeout=wait) if wait > 0 else self._incoming.get_nowait()
            except queue.Empty:
                break
            wait = 0.0
            if message is None:
                self._bury()
                break
            self._take(message)
        late = time.monotonic() - CANCEL_PATIENCE
        if any(request.cancel_asked is not None and request.cancel_asked < late for request in self._open.values()):
            self.kill()

    def kill(self) -> None:
        """Ends the worker now; requests end as cancelled where that was asked for, else as failed."""
        if self._process is not None:
            self._process.kill()
            self._bury()

    def close(self) -> None:
        """Lets the worker end, and makes sure that it does."""
        process = self._process
        if process is None:
            return
        self._outgoing.put(Message(protocol.SHUTDOWN, self._next_id))
        self._outgoing.put(None)
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
        self._bury()

    # below: nothing for callers

    def _send(self, kind: str, fields: dict[str, Any], arrays: dict[str, NDArray[np.float32]]) -> Request:
        request = Request(self._next_id, kind)
        self._next_id += 1
        self._open[request.id] = request
        packed = {name: Array("float32", value.shape, np.ascontiguousarray(value, "<f4").tobytes())
                  for name, value in arrays.items()}
        self._outgoing.put(Message(kind, request.id, fields, packed))
        return request

    def _start(self) -> None:
        self._incoming, self._outgoing = queue.SimpleQueue(), queue.SimpleQueue()
        self._stderr.clear()
        try:
            process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, creationflags=_NO_WINDOW)
        except OSError as error:
            raise ArtalkError(f"The engine's Python “{self.command[0]}” can't be started: {error.strerror}.",
                              "Choose another in the preferences, or leave it empty.") from None
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process = process
        self._run(_read_messages, process.stdout, self._incoming)
        self._run(_write_messages, process.stdin, self._outgoing)
        self._stderr_thread = self._run(_read_lines, process.stderr, self._stderr)

    @staticmethod
    def _run(target: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name="artalk-worker", daemon=True)
        thread.start()
        return thread

    def _take(self, message: Message) -> None:
        request = self._open.get(message.id)
        if request is None:
            return
        match message.type:
            case protocol.PROGRESS:
                request.done, request.total = int(message.fields["done"]), int(message.fields["total"])
            case protocol.MOTION:
                array = message.arrays["motion"]
                request.parts.append(np.frombuffer(array.data, "<f4").reshape(array.shape).astype(np.float32))
            case protocol.FRAME:
                index = int(message.fields["index"])
                if message.fields.get("outside"):
                    request.outside.add(index)
                if (image := message.arrays.get("image")) is not None:
                    request.pictures[index] = np.frombuffer(image.data, image.dtype).reshape(image.shape)
            case protocol.LOG:
                if message.fields.get("level") == "warning":
                    request.warnings.append(str(message.fields.get("text", "")))
            case protocol.ERROR:
                request.error = ArtalkError(message.fields.get("message", ""), message.fields.get("remedy", ""),
                                            message.fields.get("code", "internal"))
            case protocol.DONE:
                self._finish(request, message.fields)

    def _finish(self, request: Request, fields: dict[str, Any]) -> None:
        del self._open[request.id]
        request.status = str(fields.get("status"))
        request.result = fields
        if request.status == protocol.FAILED and request.type == protocol.HELLO:
            # the other side speaks another version: nothing that follows can succeed
            for other in self._open.values():
                other.error = request.error

    def _bury(self) -> None:
        """The worker is gone: ends every open request and lets go of the process."""
        process, self._process = self._process, None
        if process is None:
            return
        self._outgoing.put(None)
        try:
            status = process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if self._stderr_thread is not None:
            self._stderr_thread.join(1.0)
        for request in self._open.values():
            if request.cancel_asked is not None:
                request.status = protocol.CANCELLED
            else:
                request.status = protocol.FAILED
                request.error = request.error or _death(status, self.log)
        self._open.clear()


def _death(status: int, log: str) -> ArtalkError:
    """One plain sentence for a worker that ended by itself."""
    missing = re.search(r"No module named '([\w.]+)'", log)
    if missing:
        return ArtalkError(f"The engine's Python has no “{missing[1]}”.",
                           "Choose another Python in the preferences, or leave it empty.", "unsupported")
    if status < 0:
        try:
            reason = f"it was ended by {signal.Signals(-status).name}"
        except ValueError:
            reason = f"it was ended by signal {-status}"
        if sys.platform.startswith("linux") and -status == signal.SIGKILL:
            reason += ", perhaps for want of memory"
    else:
        reason = f"exit status {status}"
    return ArtalkError(f"The engine stopped before it was done ({reason}).", "The scene is as it was; try again.",
                       "died")


def _read_messages(stream: BinaryIO, into: queue.SimpleQueue[Message | None]) -> None:
    try:
        while (message := protocol.read_message(stream)) is not None:
            into.put(message)
    except (protocol.ProtocolError, OSError, ValueError):
        pass  # a torn frame is how a killed process looks from here; the None below says it all
    into.put(None)
    stream.close()


def _write_messages(stream: BinaryIO, source: queue.SimpleQueue[Message | None]) -> None:
    try:
        while (message := source.get()) is not None:
            protocol.write_message(stream, message)
    except (OSError, ValueError):
        pass  # the reader notices that the worker is gone
    with contextlib.suppress(OSError):
        stream.close()


def _read_lines(stream: BinaryIO, into: collections.deque[str]) -> None:
    for line in stream:
        into.append(line.decode("utf-8", "replace").rstrip())
    stream.close()
