# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels show of the lip-sync check and of text to speech. They only draw."""

from __future__ import annotations

from typing import Any

from ..animation.markers import our_markers
from ..animation.nla import playing_take
from ..head.handle import find_head
from ..language import said
from ..lip_check import remembered
from ..ops import check as check_ops
from ..ops import speak as speak_ops
from .sections import wrapped


def draw_lip_check(layout: Any, context: Any) -> None:
    """Check, what was found, mend."""
    row = layout.row(align=True)
    row.operator(check_ops.ARTALK_OT_check_lip_sync.bl_idname, icon="VIEWZOOM")
    if our_markers(context.scene):
        row.operator(check_ops.ARTALK_OT_clear_lip_sync_markers.bl_idname, text="", icon="X")
    reason = check_ops.disabled_reason(context)
    if reason:
        wrapped(layout, reason)
        return
    found = remembered(context.scene, playing_take(find_head(context)))
    if not found:
        return
    wrapped(layout, str(found.get("summary", "")), "ERROR" if found.get("findings") else "CHECKMARK")
    if found["fix_ms"]:
        text = said(f"Shift by {found['fix_ms']:+.0f} ms")
        layout.operator(check_ops.ARTALK_OT_fix_sync_offset.bl_idname, text=text, icon="TIME", translate=False)


def draw_speak(layout: Any, context: Any) -> None:
    """Text, voice, speed and the button."""
    settings = context.scene.artalk
    column = layout.column(align=True)
    column.prop(settings, "speech_text", text="", icon="FILE_TEXT", placeholder=said("What is to be said"))
    row = column.row(align=True)
    row.prop(settings, "speech_voice", text="", icon="USER", placeholder=said("Voice"))
    row.prop(settings, "speech_speed")
    row = layout.row()
    row.enabled = bool(settings.speech_text.strip())
    button = row.operator(speak_ops.ARTALK_OT_speak_text.bl_idname, icon="PLAY_SOUND")
    button.words, button.voice, button.speed = settings.speech_text, settings.speech_voice, settings.speech_speed
    reason = speak_ops.disabled_reason(context)
    if reason:
        wrapped(layout, reason)
