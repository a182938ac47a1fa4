# SPDX-License-Identifier: GPL-3.0-or-later
"""The running job inside Blender: a modal timer in the interface, the same steps in a loop under --background.

Holds no Blender data between two ticks: whatever a job needs of the scene is taken before it starts and
looked up again by name when it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine import protocol
from ..errors import ArtalkError, EngineError
from .client import Request, WorkerClient
from .launch import choose_python, clean_environment, worker_command

_TICK = 0.1  # seconds between two looks at the worker

_client: WorkerClient | None = None


def shared_client(python: str = "") -> WorkerClient:
    """The session's worker; it stays up between two generations, so that the model is loaded once."""
    global _client
    command = worker_command(choose_python(python))
    if _client is not None and _client.command != command:
        close_client()
    if _client is None:
        _client = WorkerClient(command, clean_environment())
    return _client


def is_busy() -> bool:
    """Whether a job of this session is under way."""
    return _client is not None and _client.busy


def close_client() -> None:
    """Ends the session's worker, if there is one."""
    global _client
    if _client is not None:
        _client.close()
        _client = None


def wait_for(client: WorkerClient, request: Request, progress: Callable[[int, int], None] | None = None) -> Request:
    """Blocks until the request has ended; raises its error where it failed."""
    shown = -1
    while request.status is None:
        client.pump(_TICK)
        if progress is not None and request.total and request.done != shown:
            shown = request.done
            progress(request.done, request.total)
    if request.status == protocol.FAILED:
        raise request.error or ArtalkError("The engine failed and did not say why.", "Please report this.")
    return request


class ModalJob:
    """Mixin of operators that wait for a worker.

    The operator offers `start(context) -> Request` and `finish(context, request)`; both may raise EngineError.
    `run()` returns what an operator's `execute` or `invoke` has to return.
    """

    _request: Request | None = None
    _worker: WorkerClient | None = None
    _timer: Any = None

    def run(self, context: Any, modal: bool) -> set[str]:
        try:
            self._worker, self._request = self.start(context)
            if not modal:
                wait_for(self._worker, self._request)
                return self._end(context)
        except EngineError as error:
            return self._fail(error)
        manager = context.window_manager
        manager.progress_begin(0, 100)
        self._timer = manager.event_timer_add(_TICK, window=context.window)
        manager.modal_handler_add(self)
        self._show(context, "Starting the engine (Esc stops it)")
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        """Blender calls this for every event while the job runs."""
        if event.type == "ESC" and event.value == "PRESS":
            self._worker.cancel(self._request)
            self._show(context, "Stopping")
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        self._worker.pump()
        if self._request.status is None:
            context.window_manager.progress_update(100.0 * self._request.fraction)
            if self._request.total and self._request.cancel_asked is None:
                self._show(context, f"Generating motion: {self._request.done} of {self._request.total} (Esc stops it)")
            return {"RUNNING_MODAL"}
        self._clear(context)
        return self._end(context)

    def cancel(self, context: Any) -> None:
        """Blender closes the file or the window under a running job."""
        if self._request is not None and self._worker is not None:
            self._worker.abandon(self._request)
        self._clear(context)

    def _end(self, context: Any) -> set[str]:
        """The three ways a job ends, each its own."""
        request = self._request
        if request.status == protocol.CANCELLED:
            self.report({"INFO"}, "Stopped; the scene is as it was.")
            return {"CANCELLED"}
        if request.status == protocol.FAILED:
            return self._fail(request.error or ArtalkError("The engine failed and did not say why."))
        try:
            self.finish(context, request)
        except EngineError as error:
            return self._fail(error)
        for text in request.warnings:
            self.report({"WARNING"}, text)
        return {"FINISHED"}

    def _fail(self, error: Exception) -> set[str]:
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def _clear(self, context: Any) -> None:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.window_manager.progress_end()
            self._timer = None
        self._show(context, None)

    @staticmethod
    def _show(context: Any, text: str | None) -> None:
        if context.workspace is not None:
            context.workspace.status_text_set(text)
        for area in context.screen.areas if context.screen is not None else ():
            area.tag_redraw()  # panels ask whether a job runs only when they are drawn


def register() -> None:
    """Nothing to register; the worker starts with the first job."""


def unregister() -> None:
    close_client()

