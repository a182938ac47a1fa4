# SPDX-License-Identifier: GPL-3.0-or-later
"""The training speech: labels, times, shards, augmentation and decoding; synthesisers where installed."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

pytest.importorskip("scipy")

from engine.training import corpus, phones, texts
from engine.training.lip_targets import OPENING, decode
from engine.training.synthesisers import Espeak, Flite, SynthesisError


def test_symbols_become_labels():
    assert len(set(phones.LABELS)) == 36
    assert phones.labels_of_ipa("aɪ") == ["AA", "IH"]
    assert phones.labels_of_ipa("tʃ") == ["CH"]
    assert phones.labels_of_ipa("pː") == ["P"]
    assert phones.labels_of_ipa("ʔ") == []
    assert phones.labels_of_symbol("en", "ow") == ["AO", "UH"]
    assert phones.labels_of_symbol("ru", "mm") == ["M"]
    assert phones.labels_of_symbol("it", "tS") == ["CH"]
    assert phones.labels_of_symbol("en", "pau") == ["sil"]
    assert phones.labels_of_symbol("en", "?") is None
    assert all(label in phones.INDEX for symbols in phones._IPA for label in [symbols])


def test_tidy_covers_everything_and_swallows_short_pauses():
    made = phones.tidy([(0.1, 0.2, "M"), (0.2, 0.24, "sil"), (0.24, 0.5, "AA"), (0.5, 0.6, "AA")], 1.0)
    assert [label for _, _, label in made] == ["sil", "M", "AA", "sil"]
    assert made[0][0] == 0.0
    assert made[-1][1] == 1.0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(made))
    assert made[1][1] == pytest.approx(0.24)


def test_a_diphthong_is_cut_in_two():
    made = phones.cut(1.0, 2.0, ["AA", "IH"])
    assert made == [(1.0, pytest.approx(1.55), "AA"), (pytest.approx(1.55), pytest.approx(2.0), "IH")]


def test_shards_come_back_as_written(tmp_path):
    rng = np.random.default_rng(0)
    made = [
        corpus.Utterance(
            rng.integers(-9, 9, 16000).astype(np.int16),
            [(0.0, 0.5, "sil"), (0.5, 1.0, "M")],
            "flite",
            v,
            "en",
        )
        for v in ("slt", "awb")
    ]
    corpus.save_shard(made, tmp_path / "one.npz")
    read = list(corpus.load_corpus(tmp_path))
    assert [(u.engine, u.voice, u.language, u.phones) for u in read] == [
        (u.engine, u.voice, u.language, u.phones) for u in made
    ]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(made, read, strict=True))


def test_a_seed_plans_and_says_the_same():
    assert corpus.plan(10, 1) == corpus.plan(10, 1)
    assert corpus.plan(10, 1) != corpus.plan(10, 2)
    hours = {kind: sum(s.hours for s in corpus.plan(10, 1) if (s.engine == "none") == kind) for kind in (False, True)}
    assert hours == pytest.approx({False: 10, True: 10 * corpus.NOT_SPEECH_SHARE})
    said = [[texts.minimal_set(rng), texts.pseudo_word(rng)] for rng in (random.Random(3), random.Random(3))]
    assert said[0] == said[1]
    assert texts.in_script("bama aba", "ru") == "бама аба"


def one_hot(*labels: str) -> np.ndarray:
    posteriors = np.zeros((10 * len(labels), len(phones.LABELS)), np.float32)
    for number, label in enumerate(labels):
        posteriors[10 * number : 10 * number + 10, phones.INDEX[label]] = 1.0
    return posteriors


def test_the_decoder_closes_at_bilabials_and_rests_in_silence():
    curves = decode(one_hot("sil", "AA", "M", "AA", "sil"))
    assert len(curves.aperture) == 25
    assert curves.aperture[12] == 0.0
    assert curves.aperture[7] > 0.7 * OPENING.max()
    assert curves.aperture[0] < 0.01
    assert not decode(one_hot("sil", "sil")).aperture.any()


def lowest_level_inside(samples: np.ndarray, rate: int, start: float, end: float) -> float:
    step = rate // 200
    part = samples[int(start * rate) : int(end * rate)].astype(float)
    return min(part[i : i + step].std() for i in range(0, max(1, len(part) - step), step))


def test_espeak_has_every_voice_of_the_corpus():
    try:
        espeak = Espeak()
    except SynthesisError as error:
        pytest.skip(str(error))
    for language in set(corpus._ESPEAK_LANGUAGES):
        assert len(espeak.say("ma", language, 300, 50, 50).samples) > 1000, language
    for variant in set(corpus._ESPEAK_VARIANTS) - {""}:
        assert len(espeak.say("ma", f"en-us+{variant}", 300, 50, 50).samples) > 1000, variant


def test_a_voice_that_says_nothing_is_no_empty_shard(tmp_path, monkeypatch):
    """Festival's Indian voices without the packages of their languages do that."""
    monkeypatch.setattr(corpus, "festival", lambda voice, said, stretches: iter(()))
    shard = corpus.Shard("mute", "festival", corpus.FESTIVAL_VOICES[0], 0.01, 1)
    with pytest.raises(SynthesisError, match="mute.*spoke nothing"):
        corpus.make_shard(shard, tmp_path)
    assert not list(tmp_path.iterdir())


def test_espeak_closures_lie_inside_their_labels():
    try:
        espeak = Espeak()
    except SynthesisError as error:
        pytest.skip(str(error))
    speech = espeak.say("apa epe ipi", "it", 150, 50, 50)
    stops = [phone for phone in speech.phones if phone[2] == "P"]
    assert len(stops) == 3
    assert all(end - start > 0.05 for start, end, _ in stops)
    assert all(lowest_level_inside(speech.samples, speech.rate, start, end) < 10 for start, end, _ in stops)


def test_flite_closures_lie_inside_their_labels():
    try:
        flite = Flite()
    except SynthesisError as error:
        pytest.skip(str(error))
    speech = flite.say("A happy puppy.", "slt")
    stops = [phone for phone in speech.phones if phone[2] == "P"]
    assert len(stops) == 3
    loud = speech.samples.astype(float).std()
    assert all(lowest_level_inside(speech.samples, speech.rate, s, e) < 0.1 * loud for s, e, _ in stops)


def test_augmentation_is_repeatable_and_normalised_as_the_engine_does():
    torch = pytest.importorskip("torch")
    from engine import mel
    from engine.training.augment import Augmenter, normalised, warped

    samples = np.random.default_rng(0).standard_normal(48000) * np.linspace(0.0, 0.2, 48000)
    log_power = np.log(np.maximum(mel.mel_power(samples.astype(np.float32)), mel.POWER_FLOOR))
    batch = torch.from_numpy(np.stack([log_power] * 5))
    np.testing.assert_allclose(
        normalised(batch)[0].numpy(), mel.log_mel(samples.astype(np.float32)), atol=1e-4
    )
    first, second = Augmenter(1)(batch), Augmenter(1)(batch)
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    still = warped(batch, torch.zeros(5), torch.ones(5), torch.ones(5), 300)
    np.testing.assert_allclose(still.numpy(), batch.numpy(), atol=1e-3)
