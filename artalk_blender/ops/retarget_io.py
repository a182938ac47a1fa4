# SPDX-License-Identifier: GPL-3.0-or-later
"""Live Link Face CSV in; what a take says in ARKit's shapes out, as CSV, Audio2Face JSON or VRM animation."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..animation.keyed_gains import keyed_gains
from ..animation.nla import playing_take
from ..animation.take_data import loudness_of, raw_motion, settings_of, times_of
from ..animation.takes import Provenance, new_take
from ..audio.strip import scene_rate
from ..errors import ArtalkError, EngineError
from ..head.handle import find_head
from ..language import said
from ..motion.layout import HEAD_ROTATION
from ..motion.process import ProcessSettings, process_motion
from ..retarget.faces import arkit_values
from ..retarget.interchange import FaceValues, read_live_link, write_audio2face, write_live_link, write_vrma
from ..retarget.player import Retarget, Source, find_player
from ..retarget.signals import arkit_table, is_arkit, named_signals
from .reasoned import Reasoned

_WRITERS = {"LIVE_LINK": (write_live_link, ".csv"), "AUDIO2FACE": (write_audio2face, ".json"),
            "VRMA": (write_vrma, ".vrma")}


def import_reason(context: bpy.types.Context) -> str:
    return "" if find_head(context) is not None else "Add a head first: Add > Mesh > ARTalk Head"


def export_reason(context: bpy.types.Context) -> str:
    return "" if playing_take(find_player(context)) is not None else "Select a head or a target that plays a take"


class ARTALK_OT_import_live_link(Reasoned, bpy.types.Operator, ImportHelper):
    """Key the default head with a recording of Live Link Face, as a take"""

    bl_idname = "artalk.import_live_link"
    bl_label = "Import Live Link Face"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".csv"
    filter_glob: bpy.props.StringProperty(default="*.csv", options={"HIDDEN"})
    start_frame: bpy.props.IntProperty(name="Start Frame", default=1, description="Scene frame of its first frame")

    reason = staticmethod(import_reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            found, head = read_live_link(path), find_head(context)
            if head is None:
                raise ArtalkError("There is no head.", "Add one.")
            take = new_take(head, found.motion(head.expression_keys), self.start_frame, scene_rate(context.scene),
                            Provenance(path.stem, model_name="Live Link Face"),
                            ProcessSettings(smooth=False, clamp=False))
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        for note in found.notes:
            self.report({"WARNING"}, said(note))
        self.report({"INFO"}, said(f"Keyed {len(found.arkit)} frames as “{take.name}”."))
        return {"FINISHED"}


class ARTALK_OT_export_face(Reasoned, bpy.types.Operator, ExportHelper):
    """Write the take that plays in ARKit's 52 shapes, as it is tuned now, for other programs"""

    bl_idname = "artalk.export_face"
    bl_label = "Export Face Animation"
    bl_options = {"REGISTER"}

    filename_ext = ".csv"
    filter_glob: bpy.props.StringProperty(default="*.csv;*.json;*.vrma", options={"HIDDEN"})
    form: bpy.props.EnumProperty(
        name="Format", default="LIVE_LINK",
        items=(("LIVE_LINK", "Live Link Face (.csv)", "52 shapes and the head's turn, 60 frames a second"),
               ("AUDIO2FACE", "Audio2Face (.json)", "52 shapes, 25 frames a second"),
               ("VRMA", "VRM Animation (.vrma)", "VRM's mouths, blinks and gaze, and the 52 shapes as expressions")),
        description="Which program is to read it",
    )

    reason = staticmethod(export_reason)

    def check(self, context: bpy.types.Context) -> bool:
        wanted = str(Path(self.filepath).with_suffix(_WRITERS[self.form][1]))
        changed, self.filepath = wanted != self.filepath, wanted
        return changed

    def execute(self, context: bpy.types.Context) -> set[str]:
        write, suffix = _WRITERS[self.form]
        path = Path(bpy.path.abspath(self.filepath)).with_suffix(suffix)
        try:
            values = values_of_take(context)
            write(path, values)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        self.report({"INFO"}, said(f"Wrote {len(values.arkit)} frames to “{path.name}”."))
        return {"FINISHED"}


def values_of_take(context: bpy.types.Context) -> FaceValues:
    """What the playing take says in ARKit's shapes, as it is tuned; of heads with other expressions by geometry."""
    player = find_player(context)
    take = playing_take(player)
    if player is None or take is None:
        raise ArtalkError("Nothing plays a take.", "Select a head or a target that does.")
    source = player.source if isinstance(player, Retarget) else Source.of(player)
    raw = raw_motion(take)
    motion = process_motion(raw, settings_of(take)[0], source.face, loudness_of(take),
                            keyed_gains(context.scene, times_of(take), len(raw)))
    signals = named_signals(source.face.names, motion)
    if not is_arkit(source.face.names):
        signals.update(arkit_values(source.found(), source.head, motion))
    return FaceValues(arkit_table(signals), np.asarray(motion[:, HEAD_ROTATION], np.float64))


def _draw_import(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(ARTALK_OT_import_live_link.bl_idname, text="Live Link Face (.csv)")


def _draw_export(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(ARTALK_OT_export_face.bl_idname, text="ARTalk Face Animation (.csv, .json, .vrma)")


CLASSES = (ARTALK_OT_import_live_link, ARTALK_OT_export_face)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(_draw_import)
    bpy.types.TOPBAR_MT_file_export.append(_draw_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_export.remove(_draw_export)
    bpy.types.TOPBAR_MT_file_import.remove(_draw_import)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
