# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about a sound: on the demo speech, degraded in known ways, and on sounds that are no speech. No Blender.

Both kinds of mistake are counted: a finding where there is nothing wrong, and a fault that is not found.
"""

from __future__ import annotations

import numpy as np
import pytest
from real_motion import SPEECH, demo_speech, speech_with_pauses

from artalk_blender.audio.check import SoundListener, SoundReport, check_sound, checking

RATE = 16000
KINDS = ("short", "long", "dull", "silent", "clipped", "quiet", "noisy", "cancels", "voices")


def kinds(report: SoundReport) -> set[str]:
    return {finding.kind for finding in report.findings}


def as_16_bit(samples: np.ndarray) -> np.ndarray:
    return (np.round(np.clip(samples, -1, 1) * 32767) / 32768).astype(np.float32)


def at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    """By linear interpolation, which is enough here."""
    return np.interp(np.arange(0, len(samples) / RATE, 1 / rate), np.arange(len(samples)) / RATE, samples)


def voices(gain: float = 1.0, noise_db: float = -70.0) -> tuple[np.ndarray, np.ndarray]:
    """Two talkers that take turns: the demo, and the demo backwards after it, each over its own noise."""
    one = demo_speech()[SPEECH]
    rest = np.zeros(len(one), np.float32)
    rng = np.random.default_rng(0)
    left, right = np.concatenate([one, rest, one, rest]), np.concatenate([rest, one[::-1], rest, one[::-1]])
    noise = rng.normal(0, 10 ** (noise_db / 20), (2, len(left)))
    return gain * left + noise[0], right + noise[1]


def test_the_demo_is_fine():
    report = check_sound(demo_speech(), RATE)
    assert report.findings == () and report.channels == 1 and report.rate == RATE
    assert report.seconds == pytest.approx(len(demo_speech()) / RATE)
    assert -20 < report.speech_db < -12 and report.floor_db < -50 and report.peak_db == pytest.approx(-3.1, abs=0.3)
    assert report.summary == "7.5 s, speech at -16 dB"


FINE = {
    "16 bits": as_16_bit(demo_speech()),
    "full scale": as_16_bit(demo_speech() / np.abs(demo_speech()).max()),
    "soft": 0.1 * demo_speech(),
    "some noise": speech_with_pauses((1.0, 2.0), -50),
    "no pauses": demo_speech()[SPEECH],
    "48 kHz": at_rate(demo_speech(), 48000),
    "22.05 kHz": at_rate(demo_speech(), 22050),
    "an offset": 0.2 + 0.7 * demo_speech(),
    "padded": np.concatenate([np.zeros(80000), demo_speech(), np.zeros(80000)]),
    "a click": demo_speech() + 0.99 * (np.arange(len(demo_speech())) == 60000),
    "in both channels": np.stack([demo_speech()] * 2, 1),
    "to one side": np.stack([demo_speech(), 0.3 * demo_speech()], 1),
    "in one channel": np.stack([demo_speech(), np.zeros(len(demo_speech()))], 1),
    "two microphones": np.stack([demo_speech(), np.roll(0.8 * demo_speech(), 23)], 1),
    "a noisy channel beside": np.stack(
        [demo_speech(), np.random.default_rng(1).normal(0, 0.002, len(demo_speech()))], 1),
    "six channels": np.stack([demo_speech()] * 6, 1),
}
RATES = {"48 kHz": 48000, "22.05 kHz": 22050}


@pytest.mark.parametrize("name", FINE)
def test_no_false_alarm(name):
    assert kinds(check_sound(FINE[name], RATES.get(name, RATE))) == set()


@pytest.mark.parametrize("seconds", [1.0, 1.5, 2.5, 4.5])
def test_no_false_alarm_in_any_part_of_clean_speech(seconds):
    """In a word or two there may be no pause to hear the noise in."""
    count = round(RATE * seconds)
    parts = [demo_speech()[start : start + count] for start in range(4000, len(demo_speech()) - 8000 - count, 4000)]
    assert len(parts) >= 10
    assert not any(kinds(check_sound(part, RATE)) for part in parts)


def clipped(decibels: float, top: float = 1.0) -> np.ndarray:
    """The demo so much too loud for the recorder, whose ceiling is later at `top`."""
    loud = demo_speech() / np.abs(demo_speech()).max() * 10 ** (decibels / 20)
    return as_16_bit(top * np.clip(loud, -1, 1))


left, right = voices()
FAULTS = {
    "clipped 2 dB": (clipped(2), {"clipped"}),
    "clipped 6 dB": (clipped(6), {"clipped"}),
    "clipped 12 dB, then turned down": (clipped(12, 0.3), {"clipped"}),
    "clipped in float": (2.0 * demo_speech(), {"clipped"}),
    "clipped in one channel": (np.stack([clipped(6), 0.5 * clipped(0)], 1), {"clipped"}),
    "very quiet": (0.01 * demo_speech(), {"quiet"}),
    "noise at 10 dB": (speech_with_pauses((1.0, 1.0), -26), {"noisy"}),
    "noise at 15 dB": (speech_with_pauses((1.0, 1.0), -31), {"noisy"}),
    "a telephone": (demo_speech()[::2], {"dull"}),
    "digital silence": (np.zeros(48000), {"silent"}),
    "a quiet room": (np.random.default_rng(2).normal(0, 1e-4, 48000), {"silent"}),
    "noise alone": (np.random.default_rng(3).normal(0, 0.1, 160000), {"noisy"}),
    "a chord": (0.1 * sum(np.sin(np.arange(160000) * f) for f in (0.1, 0.125, 0.15)), {"noisy"}),
    "two voices in turns": (np.stack([left, right], 1), {"voices"}),
    "two voices, one soft": (np.stack([0.5 * left, right], 1), {"voices"}),
    "two voices, each heard in both": (np.stack([left + 0.3 * right, right + 0.3 * left], 1), {"voices"}),
    "two voices at once": (np.stack([demo_speech()[SPEECH], demo_speech()[SPEECH][::-1]], 1), {"voices"}),
    "one channel turned over": (np.stack([demo_speech(), -demo_speech()], 1), {"cancels"}),
    "one word": (demo_speech()[40000:42000], {"short"}),
    "nothing": (np.zeros(0), {"short"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found_and_nothing_else(name):
    samples, expected = FAULTS[name]
    report = check_sound(samples, 8000 if name == "a telephone" else RATE)
    assert kinds(report) == expected
    for finding in report.findings:
        assert finding.kind in KINDS and finding.text.endswith(".") and finding.remedy.endswith(".")
        assert str(finding) == f"{finding.text} {finding.remedy}"


def test_a_long_sound_is_said_to_be_long():
    report = check_sound(np.resize(demo_speech(), RATE * 25 * 60), RATE)
    assert kinds(report) == {"long"} and "25 minutes" in report.findings[0].text
    assert report.summary.startswith("25 min 0 s")


@pytest.mark.parametrize("size", [1, 7, 159, 4001, 30000])
def test_slices_of_any_size_say_the_same(size):
    samples = np.stack([clipped(6), right[: len(clipped(6))]], 1)[:60000]
    listener = SoundListener(RATE, 2)
    for start in range(0, len(samples), size):
        listener.hear(samples[start : start + size])
    whole, found = check_sound(samples, RATE), listener.report()
    assert kinds(found) - {"clipped"} == kinds(whole) - {"clipped"} and found.seconds == whole.seconds
    assert (found.speech_db, found.floor_db, found.peak_db) == pytest.approx(
        (whole.speech_db, whole.floor_db, whole.peak_db), abs=1e-4)


def test_it_is_done_in_steps_and_broken_samples_do_no_harm():
    samples = demo_speech().copy()
    samples[1000:1010], samples[2000] = np.nan, np.inf
    steps = checking(samples, RATE)
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            report = end.value
            break
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 10
    assert np.isfinite([report.peak_db, report.speech_db, report.floor_db]).all()
    for samples, rate in ((np.zeros((4, 0)), RATE), (np.zeros((2, 2, 2)), RATE), (np.zeros(4), 0.0),
                          (np.zeros(4), float("nan"))):
        with pytest.raises(ValueError, match="sampl"):
            check_sound(samples, rate)
