# SPDX-License-Identifier: GPL-3.0-or-later
"""A range of a take made again: the sound is read once more, the model goes on from the frames before the range.

The new frames go into the take's raw motion without a seam (motion/splice.py), and its keys are made again with the
tuning that it has. In slices, like generation.py; no Blender data is held between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from . import compat, styles
from .animation import assign
from .animation.growing import GrowingTake
from .animation.mouth import mouth_of
from .animation.rewrite import rewrite_take
from .animation.take_data import (
    LINES,
    SIMPLIFIED,
    TAKE_KEY,
    Provenance,
    check_take,
    is_edited,
    keep_style,
    kept_styles,
    loudness_of,
    note,
    noted,
    raw_motion,
    settings_of,
    takes,
    times_of,
)
from .animation.takes import Bound, simplifying
from .audio.lines import join_lines
from .audio.looks import MOVED, SAME, StripLook, look_of
from .audio.samples import SAMPLE_RATE
from .audio.strip import StripAudio, find_sound_strip, read_strip_in_steps, scene_rate
from .engine.passage import FRAME_SAMPLES, Passage
from .errors import ArtalkError
from .head.handle import Head, head_of
from .motion.gate import loudness
from .motion.layout import MOTION_FPS
from .motion.process import ProcessSettings
from .motion.splice import splice
from .motion.timing import TimeMap
from .preferences import read_preferences
from .runner import Work
from .worker.job import Job, shared_client

RANGES = "ranges"  # JSON within TAKE_KEY: what was made again, in model frames
SHORTEST = 5  # frames, 0.2 s: less than a syllable
_HISTORY = 400  # frames that the model is offered; the published one reads 100
_WITHIN = 1e-3  # seconds by which a strip may differ from what the take notes of it

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Wish:
    """What is asked for. start, end: scene frames, both included; variation: as in engine/passage.py."""

    start: float
    end: float
    variation: int = 1
    in_place: bool = False
    changed_sound: bool = False


def scene_range(scene: Any) -> tuple[float, float] | None:
    """The preview range where it is on, else from the first selected marker to the last, else None."""
    if scene.use_preview_range:
        return float(scene.frame_preview_start), float(scene.frame_preview_end)
    frames = sorted(marker.frame for marker in scene.timeline_markers if marker.select)
    return (float(frames[0]), float(frames[-1])) if len(frames) > 1 else None


def lines_of(action: Any) -> list[dict[str, Any]]:
    """What a take notes of each strip that it speaks; nothing where it was not made from sound."""
    lines = [line for line in noted(action, LINES, []) if isinstance(line, dict)]
    if lines:
        return lines
    stored = action[TAKE_KEY].to_dict()
    sha256, strip = stored.get("audio_sha256"), stored.get("strip")
    known = strip if isinstance(strip, dict) else {}
    return [{"sha256": sha256, "path": stored.get("audio_path", ""), **known}] if sha256 else []


def strip_of(context: Any, line: dict[str, Any], alone: bool) -> Any:
    """The strip of a line: of that name, or else with that file, or, for a take of one line, the one that is meant."""
    editor = compat.sequencer_scene(context).sequence_editor
    strips = [strip for strip in (editor.strips_all if editor else ()) if strip.type == "SOUND" and strip.sound]
    for fits in (lambda strip: strip.name == line.get("strip"), lambda strip: strip.sound.filepath == line.get("path")):
        found = next(filter(fits, strips), None)
        if found is not None:
            return found
    return find_sound_strip(context) if alone else None


class Regeneration:
    """One range, of what the context has when it begins. Raises ArtalkError for what cannot be made again.

    While `writing`, a take that exists is being changed, and nothing else may be let through.
    """

    def __init__(self, context: Any, action: Any, head: Head, wish: Wish) -> None:
        check_take(action)
        assign.check_editable(head)
        self.writing = False
        self._wish, self._armature, self._name = wish, head.armature.name, action.name
        self._id = action[TAKE_KEY].get("id", "")
        self._raw, self._level = raw_motion(action), loudness_of(action)
        self._tuning, self._keying = settings_of(action)
        self._start, self._stop = _frames(action, self._tuning.offset_ms, wish, len(self._raw))
        self._sequencer = compat.sequencer_scene(context).name
        self._lines = lines_of(action)
        strips = [strip_of(context, line, len(self._lines) == 1) for line in self._lines]
        if not strips or None in strips:
            raise ArtalkError(f"The sound strip that “{action.name}” was made from is not there.",
                              "Add it again, or choose a take that was made from a strip of this scene.")
        self._strips = [strip.name for strip in strips]
        self._preferences = read_preferences(context)
        self._style = styles.chosen(context.scene, self._preferences.model)

    def work(self, job: Job) -> Work[str]:
        """Returns the name of the take that has the new frames; where it does not come to its end, nothing changes."""
        audio = yield from self._hear(job)
        level = yield partial(loudness, audio.samples)
        start, stop = self._start, self._stop
        job.show("Starting the engine")
        client = shared_client(self._preferences.engine_python)
        before = self._raw[max(0, start - _HISTORY) : start]
        passage = Passage(start, stop - start, before if start else None, self._wish.variation)
        request = yield partial(client.generate, audio.samples, self._preferences.model, self._style.motion,
                                passage=replace(passage, strength=self._style.strength))
        yield from job.follow(client, request, "Generating the range")
        head = self._head()
        mouth = mouth_of(head)
        del head
        motion = yield partial(splice, self._raw, request.motion, start, mouth.aperture if mouth else None)
        if self._level is not None:
            self._level = np.concatenate([self._level[:start], level[start:stop], self._level[stop:]])
        made = {"start": start, "stop": stop, "variation": self._wish.variation, "sha256": audio.sha256,
                "style": self._style.name, "style_strength": self._style.strength if self._style.name else 0.0,
                "model": str(request.result.get("model", "")), "model_sha256": str(request.result.get("sha256", ""))}
        job.show("Writing keys", 1.0)
        yield
        name = yield from (self._into(motion) if self._wish.in_place else self._beside(motion))
        result = bpy.data.actions[name]
        note(result, RANGES, [*noted(self._action(), RANGES, []), made][-100:])
        for style, example in {**kept_styles(self._action()), self._style.name: self._style.motion}.items():
            keep_style(result, style, example)
        job.say(f"Made {(stop - start) / MOTION_FPS:.2f} s again, in “{name}”.")
        return name

    def _hear(self, job: Job) -> Work[StripAudio]:
        """The take's sound as its strips play it now, which must be what they played then, from the motion's start on.

        Strips that were moved since are heard where they were: there the take is.
        """
        heard, rate = [], 1.0
        for line, name in zip(self._lines, self._strips, strict=True):
            job.show(f"Reading “{name}”")
            audio = yield from read_strip_in_steps(partial(self._strip, name))
            strip, scene = self._strip(name)
            rate = scene_rate(scene)
            if audio.sha256 != line.get("sha256") and not self._wish.changed_sound:
                raise ArtalkError(f"The sound of the strip “{name}” is not the one that the take was made from.",
                                  "Allow changed sound, or generate the take again.")
            moved = _moved(line, look_of(strip, scene), audio.facts, rate)
            heard.append(replace(audio, start_frame=audio.start_frame - moved, times=audio.times.shifted(-moved)))
        audio = join_lines(heard, rate)
        action = self._action()
        frame = audio.times.frames_at(np.zeros(1)) * (action[TAKE_KEY]["scene_fps"] / rate)
        lead = float(times_of(action).seconds_at(frame)[0])  # of motion before the sound: where a trim was followed
        if -_WITHIN < lead < 1.0 / MOTION_FPS + _WITHIN:
            silence = np.zeros(max(0, round(lead * SAMPLE_RATE)), np.float32)
            audio = replace(audio, samples=np.concatenate([silence, audio.samples]))
        if abs(len(audio.samples) / FRAME_SAMPLES - len(self._raw) + 0.5) > 0.5 + _WITHIN * MOTION_FPS:
            raise _trimmed()
        return replace(audio, samples=_fitted(audio.samples, len(self._raw)))

    def _into(self, motion: Floats) -> Work[str]:
        """Into the take itself, where it may be changed."""
        action = self._action()
        if action.library is not None or is_edited(action):
            return (yield from self._beside(motion))
        del action
        self.writing = True
        try:
            yield from rewrite_take(self._action, self._head, motion, self._level)
        finally:
            self.writing = False
        return str(self._action().name)

    def _beside(self, motion: Floats) -> Work[str]:
        """As a new take with the old one's tuning, which plays instead."""
        action = self._action()
        stored, times = action[TAKE_KEY].to_dict(), times_of(action)
        own = {name: value for name, value in stored.get("settings", {}).items()
               if name not in ProcessSettings.__dataclass_fields__}
        fields = {name: stored[name] for name in Provenance.__dataclass_fields__ if name in stored}
        provenance = replace(Provenance(**fields), settings=own, lines=noted(action, LINES, []))
        take = GrowingTake(self._armature, times, stored["scene_fps"], provenance, self._tuning, self._keying)
        wanted = action.name + " range"
        del action
        try:
            name = yield from take.complete(motion, self._level, provenance)
        except BaseException:
            take.discard()
            raise
        made = bpy.data.actions[name]
        made.name = wanted
        name = str(made.name)  # with a number, where the wish was taken
        del made
        if SIMPLIFIED in stored:
            yield from simplifying(lambda: (bpy.data.actions[name], self._head()), Bound(**stored[SIMPLIFIED]))
        return name

    def _action(self) -> Any:
        """The take, by whatever name it has now."""
        same_id = (action for action in takes() if self._id and action[TAKE_KEY].get("id") == self._id)
        found = next(same_id, None) or bpy.data.actions.get(self._name)
        if found is None:
            raise ArtalkError(f"The take “{self._name}” is gone.", "Generate it again.")
        return found

    def _head(self) -> Head:
        head = head_of(bpy.data.objects.get(self._armature))
        if head is None:
            raise ArtalkError(f"The head “{self._armature}” is gone.", "Add it again.")
        return head

    def _strip(self, name: str) -> tuple[Any, Any]:
        """A strip and its scene."""
        scene = bpy.data.scenes.get(self._sequencer)
        editor = scene.sequence_editor if scene is not None else None
        strip = next((strip for strip in (editor.strips_all if editor else ()) if strip.name == name), None)
        if strip is None or strip.type != "SOUND":
            raise ArtalkError(f"The strip “{name}” is gone.", "Add it again.")
        return strip, scene


def _frames(action: Any, offset_ms: float, wish: Wish, count: int) -> tuple[int, int]:
    """Model frames [start, stop) of a take between two scene frames. Raises ArtalkError where there are too few."""
    rate = action[TAKE_KEY]["scene_fps"]
    times = times_of(action).shifted(offset_ms * 1e-3 * rate)
    shown = _shown(action, times)
    places = shown.seconds_at(np.array([wish.start, wish.end])) * MOTION_FPS
    start, stop = max(0, math.ceil(places[0] - 1e-3)), min(count, math.floor(places[1] + 1e-3) + 1)
    if start >= count or stop <= 0:
        first, last = shown.frames_at(np.array([0.0, (count - 1) / MOTION_FPS]))
        raise ArtalkError("The range lies outside the take.", f"Choose one from frame {first:.0f} to {last:.0f}.")
    if stop - start < SHORTEST:
        raise ArtalkError("The range is shorter than 0.2 seconds.", "Choose a longer one.")
    return start, stop


def _shown(action: Any, times: TimeMap) -> TimeMap:
    """When the take's frames are seen: later or earlier than keyed where its NLA strip was moved or stretched."""
    if assign.users_of(action):
        return times
    for _, _, strip in assign.strips_of(action):
        frames = (strip.frame_start + (frame - strip.action_frame_start) * strip.scale for frame in times.frames)
        return TimeMap(times.seconds, tuple(frames))
    return times


def _moved(line: dict[str, Any], look: StripLook, facts: dict[str, float], rate: float) -> float:
    """Scene frames by which a strip was moved since. Raises ArtalkError where it lets hear another part of its sound.

    The file is not asked about: what is in it is known.
    """
    before = StripLook.from_dict(line.get("look", {}))
    if before is not None:
        if before.change(replace(look, file=before.file)) not in (SAME, MOVED):
            raise _trimmed()
        return look.start - before.start
    for name in ("offset", "speed", "as_played"):
        if abs(_number(line, name, facts[name]) - facts[name]) > _WITHIN:
            raise _trimmed()
    start = _number(line, "start", facts["start"])
    if abs((_number(line, "end", facts["end"]) - start) - (facts["end"] - facts["start"])) > _WITHIN:
        raise _trimmed()
    return (facts["start"] - start) * rate


def _trimmed() -> ArtalkError:
    return ArtalkError("The strip was trimmed, or plays at another speed, since the take was made.",
                       "Let the take follow its strip, or generate it again.")


def _number(line: dict[str, Any], name: str, otherwise: float) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else otherwise


def _fitted(samples: Floats, frames: int) -> Floats:
    """Samples (N,) cut or filled by a rounding's worth, to exactly as many frames of motion."""
    short = (frames - 1) * FRAME_SAMPLES + 1 - len(samples)
    return np.pad(samples, (0, max(0, short)))[: frames * FRAME_SAMPLES]
