# SPDX-License-Identifier: GPL-3.0-or-later
"""Open a speech file as a sound strip, stop what is running, copy what a bug report needs."""

from __future__ import annotations

from pathlib import Path

import bpy

from .. import compat
from ..audio.samples import read_sound
from ..audio.strip import add_sound_strip
from ..errors import EngineError
from ..language import said
from ..preferences import read_preferences
from ..report import support_text
from ..worker import job

_SOUNDS = "*.wav;*.mp3;*.ogg;*.oga;*.opus;*.flac;*.m4a;*.aac;*.aif;*.aiff;*.mp4;*.mov;*.mkv;*.webm;*.avi"


class ARTALK_OT_open_speech(bpy.types.Operator):
    """Open a sound file with speech as a sound strip at the current frame, and choose it"""

    bl_idname = "artalk.open_speech"
    bl_label = "Open Speech"
    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(name="File", subtype="FILE_PATH", description="A sound, or a film with sound")
    filter_glob: bpy.props.StringProperty(default=_SOUNDS, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        scene = compat.sequencer_scene(context)
        try:
            read_sound(path)  # Blender makes a silent strip of what it can't read
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        strip = add_sound_strip(scene, path, scene.frame_current)
        for other in scene.sequence_editor.strips_all:
            other.select = other == strip
        scene.sequence_editor.active_strip = strip
        context.scene.artalk.strip = ""
        return {"FINISHED"}


class ARTALK_OT_stop_job(bpy.types.Operator):
    """Stop what ARTalk is doing; the scene is as it was before"""

    bl_idname = "artalk.stop_job"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if job.running_job() is None:
            cls.poll_message_set(said("Nothing is running"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        job.running_job().stop()
        return {"FINISHED"}


class ARTALK_OT_copy_report(bpy.types.Operator):
    """Copy versions, the last problem and the engine's log for a bug report; where your files lie is not in it"""

    bl_idname = "artalk.copy_report"
    bl_label = "Copy Report"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences = read_preferences(context)
        facts = {"Model": preferences.model or "default", "Engine Python": preferences.engine_python or "Blender's own",
                 "Head": preferences.head or "default"}
        context.window_manager.clipboard = support_text(job.engine_log(), facts)
        self.report({"INFO"}, said("The report is on the clipboard."))
        return {"FINISHED"}


CLASSES = (ARTALK_OT_open_speech, ARTALK_OT_stop_job, ARTALK_OT_copy_report)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
