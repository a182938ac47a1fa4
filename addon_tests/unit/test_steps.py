# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command says while it works, on a terminal and without one."""

from __future__ import annotations

import io

import pytest

from artalk_blender import steps
from artalk_blender.steps import Step


def test_without_a_terminal_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    now, said = [0.0], []
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    step = Step("video", None, said.append)
    for done in range(1, 61):
        now[0] += 1.0
        step.progress(done, 60)
    assert said == ["video   16 of 60", "video   32 of 60", "video   48 of 60"]


def test_on_a_terminal_a_bar():
    terminal, said = io.StringIO(), []
    step = Step("video", terminal, said.append)
    step.progress(15, 30)
    assert terminal.getvalue().endswith("15/30\x1b[K")
    assert not said
