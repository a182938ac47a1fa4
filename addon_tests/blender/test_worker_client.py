# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against the real worker process: round trip, cancel, death, a Python that won't do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from artalk_blender.engine import protocol
from conftest import voice

from artalk_blender.errors import ArtalkError
from artalk_blender.worker import client as client_module
from artalk_blender.worker.client import WorkerClient
from artalk_blender.worker.job import close_client, shared_client, wait_for
from artalk_blender.worker.launch import choose_python, clean_environment, worker_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def client():
    made = WorkerClient(worker_command(choose_python()), clean_environment())
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_round_trip_with_progress(client):
    seen = []
    request = wait_for(client, client.generate(voice(9.0)), progress=lambda done, total: seen.append((done, total)))
    assert request.motion.shape == (225, 106) and np.isfinite(request.motion).all()
    assert seen[-1] == (3, 3)
    assert request.result["model"] == "default" and len(request.result["sha256"]) == 64
    again = wait_for(client, client.generate(voice(9.0)))
    assert np.array_equal(again.motion, request.motion)


def test_silence_warns(client):
    request = wait_for(client, client.generate(np.zeros(16000, np.float32)))
    assert request.warnings == ["The sound is silent: the face will rest."]


def test_a_bad_request_fails_in_a_sentence_and_the_worker_lives(client, tmp_path):
    with pytest.raises(ArtalkError, match="nothing-here"):
        wait_for(client, client.generate(voice(1.0), model=str(tmp_path / "nothing-here")))
    assert len(wait_for(client, client.generate(voice(1.0))).motion) == 25


def test_a_killed_worker_is_one_sentence_and_the_next_request_starts_another(client):
    request = client.generate(voice(1200.0))
    while not request.parts:
        client.pump(0.05)
        assert request.status is None
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ArtalkError, match=r"^The engine stopped before it was done \(it was ended by SIGKILL") as death:
        wait_for(client, request)
    assert "\n" not in str(death.value)
    assert len(wait_for(client, client.generate(voice(1.0))).motion) == 25
    assert client.pid != pid


def test_cancel_is_acknowledged(client):
    request = client.generate(voice(1200.0))
    while not request.parts:
        client.pump(0.05)
    client.cancel(request)
    assert wait_for(client, request).status == protocol.CANCELLED
    assert client.pid is not None  # the worker itself goes on
    assert len(wait_for(client, client.generate(voice(1.0))).motion) == 25


def test_cancel_is_forced_when_the_worker_does_not_answer(client, monkeypatch):
    monkeypatch.setattr(client_module, "CANCEL_PATIENCE", 0.3)
    wait_for(client, client.generate(voice(0.5)))
    os.kill(client.pid, signal.SIGSTOP)
    request = client.generate(voice(1.0))
    client.cancel(request)
    started = time.monotonic()
    assert wait_for(client, request).status == protocol.CANCELLED
    assert time.monotonic() - started < 5.0
    assert client.pid is None


def test_close_leaves_no_process(client):
    wait_for(client, client.generate(voice(0.5)))
    pid = client.pid
    client.close()
    assert not alive(pid)


def test_the_worker_ends_with_its_parent():
    code = ("import time; from artalk_blender.worker.client import *; from artalk_blender.worker.launch import *\n"
            "client = WorkerClient(worker_command(choose_python()), clean_environment())\n"
            "client.request('unload'); print(client.pid, flush=True); time.sleep(60)")
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_python_that_is_none(tmp_path):
    with pytest.raises(ArtalkError, match="There is no Python at"):
        choose_python(str(tmp_path / "python"))
    script = tmp_path / "not-python"
    script.write_text("nothing")
    with pytest.raises(ArtalkError, match="can't be started"):
        WorkerClient(worker_command(choose_python(str(script)))).generate(voice(0.5))


def test_a_python_without_numpy_is_named(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    client = WorkerClient(worker_command(choose_python(str(python))), clean_environment())
    with pytest.raises(ArtalkError, match="has no “numpy”"):
        wait_for(client, client.generate(voice(0.5)))


def test_foreign_packages_do_not_reach_the_worker(client, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a foreign numpy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    other = WorkerClient(worker_command(choose_python()), clean_environment())
    assert len(wait_for(other, other.generate(voice(1.0))).motion) == 25
    other.close()


def test_the_shared_client_stays_until_it_is_closed():
    first = shared_client()
    assert shared_client() is first
    close_client()
    assert shared_client() is not first
    close_client()
