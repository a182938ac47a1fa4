# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture Style: two seconds of what a head plays become a style."""

from __future__ import annotations

import bpy

from .. import styles
from ..animation.read_head import read_head
from ..audio.strip import scene_rate
from ..engine.pipeline import FPS, STYLE_FRAMES
from ..errors import EngineError
from ..head.handle import find_head
from ..language import said


class ARTALK_OT_capture_style(bpy.types.Operator):
    """Take the two seconds that the head plays from the current frame on as a style, kept in this file"""

    bl_idname = "artalk.capture_style"
    bl_label = "Capture Style"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(name="Name", description="What to call the style; empty: as the head is called")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if find_head(context) is None:
            cls.poll_message_set(said("Select the animated head whose manner is wanted"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, scene = find_head(context), context.scene
        rate, first = scene_rate(scene), float(scene.frame_current)
        try:
            # one step more than there are intervals, so that rounding leaves none out
            motion = read_head(head, scene, first, first + STYLE_FRAMES / FPS * rate, rate).joined()
            identifier = styles.keep(scene, self.name or head.armature.name, motion[:STYLE_FRAMES])
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        scene.artalk.style = identifier
        self.report({"INFO"}, said(f"Captured the style “{identifier.partition(':')[2]}”."))
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(ARTALK_OT_capture_style)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_OT_capture_style)
