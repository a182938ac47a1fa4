# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench: every path and stage side by side, a unit on every line, the same numbers as json."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.bench import STAGES, bench_model

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "addon_tests" / "data" / "tiny_model.npz"
WITH_TORCH = importlib.util.find_spec("torch") is not None


def test_all_paths_stand_side_by_side(tmp_path: Path):
    target = tmp_path / "bench.json"
    command = [sys.executable, "-m", "engine", "bench", "--model", str(TINY), "--seconds", "9", "--threads", "1",
               "--lines", "3", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    table = json.loads(target.read_text())
    rows = {row["name"]: row for row in table["rows"]}
    paths = ["torch plain", "torch fast", "numpy"] if WITH_TORCH else ["numpy"]
    for stage in (*STAGES, "whole pipeline"):
        assert list(rows[stage]["values"]) == paths
        assert all(value > 0 for value in rows[stage]["values"].values())
        assert rows[stage]["unit"] == "ms per 4 s chunk"
        assert (rows[stage]["ratio"] is not None) == WITH_TORCH
    for path in paths:
        stages = sum(rows[stage]["values"][path] for stage in STAGES)
        assert rows["whole pipeline"]["values"][path] == pytest.approx(stages)
    if WITH_TORCH:
        assert rows["bits unlike the first path's"]["values"][""] == 0.0
    wanted = {"real-time factor", "cold start: load", "cold start: first motion", "peak memory in all",
              "3 lines of 2 s, together"}
    assert wanted <= set(rows)
    lines = done.stdout.splitlines()
    assert "1 thread" in lines[2]
    for name, row in rows.items():
        (line,) = [line for line in lines if line.startswith(name + " ")]
        assert line.endswith(row["unit"])


@pytest.mark.skipif(not WITH_TORCH, reason="needs torch")
def test_reduced_precision_says_what_it_changes(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setenv("ARTALK_THREADS", "1")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    report = bench_model(TINY, 5.0, "cpu", "bf16")
    rows = {row.name: row for row in report.rows}
    assert 0 <= rows["bits unlike fp32's"].values[""] < 10
    lips = rows["lips unlike fp32's"]
    assert lips.unit == "mm rms"
    assert bool(report.remarks) == (lips.values[""] > 0.2)


def test_bad_numbers_of_threads_are_refused():
    environment = {name: value for name, value in os.environ.items() if name != "ARTALK_THREADS"}
    command = [sys.executable, "-m", "engine", "bench", "--model", str(TINY), "--threads", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
