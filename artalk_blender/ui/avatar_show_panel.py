# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel shows of where the avatar's frames go. It only draws."""

from __future__ import annotations

from typing import Any

from .. import compat
from ..gaussian import preview
from ..gaussian.compositor import concerns, our_group
from ..gaussian.sequencer import our_strip
from ..ops import avatar_show
from .sections import wrapped


def draw_avatar_show(layout: Any, context: Any) -> None:
    """Preview, compositor, Sequencer, movie; what is wrong with them."""
    layout.operator(avatar_show.ARTALK_OT_preview_avatar.bl_idname, text="Preview in Viewport",
                    icon="HIDE_OFF" if preview.is_on() else "HIDE_ON")
    row = layout.row(align=True)
    row.operator(avatar_show.ARTALK_OT_add_avatar_to_compositor.bl_idname, icon="NODE_COMPOSITING")
    if our_group() is not None:
        row.operator(avatar_show.ARTALK_OT_remove_avatar_from_compositor.bl_idname, text="", icon="X")
    row = layout.row(align=True)
    row.operator(avatar_show.ARTALK_OT_add_avatar_to_sequencer.bl_idname, icon="SEQUENCE")
    if our_strip(compat.sequencer_scene(context)) is not None:
        row.operator(avatar_show.ARTALK_OT_remove_avatar_from_sequencer.bl_idname, text="", icon="X")
    layout.operator(avatar_show.ARTALK_OT_avatar_movie.bl_idname, text="Movie with Sound", icon="FILE_MOVIE")
    for text in concerns(context.scene):
        wrapped(layout, text, "ERROR")
