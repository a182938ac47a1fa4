# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels show, section by section, in the order of the work. They only draw."""

from __future__ import annotations

from typing import Any

import bpy

from .. import compat, live_tuning
from ..animation.follow import state_of
from ..animation.nla import playing_take
from ..animation.take_data import ALL_KEYS, SIMPLIFIED, TAKE_KEY, UNFINISHED, takes
from ..audio import reports
from ..audio.looks import MOVED, TRIMMED
from ..audio.strip import speech_strips
from ..estimate import estimate
from ..head import settings as head_settings
from ..head.handle import find_head
from ..head.identity import fixed_reason
from ..head.joints import are_live
from ..language import said
from ..motion.process import KEYABLE
from ..motion.timing import SHARED
from ..ops import head as head_ops
from ..ops import takes as take_ops
from ..ops.generate import ARTALK_OT_generate_motion, disabled_reason
from ..ops.regenerate import ARTALK_OT_regenerate_range, range_reason
from ..ops.regenerate import disabled_reason as regenerate_reason
from ..ops.simplify import ARTALK_OT_simplify_take
from ..ops.speech import ARTALK_OT_copy_report, ARTALK_OT_open_speech, ARTALK_OT_stop_job
from ..ops.style import ARTALK_OT_capture_style
from ..retarget.player import Retarget, find_player
from ..styles import DEFAULT, FILE
from ..worker.job import running_job

_TUNING = (
    ("intensity", "lips", "jaw_gain", "cheeks", "brows", "head_gain"),
    ("smooth", "smoothing", "offset_ms", "silence_gate", "blinks", "blink_seed", "clamp"),
)
_WIDTH = 40  # characters in a line where there is no region to ask
_LETTER, _MARGIN = 6.5, 8  # pixels of a letter, letters that icon and edges take


def wrapped(layout: Any, text: str, icon: str = "INFO") -> None:
    """A sentence in the interface's language, in as many lines as it needs; Blender's labels are cut off instead."""
    column = layout.column(align=True)
    line = ""
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale
    width = int(region.width / scale / _LETTER) - _MARGIN if region is not None else _WIDTH
    for word in said(text).split():
        if line and len(line) + 1 + len(word) > width:
            column.label(text=line, icon=icon, translate=False)
            line, icon = word, "BLANK1"
        else:
            line = f"{line} {word}".strip()
    if line:
        column.label(text=line, icon=icon, translate=False)


def draw_running(layout: Any, context: Any) -> None:
    """How far the running job is, above everything else."""
    job = running_job()
    if job is not None:
        row = layout.row(align=True)
        row.progress(factor=job.fraction, text=said(job.text), translate=False)
        row.operator(ARTALK_OT_stop_job.bl_idname, text="", icon="CANCEL")


def draw_generate(layout: Any, context: Any) -> None:
    """The button, and what pressing it will cost."""
    reason = disabled_reason(context)
    button = layout.column()
    button.scale_y = 1.5
    button.operator(ARTALK_OT_generate_motion.bl_idname, icon="PLAY_SOUND")
    wrapped(layout, reason or estimate(context), "INFO" if reason else "TIME")
    draw_whose(layout, context)


def draw_whose(layout: Any, context: Any) -> None:
    """Which head is meant where a target is selected, which gets its takes from one."""
    player, head = find_player(context), find_head(context)
    if head is not None and isinstance(player, Retarget):
        wrapped(layout, f"This is about “{head.armature.name}”, not about “{player.name}”", "OUTLINER_OB_ARMATURE")


def draw_head(layout: Any, context: Any) -> None:
    """Which head, whose, how near to FLAME."""
    row = layout.row(align=True)
    row.operator(head_ops.ARTALK_OT_add_head.bl_idname, text="Add Head", icon="USER")
    row.operator(head_ops.ARTALK_OT_import_head.bl_idname, text="Import", icon="IMPORT")
    head = find_head(context)
    row = layout.row(align=True)
    row.prop(context.scene.artalk, "head_object", text="")
    if head is None:
        wrapped(layout, "Add a head, or select one")
        return
    if context.scene.artalk.head_object is None:
        layout.label(text=head.armature.name, icon="OUTLINER_OB_ARMATURE", translate=False)
    shading = getattr(context.space_data, "shading", None)
    if shading is not None and shading.type == "SOLID" and shading.color_type != "TEXTURE" and head.mesh.data.uv_layers:
        layout.prop_enum(shading, "color_type", "TEXTURE", text="Show Painted Skin", icon="TEXTURE")


def draw_identity(layout: Any, context: Any) -> None:
    """Sliders, and what checking gave."""
    head = find_head(context)
    if head is None:
        wrapped(layout, "Add a head, or select one")
        return
    face = head.armature.artalk_face
    row = layout.row(align=True)
    row.operator(head_ops.ARTALK_OT_random_identity.bl_idname, text="Random", icon="FILE_REFRESH")
    row.operator(head_ops.ARTALK_OT_neutral_identity.bl_idname, text="Neutral", icon="LOOP_BACK")
    row.operator(head_ops.ARTALK_OT_apply_identity.bl_idname, text="", icon="FILE_FOLDER")
    reason = fixed_reason(head, context)
    column = layout.column()
    column.enabled = not reason
    column.prop(face, "first", slider=True)
    if reason or head_settings.problem:
        wrapped(layout, reason or head_settings.problem)
    if head_settings.problem:
        layout.operator(head_ops.ARTALK_OT_find_head_file.bl_idname, icon="FILEBROWSER")
    row = layout.row(align=True)
    row.operator(head_ops.ARTALK_OT_check_head.bl_idname, icon="CHECKMARK")
    if not are_live(head):
        row.operator(head_ops.ARTALK_OT_fix_joints.bl_idname, icon="BONE_DATA")
    layout.label(text=said(head_settings.accuracy(face)), translate=False)


def draw_speech(layout: Any, context: Any) -> None:
    """Which sound."""
    settings = context.scene.artalk
    layout.operator(ARTALK_OT_open_speech.bl_idname, icon="FILE_SOUND")
    scene = compat.sequencer_scene(context)
    if scene.sequence_editor is not None:
        column = layout.column()
        column.enabled = not settings.selected_strips
        column.prop_search(settings, "strip", scene.sequence_editor, "strips_all", text="", icon="SOUND")
        layout.prop(settings, "selected_strips")
    strips = speech_strips(context)
    if not strips:
        wrapped(layout, "No sound strip is chosen")
    rate = scene.render.fps / scene.render.fps_base
    for strip in strips:
        span = compat.strip_span(strip)
        row = layout.split(factor=0.75)  # so that a long name is cut, and not how long it takes
        row.label(text=strip.name, icon="MUTE_IPO_ON" if strip.mute else "SOUND", translate=False)
        row.label(text=f"{(span.end - span.start) / rate:.1f} s", translate=False)
        for text, icon in reports.lines_of(strip):
            wrapped(layout, text, icon)


def draw_style(layout: Any, context: Any) -> None:
    """In which manner."""
    settings = context.scene.artalk
    row = layout.row(align=True)
    row.prop(settings, "style", text="")
    row.operator(ARTALK_OT_capture_style.bl_idname, text="", icon="EYEDROPPER")
    if not settings.style:
        wrapped(layout, "The chosen style is not there any more", "ERROR")
    if settings.style == FILE:
        layout.prop(settings, "style_file", text="")
    if settings.style != DEFAULT:
        layout.prop(settings, "style_strength", slider=True)
    draw_whose(layout, context)


def draw_takes(layout: Any, context: Any) -> None:
    """All takes of the file; the one that plays is marked."""
    playing = playing_take(find_player(context))
    reason = take_ops.take_reason(context)
    if reason:
        wrapped(layout, reason)
        return
    column = layout.column(align=True)
    for action in takes():
        row = column.row(align=True)
        if UNFINISHED in action[TAKE_KEY]:
            row.label(text=f"{action.name} ({said('being made')})", icon="SORTTIME", translate=False)
            continue
        icon = "RADIOBUT_ON" if action == playing else "RADIOBUT_OFF"
        use = row.operator(take_ops.ARTALK_OT_use_take.bl_idname, text=action.name, icon=icon, translate=False)
        use.take = action.name
        for operator, icon in ((take_ops.ARTALK_OT_rename_take, "GREASEPENCIL"),
                               (take_ops.ARTALK_OT_duplicate_take, "DUPLICATE"),
                               (take_ops.ARTALK_OT_remove_take, "TRASH")):
            row.operator(operator.bl_idname, text="", icon=icon).take = action.name
    scene = compat.sequencer_scene(context)
    state, text = state_of(playing, scene) if playing is not None and UNFINISHED not in playing[TAKE_KEY] else ("", "")
    if text:
        box = layout.box()
        wrapped(box, text, "ERROR")
        if state in (MOVED, TRIMMED):
            box.operator(take_ops.ARTALK_OT_follow_strip.bl_idname, icon="LINKED")
        else:
            wrapped(box, "Generate the take again", "BLANK1")
    row = layout.row(align=True)
    row.operator(ARTALK_OT_simplify_take.bl_idname, text="Simplify", icon="MOD_DECIM")
    row.operator(take_ops.ARTALK_OT_push_take_to_nla.bl_idname, text="To NLA", icon="NLA_PUSHDOWN")


def draw_range(layout: Any, context: Any) -> None:
    """A part of the take once more."""
    settings = context.scene.artalk
    reason = regenerate_reason(context) or range_reason(context)
    column = layout.column(align=True)
    column.enabled = not reason
    button = column.operator(ARTALK_OT_regenerate_range.bl_idname, icon="FILE_REFRESH")
    button.variation, button.in_place = settings.range_variation, settings.range_in_place
    row = column.row(align=True)
    row.prop(settings, "range_variation")
    row.prop(settings, "range_in_place", toggle=True)
    if reason:
        wrapped(layout, reason)


def draw_tune(layout: Any, context: Any) -> None:
    """How takes are tuned and keyed: the next one, and the one that plays."""
    settings = context.scene.artalk
    take = playing_take(find_player(context))
    row = layout.row(align=True)
    row.prop(settings, "live", toggle=True, icon="RESTRICT_VIEW_OFF" if settings.live else "RESTRICT_VIEW_ON")
    row.operator(take_ops.ARTALK_OT_retune_take.bl_idname, text="Apply", icon="CHECKMARK")
    row.operator(take_ops.ARTALK_OT_reset_tuning.bl_idname, text="", icon="LOOP_BACK")
    if live_tuning.problem:
        wrapped(layout, live_tuning.problem)
    elif take is not None and SIMPLIFIED in take[TAKE_KEY]:
        layout.label(text="Has all keys; Simplify takes them out" if ALL_KEYS in take[TAKE_KEY]
                     else "Simplified; stays so when tuned", icon="INFO")
    column = layout.column()
    for names in _TUNING:
        part = column.column(align=True)
        for name in names:
            row = part.row(align=True)  # names within their fields: beside them there is no room in a sidebar
            row.prop(settings, name)
            if name in KEYABLE:
                row.prop_decorator(settings, name)  # the dot that keys a setting
            else:
                row.label(text="", icon="BLANK1")
    part = column.column(align=True)
    for name in ("mode", "head"):
        row = part.split(factor=0.4)
        row.label(text=settings.bl_rna.properties[name].name)
        row.prop(settings, name, text="")
    if settings.head == SHARED:
        part.prop(settings, "neck_share")


def draw_help(layout: Any, context: Any) -> None:
    """What a bug report needs."""
    layout.operator(ARTALK_OT_copy_report.bl_idname, icon="COPYDOWN")
