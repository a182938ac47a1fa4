# SPDX-License-Identifier: GPL-3.0-or-later
"""What the default model hears in speech: the same as it hears for the generator, in short steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_motion import ASSETS, default_model, demo_speech

from engine.errors import EngineError
from engine.mel import log_mel
from engine.portable.hearing import LABELS, RATE, Hearing
from engine.training import phones


@pytest.fixture(scope="module")
def hearing() -> Hearing:
    return Hearing.from_file()


def test_labels_are_those_of_training():
    assert LABELS == phones.LABELS


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.5, 2.0, 7.5, 17.3])
def test_it_hears_what_the_generator_hears(hearing: Hearing, seconds: float):
    samples = np.resize(demo_speech(), round(16000 * seconds))
    found = hearing.phones(samples)
    assert found.shape == (-(-len(samples) // 320), 36)
    if not len(samples):
        return
    features = np.concatenate(list(default_model().network.audio_encoder.chunks(samples)))[: len(found)]
    logits = features @ hearing._weights["phone_head.weight"].T + hearing._weights["phone_head.bias"]
    expected = np.exp(logits - logits.max(1, keepdims=True))
    assert found == pytest.approx(expected / expected.sum(1, keepdims=True), abs=1e-5)
    assert found.sum(1) == pytest.approx(np.ones(len(found)), abs=1e-5)


def test_it_hears_words(hearing: Hearing):
    """“Press play”, between 1.9 and 2.8 seconds."""
    found = hearing.phones(demo_speech()).argmax(1)[round(1.9 * RATE) : round(2.7 * RATE)]
    heard = [LABELS[phone] for index, phone in enumerate(found) if index == 0 or phone != found[index - 1]]
    assert "P R EH S P L EH" in " ".join(heard)


def test_silence_is_silence(hearing: Hearing):
    assert (hearing.phones(np.zeros(32000))[:, 0] > 0.9).all()
    assert np.isfinite(hearing.phones(np.full(32000, np.nan))).all()


def test_it_works_in_steps(hearing: Hearing):
    shares = [share for share, _ in hearing.listen(np.resize(demo_speech(), 16000 * 20))]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0) and len(shares) == 30


def test_the_mel_features_are_the_engines(hearing: Hearing):
    from engine.mel import speech_mean
    from engine.portable.hearing import _log_power, _normalised

    samples = demo_speech()[:50003]
    power = np.concatenate(list(_log_power(samples)))
    found, wanted = _normalised(power, len(power), speech_mean(power)), log_mel(samples)
    assert np.abs(found - wanted).max() < 2e-5  # BLAS may round a product of other rows otherwise, by processor


def test_a_file_that_cannot_tell_is_a_sentence(tmp_path: Path):
    with np.load(ASSETS / "default_model.npz") as file:
        without = {name: file[name] for name in file.files if "phone_head" not in name}
    np.savez(tmp_path / "deaf.npz", **without)
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    for name, said in (("deaf.npz", "does not tell"), ("broken.npz", "no readable"), ("none.npz", "no readable")):
        with pytest.raises(EngineError, match=said):
            Hearing.from_file(tmp_path / name)
