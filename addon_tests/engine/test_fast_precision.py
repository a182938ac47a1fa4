# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduced precision: chosen, never silent, measured, refused where the hardware has it not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engine import device  # noqa: E402
from engine.assets import DEFAULT_HEAD, DEFAULT_MODEL, DEMO_SPEECH  # noqa: E402
from engine.audio_file import read_audio  # noqa: E402
from engine.errors import EngineError  # noqa: E402
from engine.flame.file import read_flame  # noqa: E402
from engine.model import load_model  # noqa: E402
from engine.pipeline import frame_count  # noqa: E402
from engine.precision import MOST_LIP_MILLIMETRES, Difference, difference, network_chunks  # noqa: E402
from engine.weights import load_network  # noqa: E402

CPU = torch.device("cpu")


def test_bfloat16_is_refused_where_the_processor_has_it_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with pytest.raises(EngineError, match="This processor cannot compute in bf16") as caught:
        device.check_precision("bf16", CPU)
    assert "\n" not in str(caught.value)
    device.check_precision("fp32", CPU)


@pytest.mark.parametrize(("precision", "sentence"), [
    ("fp16", "This processor cannot compute in fp16"), ("tf32", "This processor cannot compute in tf32"),
    ("int8", "moves the lips too much"), ("fp8", "no precision"),
])
def test_what_a_processor_does_not_offer_is_a_sentence(precision: str, sentence: str):
    with pytest.raises(EngineError, match=sentence) as caught:
        load_model(DEFAULT_MODEL, device="cpu", precision=precision)
    assert "\n" not in str(caught.value)


def test_reduced_precision_is_nowhere_the_default():
    assert load_model(DEFAULT_MODEL, device="auto").precision == "fp32"
    assert not torch.backends.cuda.matmul.allow_tf32


def test_bfloat16_is_taken_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    model = load_model(DEFAULT_MODEL, device="cpu", precision="bf16")
    assert (model.precision, model.network.precision) == ("bf16", "bf16")
    assert load_model(DEFAULT_MODEL, device="cpu", backend="torch").network.precision == "fp32"


def test_the_difference_is_measured():
    speech = read_audio(DEMO_SPEECH)[: 6 * 16000]
    head = read_flame(DEFAULT_HEAD)
    network = load_network(DEFAULT_MODEL)
    frames = frame_count(len(speech))

    def measure(progress=lambda chunk: None):
        return difference(network_chunks(network, speech, precision="fp32"), network_chunks(network, speech), frames,
                          head, progress=progress)

    assert measure() == Difference(0.0, 0.0)
    network.precision = "bf16"
    seen: list[int] = []
    found = measure(seen.append)
    assert seen == [1, 2, 1, 2]
    assert 0 < found.bits < 0.5 and np.isfinite(found.lip_millimetres)
    assert network.precision == "bf16"


def test_visible_differences_are_flagged():
    assert not Difference(0.3, MOST_LIP_MILLIMETRES).visible
    assert Difference(0.0, 1.01 * MOST_LIP_MILLIMETRES).visible
    assert Difference(0.0, float("nan")).visible
