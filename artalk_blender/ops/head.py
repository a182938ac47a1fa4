# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Head: a FLAME head at the 3D cursor."""

from __future__ import annotations

import bpy

from ..engine.assets import DEFAULT_HEAD
from ..engine.flame.file import read_flame
from ..errors import EngineError
from ..head.build import build_head
from ..preferences import read_preferences


class ARTALK_OT_add_head(bpy.types.Operator):
    """Add a head that ARTalk can animate: mesh, 100 expression shape keys, jaw, neck and eye bones"""

    bl_idname = "artalk.add_head"
    bl_label = "ARTalk Head"
    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(
        name="Head File", subtype="FILE_PATH", options={"HIDDEN"},
        description="FLAME head; empty: the one in the preferences, or the default head",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            model = read_flame(self.filepath or read_preferences(context).head or DEFAULT_HEAD)
        except EngineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        build_head(model, context)
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(ARTALK_OT_add_head)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_OT_add_head)
