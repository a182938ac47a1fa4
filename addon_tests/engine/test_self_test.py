# SPDX-License-Identifier: GPL-3.0-or-later
"""The self-test: finds a model's ways to compute alike, and says so where they are not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from engine.portable.network import PortableNetwork
from engine.self_test import self_test

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "addon_tests" / "data" / "tiny_model.npz"
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")


def test_from_the_command_line():
    done = subprocess.run([sys.executable, "-m", "engine", "self-test", "--seconds", "5"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "All is well."
    assert done.stdout.startswith("model    default ")


@needs_torch
def test_a_precision_is_compared_with_fp32(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    result = self_test(TINY, device="cpu", precision="bf16", seconds=5.0)
    assert any(line.startswith("fast path: 0.000 % of the bits and 0.0000 mm") for line in result.lines)
    assert any(line.startswith("bf16 on cpu: ") and "unlike fp32" in line for line in result.lines)


@needs_torch
def test_a_wrong_numpy_path_is_found(monkeypatch: pytest.MonkeyPatch):
    steps = PortableNetwork.steps

    def wrong(network, samples, style=None):
        for step in steps(network, samples, style):
            step.motion[:, 103] += 0.1      # a jaw that hangs open
            yield step

    monkeypatch.setattr(PortableNetwork, "steps", wrong)
    result = self_test(None, seconds=2.0)
    assert result.faults == ["numpy moves this model's lips by more than 0.2 mm rms."]
    assert result.text().splitlines()[-1] == "FAULT: numpy moves this model's lips by more than 0.2 mm rms."


@needs_torch
def test_a_wrong_fast_path_is_found(monkeypatch: pytest.MonkeyPatch):
    import torch

    from engine.fast_codec import FastCodec

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)    # so that it runs in torch
    decode = FastCodec.bits_to_motion
    monkeypatch.setattr(FastCodec, "bits_to_motion", lambda self, *bits: decode(self, *bits) + 0.1)
    assert self_test(TINY, device="cpu", precision="bf16", seconds=2.0).faults[0].startswith("The fast path moves")
