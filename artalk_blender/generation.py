# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job: the speech of a sound strip becomes a take on a head, in slices that leave Blender free."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import bpy

from . import compat, styles
from .animation.assign import check_editable
from .animation.growing import GrowingTake
from .animation.take_data import keep_style
from .animation.takes import Provenance
from .audio.lines import join_lines
from .audio.looks import look_of
from .audio.samples import SAMPLE_RATE
from .audio.strip import read_strip_in_steps, scene_rate, speech_strips
from .engine.passage import Passage
from .errors import ArtalkError
from .estimate import note_speed
from .head.handle import find_head
from .motion.gate import loudness
from .preferences import read_preferences
from .properties import keying, process_settings
from .runner import Work
from .worker.job import Job, shared_client


class Generation:
    """One generation, from what the context has when it begins. Raises ArtalkError where the head can't be keyed."""

    def __init__(self, context: Any) -> None:
        head = find_head(context)
        check_editable(head)
        self._armature = head.armature.name
        self._rate = scene_rate(context.scene)
        self._sequencer = compat.sequencer_scene(context).name
        self._strips = [strip.name for strip in speech_strips(context) if not strip.mute]
        if not self._strips:
            raise ArtalkError("No sound strip that is heard is chosen.", "Choose one under Speech, or unmute it.")
        self._settings, self._keying = process_settings(context.scene), keying(context.scene)
        self._preferences = read_preferences(context)
        self._style = styles.chosen(context.scene, self._preferences.model)

    def work(self, job: Job) -> Work[str]:
        """Returns the take's name; where it does not come to its end, the head is as it was."""
        lines = []
        for name in self._strips:
            job.show(f"Reading “{name}”")
            heard = yield from read_strip_in_steps(partial(self._find_strip, name))
            lines.append((name, look_of(*self._find_strip(name)).as_dict(), heard))
        rate = scene_rate(self._find_strip(self._strips[0])[1])
        audio = yield partial(join_lines, [line for _, _, line in lines], rate)
        times = audio.times.scaled(self._rate / rate)
        level = yield partial(loudness, audio.samples)
        provenance = Provenance(audio.name, audio.path, audio.sha256, style=self._style.name,
                                style_strength=self._style.strength if self._style.name else 0.0, strip=audio.facts,
                                lines=[{"strip": name, "sha256": line.sha256, "look": look, **line.facts}
                                       for name, look, line in lines])
        take = GrowingTake(self._armature, times, self._rate, provenance, self._settings, self._keying)
        job.show("Starting the engine")
        client = shared_client(self._preferences.engine_python)
        request = yield partial(client.generate, audio.samples, self._preferences.model,
                                self._style.motion, passage=Passage(strength=self._style.strength))
        try:
            yield from job.follow(client, request, "Generating motion", lambda: take.grow(request.motion))
            job.show("Writing keys", 1.0)
            provenance = replace(provenance, model_name=str(request.result.get("model", "")),
                                 model_sha256=str(request.result.get("sha256", "")))
            name = yield from take.complete(request.motion, level, provenance)
        except BaseException:
            take.discard()
            raise
        keep_style(bpy.data.actions[name], self._style.name, self._style.motion)
        note_speed(self._preferences.model, float(request.result.get("seconds", "nan")),
                   len(audio.samples) / SAMPLE_RATE, str(request.result.get("device", "cpu")))
        job.say(f"Keyed {len(request.motion)} frames as “{name}”.")
        return name

    def _find_strip(self, name: str) -> tuple[Any, Any]:
        """A strip and its scene."""
        scene = bpy.data.scenes.get(self._sequencer)
        strips = scene.sequence_editor.strips_all if scene is not None and scene.sequence_editor is not None else ()
        strip = next((strip for strip in strips if strip.name == name and strip.type == "SOUND"), None)
        if strip is None:
            raise ArtalkError(f"The strip “{name}” is gone.", "Add it again and generate once more.")
        return strip, scene
