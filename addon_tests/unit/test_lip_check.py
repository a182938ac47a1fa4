# SPDX-License-Identifier: GPL-3.0-or-later
"""The lip-sync check on the default model's motion of the demo: as it is, shifted, held open, babbling. No Blender."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from real_motion import default_head, demo_motion, demo_speech, lips, raw_motion_of

from artalk_blender.motion.check import HeardLips, LipReport, PlayedLips, beyond_range, check_lips
from artalk_blender.motion.gate import loudness, pauses
from artalk_blender.motion.process import process_motion
from artalk_blender.motion.regions import FaceChannels
from artalk_blender.motion.timing import TimeMap
from engine.portable.hearing import Hearing

# Hello! I am happy to meet you. Press play, and watch my mouth: five warm apple pies, and a big purple balloon.
LETTERS = "m p m p p m m m p p b p p b"
TIMES = TimeMap.steady(11.0, 24.0)
FACE = FaceChannels(default_head().expression_names)


@cache
def hearing() -> Hearing:
    return Hearing.from_file()


@cache
def heard_demo() -> HeardLips:
    return HeardLips.from_phones(hearing().phones(demo_speech()), loudness(demo_speech()))


@cache
def demo_aperture() -> np.ndarray:
    return lips(process_motion(demo_motion(), None, FACE)).aperture


def played(aperture: np.ndarray, late: float = 0.0) -> PlayedLips:
    return PlayedLips(np.arange(len(aperture)) / 25 + late, np.asarray(aperture, np.float64))


def kinds(report: LipReport) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_the_closures_of_the_demo_are_heard():
    found = heard_demo().closures()
    assert len(LETTERS.split()) - 2 <= len(found) <= len(LETTERS.split())
    assert all(0.03 < stop - start < 0.2 for start, stop in found)
    assert heard_demo().seconds == pytest.approx(len(demo_speech()) / 16000, abs=0.02)


def test_untouched_motion_has_no_findings():
    report = check_lips(played(demo_aperture()), heard_demo(), TIMES)
    assert report.findings == () and report.lag.sure and report.lag.confidence == 1.0 and report.fix_ms == 0.0
    assert abs(report.lag.milliseconds) < 20.0
    assert report.summary == f"The lips fit the sound: they close for {report.closures} sounds of p, b and m."


@pytest.mark.parametrize("milliseconds", [-200, -150, -100, -60, -20, 0, 20, 60, 100, 150, 200, -700, 1500])
def test_known_shifts_are_recovered_within_20_ms(milliseconds):
    report = check_lips(played(demo_aperture(), milliseconds / 1000), heard_demo(), TIMES)
    assert report.lag.milliseconds == pytest.approx(milliseconds, abs=20.0) and report.lag.sure
    expected = ["late"] if milliseconds > 50 else ["early"] if milliseconds < -95 else []
    assert kinds(report) == expected, "and nothing else: closures are looked for where they come"
    if expected:
        assert report.fix_ms == pytest.approx(-milliseconds, abs=20.0) and f"ms {expected[0]}" in report.summary
        assert report.findings[0].frames == pytest.approx((11.0, 11.0 + 24.0 * heard_demo().seconds))


@pytest.mark.parametrize("noise_db", [-50, -40])
def test_noise_makes_no_false_alarms(noise_db):
    noise = np.random.default_rng(0).normal(0, 10 ** (noise_db / 20), len(demo_speech()))
    samples = (demo_speech() + noise).astype(np.float32)
    heard = HeardLips.from_phones(hearing().phones(samples), loudness(samples))
    for late in (0.0, 0.12):
        report = check_lips(played(demo_aperture(), late), heard, TIMES)
        assert kinds(report) == (["late"] if late else []) and report.lag.milliseconds == pytest.approx(
            1e3 * late, abs=20.0)


def test_every_closure_that_is_held_open_is_found():
    """One after the other, by a mouth that stays as far open as it is beside the closure."""
    closures = heard_demo().closures()
    for start, stop in closures:
        aperture = demo_aperture().copy()
        first, last = int((start - 0.08) * 25), int((stop + 0.08) * 25) + 2
        aperture[first:last] = np.maximum(aperture[first:last], 0.003)
        report = check_lips(played(aperture), heard_demo(), TIMES)
        missed = report.of_kind("closure")
        at = [finding for finding in missed if finding.start == start and finding.stop == stop]
        assert len(at) == 1 and len(missed) <= 2, "a neighbour may lie within the same frames"
        assert at[0].frames == pytest.approx((11.0 + 24.0 * start, 11.0 + 24.0 * stop))
        assert "times the lips do not close for p, b or m" in report.summary


def test_babble_in_pauses_is_found_and_rest_is_not():
    gap = np.zeros(32000, np.float32)
    samples = np.concatenate([demo_speech(), gap, demo_speech(), gap])
    level = loudness(samples)
    heard = HeardLips.from_phones(hearing().phones(samples), level)
    quiet = lips(process_motion(raw_motion_of(samples), None, FACE)).aperture
    assert check_lips(played(quiet), heard, TIMES).findings == ()
    babbling = quiet.copy()
    inside = [(start, stop) for start, stop in pauses(level) if stop - start > 40]
    assert len(inside) == 2
    for start, stop in inside:
        babbling[start:stop] = demo_aperture()[30 : 30 + stop - start]
    found = check_lips(played(babbling), heard, TIMES)
    assert kinds(found) == ["pause"] * 2 and "the lips move in 2 pauses" in found.summary.lower()
    for finding, (start, stop) in zip(found.findings, inside, strict=True):
        assert start / 25 <= finding.start < finding.stop <= stop / 25


@pytest.mark.parametrize("percent", [0.4, -0.4, 1.0])
def test_lips_that_run_at_another_speed_drift(percent):
    """As keys do that were made for another rate of the scene; half a minute of them."""
    samples = np.concatenate([demo_speech()] * 4)
    heard = HeardLips.from_phones(hearing().phones(samples), loudness(samples))
    aperture = lips(process_motion(raw_motion_of(samples), None, FACE)).aperture
    assert check_lips(played(aperture), heard, TIMES).findings == ()
    seconds = 0.05 + np.arange(len(aperture)) / 25 * (1 + percent / 100)
    report = check_lips(PlayedLips(seconds, np.float64(aperture)), heard, TIMES)
    assert kinds(report) == ["drift"] and report.fix_ms == 0.0
    words = report.findings[0].text.split()
    assert float(words[3]) == pytest.approx(50.0, abs=20.0)
    assert float(words[9]) == pytest.approx(abs(50.0 + 10 * percent * heard.seconds), abs=25.0)
    assert words[11] == ("late" if percent > 0 else "early")


def test_lips_of_another_line_or_none_are_said_to_be_so():
    assert kinds(check_lips(played(demo_aperture()[::-1]), heard_demo(), TIMES)) == ["unrelated"]
    assert kinds(check_lips(played(np.zeros(190)), heard_demo(), TIMES)) == ["still"]
    assert kinds(check_lips(played(np.zeros(0)), heard_demo(), TIMES)) == ["still"]


def test_a_mouth_that_rests_open_is_measured_from_there():
    report = check_lips(PlayedLips(np.arange(len(demo_aperture())) / 25, demo_aperture() + 0.002, 0.002),
                        heard_demo(), TIMES)
    assert report.findings == ()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.3, 1.0])
def test_too_little_to_tell_is_said(seconds):
    samples = demo_speech()[: round(16000 * seconds)]
    heard = HeardLips.from_phones(hearing().phones(samples), loudness(samples))
    report = check_lips(played(demo_aperture()[: max(1, round(25 * seconds))]), heard, TIMES)
    assert not report.lag.sure and "too little speech" in report.summary and not report.of_kind("late")


def test_silence_asks_nothing_of_the_lips():
    heard = HeardLips.from_phones(hearing().phones(np.zeros(64000)), loudness(np.zeros(64000)))
    assert heard.closures() == []
    assert check_lips(played(np.zeros(100)), heard, TIMES).findings == ()
    assert kinds(check_lips(played(demo_aperture()[:100]), heard, TIMES)) == ["pause"]


def test_frames_beyond_the_range_become_findings():
    found = beyond_range(np.array([False, True, True, False, True]), np.arange(5) / 25)
    assert [(finding.start, finding.stop) for finding in found] == [(0.04, 0.08), (0.16, 0.16)]
