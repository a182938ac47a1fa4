# SPDX-License-Identifier: GPL-3.0-or-later
"""The training speech: synthetic utterances with sample-accurate phone times, in shards on disk.

Made from a seed by free synthesisers; no recorded speech goes in. `python -m engine.training.corpus --hours
10 --out FOLDER` writes it, `load_corpus` reads it. Shards are independent, so the order and number of
processes change nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from . import texts
from .not_speech import not_speech
from .phones import INDEX, LABELS, SILENCE, Phone, tidy
from .synthesisers import (
    FESTIVAL_VOICES,
    Espeak,
    FestivalVoice,
    Flite,
    Speech,
    SynthesisError,
    festival,
)
from .voices import badly_recorded, other_speaker

RATE = 16000
ESPEAK_SHARE, FLITE_SHARE = 0.36, 0.28  # of the hours of speech; the rest is Festival's
NOT_SPEECH_SHARE = 0.07  # on top of the speech
SHARD_HOURS = 0.25
CHANGED = 0.8  # share of the speech that becomes another speaker's
WHISPERED, BREATHY, BADLY_RECORDED = 0.04, 0.3, 0.1

_ESPEAK_LANGUAGES = (
    "en-us", "en-us", "en-us", "en", "en", "en-gb-x-rp", "en-gb-scotland", "en-029", "de", "de", "fr",
    "fr", "es",
    "es", "es-419", "it", "it", "pt", "pt-br", "nl", "sv", "da", "nb", "pl", "pl", "cs", "sk", "sl", "hr",
    "hu", "ro", "fi",
    "et", "tr", "ru", "ru", "uk", "bg", "el", "id", "ca", "lt", "lv", "hi", "ko",
)  # fmt: skip
# Voices that whisper, buzz or echo are left out; in an echo the closures of stops are not silent.
_ESPEAK_VARIANTS = (
    "", "", "", "Alex", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo",
    "Jacky", "Lee", "Mario", "Michael", "Mike", "Nguyen", "adam", "anika", "antonio", "aunty", "belinda",
    "benjamin",
    "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "gustave", "iven", "iven2", "iven3", "iven4",
    "john", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "klatt6", "linda", "m1", "m3", "m4", "m5",
    "m6", "m7",
    "m8", "marcelo", "max", "michel", "miguel", "norbert", "paul", "pedro", "quincy", "rob", "robert",
    "sandro",
    "shelby", "steph", "steph2", "steph3", "travis", "victor", "zac",
)  # fmt: skip


@dataclass
class Utterance:
    """One utterance at 16 kHz; the phones cover it from end to end."""

    samples: np.ndarray  # (N,) int16
    phones: list[Phone]  # (start s, end s, label)
    engine: str
    voice: str
    language: str


@dataclass(frozen=True)
class Shard:
    """What one process makes: some hours of one synthesiser, of one of its voices, or of no speech at all."""

    name: str
    engine: str
    voice: FestivalVoice | None
    hours: float
    seed: int


def plan(hours: float, seed: int) -> list[Shard]:
    """The shards of a corpus of so many hours."""
    shards: list[Shard] = []

    def add(engine: str, voice: FestivalVoice | None, share: float, label: str) -> None:
        count = max(1, round(share * hours / SHARD_HOURS))
        for index in range(count):
            name = f"{label}_{index:03d}"
            shards.append(Shard(name, engine, voice, share * hours / count, seed ^ zlib.crc32(name.encode())))

    add("espeak", None, ESPEAK_SHARE, "espeak")
    add("flite", None, FLITE_SHARE, "flite")
    for voice in FESTIVAL_VOICES:
        # The three Indian voices are one speaker with one accent: together they count as one voice
        # and a half.
        weight = 0.5 if voice.language in ("hi", "mr", "te") else 1.0
        weights = len(FESTIVAL_VOICES) - 1.5
        add(
            "festival", voice, (1.0 - ESPEAK_SHARE - FLITE_SHARE) * weight / weights, f"festival_{voice.name}"
        )
    add("none", None, NOT_SPEECH_SHARE, "none")
    # The three synthesisers in turn, so that a part of the corpus is already a mixture.
    return sorted(shards, key=lambda shard: (shard.name[-3:], shard.engine == "espeak", shard.name))


def finish(speech: Speech, rng: random.Random, warp: float) -> tuple[np.ndarray, list[Phone]] | None:
    """Warp the speed, resample to 16 kHz, change the speaker and put silence around: samples (N,) int16 and
    phones; None where it is no use.
    """
    seconds = len(speech.samples) / speech.rate
    if (
        not 0.5 < seconds < 15.0
        or len(speech.phones) < 4
        or np.abs(speech.samples.astype(np.int32)).max() < 500
    ):
        return None
    # As if recorded at another rate, a multiple of 50 Hz so that the resampling ratio stays simple.
    rate = 50 * round(speech.rate * warp / 50)
    audio = resample_poly(speech.samples.astype(np.float64), RATE, rate)
    scale = speech.rate / rate
    audio = _changed(audio, rng)
    before, after = (rng.choice((0.0, rng.uniform(0.02, 0.3), rng.uniform(0.1, 0.8))) for _ in range(2))
    lead = int(before * RATE)
    audio = np.pad(audio, (lead, int(after * RATE)))
    gain = min(1.0, 30000.0 / max(1.0, float(np.abs(audio).max())))
    phones = [
        (start * scale + lead / RATE, end * scale + lead / RATE, label) for start, end, label in speech.phones
    ]
    return np.round(audio * gain).astype(np.int16), tidy(phones, len(audio) / RATE)


def _changed(audio: np.ndarray, rng: random.Random) -> np.ndarray:
    """The same speech by another speaker, sometimes badly recorded."""
    noise = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < CHANGED:
        whispered = rng.random() < WHISPERED
        breath = rng.uniform(0.05, 0.5) if rng.random() < BREATHY else 0.0
        audio = other_speaker(audio, 1.25 ** rng.uniform(-1.0, 1.0), breath, whispered, noise)
    return badly_recorded(audio, noise) if rng.random() < BADLY_RECORDED else audio


def _espeak(shard: Shard, rng: random.Random) -> Iterator[tuple[Speech, str, str, float]]:
    espeak = Espeak()
    while True:
        language = rng.choice(_ESPEAK_LANGUAGES)
        variant = rng.choice(_ESPEAK_VARIANTS)
        voice = f"{language}+{variant}" if variant else language
        locale = {"pt-br": "pt_BR"}.get(language, language.split("-")[0])
        said = texts.text(locale, rng)
        speed = round(100 * 3.2 ** rng.betavariate(1.6, 1.9))
        try:
            speech = espeak.say(said, voice, speed, rng.randint(15, 85), rng.randint(15, 90))
        except SynthesisError:
            continue
        yield speech, voice, language, 1.0


def _flite(shard: Shard, rng: random.Random) -> Iterator[tuple[Speech, str, str, float]]:
    flite = Flite()
    own_pitch = {"slt": 170.0, "awb": 120.0, "rms": 100.0, "kal": 100.0, "kal16": 100.0}
    while True:
        voice = rng.choice(("slt", "slt", "awb", "awb", "rms", "rms", "kal", "kal16"))
        warp, stretch = _warp(rng)
        pitch = own_pitch[voice] * rng.uniform(0.75, 1.5)
        yield flite.say(texts.text("en", rng), voice, stretch, pitch), voice, "en", warp


def _festival(shard: Shard, rng: random.Random) -> Iterator[tuple[Speech, str, str, float]]:
    voice = shard.voice
    assert voice is not None
    for _ in range(40):
        said = [texts.text(voice.language, rng) for _ in range(40)]
        warps = [_warp(rng) for _ in said]
        numbered = festival(voice, said, [stretch for _playing, stretch in warps])
        for number, speech in numbered:
            yield speech, voice.name, voice.language, warps[number][0]


def _warp(rng: random.Random) -> tuple[float, float]:
    """A playing speed (it moves pitch and formants) and the stretch that keeps the pace within 0.7 to 1.4."""
    warp = 1.0 if rng.random() < 0.2 else 1.5 ** rng.triangular(-0.8, 1.0, 0.1)
    return warp, warp * rng.uniform(0.72, 1.3)


def _not_speech(shard: Shard, path: Path) -> str:
    """A shard of sounds without a speaker."""
    noise = np.random.default_rng(shard.seed)
    made = []
    for _ in range(max(1, round(shard.hours * 3600.0 / 6.0))):
        samples = not_speech(6.0, noise)
        made.append(Utterance(samples, [(0.0, len(samples) / RATE, SILENCE)], "none", "none", "none"))
    save_shard(made, path)
    return f"{shard.name}: {len(made)} sounds"


def make_shard(shard: Shard, folder: Path) -> str:
    """Synthesise one shard into FOLDER/NAME.npz unless it is there; returns a line for the log."""
    path = folder / f"{shard.name}.npz"
    if path.exists():
        return f"{shard.name}: kept"
    if shard.engine == "none":
        return _not_speech(shard, path)
    rng = random.Random(shard.seed)
    maker = {"espeak": _espeak, "flite": _flite, "festival": _festival}[shard.engine]
    made: list[Utterance] = []
    wanted, total = shard.hours * 3600.0, 0.0
    unknown: dict[str, int] = {}
    for speech, voice, language, warp in maker(shard, rng):
        for symbol in speech.unknown:
            unknown[symbol] = unknown.get(symbol, 0) + 1
        finished = finish(speech, rng, warp)
        if finished is None:
            continue
        made.append(Utterance(finished[0], finished[1], shard.engine, voice, language))
        total += len(finished[0]) / RATE
        if total >= wanted:
            break
    if not made:
        raise SynthesisError(f"{shard.name}: the voice spoke nothing; is the package of its language installed?")
    save_shard(made, path)
    return f"{shard.name}: {total / 3600:.3f} h, {len(made)} utterances, symbols without a label {unknown}"


def save_shard(utterances: list[Utterance], path: Path) -> None:
    """Write utterances as one npz; whole or not at all."""
    rows = [
        (number, start, end, INDEX[label])
        for number, u in enumerate(utterances)
        for start, end, label in u.phones
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    partial = path.with_suffix(".part.npz")
    np.savez(
        partial,
        samples=np.concatenate([u.samples for u in utterances]) if utterances else np.zeros(0, np.int16),
        lengths=np.array([len(u.samples) for u in utterances], dtype=np.int64),
        phone_utterance=table[:, 0].astype(np.int32),
        phone_times=table[:, 1:3],
        phone_label=table[:, 3].astype(np.uint8),
        info=np.array(
            json.dumps(
                {"labels": LABELS, "utterances": [(u.engine, u.voice, u.language) for u in utterances]}
            )
        ),
    )
    partial.replace(path)


def load_shard(path: Path) -> Iterator[Utterance]:
    """The utterances of one shard."""
    with np.load(path, allow_pickle=False) as arrays:
        samples, lengths = arrays["samples"], arrays["lengths"]
        owner, times, label = arrays["phone_utterance"], arrays["phone_times"], arrays["phone_label"]
        info = json.loads(str(arrays["info"]))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    bounds = np.searchsorted(owner, np.arange(len(lengths) + 1))
    for number, (engine, voice, language) in enumerate(info["utterances"]):
        rows = range(bounds[number], bounds[number + 1])
        phones = [(float(times[row, 0]), float(times[row, 1]), info["labels"][label[row]]) for row in rows]
        yield Utterance(samples[starts[number] : starts[number + 1]], phones, engine, voice, language)


def load_corpus(folder: Path) -> Iterator[Utterance]:
    """All utterances of a corpus, shard after shard in the order of their names."""
    for path in sorted(Path(folder).glob("*.npz")):
        if not path.name.endswith(".part.npz"):
            yield from load_shard(path)


def main() -> None:
    """Make a corpus from the command line."""
    parser = argparse.ArgumentParser(description="Make synthetic speech with phone times.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        shards = plan(options.hours, options.seed)
        try:
            for line in pool.map(make_shard, shards, [options.out] * len(shards)):
                print(line, flush=True)
        except SynthesisError as missing:
            pool.shutdown(cancel_futures=True)
            raise SystemExit(str(missing)) from None


if __name__ == "__main__":
    main()
