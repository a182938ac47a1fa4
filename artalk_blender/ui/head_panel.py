# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar panel of a head: whose it is, and how near to FLAME."""

from __future__ import annotations

import bpy

from ..head import settings
from ..head.handle import find_head
from ..head.identity import fixed_reason
from ..head.joints import are_live
from ..ops.head import (
    ARTALK_OT_apply_identity,
    ARTALK_OT_check_head,
    ARTALK_OT_find_head_file,
    ARTALK_OT_fix_joints,
    ARTALK_OT_neutral_identity,
    ARTALK_OT_random_identity,
)


class ARTALK_PT_head(bpy.types.Panel):
    """Identity and accuracy of the head that is selected."""

    bl_label = "Head"
    bl_category = "ARTalk"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 20

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return find_head(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        head = find_head(context)
        face = head.armature.artalk_face
        layout.label(text=head.armature.name, icon="OUTLINER_OB_ARMATURE")
        row = layout.row(align=True)
        row.operator(ARTALK_OT_random_identity.bl_idname, text="Random", icon="FILE_REFRESH")
        row.operator(ARTALK_OT_neutral_identity.bl_idname, text="Neutral", icon="LOOP_BACK")
        row.operator(ARTALK_OT_apply_identity.bl_idname, text="", icon="FILE_FOLDER")
        reason = fixed_reason(head, context)
        column = layout.column()
        column.enabled = not reason
        column.prop(face, "first", slider=True)
        if reason or settings.problem:
            layout.label(text=reason or settings.problem, icon="INFO")
        if settings.problem:
            layout.operator(ARTALK_OT_find_head_file.bl_idname, icon="FILEBROWSER")
        row = layout.row(align=True)
        row.operator(ARTALK_OT_check_head.bl_idname, icon="CHECKMARK")
        if not are_live(head):
            row.operator(ARTALK_OT_fix_joints.bl_idname, icon="BONE_DATA")
        layout.label(text=settings.accuracy(face))


def register() -> None:
    bpy.utils.register_class(ARTALK_PT_head)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_PT_head)
