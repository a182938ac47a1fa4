# SPDX-License-Identifier: GPL-3.0-or-later
"""Render Avatar, Export Splats, Free Memory: the Gaussian avatar of a head. They change nothing in the scene."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..errors import ArtalkError
from ..gaussian.camera import camera_at
from ..gaussian.handover import SplatHandover
from ..gaussian.properties import SCENE_CAMERA
from ..gaussian.rendering import AvatarRender
from ..gaussian.session import why_no_avatar
from ..head.handle import find_head
from ..runner import Work
from ..worker.job import ModalJob, give_memory_back, holds_memory, is_busy
from .reasoned import BUSY, NO_HEAD, BrowsedJob, Reasoned


def disabled_reason(context: bpy.types.Context) -> str:
    """Why no avatar can be rendered now, in one sentence; empty when it can."""
    if is_busy():
        return BUSY
    if find_head(context) is None:
        return NO_HEAD
    return why_no_avatar(context.scene)


def render_reason(context: bpy.types.Context) -> str:
    """As `disabled_reason`, and what the camera lacks."""
    reason = disabled_reason(context)
    if not reason and context.scene.artalk_avatar.camera == SCENE_CAMERA:
        try:
            camera_at(context.scene, context.scene.frame_start)
        except ArtalkError as error:
            return str(error).rstrip(".")
    return reason


class ARTALK_OT_render_avatar(Reasoned, ModalJob, bpy.types.Operator):
    """Render the avatar that speaks as the head does into a folder beside the file; only frames that changed"""

    bl_idname = "artalk.render_avatar"
    bl_label = "Render Avatar"
    bl_options = {"REGISTER"}

    reason = staticmethod(render_reason)
    stopped = "Stopped; the finished frames stay, and Render Avatar goes on from there."

    def work(self) -> Work[None]:
        yield from AvatarRender(bpy.context).work(self)


class ARTALK_OT_export_splats(Reasoned, BrowsedJob, bpy.types.Operator):
    """Write the avatar's splats as they stand at this frame, or at every frame, as .ply files for other programs"""

    bl_idname = "artalk.export_splats"
    bl_label = "Export Splats"
    bl_options = {"REGISTER"}

    reason = staticmethod(disabled_reason)
    stopped = "Stopped; the finished files stay."
    filename_ext = ".ply"
    filter_glob: bpy.props.StringProperty(default="*.ply", options={"HIDDEN"})
    every_frame: bpy.props.BoolProperty(
        name="Every Frame", default=False, description="A file for each frame of the scene, with its number",
    )

    def work(self) -> Work[None]:
        scene = bpy.context.scene
        first, last = (scene.frame_start, scene.frame_end) if self.every_frame else (scene.frame_current,) * 2
        path = Path(bpy.path.abspath(self.filepath))
        del scene
        yield from SplatHandover(bpy.context, path, first, last).work(self)


class ARTALK_OT_free_memory(Reasoned, bpy.types.Operator):
    """Let the engine forget its model and its avatar; they are loaded again when they are needed"""

    bl_idname = "artalk.free_memory"
    bl_label = "Free Memory"
    bl_options = {"REGISTER"}

    @staticmethod
    def reason(context: bpy.types.Context) -> str:
        if is_busy():
            return BUSY
        return "" if holds_memory() else "The engine isn't running"

    def execute(self, context: bpy.types.Context) -> set[str]:
        give_memory_back()
        return {"FINISHED"}


CLASSES = (ARTALK_OT_render_avatar, ARTALK_OT_export_splats, ARTALK_OT_free_memory)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
