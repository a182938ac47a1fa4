# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker as a real process on a real pipe."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import protocol
from engine.assets import DEMO_SPEECH
from engine.audio_file import read_audio
from engine.protocol import Array, Message, read_message, write_message

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "engine", "serve"], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def ask(worker: subprocess.Popen[bytes], message: Message) -> None:
    write_message(worker.stdin, message)


def answers(worker: subprocess.Popen[bytes], request: int) -> list[Message]:
    """All messages up to the request's `done`."""
    result = []
    while (message := read_message(worker.stdout)) is not None:
        result.append(message)
        if message.type == protocol.DONE and message.id == request:
            return result
    raise AssertionError("the worker ended early")


def sound(samples: np.ndarray) -> dict[str, Array]:
    return {"samples": Array("float32", samples.shape, samples.astype("<f4").tobytes())}


def test_hello_generate_shutdown(worker: subprocess.Popen[bytes]) -> None:
    ask(worker, Message(protocol.HELLO, 1, {"version": protocol.VERSION}))
    ready, done = answers(worker, 1)
    assert ready.type == protocol.READY and ready.fields["pid"] == worker.pid
    assert done.fields["status"] == protocol.OK

    speech = np.tile(read_audio(DEMO_SPEECH), 2)[: 9 * 16000]
    ask(worker, Message(protocol.GENERATE, 2, {"raw": True}, sound(speech)))
    replies = answers(worker, 2)
    parts = [message for message in replies if message.type == protocol.MOTION]
    assert [part.fields["start"] for part in parts] == [0, 100, 200]
    motion = np.concatenate([np.frombuffer(p.arrays["motion"].data, "<f4").reshape(-1, 106) for p in parts])
    assert motion.shape == (225, 106) and np.isfinite(motion).all()
    done = replies[-1].fields
    assert done["status"] == protocol.OK and done["frames"] == 225 and len(done["sha256"]) == 64

    ask(worker, Message(protocol.SHUTDOWN, 3))
    assert answers(worker, 3)[-1].fields["status"] == protocol.OK
    assert worker.wait(timeout=10) == 0


def test_errors_are_sentences_and_the_worker_lives_on(worker: subprocess.Popen[bytes]) -> None:
    for request, message in enumerate([
        Message(protocol.HELLO, 1, {"version": 99}),
        Message(protocol.GENERATE, 2),
        Message(protocol.GENERATE, 3, {}, sound(np.zeros(0))),
        Message(protocol.GENERATE, 4, {}, sound(np.full(100, np.nan))),
        Message(protocol.LOAD, 5, {"model": "/no/such/model"}),
        Message(protocol.RENDER, 6),
        Message("dance", 7),
    ], 1):
        ask(worker, message)
        *_, error, done = answers(worker, request)
        assert error.type == protocol.ERROR and error.fields["message"].endswith("."), error
        assert done.fields["status"] == protocol.FAILED
    ask(worker, Message(protocol.GENERATE, 8, {}, sound(np.zeros(640))))
    replies = answers(worker, 8)
    assert replies[-1].fields["status"] == protocol.OK
    assert any(message.type == protocol.LOG and "silent" in message.fields["text"] for message in replies)


def test_cancel_stops_between_chunks(worker: subprocess.Popen[bytes]) -> None:
    ask(worker, Message(protocol.GENERATE, 1, {}, sound(np.zeros(600 * 16000))))
    while read_message(worker.stdout).type != protocol.MOTION:
        pass
    ask(worker, Message(protocol.CANCEL, 0, {"target": 1}))
    replies = answers(worker, 1)
    assert replies[-1].fields["status"] == protocol.CANCELLED
    assert sum(message.type == protocol.MOTION for message in replies) < 149


def test_end_of_input_ends_the_worker_in_the_middle_of_work(worker: subprocess.Popen[bytes]) -> None:
    ask(worker, Message(protocol.GENERATE, 1, {}, sound(np.zeros(600 * 16000))))
    assert read_message(worker.stdout) is not None
    worker.stdin.close()
    worker.stdout.close()
    worker.wait(timeout=5)
    worker.stdin, worker.stdout = None, None


def test_garbage_on_the_pipe_ends_the_worker_with_a_line_in_its_log(worker: subprocess.Popen[bytes]) -> None:
    worker.stdin.write(b"\xff" * 64)
    worker.stdin.flush()
    assert worker.wait(timeout=10) == 0
    assert b"unreadable request" in worker.stderr.read()
