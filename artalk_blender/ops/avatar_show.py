# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered frames of the avatar into the compositor, the Sequencer, a movie; its preview in the 3D view."""

from __future__ import annotations

from pathlib import Path

import bpy

from .. import compat
from ..audio.strip import scene_rate
from ..errors import EngineError
from ..gaussian import preview
from ..gaussian.compositor import add_to_compositor, concerns, our_group, remove_from_compositor
from ..gaussian.frames import FrameFolder, read_folder
from ..gaussian.movie import make_movie
from ..gaussian.properties import EXR
from ..gaussian.sequencer import (
    add_to_sequencer,
    display_frames,
    needs_display_frames,
    our_strip,
    remove_from_sequencer,
)
from ..gaussian.session import chosen_avatar, frames_folder, take_name, why_no_avatar
from ..head.handle import find_head
from ..language import said
from ..runner import Work
from ..worker.job import Job, ModalJob
from .avatar import disabled_reason
from .reasoned import NO_HEAD, BrowsedJob, Reasoned

_BACKGROUND = (0.115, 0.128, 0.140)
_TAKES_OVER = ("Renders show the Sequencer from now on, not the 3D scene: mute the strip, or switch Sequencer off "
               "under Post Processing, to have that back.")
_TEMPORARY = "The file isn't saved: the frames lie in a temporary folder until Blender ends. Save it and render again."


def found_frames(context: bpy.types.Context) -> tuple[FrameFolder, bool]:
    """The frames of the chosen avatar and of the take that plays, and whether they stay when Blender ends.

    Raises ArtalkError where there are none.
    """
    scene, head = context.scene, find_head(context)
    folder, kept = frames_folder(chosen_avatar(scene, head), take_name(head))
    return read_folder(folder, ".exr" if scene.artalk_avatar.format == EXR else ".png"), kept


class ARTALK_OT_add_avatar_to_compositor(Reasoned, bpy.types.Operator):
    """Add a node group with the avatar's frames beside your compositor nodes; if it is there, show these frames"""

    bl_idname = "artalk.add_avatar_to_compositor"
    bl_label = "Add to Compositor"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            frames, kept = found_frames(context)
            done = add_to_compositor(context.scene, frames)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        for text in (*concerns(context.scene), *(() if kept else (_TEMPORARY,))):
            self.report({"WARNING"}, said(text))
        self.report({"INFO"}, said(done))
        return {"FINISHED"}


class ARTALK_OT_remove_avatar_from_compositor(Reasoned, bpy.types.Operator):
    """Take the avatar's node group out of the compositor, and nothing else"""

    bl_idname = "artalk.remove_avatar_from_compositor"
    bl_label = "Remove from Compositor"
    bl_options = {"REGISTER", "UNDO"}

    @staticmethod
    def reason(context: bpy.types.Context) -> str:
        return "" if our_group() is not None else "The avatar is not in the compositor"

    def execute(self, context: bpy.types.Context) -> set[str]:
        remove_from_compositor()
        return {"FINISHED"}


class ARTALK_OT_add_avatar_to_sequencer(Reasoned, ModalJob, bpy.types.Operator):
    """Add an image strip with the avatar's frames, in a channel of its own; if it is there, show these frames"""

    bl_idname = "artalk.add_avatar_to_sequencer"
    bl_label = "Add to Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def work(self) -> Work[None]:
        frames, kept = found_frames(bpy.context)
        rate = scene_rate(bpy.context.scene)
        if needs_display_frames(compat.sequencer_scene(bpy.context), frames):
            frames = yield from display_frames(frames, lambda done: _show_copied(self, done, frames))
        placed = add_to_sequencer(compat.sequencer_scene(bpy.context), frames, rate)
        for text in ((frames.gaps(),) if frames.missing else ()) + (() if kept else (_TEMPORARY,)):
            self.report({"WARNING"}, said(text))
        if placed.takes_over:
            self.report({"WARNING"}, said(_TAKES_OVER))
        self.report({"INFO"}, said(f"Frames {frames.first} to {frames.last} are in channel {placed.channel}."))


def _show_copied(job: Job, done: int, frames: FrameFolder) -> None:
    total = len(frames.numbers)
    job.show(f"Copying frames for the screen: {done} of {total}", done / total)


class ARTALK_OT_remove_avatar_from_sequencer(Reasoned, bpy.types.Operator):
    """Take the avatar's strip out of the Sequencer, and nothing else"""

    bl_idname = "artalk.remove_avatar_from_sequencer"
    bl_label = "Remove from Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    @staticmethod
    def reason(context: bpy.types.Context) -> str:
        return "" if our_strip(compat.sequencer_scene(context)) is not None else "The avatar is not in the Sequencer"

    def execute(self, context: bpy.types.Context) -> set[str]:
        remove_from_sequencer(compat.sequencer_scene(context))
        return {"FINISHED"}


class ARTALK_OT_avatar_movie(Reasoned, BrowsedJob, bpy.types.Operator):
    """Make an MP4 of the avatar's frames with the sound of the scene; your render settings stay as they are"""

    bl_idname = "artalk.avatar_movie"
    bl_label = "Make Avatar Movie"
    bl_options = {"REGISTER"}

    reason = staticmethod(disabled_reason)
    stopped = "Stopped; no movie was made."
    filename_ext = ".mp4"
    filter_glob: bpy.props.StringProperty(default="*.mp4", options={"HIDDEN"})
    background: bpy.props.FloatVectorProperty(
        name="Background", subtype="COLOR_GAMMA", size=3, min=0.0, max=1.0, default=_BACKGROUND,
        description="What lies behind the avatar: a movie has no transparency",
    )

    def work(self) -> Work[None]:
        frames, _ = found_frames(bpy.context)
        path = Path(bpy.path.abspath(self.filepath))
        done = yield from make_movie(self, bpy.context, frames, path, tuple(self.background))
        if frames.missing:
            self.report({"WARNING"}, said(frames.gaps()))
        self.report({"INFO"}, said(done))


class ARTALK_OT_preview_avatar(Reasoned, bpy.types.Operator):
    """Show the avatar in the 3D view as the head speaks; again switches it off"""

    bl_idname = "artalk.preview_avatar"
    bl_label = "Preview Avatar"
    bl_options = {"REGISTER"}

    @staticmethod
    def reason(context: bpy.types.Context) -> str:
        if preview.is_on():
            return ""
        if bpy.app.background:
            return "There is no view without a window"
        return why_no_avatar(context.scene) if find_head(context) is not None else NO_HEAD

    def execute(self, context: bpy.types.Context) -> set[str]:
        preview.switch(not preview.is_on())
        return {"FINISHED"}


CLASSES = (ARTALK_OT_add_avatar_to_compositor, ARTALK_OT_remove_avatar_from_compositor,
           ARTALK_OT_add_avatar_to_sequencer, ARTALK_OT_remove_avatar_from_sequencer, ARTALK_OT_avatar_movie,
           ARTALK_OT_preview_avatar)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
