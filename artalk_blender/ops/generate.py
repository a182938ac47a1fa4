# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate Motion: the active sound strip's speech as a new take on a head."""

from __future__ import annotations

from dataclasses import replace

import bpy

from .. import compat
from ..animation.assign import check_editable
from ..animation.takes import Provenance, new_take
from ..audio.strip import find_sound_strip, read_strip, scene_rate
from ..errors import ArtalkError
from ..head.handle import find_head, head_of
from ..motion.gate import loudness
from ..preferences import read_preferences
from ..properties import keying, process_settings
from ..worker.client import Request, WorkerClient
from ..worker.job import ModalJob, is_busy, shared_client


def disabled_reason(context: bpy.types.Context) -> str:
    """Why motion can't be generated now, in one sentence; empty when it can."""
    if is_busy():
        return "Motion is being generated; Esc stops it"
    if find_head(context) is None:
        return "Select a head, or add one with Add > Mesh > ARTalk Head"
    if find_sound_strip(context) is None:
        return "Add a sound strip in the Video Sequencer and make it active"
    return ""


class ARTALK_OT_generate_motion(ModalJob, bpy.types.Operator):
    """Key the head to speak the active sound strip, as a new Action; Esc stops it"""

    bl_idname = "artalk.generate_motion"
    bl_label = "Generate Motion"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = disabled_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.run(context, modal=not bpy.app.background)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.run(context, modal=False)

    def start(self, context: bpy.types.Context) -> tuple[WorkerClient, Request]:
        """Takes from the scene all that the job needs, and asks the worker."""
        sequencer = compat.sequencer_scene(context)
        check_editable(find_head(context))
        audio = read_strip(find_sound_strip(context), sequencer)
        self._rate = scene_rate(context.scene)
        self._times = audio.times.scaled(self._rate / scene_rate(sequencer))
        self._armature = find_head(context).armature.name
        self._tuning = process_settings(context.scene), keying(context.scene)
        self._provenance = Provenance(audio.name, audio.path, audio.sha256, strip=audio.facts)
        self._loudness = loudness(audio.samples)
        preferences = read_preferences(context)
        client = shared_client(preferences.engine_python)
        return client, client.generate(audio.samples, preferences.model)

    def finish(self, context: bpy.types.Context, request: Request) -> None:
        """The motion is here: keys it, if the head still is."""
        head = head_of(bpy.data.objects.get(self._armature))
        if head is None:
            raise ArtalkError(f"The head “{self._armature}” is gone.", "Add it again and generate once more.")
        provenance = replace(self._provenance, model_name=str(request.result.get("model", "")),
                             model_sha256=str(request.result.get("sha256", "")))
        settings, keys = self._tuning
        take = new_take(head, request.motion, self._times.frames[0], self._rate, provenance, settings, keys,
                        self._loudness, self._times)
        self.report({"INFO"}, f"Keyed {len(request.motion)} frames as “{take.name}”.")


def register() -> None:
    bpy.utils.register_class(ARTALK_OT_generate_motion)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_OT_generate_motion)
