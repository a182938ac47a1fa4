# SPDX-License-Identifier: GPL-3.0-or-later
"""Retarget: a head's take on another character; its error, its landmarks, its table's presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy_extras.io_utils import ImportHelper

from ..animation.nla import playing_take
from ..animation.take_data import is_edited
from ..errors import ArtalkError, EngineError
from ..head.handle import find_head
from ..language import said
from ..retarget.faces import pair_of, preparing_transfer
from ..retarget.mapping import Table
from ..retarget.player import retarget_of_take, retarget_take_on, retargets
from ..retarget.rigs import Preset, file_name, fitted, read_preset, write_preset
from ..retarget.tables import control_rows
from ..retarget.targets import fingerprint, limits_of
from ..retarget.work import change_table, measure, retargeting
from ..runner import Work
from ..worker.job import ModalJob, is_busy
from .reasoned import BUSY, Reasoned


def preset_folder(create: bool = False) -> Path:
    """Where one's own presets lie; outside the extension's own files, so that they outlive it."""
    try:
        found = bpy.utils.extension_path_user(__package__.rpartition(".")[0], path="rigs", create=create)
    except ValueError:  # not installed as an extension: run from a checkout
        found = bpy.utils.user_resource("CONFIG", path="artalk/rigs", create=create)
    return Path(found)


def source_take(context: bpy.types.Context) -> Any:
    """The take to be retargeted: of the head, or what the active target plays."""
    return playing_take(find_head(context)) or retarget_take_on(context.view_layer.objects.active)


def disabled_reason(context: bpy.types.Context) -> str:
    """Why nothing can be retargeted now, in one sentence; empty when it can."""
    if is_busy():
        return BUSY
    if source_take(context) is None:
        return "No head plays a take: generate one first, or select the head that has it"
    if context.scene.artalk_retarget.target is None:
        return "Choose the target: a mesh with shape keys, or an armature"
    return ""


def take_reason(context: bpy.types.Context) -> str:
    """Why there is no retargeted take to work on."""
    return "" if shown_take(context) is not None else "Retarget first, or select a target that plays its take"


def shown_take(context: bpy.types.Context) -> Any:
    """The retargeted take that the panel shows: the active object's, else the chosen target's."""
    return retarget_take_on(context.view_layer.objects.active) or \
        retarget_take_on(context.scene.artalk_retarget.target)


class ARTALK_OT_retarget(Reasoned, ModalJob, bpy.types.Operator):
    """Put the take that the head plays on the target, as a take of its own; what played there before stays"""

    bl_idname = "artalk.retarget"
    bl_label = "Retarget"
    bl_options = {"REGISTER", "UNDO"}
    reason = staticmethod(disabled_reason)

    def work(self) -> Work[None]:
        context = bpy.context
        settings = context.scene.artalk_retarget
        target = settings.target.name
        selected = context.view_layer.objects.selected if settings.with_selected else ()
        head = find_head(context)
        own = {head.armature.name, head.mesh.name} if head is not None else set()
        others = tuple(one.name for one in selected if one.name != target and one.name not in own
                       and one.type in ("MESH", "ARMATURE"))
        arguments = (source_take(context).name, target, others, settings.method, settings.facing, (preset_folder(),))
        del context, settings, selected, head
        name = yield from retargeting(*arguments, tell=lambda share, what: self.show(what, share))
        for sentence in _sentences(bpy.data.actions.get(name)):
            self.report({"WARNING"}, said(sentence))
        self.report({"INFO"}, said(f"“{target}” plays “{name}”. {_measured(bpy.data.actions.get(name))}".strip()))


def _report(action: Any) -> dict[str, Any]:
    return retarget_of_take(action).report if retargets(action) else {}


def _sentences(action: Any) -> list[str]:
    found = _report(action)
    return [str(one) for one in (*found.get("notes", ()), *found.get("missing", ()))]


def _measured(action: Any) -> str:
    found = _report(action).get("lips_mm")
    return f"The lips are {found[0]:.1f} mm off in the middle, {found[2]:.1f} mm at most." if found else ""


class ARTALK_OT_retarget_measure(Reasoned, ModalJob, bpy.types.Operator):
    """Measure how far off the target's lips are, frame by frame, and what it cannot do"""

    bl_idname = "artalk.retarget_measure"
    bl_label = "Measure Error"
    bl_options = {"REGISTER", "UNDO"}
    reason = staticmethod(take_reason)

    def work(self) -> Work[None]:
        name = shown_take(bpy.context).name
        made = retarget_of_take(bpy.data.actions[name])
        pair = pair_of(made.target, made.table, made.source.found(), made.source.head)
        del made
        yield from preparing_transfer(pair, lambda share, what: self.show(what, share))
        action = bpy.data.actions.get(name)
        if action is None:
            raise ArtalkError("The take is gone.", "Retarget again.")
        if is_edited(action):
            raise ArtalkError(f"“{name}” was edited by hand.", "Measure the error of one that was not.")
        measure(action)
        self.report({"INFO"}, said(_measured(action)))


class _TableOperator(Reasoned):
    """Something that changes the shown take's table."""

    bl_options = {"REGISTER", "UNDO"}
    reason = staticmethod(take_reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.run(context, shown_take(context))
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class ARTALK_OT_retarget_save_preset(_TableOperator, bpy.types.Operator):
    """Keep this table for every character with the same rig: it is found again by the names of keys and bones"""

    bl_idname = "artalk.retarget_save_preset"
    bl_label = "Save Rig Preset"
    bl_options = {"REGISTER"}

    name: bpy.props.StringProperty(name="Name", description="What the rig is called")
    filepath: bpy.props.StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"},
                                       description="Where to write it; empty: among your own presets")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.name = retarget_of_take(shown_take(context)).name
        return context.window_manager.invoke_props_dialog(self)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "name")

    def run(self, context: bpy.types.Context, action: Any) -> None:
        made = retarget_of_take(action)
        name = self.name.strip() or made.name
        path = Path(bpy.path.abspath(self.filepath)) if self.filepath else preset_folder(True) / file_name(name)
        table = Table(made.table.rows, made.table.facing, {}, made.table.strengths)  # landmarks are of one mesh alone
        write_preset(path, Preset(name, table, fingerprint(made.target)))
        self.report({"INFO"}, said(f"Saved “{name}”; the next character with this rig is mapped by it."))


class ARTALK_OT_retarget_load_preset(_TableOperator, bpy.types.Operator, ImportHelper):
    """Map the target by a rig preset from a file"""

    bl_idname = "artalk.retarget_load_preset"
    bl_label = "Load Rig Preset"

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    def run(self, context: bpy.types.Context, action: Any) -> None:
        preset, made = read_preset(Path(bpy.path.abspath(self.filepath))), retarget_of_take(action)
        keys = {name: limits_of(blocks) for name, blocks in made.target.keys().items()}
        table, notes = fitted(preset, keys, made.target.bone_names())
        if not table.rows:
            raise ArtalkError(f"The preset “{preset.name}” knows nothing of “{made.name}”.", "Choose another one.")
        change_table(action, Table(table.rows, table.facing, made.table.landmarks, table.strengths))
        for note in notes:
            self.report({"WARNING"}, said(note))
        self.report({"INFO"}, said(f"Mapped by “{preset.name}”."))


class ARTALK_OT_retarget_add_controls(_TableOperator, bpy.types.Operator):
    """Let the geometry move the selected bones too, each along its three axes"""

    bl_idname = "artalk.retarget_add_controls"
    bl_label = "Add Selected Bones"

    def run(self, context: bpy.types.Context, action: Any) -> None:
        made = retarget_of_take(action)
        if made.target.armature is None or context.active_object != made.target.armature:
            raise ArtalkError("The target's armature is not active.",
                              "Select it, enter Pose Mode, select the controls.")
        names = [bone.name for bone in context.selected_pose_bones or ()]
        known = {(row.kind, row.label) for row in made.table.rows}
        rows = [row for row in control_rows(made.target, names) if (row.kind, row.label) not in known] if names else []
        if not rows:
            raise ArtalkError("No bone is selected that the table does not have already.", "Select the controls.")
        change_table(action, Table((*made.table.rows, *rows), made.table.facing, made.table.landmarks,
                                   made.table.strengths))
        self.report({"INFO"}, said(f"Added {len(rows)} channels."))


CLASSES = (ARTALK_OT_retarget, ARTALK_OT_retarget_measure, ARTALK_OT_retarget_save_preset,
           ARTALK_OT_retarget_load_preset, ARTALK_OT_retarget_add_controls)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
