# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Motion: a motion file as a new take. Export Motion: what a head plays as MOTION.npz."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..animation.read_head import animated_range, read_head
from ..animation.takes import TAKE_KEY, Provenance, is_take, new_take
from ..audio.strip import scene_rate
from ..engine.files import write_motion
from ..engine.motion_files import SUFFIXES, read_motion_file
from ..errors import ArtalkError, EngineError
from ..head.build import Head, find_head
from ..motion.process import ProcessSettings

_MIRRORED = {"AUTO": None, "YES": True, "NO": False}


def disabled_reason(context: bpy.types.Context) -> str:
    """Why no motion can come in or go out now, in one sentence; empty when it can."""
    return "" if find_head(context) is not None else "Select a head, or add one with Add > Mesh > ARTalk Head"


class _NeedsHead:
    """Poll of both operators."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = disabled_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason


class ARTALK_OT_import_motion(_NeedsHead, bpy.types.Operator, ImportHelper):
    """Key the head with a motion file, as a new Action: MOTION.npz, ARTalk's .pt, or a table of FLAME parameters"""

    bl_idname = "artalk.import_motion"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default=";".join(f"*{suffix}" for suffix in SUFFIXES), options={"HIDDEN"})
    start_frame: bpy.props.IntProperty(
        name="Start Frame", default=1, description="Scene frame of the motion's first frame")
    mirrored: bpy.props.EnumProperty(
        name="Mirrored Head", default="AUTO",
        items=(("AUTO", "By Name", "Mirrored where ARTalk's app named the file after an avatar, else as it is"),
               ("YES", "Yes", "The motion was saved after avatar rendering: turn its head back"),
               ("NO", "No", "Leave the head's rotation as it is")),
        description="ARTalk's app mirrors the head of motions that it saves after rendering an avatar",
    )
    join_neck: bpy.props.BoolProperty(
        name="Neck into Head", default=True,
        description="Add the turns of the neck, where the file has them, to the head's: the face looks where it did",
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.properties.is_property_set("start_frame"):
            self.start_frame = context.scene.frame_start
        return ImportHelper.invoke(self, context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            found = read_motion_file(bpy.path.abspath(self.filepath), _MIRRORED[self.mirrored])
            motion = found.with_neck_in_head() if self.join_neck else found.motion
            notes = list(found.notes)
            if found.neck is not None and found.neck.any() and not self.join_neck:
                notes.append("Its neck is left out.")
            if found.eyes is not None and found.eyes.any():
                notes.append("The turns of its eyes are left out.")
            source = {"path": str(found.path), "sha256": found.sha256, "fps": found.source_fps,
                      "mirrored": found.mirrored, "neck_in_head": motion is not found.motion, "notes": " ".join(notes)}
            provenance = Provenance(found.path.stem, model_name="file", model_sha256=found.sha256,
                                    settings={"file": source})
            take = new_take(find_head(context), motion, self.start_frame, scene_rate(context.scene), provenance,
                            ProcessSettings(smooth=False, clamp=False))
        except EngineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for note in notes:
            self.report({"WARNING"}, note)
        self.report({"INFO"}, f"Keyed {len(motion)} frames as “{take.name}”.")
        return {"FINISHED"}


class ARTALK_OT_export_motion(_NeedsHead, bpy.types.Operator, ExportHelper):
    """Write what the head plays, however it is animated, as a MOTION.npz at 25 frames a second"""

    bl_idname = "artalk.export_motion"
    bl_label = "Export Motion"
    bl_options = {"REGISTER"}

    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})
    span: bpy.props.EnumProperty(
        name="Frames", default="ANIMATION",
        items=(("ANIMATION", "Animation", "From the head's first key to its last"),
               ("SCENE", "Scene", "The scene's frame range")),
    )
    join_neck: bpy.props.BoolProperty(
        name="Neck into Head", default=True,
        description="Add the turns of the neck to the head's, as ARTalk's motions know no neck; "
                    "otherwise they are written beside them",
    )
    _browsed = False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._browsed = True  # the file browser asks before it overwrites
        if not self.filepath:
            data = find_head(context).armature.animation_data
            name = data.action.name if data is not None and data.action is not None else "motion"
            self.filepath = str(Path(bpy.data.filepath).parent / (bpy.path.clean_name(name) + self.filename_ext))
        return ExportHelper.invoke(self, context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            if path.exists() and self.check_existing and not self._browsed:
                raise ArtalkError(f"“{path}” is there already.", "Choose another name, or pass check_existing=False.")
            head = find_head(context)
            found = read_head(head, context.scene, *self._range(head, context.scene), scene_rate(context.scene))
            motion = found.joined() if self.join_neck else found.motion
            neck = found.neck if found.neck_moves and not self.join_neck else None
            write_motion(path, motion, _source(head), neck=neck, eyes=found.eyes if found.eyes_move else None)
        except EngineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Wrote {len(motion)} frames to “{path.name}”.")
        return {"FINISHED"}

    def _range(self, head: Head, scene: bpy.types.Scene) -> tuple[float, float]:
        if self.span == "SCENE":
            return scene.frame_start, scene.frame_end
        span = animated_range(head)
        if span is None:
            raise ArtalkError("Nothing plays on the head.", "Generate or import a motion, or export the scene's range.")
        return span


def _source(head: Head) -> str:
    """What made the motion: the model of the take that plays, else the scene."""
    data = head.armature.animation_data
    action = data.action if data is not None else None
    if not is_take(action):
        return f"scene {head.armature.name}"
    return f"{action[TAKE_KEY].get('model_name', '')} {action[TAKE_KEY].get('model_sha256', '')}".strip()


_CLASSES = (ARTALK_OT_import_motion, ARTALK_OT_export_motion)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
