# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries in Blender's own menus."""

from __future__ import annotations

import bpy

from ..ops.head import ARTALK_OT_add_head, ARTALK_OT_import_head
from ..ops.motion_io import ARTALK_OT_export_motion, ARTALK_OT_import_motion


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.separator()
    menu.layout.operator(ARTALK_OT_add_head.bl_idname, text="ARTalk Head", icon="USER")


def _draw_import(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(ARTALK_OT_import_head.bl_idname, text="FLAME Head (.pkl, .npz, .pt)")
    menu.layout.operator(ARTALK_OT_import_motion.bl_idname, text="ARTalk / FLAME Motion (.npz, .pt)")


def _draw_export(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(ARTALK_OT_export_motion.bl_idname, text="ARTalk Motion (.npz)")


def register() -> None:
    bpy.types.VIEW3D_MT_add.append(_draw_add)
    bpy.types.TOPBAR_MT_file_import.append(_draw_import)
    bpy.types.TOPBAR_MT_file_export.append(_draw_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_export.remove(_draw_export)
    bpy.types.TOPBAR_MT_file_import.remove(_draw_import)
    bpy.types.VIEW3D_MT_add.remove(_draw_add)
