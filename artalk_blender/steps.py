# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command tells while it works: one line a step with its time. No `bpy` module use.

Meanwhile a bar on a terminal; elsewhere, such as in a log, a line now and then.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_BAR = 30
_SILENCE = 15.0  # seconds, the longest without a terminal


class Step:
    """One step that runs."""

    def __init__(self, name: str, terminal: TextIO | None, say: Callable[[str], None]) -> None:
        self.name = name
        self.text = ""
        self._terminal, self._say = terminal, say
        self._said = time.monotonic()
        self.progress(0, 1)

    def note(self, text: str) -> None:
        """What stands behind the step's time when it is done."""
        self.text = text

    def progress(self, done: int, total: int) -> None:
        """How far the step is."""
        if self._terminal is None:
            if time.monotonic() - self._said > _SILENCE:
                self._said = time.monotonic()
                self._say(f"{self.name:8s}{done} of {total}")
        else:
            filled = _BAR * done // max(total, 1)
            counted = f"{done}/{total}" if total > 1 else ""
            self._terminal.write(f"\r{self.name:8s}[{'#' * filled}{'.' * (_BAR - filled)}] {counted}\x1b[K")
            self._terminal.flush()

    def clear(self) -> None:
        if self._terminal is not None:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()


class Steps:
    """Writes to this process's stdout and stderr as they were when it was made, past `quiet()`."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        self._err = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self._terminal = self._err if self._err.isatty() else None

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._err.close()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Times what is done inside and prints one line when it went well."""
        step = Step(name, self._terminal, self.say)
        started = time.perf_counter()
        try:
            yield step
        finally:
            step.clear()
        self._say(self._out, f"{name:8s}{time.perf_counter() - started:7.2f} s  {step.text}")

    def warn(self, text: str) -> None:
        self.say(f"Warning: {text}")

    def say(self, text: str) -> None:
        """A line on stderr, whatever is quiet."""
        if self._terminal is not None:
            self._terminal.write("\r\x1b[K")
        self._say(self._err, text)

    @staticmethod
    def _say(stream: TextIO, text: str) -> None:
        stream.write(text.rstrip() + "\n")
        stream.flush()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keeps what Blender and its libraries print away from the terminal; set ARTALK_VERBOSE=1 to see it."""
        if os.environ.get("ARTALK_VERBOSE"):
            yield
            return
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        with tempfile.TemporaryFile() as sink:
            for number, _ in kept:
                os.dup2(sink.fileno(), number)
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for number, copy in kept:
                    os.dup2(copy, number)
                    os.close(copy)
