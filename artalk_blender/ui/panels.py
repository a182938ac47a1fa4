# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar panel of the 3D view: add a head, generate, tune, choose among takes. They only draw."""

from __future__ import annotations

import bpy

from ..animation.take_data import takes
from ..head.handle import find_head
from ..motion.timing import SHARED
from ..ops import takes as take_ops
from ..ops.generate import ARTALK_OT_generate_motion, disabled_reason
from ..ops.head import ARTALK_OT_add_head

_TUNING = (
    ("intensity", "lips", "jaw_gain", "cheeks", "brows", "head_gain"),
    ("smooth", "smoothing", "offset_ms", "silence_gate", "blinks", "blink_seed", "clamp"),
)


class _Sidebar:
    """Where our panels are."""

    bl_category = "ARTalk"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"


class ARTALK_PT_main(_Sidebar, bpy.types.Panel):
    """Add a head, generate its motion."""

    bl_label = "ARTalk"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator(ARTALK_OT_add_head.bl_idname, text="Add Head", icon="USER")
        button = layout.column()
        button.scale_y = 1.4
        button.operator(ARTALK_OT_generate_motion.bl_idname, icon="PLAY_SOUND")
        reason = disabled_reason(context)
        if reason:
            layout.label(text=reason, icon="INFO")


class ARTALK_PT_tune(_Sidebar, bpy.types.Panel):
    """How takes are tuned and keyed: the next one, and, by Apply, the one that plays."""

    bl_label = "Tune"
    bl_parent_id = "ARTALK_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.artalk
        layout.use_property_split = True
        layout.use_property_decorate = False
        for names in _TUNING:
            column = layout.column(align=True)
            for name in names:
                column.prop(settings, name)
        column = layout.column(align=True)
        column.prop(settings, "mode")
        column.prop(settings, "head")
        if settings.head == SHARED:
            column.prop(settings, "neck_share")
        row = layout.row(align=True)
        row.operator(take_ops.ARTALK_OT_retune_take.bl_idname, icon="CHECKMARK")
        row.operator(take_ops.ARTALK_OT_reset_tuning.bl_idname, text="", icon="LOOP_BACK")


class ARTALK_PT_takes(_Sidebar, bpy.types.Panel):
    """All takes of the file; the one that plays is marked."""

    bl_label = "Takes"
    bl_parent_id = "ARTALK_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        layout, playing = self.layout, take_ops.playing_take(find_head(context))
        reason = take_ops.take_reason(context)
        if reason:
            layout.label(text=reason, icon="INFO")
            return
        column = layout.column(align=True)
        for action in takes():
            row = column.row(align=True)
            icon = "RADIOBUT_ON" if action == playing else "RADIOBUT_OFF"
            row.operator(take_ops.ARTALK_OT_use_take.bl_idname, text=action.name, icon=icon).take = action.name
            for operator, icon in ((take_ops.ARTALK_OT_rename_take, "GREASEPENCIL"),
                                   (take_ops.ARTALK_OT_duplicate_take, "DUPLICATE"),
                                   (take_ops.ARTALK_OT_remove_take, "TRASH")):
                row.operator(operator.bl_idname, text="", icon=icon).take = action.name
        row = layout.row(align=True)
        row.operator(take_ops.ARTALK_OT_simplify_take.bl_idname, text="Simplify")
        row.operator(take_ops.ARTALK_OT_push_take_to_nla.bl_idname, text="To NLA", icon="NLA_PUSHDOWN")


CLASSES = (ARTALK_PT_main, ARTALK_PT_tune, ARTALK_PT_takes)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
