# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in steps: threads, slices, stopping, errors."""

from __future__ import annotations

import threading
import time

import pytest

from artalk_blender.runner import AGAIN, Runner, Stopped, finish


def test_threads_bring_results_and_errors():
    here = threading.get_ident()

    def work():
        there = yield threading.get_ident
        assert there != here
        try:
            yield lambda: 1 / 0
        except ZeroDivisionError:
            return "caught"

    assert finish(work()) == "caught"
    with pytest.raises(ZeroDivisionError):
        finish(iter_of(lambda: 1 / 0))


def iter_of(function):
    yield function


def test_a_tick_ends_where_the_work_waits():
    seen = []

    def work():
        for number in range(3):
            seen.append(number)
            yield

    runner = Runner(work())
    assert not runner.advance(10.0)
    assert seen == [0]
    assert not runner.advance(10.0)
    assert not runner.advance(10.0)
    assert runner.advance(10.0)
    assert seen == [0, 1, 2]


def test_a_tick_ends_when_its_time_is_over():
    def work():
        for _ in range(100):
            time.sleep(0.002)
            yield AGAIN
        return 7

    runner = Runner(work())
    ticks = 1
    while not runner.advance(0.02):
        ticks += 1
    assert 8 <= ticks <= 100
    assert runner.result == 7


def test_stopping_does_not_wait_for_a_thread():
    leave = threading.Event()

    def work():
        yield leave.wait

    runner = Runner(work())
    assert not runner.advance(0.01)
    runner.stop()
    with pytest.raises(Stopped):
        runner.advance(0.01)
    assert runner.ended
    assert runner.advance(0.01)
    leave.set()


def test_work_may_tidy_up_before_it_stops():
    done = []

    def work():
        try:
            while True:
                yield
        except Stopped:
            yield AGAIN
            done.append("tidy")
            raise

    runner = Runner(work())
    runner.advance(0.01)
    runner.stop()
    with pytest.raises(Stopped):
        runner.advance(1.0)
    assert done == ["tidy"]


def test_closing_runs_what_is_due_at_the_end():
    done = []

    def work():
        try:
            yield
        finally:
            done.append("closed")

    runner = Runner(work())
    runner.advance(0.01)
    runner.close()
    assert (done, runner.ended) == (["closed"], True)
