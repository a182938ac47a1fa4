# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs long work in small steps, so that whoever waits stays free between them. No `bpy` module use.

Work is a generator. What it yields says how it wants to go on:

    yield                   later: at the next tick
    yield AGAIN             at once, if there is time left in this tick
    result = yield function when the function has ended, which a thread runs meanwhile; its error is raised here

Being asked to stop raises Stopped where the work waits. It may put things right, and may even go on waiting for
somebody else to stop; it ends by raising Stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

Step = Callable[[], Any] | object | None
Result = TypeVar("Result")
Work = Generator[Step, Any, Result]

AGAIN = object()
_NAP = 0.005  # seconds between two looks where nobody else is to be kept free


class Stopped(Exception):
    """Somebody has asked for the work to stop."""


class _Task:
    """A function in a thread of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(function,), name="artalk-task", daemon=True)
        self._thread.start()

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            self.result = function()
        except BaseException as error:  # noqa: BLE001 - handed over to whoever waits for it
            self.error = error

    def ended(self, wait: float = 0.0) -> bool:
        self._thread.join(wait)
        return not self._thread.is_alive()


class Runner:
    """One piece of work under way."""

    def __init__(self, work: Work[Any]) -> None:
        self._work = work
        self._task: _Task | None = None
        self._stopping = False
        self.ended = False
        self.result: Any = None

    def stop(self) -> None:
        """Asks the work to stop; `advance` then tells it."""
        self._stopping = True

    def close(self) -> None:
        """Ends the work here and now; it gets the chance to put things right."""
        self.ended = True
        self._work.close()

    def advance(self, seconds: float) -> bool:
        """Does what can be done within about `seconds`; returns whether the work has ended. Raises what it raises."""
        until = time.perf_counter() + seconds
        while not self.ended:
            if not self._stopping and self._task is not None and not self._task.ended():
                return False
            wish = self._step()
            if callable(wish):
                self._task = _Task(wish)
            elif wish is not AGAIN or time.perf_counter() >= until:
                break
        return self.ended

    def _step(self) -> Step:
        """Lets the work go on to its next wish."""
        task, self._task = self._task, None
        try:
            if self._stopping:
                self._stopping = False
                return self._work.throw(Stopped())
            if task is None:
                return next(self._work)
            if task.error is not None:
                return self._work.throw(task.error)
            return self._work.send(task.result)
        except StopIteration as end:
            self.ended, self.result = True, end.value
        except BaseException:
            self.ended = True
            raise
        return None


def finish(work: Work[Result]) -> Result:
    """Runs work to its end, here and now."""
    runner = Runner(work)
    while not runner.advance(1.0):
        time.sleep(_NAP)
    return runner.result  # type: ignore[no-any-return]
