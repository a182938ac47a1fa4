# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel shows of the retargeting: target, button, error, table. It only draws."""

from __future__ import annotations

from typing import Any

import bpy

from ..animation.take_data import noted
from ..language import said
from ..ops import retarget as ops
from ..ops import retarget_landmarks as landmarks
from ..retarget import properties
from ..retarget.mapping import AXIS, TURN
from ..retarget.player import RETARGET
from .sections import wrapped

_MOST = 4  # sentences that are shown
_CHANNELS = 5


class ARTALK_UL_retarget_rows(bpy.types.UIList):
    """The table: mute, target, source, gain."""

    bl_idname = "ARTALK_UL_retarget_rows"

    def draw_item(self, context: bpy.types.Context, layout: Any, data: Any, item: Any, icon: int, active: Any,
                  property_name: str) -> None:
        row = layout.row(align=True)
        row.prop(item, "mute", text="", icon="HIDE_ON" if item.mute else "HIDE_OFF", emboss=False)
        row.label(text=item.target + (f" {item.path} {'XYZ'[item.index]}" if item.kind == AXIS else ""),
                  icon="BONE_DATA" if item.kind in (TURN, AXIS) else "SHAPEKEY_DATA")
        row.prop(item, "source", text="", emboss=False)
        row.prop(item, "gain", text="", emboss=False)

    def filter_items(self, context: bpy.types.Context, data: Any, name: str) -> tuple[list[int], list[int]]:
        rows, wanted = getattr(data, name), self.filter_name.casefold()
        shown = [self.bitflag_filter_item if wanted in f"{row.target} {row.source}".casefold() else 0 for row in rows]
        return shown, []


def draw_retarget(layout: Any, context: Any) -> None:
    """Target, how it is mapped, the button; then what came out."""
    settings = context.scene.artalk_retarget
    column = layout.column(align=True)
    column.prop(settings, "target", text="", icon="OBJECT_DATA")
    row = column.row(align=True)
    row.prop(settings, "method", text="")
    row.prop(settings, "with_selected", toggle=True)
    row = layout.row(align=True)
    row.operator(landmarks.ARTALK_OT_retarget_landmarks.bl_idname, icon="CURSOR")
    row.operator(landmarks.ARTALK_OT_retarget_clear_landmarks.bl_idname, text="", icon="X")
    button = layout.column()
    button.scale_y = 1.3
    button.operator(ops.ARTALK_OT_retarget.bl_idname, icon="MOD_DATA_TRANSFER")
    reason = ops.disabled_reason(context)
    if reason:
        wrapped(layout, reason)
    take = ops.shown_take(context)
    if take is not None:
        _draw_error(layout, take)


def _draw_error(layout: Any, take: Any) -> None:
    """How far off the lips are, by how much each channel falls short, what the target cannot do."""
    report = noted(take, RETARGET, {}).get("report", {})
    box = layout.box()
    box.label(text=take.name, icon="ACTION")
    found = report.get("lips_mm")
    row = box.row(align=True)
    if found:
        row.label(text=said(f"Lips {found[0]:.1f} mm off, {found[2]:.1f} mm at most"), icon="DRIVER_DISTANCE")
    row.operator(ops.ARTALK_OT_retarget_measure.bl_idname, text="" if found else "Measure Error",
                 icon="FILE_REFRESH" if found else "DRIVER_DISTANCE")
    for name, value in report.get("by_channel", [])[:_CHANNELS]:
        line = box.row()
        line.label(text=str(name), icon="BLANK1")
        line.label(text=f"{value:.1f} mm")
    sentences = [*report.get("missing", []), *report.get("notes", [])]
    for sentence in sentences[:_MOST]:
        wrapped(box, str(sentence), "ERROR")
    if len(sentences) > _MOST:
        box.label(text=said(f"and {len(sentences) - _MOST} more"), icon="BLANK1")


def draw_table(layout: Any, context: Any) -> None:
    """The mapping table of the take that is shown, and presets."""
    take = ops.shown_take(context)
    if take is None:
        wrapped(layout, ops.take_reason(context))
        return
    settings = context.scene.artalk_retarget
    rows = take.artalk_rows
    layout.template_list("ARTALK_UL_retarget_rows", "", take, "artalk_rows", settings, "row", rows=6)
    if properties.problem:
        wrapped(layout, properties.problem, "ERROR")
    if 0 <= settings.row < len(rows):
        one = rows[settings.row]
        column = layout.column(align=True)
        column.use_property_split = True
        column.use_property_decorate = False
        for name in ("source", "gain") if one.kind == TURN else ("source", "gain", "offset", "low", "high"):
            column.prop(one, name)
    row = layout.row(align=True)
    row.operator(ops.ARTALK_OT_retarget_save_preset.bl_idname, text="Save Preset", icon="FILE_TICK")
    row.operator(ops.ARTALK_OT_retarget_load_preset.bl_idname, text="Load", icon="FILE_FOLDER")
    layout.operator(ops.ARTALK_OT_retarget_add_controls.bl_idname, icon="ADD")
    layout.prop(settings, "facing")


def register() -> None:
    bpy.utils.register_class(ARTALK_UL_retarget_rows)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_UL_retarget_rows)
