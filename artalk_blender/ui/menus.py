# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries in Blender's own menus."""

from __future__ import annotations

import bpy

from ..ops.head import ARTALK_OT_add_head


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.separator()
    menu.layout.operator(ARTALK_OT_add_head.bl_idname, icon="USER")


def register() -> None:
    bpy.types.VIEW3D_MT_mesh_add.append(_draw_add)


def unregister() -> None:
    bpy.types.VIEW3D_MT_mesh_add.remove(_draw_add)
