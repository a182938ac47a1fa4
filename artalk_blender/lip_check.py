# SPDX-License-Identifier: GPL-3.0-or-later
"""The lip-sync check in a scene: what is heard of sound strips against what a head plays, in short steps."""

from __future__ import annotations

import json
import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import bpy
import numpy as np

from . import compat
from .animation.mouth import mouth_of
from .animation.read_head import is_plain, read_in_steps
from .animation.take_data import DIGEST, LINES, TAKE_KEY, noted, raw_motion, times_of
from .audio.samples import SAMPLE_RATE
from .audio.strip import StripAudio, read_strip_in_steps, scene_rate, sound_strips, span_start, speech_strips
from .engine.portable.hearing import Hearing
from .errors import ArtalkError, EngineError
from .head.handle import Head, find_head, head_of
from .motion.check import HeardLips, LipFinding, LipReport, PlayedLips, beyond_range, check_lips
from .motion.gate import loudness
from .motion.layout import EXPRESSION, JAW_POSE, MOTION_FPS
from .motion.limits import clamp_motion
from .runner import AGAIN, Work
from .worker.job import Job

CHECK_KEY = "artalk_lip_check"  # JSON on the scene: what was found last
_BESIDE = 2.0  # seconds before and after the sound in which its lips may be
_FINER = 2  # times the motion's rate: between its frames lips may close, too
_AT_ONCE = 500  # frames that are read in one go
_BEYOND = 0.05, 0.02  # by which a coefficient, or the jaw in radians, is outside of its range to be worth a word

Result = TypeVar("Result")


@dataclass(frozen=True)
class CheckedStrip:
    """One strip and what was found there."""

    name: str
    report: LipReport


class LipCheck:
    """One check, of what the context has when it begins. Raises ArtalkError where there is nothing to check."""

    def __init__(self, context: Any, take: Any) -> None:
        head, sequencer = find_head(context), compat.sequencer_scene(context)
        if head is None:
            raise ArtalkError("There is no head.", "Select one.")
        self._armature, self._scene, self._sequencer = head.armature.name, context.scene.name, sequencer.name
        self._strips = [strip.name for strip in strips_of(context, take)]
        if not self._strips:
            raise ArtalkError("There is no sound strip to check the lips with.", "Make the one that is spoken active.")

    def work(self, job: Job) -> Work[list[CheckedStrip]]:
        """What was found, strip by strip."""
        hearing = yield Hearing.from_file
        found = []
        for name in self._strips:
            job.show(f"Listening to “{name}”")
            found.append(CheckedStrip(name, (yield from self._check(name, hearing, job))))
        return found

    def _check(self, name: str, hearing: Hearing, job: Job) -> Work[LipReport]:
        audio = yield from read_strip_in_steps(lambda: self._find(name)[:2])
        _, sequencer, scene = self._find(name)
        rate = scene_rate(scene)
        audio = replace(audio, times=audio.times.scaled(rate / scene_rate(sequencer)))
        del sequencer, scene
        heard = yield from _listen(hearing, audio, job)
        lips, beyond = yield from self._read(audio, rate, job)
        report = yield partial(check_lips, lips, heard, audio.times)
        outside = (finding.placed(audio.times) for finding in beyond_range(beyond, lips.seconds))
        return replace(report, findings=(*report.findings, *outside))

    def _read(self, audio: StripAudio, rate: float, job: Job) -> Work[tuple[PlayedLips, np.ndarray]]:
        """How far the lips are open while the strip is heard and a little before and after, and where the face goes
        beyond its range (K,)."""
        head, scene = self._head(), self._find("")[2]
        mouth, face, plain = mouth_of(head), head.face_channels(), is_plain(head, scene)
        del head, scene
        if mouth is None:
            raise ArtalkError("This head does not know where its lips are.", "Add or import it again.")
        first, last = audio.times.frames_at(np.array([0.0, len(audio.samples) / SAMPLE_RATE])).tolist()
        step, before = rate / (MOTION_FPS * _FINER), round(_BESIDE * MOTION_FPS * _FINER)
        count = math.ceil((last - first) / step) + 2 * before
        frames, apertures, beyond = first + (np.arange(count) - before) * step, [], []
        for start in range(0, count, _AT_ONCE):
            job.show("Reading the head", 0.5 + 0.5 * start / count)
            part = frames[start : start + _AT_ONCE]
            steps = read_in_steps(self._head(), self._find("")[2], part[0], part[-1] + 0.1 * step, rate / _FINER, plain)
            with closing(steps):
                motion = (yield from _each(steps)).motion
            apertures.append((yield partial(mouth.aperture, motion)))
            beyond.append(_out_of_range(motion, face))
        rest = float(mouth.aperture(np.zeros((1, 106), np.float32))[0])
        aperture = np.concatenate(apertures).astype(np.float64)
        return PlayedLips(audio.times.seconds_at(frames), aperture, rest), np.concatenate(beyond)

    def _head(self) -> Head:
        head = head_of(bpy.data.objects.get(self._armature))
        if head is None:
            raise ArtalkError(f"The head “{self._armature}” is gone.", "Check again with another.")
        return head

    def _find(self, name: str) -> tuple[Any, Any, Any]:
        """The strip of that name, if any is asked for, its scene and the head's."""
        scene, sequencer = bpy.data.scenes.get(self._scene), bpy.data.scenes.get(self._sequencer)
        if scene is None or sequencer is None:
            raise ArtalkError("The scene is gone.", "Check again in another.")
        editor = sequencer.sequence_editor
        strip = next((strip for strip in (editor.strips_all if editor else ()) if strip.name == name), None)
        if name and (strip is None or strip.type != "SOUND"):
            raise ArtalkError(f"The strip “{name}” is gone.", "Check again with another.")
        return strip, sequencer, scene


def _listen(hearing: Hearing, audio: StripAudio, job: Job) -> Work[HeardLips]:
    """What the sound asks of the lips."""
    level = yield partial(loudness, audio.samples)
    parts = []
    pieces = hearing.listen(audio.samples)
    while (piece := (yield partial(next, pieces, None))) is not None:
        done, part = piece
        parts.append(part)
        job.show(f"Listening to “{audio.name}”", 0.5 * done)
    return HeardLips.from_phones(np.concatenate(parts) if parts else np.zeros((0, 36)), level)


def _each(steps: Generator[float, None, Result]) -> Work[Result]:
    """All steps of a generator, in as long a row as there is time for."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield AGAIN


def _out_of_range(motion: np.ndarray, face: Any) -> np.ndarray:
    """(T,) where lips, face or jaw go beyond their sane range."""
    off = np.abs(clamp_motion(motion, face) - motion)
    return (off[:, EXPRESSION].max(1) > _BEYOND[0]) | (off[:, JAW_POSE].max(1) > _BEYOND[1])


# -- which strips ------------------------------------------------------------------------------------------------------

def strips_of(context: Any, take: Any) -> list[Any]:
    """The sound strips that a head with this take, or None, has to fit: those of its sounds, else those chosen.

    Where a sound lies in the sequencer several times, those are meant that lie under the take, or else the nearest.
    """
    there = [strip for strip in sound_strips(context) if not strip.mute and strip.sound is not None]
    named, files = _sources(take)
    files |= {_file(strip.sound.filepath) for strip in there if strip.name in named}
    same = [strip for strip in there if _file(strip.sound.filepath) in files - {None}]
    span = _span(take) if len(same) > 1 else None
    if span is not None:
        ratio = scene_rate(context.scene) / scene_rate(compat.sequencer_scene(context))
        spans = [compat.strip_span(strip) for strip in same]
        shared = [min(span[1], ratio * one.end) - max(span[0], ratio * one.start) for one in spans]
        under = [strip for strip, one, part in zip(same, spans, shared, strict=True)
                 if part > 0.5 * ratio * (one.end - one.start)]
        same = under or [same[int(np.argmax(shared))]]
    return sorted(same, key=span_start) or speech_strips(context)


def _sources(take: Any) -> tuple[set[str], set[Path | None]]:
    """Names of the strips that a take was made from, and the file that its provenance names."""
    kept = take[TAKE_KEY].to_dict() if take is not None else {}
    names = {line.get("strip") for line in noted(take, LINES, []) if isinstance(line, dict)} if kept else set()
    return {name for name in names if isinstance(name, str)}, {_file(kept.get("audio_path", ""))}


def _file(path: Any) -> Path | None:
    return Path(bpy.path.abspath(path)).resolve() if isinstance(path, str) and path else None


def _span(take: Any) -> tuple[float, float] | None:
    """First and last scene frame of a take."""
    try:
        times = times_of(take).frames_at(np.array([0.0, len(raw_motion(take)) / MOTION_FPS]))
    except EngineError:
        return None
    return float(times[0]), float(times[1])


# -- what is remembered ------------------------------------------------------------------------------------------------

def remember(scene: Any, take: Any, found: list[CheckedStrip]) -> None:
    """Notes on the scene what was found, for the panel and for the fix."""
    scene[CHECK_KEY] = json.dumps({
        "take": take.name if take is not None else "", "digest": _digest(take), "fix_ms": fix_of(found),
        "summary": summary_of(found), "findings": sum(len(one.report.findings) for one in found),
    })


def remembered(scene: Any, take: Any) -> dict[str, Any]:
    """What was found last, if that was this take as it is tuned now; else empty."""
    try:
        noted = json.loads(scene.get(CHECK_KEY, ""))
    except (TypeError, ValueError):
        return {}
    known = isinstance(noted, dict) and noted.get("digest") == _digest(take)
    return noted if known and isinstance(noted.get("fix_ms"), (int, float)) else {}


def forget(scene: Any) -> None:
    if CHECK_KEY in scene:
        del scene[CHECK_KEY]


def _digest(take: Any) -> str:
    return str(take[TAKE_KEY].get(DIGEST, "")) if take is not None else ""


def fix_of(found: list[CheckedStrip]) -> float:
    """Milliseconds to add to the sync offset: of several lines the one in the middle, if any needs it."""
    fixes = [-one.report.lag.milliseconds for one in found if one.report.lag.sure]
    return float(round(np.median(fixes))) if any(one.report.fix_ms for one in found) and fixes else 0.0


def summary_of(found: list[CheckedStrip]) -> str:
    """All of it in a sentence a strip."""
    if len(found) == 1:
        return found[0].report.summary
    return " ".join(f"“{one.name}”: {one.report.summary}" for one in found)


_SHORT = {"closure": "lips should close", "pause": "lips move in silence", "still": "lips hardly move",
          "unrelated": "lips follow another sound", "drift": "lips drift", "beyond": "face beyond its range"}


def marker_of(finding: LipFinding) -> tuple[float, str]:
    """Frame and text of a finding's marker: a closure's lies in its middle, others where they begin."""
    frame = 0.5 * sum(finding.frames) if finding.kind == "closure" else finding.frames[0]
    return frame, _SHORT.get(finding.kind, finding.text[:-1].removeprefix("The "))
