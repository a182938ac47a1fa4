# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel shows of the Gaussian avatar. It only draws."""

from __future__ import annotations

from typing import Any

from ..gaussian.properties import FILE, OWN_CAMERA, PUBLISHED
from ..ops import avatar as avatar_ops
from .sections import wrapped


def draw_avatar(layout: Any, context: Any) -> None:
    """Who, from where, which frames, as what; the buttons."""
    settings = context.scene.artalk_avatar
    column = layout.column()
    column.prop(settings, "avatar")
    if settings.avatar == FILE:
        column.prop(settings, "file")
    elif settings.avatar == PUBLISHED:
        column.prop(settings, "folder")
        column.prop(settings, "photo")
    for name in ("camera", "range", "format"):
        column.prop(settings, name)
    if settings.camera == OWN_CAMERA:
        column.prop(settings, "size")
    column.prop(settings, "mark")
    reason = avatar_ops.render_reason(context)
    button = layout.column()
    button.scale_y = 1.5
    button.operator(avatar_ops.ARTALK_OT_render_avatar.bl_idname, icon="RENDER_ANIMATION")
    if reason:
        wrapped(layout, reason)
    layout.operator(avatar_ops.ARTALK_OT_export_splats.bl_idname, icon="EXPORT")
    row = layout.row(align=True)
    row.prop(settings, "give_back")
    row.operator(avatar_ops.ARTALK_OT_free_memory.bl_idname, text="", icon="X")
