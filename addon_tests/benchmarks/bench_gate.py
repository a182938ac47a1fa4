# SPDX-License-Identifier: GPL-3.0-or-later
"""How much the lips move in pauses without and with the silence gate, beside the least that is possible. numpy alone.

    python addon_tests/benchmarks/bench_gate.py [--repeats 3] [--gate 1] [--audible 0.01]

Sound: the demo speech with pauses of known length between, under pink room noise. Motion: the default model's own of
that sound, and for the worst case "babble": its motion of speech without pauses, laid over the same sound. Lips: the
inner lips' aperture of the default head, skinned by the engine; its path in mm per second of pause.

"inside" is from 120 ms after the speech ends to 120 ms before it begins. "whole" is from the speech's last frame to its
next first one: there a mouth has to travel at least from where speech leaves it to rest, and to where speech begins.
That is "least"; "at best" is the ratio that it allows, "of it" how much of the least is travelled. "speech" is the
share in % of frames from a word's first to its last audible sample that the gate changes: the first and last two of
words that begin or end quietly. `--audible` is the amplitude from which a sample counts; 0.003 takes the faint bursts
of final stops as speech, and so shows more of them changed.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
from real_motion import SPEECH, default_head, demo_speech, lips, raw_motion_of

from artalk_blender.motion.gate import loudness
from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import FaceChannels

PAUSES = {"0.5 s and more": (0.5, 0.8, 1.5, 3.0), "0.24 to 0.4 s": (0.24, 0.3, 0.36, 0.4)}  # seconds
SNRS = (60, 30, 20, 12, 6, 0)  # decibels, of speech over noise
WORDS = (SPEECH.start, 23700, 46500, 65200, 92800)  # samples where the demo is quiet between words
MARGIN = 3  # frames, 120 ms
FRAME = 640  # samples
FPS = 25


@dataclass
class Sum:
    """Millimetres travelled in so many seconds, without and with the gate; the least of it; speech frames changed."""

    free: float = 0.0
    gated: float = 0.0
    least: float = 0.0
    seconds: float = 0.0

    def add(self, free: np.ndarray, gated: np.ndarray, first: int, last: int) -> None:
        """Counts the steps from frame `first` to frame `last` of apertures (T,) in millimetres."""
        if last <= first:
            return
        self.free += float(np.abs(np.diff(free[first : last + 1])).sum())
        self.gated += float(np.abs(np.diff(gated[first : last + 1])).sum())
        self.least += float(free[first] + free[last])
        self.seconds += (last - first) / FPS

    def text(self, least: bool) -> str:
        free, gated, floor = (value / self.seconds for value in (self.free, self.gated, self.least))
        ratio = f"{free / gated:7.1f}x" if gated > 1e-3 * free else "  >1000x"
        text = f"{free:8.1f}{gated:8.2f}{ratio}"
        return text + f"{floor:8.1f}{free / floor:7.1f}x{gated / floor:7.2f}" if least else text


def clip(lengths: tuple[float, ...], seed: int, audible: float) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Speech (N,) with the pauses in another order between its words, and the pauses in frames [begin, end)."""
    pieces = []
    for piece in np.split(demo_speech(), WORDS)[1:]:
        heard = np.flatnonzero(np.abs(piece) > audible)
        pieces.append(piece[heard[0] : heard[-1] + 1])
    order = np.random.default_rng(seed).permutation(np.repeat(lengths, 2))
    parts, labels, at = [pieces[0]], [], len(pieces[0])
    for index, seconds in enumerate(order):
        count = round(16000 * seconds) + seed * 213  # so that frames lie elsewhere in each
        speech = pieces[(index + 1) % len(pieces)]
        parts += [np.zeros(count, np.float32), speech]
        labels.append((at / FRAME, (at + count) / FRAME))
        at += count + len(speech)
    return np.concatenate(parts), labels


def room_noise(count: int, decibels: float, seed: int) -> np.ndarray:
    """(N,) pink noise from 20 Hz on, decibels below full scale."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    frequency = np.fft.rfftfreq(count, 1 / 16000)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), count)
    return (noise * 10.0 ** (decibels / 20.0) / noise.std()).astype(np.float32)


def measure(samples: np.ndarray, raw: np.ndarray, labels: list[tuple[float, float]], gate: float,
            sums: tuple[Sum, Sum]) -> tuple[int, int]:
    """Adds up inside and whole pauses; returns how many frames under speech were changed, and how many there are."""
    face, level = FaceChannels(default_head().expression_names), loudness(samples)
    motions = [process_motion(raw, ProcessSettings(silence_gate=amount), face, level) for amount in (0.0, gate)]
    free, gated = (1e3 * lips(motion).aperture.astype(np.float64) for motion in motions)
    changed = (motions[0] != motions[1]).any(1)
    speech = np.ones(len(level), bool)
    for begin, end in labels:
        speech[math.floor(begin) + 1 : math.ceil(end)] = False
        sums[0].add(free, gated, math.ceil(begin + MARGIN), math.floor(end - MARGIN))
        sums[1].add(free, gated, math.floor(begin), math.ceil(end))
    return int(changed[speech].sum()), int(speech.sum())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gate", type=float, default=1.0)
    parser.add_argument("--audible", type=float, default=0.01)
    options = parser.parse_args()
    babble = raw_motion_of(np.tile(demo_speech()[SPEECH], 12))
    own = "the model's own"
    speech_db = 20.0 * math.log10(float(demo_speech()[SPEECH].std()))
    print(f"Silence gate {options.gate:g}; aperture in mm/s; {options.repeats} clips a line; numpy {np.__version__}")
    for title, lengths in PAUSES.items():
        print(f"\nPauses of {title}\n{'':24s}{'inside':^25s}{'whole':^48s}\n{'motion':17s}{'SNR dB':>7s}"
              f"{'without':>8s}{'with':>8s}{'ratio':>8s}{'without':>8s}{'with':>8s}{'ratio':>8s}{'least':>8s}"
              f"{'at best':>8s}{'of it':>7s}{'speech':>8s}")
        for snr in SNRS:
            for kind in (own, "babble"):
                sums, changed, frames = (Sum(), Sum()), 0, 0
                for seed in range(options.repeats):
                    samples, labels = clip(lengths, seed, options.audible)
                    samples = samples + room_noise(len(samples), speech_db - snr, seed)
                    count = math.ceil(len(samples) / FRAME)
                    raw = raw_motion_of(samples) if kind == own else babble[37 * seed :][:count]
                    found = measure(samples, raw, labels, options.gate, sums)
                    changed, frames = changed + found[0], frames + found[1]
                inside = sums[0].text(False) if sums[0].seconds else f"{'-':>24s}"
                print(f"{kind:17s}{snr:7d}{inside}{sums[1].text(True)}{100 * changed / frames:8.2f}", flush=True)


if __name__ == "__main__":
    main()
