# SPDX-License-Identifier: GPL-3.0-or-later
"""How a model takes what it was not made for: odd voices with known phone times, and sounds that nobody says.

    python -m engine.training.odd_sounds --out FOLDER [--model FILE] [--metric FOLDER]

The same lines of synthetic speech plain, as a child, whispered, sung, with a second talker, overdriven and faint; and
music, drums, noises, hums, clicks. Writes FOLDER/KIND/*.wav with labels.json and the curves, and prints a row for
each kind: for voices the lip-sync of the metric (`evaluate`), for the rest how much the mouth moves. None of it is
made by the code that makes training sounds. Needs eSpeak NG and Flite.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter, resample_poly

from . import evaluate
from .default_sizes import HEAD_FILE
from .phones import SILENCE, Phone
from .synthesisers import Espeak, Flite, Speech

RATE = 16000
Sound = np.ndarray

ENGLISH = (
    "My mother bought a big map of the park, but nobody could open the box.",
    "Please put the paper boat back on the table before Bob comes home.",
    "The people in the village keep many sheep and sell lamb in the summer.",
    "Maybe we can climb up to the top and have a picnic above the bay.",
)
OTHERS = (
    ("de", "Meine Mutter möchte am Abend ein Buch über Bäume und Berge lesen."),
    ("fr", "Mon papa a beaucoup de pommes dans un petit panier blanc."),
    ("es", "Mi amigo busca un buen mapa para pasear por el campo en primavera."),
    ("pl", "Moja babcia piecze bardzo dobry chleb i pyszne pierogi z mięsem."),
)
SECOND = "Seven dark clouds are drifting slowly across the grey northern hills again tonight, as they did last year."
MELODY = (0, 2, 4, 5, 7, 5, 4, 2, 0, 4, 7, 12, 11, 9, 7, 4, 2, 5, 4, 0)
STRETCH = 1.35
"""How much slower the lines for a child are spoken: they're played as much faster, which raises pitch and formants."""


def at_rate(speech: Speech, played: float = 1.0) -> tuple[Sound, list[Phone]]:
    """Speech played at a speed: samples (N,) float64 at 16 kHz, peak 0.5, and its phones."""
    rate = 50 * round(speech.rate * played / 50)
    sound = resample_poly(speech.samples.astype(np.float64), RATE, rate)
    scale = speech.rate / rate
    return sound / np.abs(sound).max() * 0.5, [(a * scale, b * scale, label) for a, b, label in speech.phones]


def lines(slower: float) -> list[tuple[str, str, Speech]]:
    """Name, language and speech of every line, spoken so many times slower."""
    espeak, flite, made = Espeak(), Flite(), []
    for text, voice in zip(ENGLISH, ("slt", "rms", "awb", "kal16"), strict=True):
        made.append((f"flite_{voice}", "en", flite.say(text, voice, slower)))
    for text, voice in zip(ENGLISH, ("en-us", "en-us+f2", "en+m3", "en+f4"), strict=True):
        made.append((f"espeak_{voice}", "en", espeak.say(text, voice, round(150 / slower), 50, 50)))
    for voice, text in OTHERS:
        made.append((f"espeak_{voice}", voice, espeak.say(text, voice, round(150 / slower), 50, 50)))
    return made


def vocoded(sound: Sound, source: Callable[[int, int], Sound], order: int = 18) -> Sound:
    """The sound (N,) with its vocal tract (linear prediction, 25 ms frames, 10 ms apart) excited by another source.

    ``source(first, count)`` gives samples of unit power. J. Makhoul, "Linear prediction: a tutorial review", 1975.
    """
    size, hop = RATE // 40, RATE // 100
    window, out = np.hanning(size), np.zeros(len(sound) + size)
    weight = np.full(len(out), 1e-6)
    for start in range(0, len(sound) - size, hop):
        frame = sound[start : start + size] * window
        lags = np.correlate(frame, frame, "full")[size - 1 : size + order]
        if lags[0] < 1e-7:
            continue
        lags[0] *= 1.0001
        taps = solve_toeplitz(lags[:order], lags[1:])
        gain = np.sqrt(max(lags[0] - taps @ lags[1:], 0.0) / np.sum(window**2))
        made = lfilter([gain], np.concatenate([[1.0], -taps]), source(start, size + 200))[200:]
        out[start : start + size] += made * window
        weight[start : start + size] += window
    out = (out / weight)[: len(sound)]
    return np.asarray(out / np.abs(out).max() * 0.5)


def whispered(sound: Sound, seed: int) -> Sound:
    """Nothing but breath through the same mouth."""
    noise = np.random.default_rng(seed).standard_normal(len(sound) + RATE)
    return vocoded(lfilter([1.0, -0.9], [1.0], sound), lambda first, count: noise[first : first + count])


def sung(sound: Sound, root: float) -> Sound:
    """The same mouth on a melody of two notes a second, with vibrato."""
    time = np.arange(len(sound) + RATE) / RATE
    notes = np.array([MELODY[int(t) % len(MELODY)] for t in time * 2])
    hertz = root * 2 ** (notes / 12) * (1 + 0.015 * np.sin(2 * np.pi * 5.5 * time))
    pulses = np.diff(np.floor(np.cumsum(hertz) / RATE), prepend=0.0)
    pulses *= np.sqrt(RATE / hertz)
    return vocoded(sound, lambda first, count: pulses[first : first + count])


def voices() -> dict[str, list[tuple[str, str, Sound, list[Phone]]]]:
    """For each kind the lines' name, language, samples (N,) and phones."""
    plain = [(name, language, *at_rate(speech)) for name, language, speech in lines(1.0)]
    slow = [(name, language, *at_rate(speech)) for name, language, speech in lines(1.6)]
    child = [(name, language, *at_rate(speech, STRETCH)) for name, language, speech in lines(STRETCH)]
    second, _ = at_rate(Flite().say(SECOND, "rms"))
    kinds: dict[str, list[tuple[str, str, Sound, list[Phone]]]] = {"plain": plain, "child": child}

    def changed(change: Callable[[Sound, int], Sound], of: list = plain) -> list:  # type: ignore[type-arg]
        return [(name, lang, change(sound, k), phones) for k, (name, lang, sound, phones) in enumerate(of)]

    kinds["whispered"] = changed(whispered)
    kinds["sung"] = changed(lambda sound, k: sung(sound, (110.0, 165.0, 220.0)[k % 3]), slow)
    kinds["second talker 6 dB below"] = changed(lambda sound, _k: sound + 0.5 * np.resize(second, len(sound)))
    kinds["second talker as loud"] = changed(lambda sound, _k: sound + np.resize(second, len(sound)))
    kinds["overdriven 20 dB"] = changed(lambda sound, _k: np.clip(20.0 * sound, -1.0, 1.0))
    kinds["faint, 40 dB down"] = changed(lambda sound, _k: 0.01 * sound)
    return kinds


def _tone(hertz: float, count: int, decay: float, tilt: float, attack: float = 0.01) -> Sound:
    time = np.arange(count) / RATE
    partials = sum(np.sin(2 * np.pi * hertz * k * time) / k**tilt for k in range(1, 11) if k * hertz < 7600)
    return np.asarray(partials * np.exp(-time / decay) * np.minimum(time / attack, 1.0))


def _drums(count: int) -> Sound:
    """Kick, snare and closed hat at 120 beats a minute."""
    rng, out, beat = np.random.default_rng(5), np.zeros(count + RATE), RATE // 4
    time = np.arange(RATE // 2) / RATE
    kick = np.sin(2 * np.pi * (50 * time + 60 * (1 - np.exp(-time / 0.03)) * 0.03)) * np.exp(-time / 0.12)
    for step, start in enumerate(range(0, count, beat)):
        hat = rng.standard_normal(len(time)) * np.exp(-time / 0.02)
        parts = 0.25 * lfilter([1.0, -0.95], [1.0], hat)
        if step % 4 == 0:
            parts = parts + kick
        if step % 4 == 2:
            parts = parts + 0.6 * rng.standard_normal(len(time)) * np.exp(-time / 0.09)
        out[start : start + len(time)] += parts
    return out[:count]


def _tune(count: int, chords: bool, drums: bool, decay: float, tilt: float, attack: float = 0.01) -> Sound:
    """A melody, or it with chords and drums, at 120 beats a minute."""
    out, beat = np.zeros(count + 4 * RATE), RATE // 2
    for step, start in enumerate(range(0, count, beat)):
        note = 220.0 * 2 ** (MELODY[step % len(MELODY)] / 12)
        out[start : start + beat] += _tone(note, beat, decay, tilt, attack)
        if chords and step % 4 == 0:
            for semitone in ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))[step // 4 % 4]:
                out[start : start + 4 * beat] += 0.5 * _tone(110.0 * 2 ** (semitone / 12), 4 * beat, 1.5, tilt)
    out = out[:count] / np.abs(out).max()
    return out + 0.6 * _drums(count) if drums else out


def _pink(count: int) -> Sound:
    spectrum = np.fft.rfft(np.random.default_rng(6).standard_normal(count))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), count)


def _crowd(count: int) -> Sound:
    """Applause: hundreds of claps a second."""
    rng = np.random.default_rng(7)
    claps = (rng.random(count) < 400 / RATE) * rng.uniform(0.2, 1.0, count)
    shape = rng.standard_normal(160) * np.exp(-np.arange(160) / 40)
    return np.convolve(claps, shape)[:count]


def nobodys_sounds(seconds: float = 20.0) -> dict[str, Sound]:
    """Sounds (N,) that no mouth makes, by name; peak 0.3."""
    count = int(seconds * RATE)
    time, rng = np.arange(count) / RATE, np.random.default_rng(8)
    ticks = np.zeros(count)
    ticks[np.cumsum(rng.integers(RATE // 8, RATE, count // RATE * 2)) % count] = 1.0
    engine = sum(np.sin(2 * np.pi * 27 * k * time + k * k) / k**0.5 for k in range(1, 40))
    vowel = sum(np.sin(2 * np.pi * 180 * k * time) * np.exp(-(((k * 180 - 700) / 400) ** 2)) for k in range(1, 20))
    made: dict[str, Sound] = {
        "white noise": rng.standard_normal(count), "pink noise": _pink(count),
        "wind": _pink(count) * np.interp(time, np.arange(0, seconds + 1), rng.uniform(0.1, 1.0, int(seconds) + 1)),
        "mains hum": sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 4, 6, 8)), "engine": engine,
        "ticks": lfilter([1.0], [1.0, -1.2, 0.8], ticks), "applause": _crowd(count),
        "drums": _drums(count), "piano tune": _tune(count, False, False, 0.4, 1.6),
        "organ tune": _tune(count, False, False, 9.0, 0.8, 0.05), "chords": _tune(count, True, False, 0.8, 1.0),
        "band": _tune(count, True, True, 0.5, 1.0), "beeps": np.sin(2 * np.pi * 1000 * time) * (time % 1.0 < 0.2),
        "sweep": np.sin(2 * np.pi * np.cumsum(np.geomspace(80, 7000, count)) / RATE), "held vowel": vowel,
    }  # fmt: skip
    return {name: 0.3 * sound / np.abs(sound).max() for name, sound in made.items()}


def label_of(name: str, language: str, sound: Sound, phones: list[Phone]) -> dict[str, object]:
    """An entry of labels.json as the metric reads it."""
    heard = [(a, b, "AH" if label == "AX" else label, 1.0) for a, b, label in phones if label != SILENCE]
    silences = [(a, b) for a, b, label in phones if label == SILENCE and b - a >= 0.2]
    return {"id": name, "file": f"{name}.wav", "duration_s": len(sound) / RATE, "lang": language, "phones": heard,
            "silences": silences}  # fmt: skip


def write_wav(path: Path, sound: Sound) -> None:
    """Samples in -1..1 as 16-bit at 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, RATE, np.round(np.clip(sound, -1.0, 1.0) * 32767).astype(np.int16))


def movement(folder: Path) -> dict[str, tuple[float, ...]]:
    """Of every curve in a folder: opening in mm (mean, 95 %, most), speed (95 %, mm/s), largest turn of the head
    (degrees).
    """
    rows = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as data:
            opening, head = 1000 * data["aperture"], np.degrees(np.abs(data["motion"][:, 100:103]).max())
        speed = float(np.percentile(np.abs(np.diff(opening)) * evaluate.FPS, 95))
        rows[path.stem] = (float(opening.mean()), float(np.percentile(opening, 95)), float(opening.max()), speed,
                           float(head))  # fmt: skip
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=None, help="left out: the default model")
    parser.add_argument("--head", type=Path, default=HEAD_FILE)
    parser.add_argument("--metric", type=Path, default=None, help="folder of lip_metrics.py")
    given = parser.parse_args()
    for kind, spoken in voices().items():
        folder = given.out / kind
        for name, _language, sound, _phones in spoken:
            write_wav(folder / f"{name}.wav", sound)
        (folder / "labels.json").write_text(json.dumps({"clips": [label_of(*line) for line in spoken]}))
        evaluate.write_curves(folder, folder / "curves", given.model, given.head)
        if given.metric is not None:
            rows = evaluate.table(folder, folder, folder / "curves", given.metric)
            print(*(rows[:1] if kind == "plain" else []), f"{kind:26s}" + rows[1][16:], sep="\n")
    folder = given.out / "nobody"
    for name, sound in nobodys_sounds().items():
        write_wav(folder / f"{name}.wav", sound)
    evaluate.write_curves(folder, folder / "curves", given.model, given.head)
    print("opening mm: mean, 95 %, most; speed 95 % mm/s; head degrees")
    for name, row in movement(folder / "curves").items():
        print(f"{name:16s}" + "".join(f"{value:9.2f}" for value in row))


if __name__ == "__main__":
    main()
