# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar panel of the 3D view."""

from __future__ import annotations

import bpy

from ..ops.generate import ARTALK_OT_generate_motion, disabled_reason
from ..ops.head import ARTALK_OT_add_head


class ARTALK_PT_main(bpy.types.Panel):
    """Add a head, generate its motion."""

    bl_label = "ARTalk"
    bl_category = "ARTalk"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator(ARTALK_OT_add_head.bl_idname, text="Add Head", icon="USER")
        column = layout.column()
        column.use_property_split = True
        column.prop(context.scene.artalk, "head_gain")
        column.prop(context.scene.artalk, "smooth")
        button = layout.column()
        button.scale_y = 1.4
        button.operator(ARTALK_OT_generate_motion.bl_idname, icon="PLAY_SOUND")
        reason = disabled_reason(context)
        if reason:
            layout.label(text=reason, icon="INFO")


def register() -> None:
    bpy.utils.register_class(ARTALK_PT_main)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_PT_main)
