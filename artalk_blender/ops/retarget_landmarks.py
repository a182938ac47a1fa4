# SPDX-License-Identifier: GPL-3.0-or-later
"""A handful of guided clicks on the target's face, for rigs whose keys do not tell where its mouth is."""

from __future__ import annotations

from typing import Any

import bpy
from bpy_extras import view3d_utils

from ..errors import ArtalkError, EngineError
from ..language import said
from ..retarget.face import LANDMARKS
from ..retarget.places import Point, Spot, hit
from ..retarget.targets import skin_of, target_of
from ..retarget.work import set_landmarks
from ..ui.landmark_marks import Marks
from .reasoned import Reasoned

_KEYS = "Left and right are the character's. Space: leave out. Backspace: back. Enter: enough. Esc: stop."

_OVER = {"UI", "TOOLS", "HEADER", "TOOL_HEADER"}  # regions that lie over the view

_running: list[ARTALK_OT_retarget_landmarks] = []


def target_mesh(context: bpy.types.Context) -> Any:
    """The mesh that landmarks are clicked on: the target, or the mesh of the target's armature, or None."""
    thing = context.scene.artalk_retarget.target
    if thing is None or thing.type == "MESH":
        return thing
    try:
        return skin_of(target_of(thing))
    except EngineError:
        return None


def disabled_reason(context: bpy.types.Context) -> str:
    return "" if target_mesh(context) is not None else "Choose a target with a mesh"


class ARTALK_OT_retarget_landmarks(Reasoned, bpy.types.Operator):
    """Click nose, chin, corners of mouth and eyes on the target, one after the other as the view asks for them"""

    bl_idname = "artalk.retarget_landmarks"
    bl_label = "Click Landmarks"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if context.area is None or context.area.type != "VIEW_3D":
            self.report({"ERROR"}, said("Landmarks are clicked in a 3D view. Start this from its sidebar."))
            return {"CANCELLED"}
        self._mesh, self._found, self._at = target_mesh(context).name, {}, 0
        self._window = context.window.as_pointer()
        self._marks = Marks(self._mesh)
        context.window_manager.modal_handler_add(self)
        _running.append(self)
        self._marks.stay_in(context.area)
        self._marks.open()
        context.window.cursor_modal_set("CROSSHAIR")
        self._ask(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._marks.stay_in(context.area)
        if event.type == "ESC":
            return self._end(context, {"CANCELLED"})
        if bpy.data.objects.get(self._mesh) is None:  # deleted, or undone
            return self._finish(context)
        if event.ctrl or event.alt or event.shift or event.oskey:  # Blender's: undo, maximise, go round the face
            return {"PASS_THROUGH"}
        if event.type in ("RET", "NUMPAD_ENTER") and event.value == "PRESS":
            return self._finish(context)
        if event.type == "BACK_SPACE" and event.value == "PRESS" and self._at:
            self._at -= 1
            self._found.pop(list(LANDMARKS)[self._at], None)
        elif event.type == "SPACE" and event.value == "PRESS":
            self._at += 1
        elif event.type == "LEFTMOUSE" and event.value == "PRESS" and self._inside(context, event):
            spot = self._hit(context, event)
            if spot is None:
                self.report({"WARNING"}, said(f"That is not on “{self._mesh}”: click on its face."))
                return {"RUNNING_MODAL"}
            self._found[list(LANDMARKS)[self._at]] = spot
            self._at += 1
        else:
            return {"PASS_THROUGH"}
        if self._at >= len(LANDMARKS):
            return self._finish(context)
        self._ask(context)
        return {"RUNNING_MODAL"}

    def _ask(self, context: bpy.types.Context) -> None:
        names = list(LANDMARKS)
        asked = said(f"{self._at + 1} of {len(names)}: click {said(LANDMARKS[names[self._at]])}.")
        self._marks.show(self._found, asked, said(_KEYS))
        context.workspace.status_text_set(f"{asked} {said(_KEYS)}")

    def _inside(self, context: bpy.types.Context, event: bpy.types.Event) -> bool:
        region = context.region
        if region is None or region.type != "WINDOW" or context.area is None:
            return False
        x, y = event.mouse_x, event.mouse_y
        return 0 <= x - region.x < region.width and 0 <= y - region.y < region.height and not any(
            one.type in _OVER and one.x <= x < one.x + one.width and one.y <= y < one.y + one.height
            for one in context.area.regions)

    def _hit(self, context: bpy.types.Context, event: bpy.types.Event) -> Spot | None:
        """Where the ray through the pointer meets the target."""
        mesh = bpy.data.objects.get(self._mesh)
        if mesh is None:
            return None
        place = (event.mouse_region_x, event.mouse_region_y)
        start = view3d_utils.region_2d_to_origin_3d(context.region, context.region_data, place)
        way = view3d_utils.region_2d_to_vector_3d(context.region, context.region_data, place)
        return hit(context, mesh, start, way)

    def _finish(self, context: bpy.types.Context) -> set[str]:
        mesh = bpy.data.objects.get(self._mesh)
        try:
            if mesh is None:
                raise ArtalkError("The target is gone.", "Choose another one.")
            keep_landmarks(mesh, {name: spot.rest for name, spot in self._found.items()})
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return self._end(context, {"CANCELLED"})
        self.report({"INFO"}, said(f"Kept {len(self._found)} landmarks on “{mesh.name}”."))
        return self._end(context, {"FINISHED"})

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender opens a file or closes the window."""
        self._end(context, {"CANCELLED"})

    def _end(self, context: bpy.types.Context, outcome: set[str]) -> set[str]:
        _running.remove(self)
        self._marks.close()
        for window in context.window_manager.windows:
            if window.as_pointer() == self._window:
                window.cursor_modal_restore()
                window.workspace.status_text_set(None)
        return outcome


def keep_landmarks(mesh: Any, found: dict[str, Point]) -> None:
    """Notes clicked landmarks on the mesh. Raises ArtalkError where there are too few."""
    if len(found) < 4:
        raise ArtalkError(f"{len(found)} landmarks are not enough.",
                          "Click at least the nose's tip, the chin and both corners of the mouth.")
    set_landmarks(mesh, found)


class ARTALK_OT_retarget_clear_landmarks(Reasoned, bpy.types.Operator):
    """Forget the landmarks that were clicked on the target"""

    bl_idname = "artalk.retarget_clear_landmarks"
    bl_label = "Clear Landmarks"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        set_landmarks(target_mesh(context), {})
        return {"FINISHED"}


CLASSES = (ARTALK_OT_retarget_landmarks, ARTALK_OT_retarget_clear_landmarks)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for one in list(_running):  # Blender forgets them without a word
        one.cancel(bpy.context)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
