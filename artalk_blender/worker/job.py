# SPDX-License-Identifier: GPL-3.0-or-later
"""The running job inside Blender: a modal timer in the interface, the same steps in a loop under --background.

Holds no Blender data between two ticks: whatever a job needs of the scene is taken before it starts and
looked up again by name when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import bpy

from ..engine import protocol
from ..errors import ArtalkError, EngineError
from ..language import said
from ..report import note_problem
from ..runner import Runner, Stopped, Work
from .client import Request, WorkerClient
from .launch import choose_python, clean_environment, worker_command

_TICK = 0.03  # seconds between two looks at a job
_SLICE = 0.015  # seconds that a job may take of each
_NAP = 0.005
_REDRAW = 0.15  # seconds between two looks that people get
_PATIENCE = 0.1
_SHOWS_JOBS = {"VIEW_3D", "SEQUENCE_EDITOR"}

_client: WorkerClient | None = None
_running: list[ModalJob] = []


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
    return bool(_running) or (_client is not None and _client.busy)


def running_job() -> ModalJob | None:
    """The job that runs in the interface, if there is one."""
    return _running[-1] if _running else None


def engine_log() -> str:
    """The last lines that the worker wrote."""
    return _client.log if _client is not None else ""


def close_client() -> None:
    """Ends the session's worker, if there is one."""
    global _client
    if _client is not None:
        _client.close()
        _client = None


def holds_memory() -> bool:
    """Whether the engine runs, and so may hold a model or an avatar."""
    return _client is not None and _client.pid is not None


def give_memory_back() -> None:
    """Has the engine forget its model and avatar, after what it is doing now; the next request loads them again."""
    if _client is not None:
        _client.give_memory_back()


def wait_for(client: WorkerClient, request: Request, progress: Callable[[int, int], None] | None = None) -> Request:
    """Blocks until the request has ended; raises its error where it failed."""
    shown = -1
    while request.status is None:
        client.pump(_PATIENCE)
        if progress is not None and request.total and request.done != shown:
            shown = request.done
            progress(request.done, request.total)
    if request.status == protocol.FAILED:
        raise request.error or ArtalkError("The engine failed and did not say why.", "Please report this.")
    return request


class Job:
    """What long work says while it runs, and how it waits for the worker."""

    text, fraction = "", 0.0
    alone = False  # lets nothing else through meanwhile: no undo, no save, no click

    def say(self, text: str, kind: str = "INFO") -> None:
        """A sentence that stays, for people."""
        raise NotImplementedError

    def show(self, text: str, fraction: float = 0.0) -> None:
        """What the status bar says meanwhile, and how much is done, 0 to 1."""
        self.text, self.fraction = text, fraction

    def follow(self, client: WorkerClient, request: Request, doing: str,
               each: Callable[[], Work[None]] | None = None) -> Work[None]:
        """Waits for a request of the worker, and does `each` at every tick; raises its error, or Stopped."""
        try:
            while request.status is None:
                client.pump()
                if request.total and request.cancel_asked is None:
                    self.show(f"{doing}: {request.done} of {request.total}", request.fraction)
                try:
                    if each is not None:
                        yield from each()
                    yield
                except Stopped:
                    client.cancel(request)
                    self.show("Stopping")
        finally:
            if request.status is None:
                client.abandon(request)
        if request.status == protocol.CANCELLED:
            raise Stopped
        if request.status == protocol.FAILED:
            raise request.error or ArtalkError("The engine failed and did not say why.", "Please report this.")
        for text in request.warnings:
            self.say(text, "WARNING")


class ModalJob(Job):
    """Mixin of operators whose work takes long: a modal timer in the interface, the same work at once elsewhere.

    The operator offers `work()`, a generator as in `runner.py`; `run()` returns what `execute` or `invoke` have to.
    """

    stopped = "Stopped; the scene is as it was."

    _runner: Runner | None = None
    _timer: Any = None
    _drawn = 0.0

    def work(self) -> Work[None]:
        """A request of the worker between `start(context)` and `finish(context, request)`, unless overridden."""
        client, request = self.start(bpy.context)
        yield from self.follow(client, request, "Generating motion")
        self.finish(bpy.context, request)

    def say(self, text: str, kind: str = "INFO") -> None:
        self.report({kind}, said(text))

    def invoke(self, context: Any, event: Any) -> set[str]:
        return self.run(context, modal=not bpy.app.background)

    def execute(self, context: Any) -> set[str]:
        return self.run(context, modal=False)

    def run(self, context: Any, modal: bool) -> set[str]:
        self._runner = Runner(self.work())
        if not modal:
            return self._advance(None)
        manager = context.window_manager
        manager.progress_begin(0, 100)
        self._timer = manager.event_timer_add(_TICK, window=context.window)
        manager.modal_handler_add(self)
        _running.append(self)
        self.show("Starting the engine")
        self._draw(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        """Blender calls this for every event while the job runs."""
        if event.type == "ESC" and event.value == "PRESS":
            self._runner.stop()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"} if self.alone else {"PASS_THROUGH"}
        outcome = self._advance(_SLICE)
        if outcome == {"RUNNING_MODAL"}:
            now = time.monotonic()
            if now - self._drawn > _REDRAW:
                self._drawn = now
                context.window_manager.progress_update(100.0 * self.fraction)
                self._draw(context)
        else:
            self._clear(context)
        return outcome

    def cancel(self, context: Any) -> None:
        """Blender closes the file or the window under a running job."""
        self.give_up()
        self._clear(context)

    def give_up(self) -> None:
        """Ends the job here and now, without a word."""
        if self._runner is not None:
            self._runner.close()

    def stop(self) -> None:
        """Asks the job to stop, as Esc does."""
        if self._runner is not None:
            self._runner.stop()

    def _advance(self, seconds: float | None) -> set[str]:
        """Goes on for so many seconds, or to the end; the ways a job ends, each its own."""
        try:
            while not self._runner.advance(_SLICE if seconds is None else seconds):
                if seconds is not None:
                    return {"RUNNING_MODAL"}
                time.sleep(_NAP)
        except Stopped:
            self.report({"INFO"}, said(self.stopped))
            return {"CANCELLED"}
        except EngineError as error:
            note_problem(error)
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        except Exception as error:  # noqa: BLE001 - a bug of ours must end the job, with something to report
            note_problem(error)
            self.report({"ERROR"}, said(f"Something unexpected happened ({type(error).__name__}: {error}). The scene "
                                        "is as it was. Copy Report, in the ARTalk panel, has what the makers need."))
            return {"CANCELLED"}
        return {"FINISHED"}

    def _clear(self, context: Any) -> None:
        if self in _running:
            _running.remove(self)
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.window_manager.progress_end()
            self._timer = None
        self.text = ""
        self._draw(context)

    def _draw(self, context: Any) -> None:
        """Says in the status bar where the job is; panels, which show it too, are drawn anew."""
        if context.workspace is not None:
            text = f"{said(self.text)} ({said('Esc stops it')})" if self.text else None
            context.workspace.status_text_set(text)
        for area in context.screen.areas if context.screen is not None else ():
            for region in area.regions if area.type in _SHOWS_JOBS else ():
                if region.type == "UI":  # the sidebar alone: drawing a scene again may take longer than a tick
                    region.tag_redraw()


def register() -> None:
    """Nothing to register; the worker starts with the first job."""


def give_up_all() -> None:
    """Ends every job that runs in the interface; while their operators are still registered."""
    for job in list(_running):
        job.cancel(bpy.context)


def unregister() -> None:
    close_client()

