# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether lips fit the sound: closures that are missed, lips too early or too late, lips that move in silence.

The sound is judged by the phones that the default model hears in it (engine/portable/hearing.py), the lips by how far
they are open as the head plays them, wherever that comes from. No `bpy` module use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.portable.hearing import LABELS, RATE
from .gate import pauses
from .layout import MOTION_FPS
from .timing import TimeMap

Floats = NDArray[np.float64]

# How far the lips are open for each phone, a stressed “ah” being 1; those made inside the mouth: 0.3
_OPEN = {
    "sil": 0.0, "AA": 1.0, "AE": 0.95, "AO": 0.75, "AH": 0.65, "EH": 0.65, "AX": 0.45, "ER": 0.45, "IH": 0.4,
    "IY": 0.35, "UH": 0.35, "UW": 0.25, "HH": 0.4, "B": 0.0, "M": 0.0, "P": 0.0, "F": 0.1, "V": 0.1, "W": 0.15,
    "S": 0.2, "Z": 0.2, "SH": 0.2, "ZH": 0.2, "CH": 0.2, "JH": 0.2,
}  # fmt: skip
_CLOSING = ("P", "B", "M")

_GRID = 100  # a second, on which curves are compared
_SMOOTH = 0.02  # seconds: as lips follow phones
_NEAR, _FAR = 0.5, 2.0  # seconds of lag looked at first, and if there is none
_SOUNDS_PER_SECOND = 4.0  # independent movements of the lips
_SURE = 3.0  # standard deviations of a correlation from chance
_UNRELATED = 1.5, 4.0  # below that, over so many seconds of speech, lips and sound have nothing to do with each other
# ITU-R BT.1359: half of all people notice sound that is 45 ms early, or 125 ms late
_LATE_MS, _EARLY_MS = 45.0, 90.0

_WINDOW = 10.0  # seconds in which lips are looked at alone, to see whether they drift
_DRIFT_MS, _STRAIGHT_MS = 90.0, 40.0  # from start to end, and how far the windows may lie off a line

_HEARD = 0.7  # a closure's surest posterior, and
_HEARD_EDGE = 0.5  # where it begins and ends
_AROUND = 0.06  # seconds around a closure in which the lips may close
_CLOSED = 0.15  # of how far they open otherwise
_OPENING = 95  # percentile of the opening that counts as wide
_STILL_METRES = 5e-4  # lips that open no further do not talk
_SETTLE = 6  # motion frames in which the lips may still close, and already open
_SHORTEST_PAUSE = 3  # motion frames that are left
_MOVES = 0.2  # of the wide opening


@dataclass(frozen=True)
class HeardLips:
    """What the sound asks of the lips.

    `closure` and `opening` (K,) at 50 a second: how surely they touch, and how far they are open; `level` (T,): the
    loudness in dB at 25 a second.
    """

    closure: Floats
    opening: Floats
    level: Floats

    @classmethod
    def from_phones(cls, phones: NDArray[np.floating[Any]], level: NDArray[np.floating[Any]]) -> HeardLips:
        """Of posteriors (K,36) and loudness (T,)."""
        opening = np.array([_OPEN.get(label, 0.3) for label in LABELS])
        closing = np.array([label in _CLOSING for label in LABELS], np.float64)
        phones = np.asarray(phones, np.float64)
        return cls(phones @ closing, phones @ opening, np.asarray(level, np.float64))

    @property
    def seconds(self) -> float:
        return len(self.closure) / RATE

    def closures(self) -> list[tuple[float, float]]:
        """Start and end in seconds of every sound that is surely made with closed lips."""
        found = [(start, stop) for start, stop in _runs(self.closure > _HEARD_EDGE)
                 if self.closure[start:stop].max() >= _HEARD]
        return [((start - 0.5) / RATE, (stop - 0.5) / RATE) for start, stop in found]


@dataclass(frozen=True)
class PlayedLips:
    """How far the lips are open: `aperture` (K,) in metres at `seconds` (K,) of the sound, which rise; `rest` of the
    face without expression."""

    seconds: Floats
    aperture: Floats
    rest: float = 0.0

    def at(self, seconds: Floats) -> Floats:
        """Metres that the lips are open further than at rest."""
        if not len(self.seconds):
            return np.zeros(len(seconds))
        return np.maximum(np.interp(seconds, self.seconds, self.aperture) - self.rest, 0.0)


@dataclass(frozen=True)
class Lag:
    """How many milliseconds lips are behind the sound, negative if ahead of it.

    `sigmas`: by how many standard deviations they follow it better than chance would have it.
    """

    milliseconds: float
    correlation: float
    sigmas: float

    @property
    def sure(self) -> bool:
        return self.sigmas >= _SURE

    @property
    def confidence(self) -> float:
        """0 to 1; a half where it is just sure."""
        return min(max((self.sigmas - _SURE + 1.0) / 2.0, 0.0), 1.0)


@dataclass(frozen=True)
class LipFinding:
    """Something that does not fit: its kind, from when to when in seconds of the sound, a sentence.

    kind: “closure”, “late”, “early”, “drift”, “pause”, “still”, “unrelated” or “beyond”. frames: the same in the scene.
    """

    kind: str
    start: float
    stop: float
    text: str
    frames: tuple[float, float] = (0.0, 0.0)

    def placed(self, times: TimeMap) -> LipFinding:
        first, last = times.frames_at(np.array([self.start, self.stop])).tolist()
        return LipFinding(self.kind, self.start, self.stop, self.text, (first, last))


@dataclass(frozen=True)
class LipReport:
    """All findings of a line of speech, how late its lips are, and how many closures are heard."""

    lag: Lag
    closures: int
    findings: tuple[LipFinding, ...] = ()

    def of_kind(self, kind: str) -> list[LipFinding]:
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def fix_ms(self) -> float:
        """What to add to the sync offset, 0 where that would mend nothing."""
        mend = any(finding.kind in ("late", "early") for finding in self.findings)
        return -round(self.lag.milliseconds) if mend else 0.0

    @property
    def summary(self) -> str:
        """All of it in one sentence."""
        whole = ("late", "early", "drift", "still", "unrelated")
        parts = [finding.text[:-1] for finding in self.findings if finding.kind in whole]
        missed, moving, beyond = (len(self.of_kind(kind)) for kind in ("closure", "pause", "beyond"))
        if missed:
            parts.append(f"{missed} of {self.closures} times the lips do not close for p, b or m")
        if moving:
            parts.append(f"the lips move in {_counted(moving, 'pause')}")
        if beyond:
            parts.append(f"the face goes beyond what faces do {_counted(beyond, 'time')}")
        if not parts:
            kept = f": they close for {_counted(self.closures, 'sound')} of p, b and m" if self.closures else ""
            parts = [f"The lips fit the sound{kept}"]
        if not self.lag.sure and not any(finding.kind in whole for finding in self.findings):
            parts.append("there is too little speech to say whether they are early or late")
        text = "; ".join(parts)
        return text[0].upper() + text[1:] + "."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def check_lips(lips: PlayedLips, heard: HeardLips, times: TimeMap) -> LipReport:
    """What does not fit between played lips and the sound, which lies in the scene as `times` says.

    Where the lips are surely early or late, closures and pauses are looked for where they then come.
    """
    lag = find_lag(lips, heard)
    closures = heard.closures()
    drift = find_drift(lips, heard)
    line = drift or ((lag.milliseconds * 1e-3 if lag.sure else 0.0), 0.0)

    def played(seconds: Floats) -> Floats:
        return lips.at(seconds + line[0] + line[1] * seconds)

    wide = _wide(played, heard)
    found: list[LipFinding] = []
    if wide < _STILL_METRES:
        if heard.opening.max(initial=0.0) > 0.3:
            found.append(LipFinding("still", 0.0, heard.seconds, "The lips hardly move."))
    elif drift is None and _is_unrelated(lag, heard):
        found.append(LipFinding("unrelated", 0.0, heard.seconds, "The lips do not follow this sound."))
    else:
        early_or_late = _of_lag(lag, heard) if drift is None else _of_drift(drift, heard)
        found = [*early_or_late, *_missed(played, closures, wide), *_moving(played, heard, wide)]
    return LipReport(lag, len(closures), tuple(finding.placed(times) for finding in found))


def find_lag(lips: PlayedLips, heard: HeardLips) -> Lag:
    """How late the lips are, by the shift at which they follow best what the sound asks of them.

    A parabola through the best correlation and its neighbours tells it finer than the grid.
    """
    count = int(heard.seconds * _GRID)
    if count < _GRID // 2:
        return Lag(0.0, 0.0, 0.0)
    reach = int(_FAR * _GRID)
    asked = _smooth(np.interp(np.arange(count) / _GRID, np.arange(len(heard.opening)) / RATE, heard.opening))
    played = lips.at(np.arange(-reach, count + reach) / _GRID)
    correlation = _correlations(asked, played)
    talk = count / _GRID * _SOUNDS_PER_SECOND

    def best(within: float) -> Lag:
        inner = slice(reach - int(within * _GRID), reach + int(within * _GRID) + 1)
        place = inner.start + int(correlation[inner].argmax())
        highest = float(correlation[place])
        sigmas = math.atanh(min(max(highest, 0.0), 0.999)) * math.sqrt(max(talk - 3.0, 0.0))
        return Lag(1e3 * (place + _peak(correlation, place) - reach) / _GRID, highest, sigmas)

    near, far = best(_NEAR), best(_FAR)
    return far if far.sure and far.sigmas > near.sigmas + 1.0 else near


def find_drift(lips: PlayedLips, heard: HeardLips) -> tuple[float, float] | None:
    """Seconds that lips are late at the start, and by how much more every second, where they drift steadily.

    Told by a line through the lags of stretches of ten seconds, where at least three are sure.
    """
    places, lags = [], []
    for start in np.arange(0.0, heard.seconds - _WINDOW + 0.1, _WINDOW / 2):
        part = slice(int(start * RATE), int((start + _WINDOW) * RATE))
        frames = slice(int(start * MOTION_FPS), int((start + _WINDOW) * MOTION_FPS))
        window = HeardLips(heard.closure[part], heard.opening[part], heard.level[frames])
        lag = find_lag(PlayedLips(lips.seconds - start, lips.aperture, lips.rest), window)
        if lag.sure:
            places.append(start + 0.5 * _WINDOW)
            lags.append(lag.milliseconds)
    if len(places) < 3:
        return None
    slope, first = np.polyfit(places, lags, 1).tolist()
    off = np.abs(np.polyval([slope, first], places) - lags)
    if abs(slope) * heard.seconds < _DRIFT_MS or np.median(off) > _STRAIGHT_MS:
        return None
    return 1e-3 * first, 1e-3 * slope


def _correlations(asked: Floats, played: Floats) -> Floats:
    """Of `asked` (N,) with every stretch (N,) of `played` (N+2R,): (2R+1,)."""
    count = len(asked)
    asked = asked - asked.mean()
    sums = np.concatenate([[0.0], np.cumsum(played)])
    squares = np.concatenate([[0.0], np.cumsum(played * played)])
    starts = np.arange(len(played) - count + 1)
    spread = squares[starts + count] - squares[starts] - (sums[starts + count] - sums[starts]) ** 2 / count
    product = np.array([asked @ played[start : start + count] for start in starts])
    size = np.sqrt(np.maximum(spread, 0.0) * (asked @ asked))
    return np.divide(product, size, out=np.zeros(len(starts)), where=size > 1e-12)


def _peak(values: Floats, place: int) -> float:
    """How far from `place` the top of a parabola through it and its neighbours lies."""
    if not 0 < place < len(values) - 1:
        return 0.0
    before, top, after = values[place - 1 : place + 2]
    bend = before - 2.0 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0.0 else 0.0


def _smooth(values: Floats) -> Floats:
    """With a Gaussian of 20 ms."""
    reach = int(4 * _SMOOTH * _GRID)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (_SMOOTH * _GRID)) ** 2)
    return np.convolve(np.pad(values, reach, "edge"), kernel / kernel.sum(), "valid")


def _wide(played: Callable[[Floats], Floats], heard: HeardLips) -> float:
    """Metres by which the lips are open when they are wide open, where someone speaks."""
    times = np.arange(len(heard.level)) / MOTION_FPS
    speech = np.ones(len(times), bool)
    for start, stop in pauses(heard.level):
        speech[start:stop] = False
    opening = played(times)
    return float(np.percentile(opening[speech] if speech.any() else opening, _OPENING)) if len(times) else 0.0


def _is_unrelated(lag: Lag, heard: HeardLips) -> bool:
    sigmas, seconds = _UNRELATED
    return lag.sigmas < sigmas and float((heard.opening > 0.1).sum()) / RATE >= seconds


def _of_lag(lag: Lag, heard: HeardLips) -> list[LipFinding]:
    if not lag.sure or -_EARLY_MS < lag.milliseconds < _LATE_MS:
        return []
    kind = "late" if lag.milliseconds > 0.0 else "early"
    return [LipFinding(kind, 0.0, heard.seconds, f"The lips are {abs(lag.milliseconds):.0f} ms {kind}.")]


def _of_drift(drift: tuple[float, float], heard: HeardLips) -> list[LipFinding]:
    ends = [1e3 * (drift[0] + drift[1] * seconds) for seconds in (0.0, heard.seconds)]
    first, last = (f"{abs(end):.0f} ms {'late' if end > 0.0 else 'early'}" for end in ends)
    return [LipFinding("drift", 0.0, heard.seconds, f"The lips drift: {first} at the start, {last} at the end.")]


def _missed(played: Callable[[Floats], Floats], closures: list[tuple[float, float]], wide: float) -> list[LipFinding]:
    """Closures for which the lips do not close."""
    found = []
    for start, stop in closures:
        around = np.linspace(start - _AROUND, stop + _AROUND, 2 + round((stop - start + 2 * _AROUND) * _GRID))
        if played(around).min() > _CLOSED * wide:
            found.append(LipFinding("closure", start, stop, "The lips should close here, for p, b or m."))
    return found


def _moving(played: Callable[[Floats], Floats], heard: HeardLips, wide: float) -> list[LipFinding]:
    """Pauses in which the lips go on moving after they had time to close."""
    found = []
    for start, stop in pauses(heard.level):
        first = start + (_SETTLE if start > 0 else 0)
        last = stop - (_SETTLE if stop < len(heard.level) else 0)
        if last - first < _SHORTEST_PAUSE:
            continue
        opening = played(np.arange(first, last, 0.5) / MOTION_FPS)
        if np.ptp(opening) > _MOVES * wide:
            found.append(LipFinding("pause", first / MOTION_FPS, last / MOTION_FPS, "The lips move in silence here."))
    return found


def beyond_range(changed: NDArray[np.bool_], seconds: Floats) -> list[LipFinding]:
    """Findings of the frames (T,) where a face goes beyond its sane range, at `seconds` (T,) of the sound."""
    return [LipFinding("beyond", float(seconds[start]), float(seconds[stop - 1]), "The face goes beyond what faces do.")
            for start, stop in _runs(changed)]


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
