# SPDX-License-Identifier: GPL-3.0-or-later
"""Tune, switch, copy, rename and remove takes. None of it asks the model."""

from __future__ import annotations

from typing import Any

import bpy

from .. import compat
from ..animation.follow import follow_strip
from ..animation.nla import playing_take, push_take
from ..animation.takes import (
    duplicate_take,
    is_take,
    play_take,
    remove_take,
    rename_take,
    retune,
    settings_of,
)
from ..errors import ArtalkError, EngineError
from ..head.handle import Head, find_head
from ..language import said
from ..live_tuning import show_settings
from ..motion.process import ProcessSettings
from ..properties import keying, process_settings
from ..retarget.player import Retarget, find_player, retarget_of_take, retargets
from .reasoned import Reasoned


def take_reason(context: bpy.types.Context) -> str:
    """Why nothing can be done with takes now, in one sentence; empty when it can."""
    if not any(map(is_take, bpy.data.actions)):
        return "There is no take yet; Generate Motion makes one"
    return ""


class _TakeOperator(Reasoned):
    """What operators on takes share: the take that is meant, and one sentence where it does not work."""

    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(
        name="Take", options={"SKIP_SAVE"}, description="Name of the take's Action; empty: the one that the head plays",
    )

    reason = staticmethod(take_reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = find_player(context)
        try:
            action = bpy.data.actions.get(self.take) if self.take else playing_take(head)
            if action is None:
                raise ArtalkError(f"There is no take “{self.take}”." if self.take else "The head plays no take.",
                                  "Choose one of the list, or generate one.")
            self.run(context, action, head)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        raise NotImplementedError

    def say_where(self, action: Any, result: Any, done: str) -> None:
        """An edited take stays as it is: says that another one has come in its place."""
        kind, text = where(action.name, result.name, done)
        self.report({kind}, said(text))


def where(name: str, result: str, done: str) -> tuple[str, str]:
    """What is to be reported of a take that was changed, or a copy in its place."""
    if result == name:
        return "INFO", f"{done} “{result}”."
    return "WARNING", f"“{name}” was edited by hand and stays as it is. {done} a copy, “{result}”."


class ARTALK_OT_retune_take(_TakeOperator, bpy.types.Operator):
    """Make the take's keys again with these settings, without the model; edited keys stay, in the take as it was"""

    bl_idname = "artalk.retune_take"
    bl_label = "Apply to Take"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        settings, keys = process_settings(context.scene), keying(context.scene)
        self.say_where(action, retune(action, settings, keys, _owner(action, head)), "Tuned")


class ARTALK_OT_reset_tuning(_TakeOperator, bpy.types.Operator):
    """Set the tuning back to how the model made the motion, for the take and for the settings above"""

    bl_idname = "artalk.reset_tuning"
    bl_label = "Reset Tuning"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        result = retune(action, ProcessSettings(), None, _owner(action, head))
        show_settings(context.scene, ProcessSettings())
        self.say_where(action, result, "Reset")


class ARTALK_OT_use_take(_TakeOperator, bpy.types.Operator):
    """Let the head play this take, and show how it is tuned"""

    bl_idname = "artalk.use_take"
    bl_label = "Use Take"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        if not is_take(action):
            raise ArtalkError(f"“{action.name}” is no take of ARTalk.", "Choose one that Generate Motion made.")
        if retargets(action):
            head = retarget_of_take(action)
        elif isinstance(head, Retarget):
            head = find_head(context)
        if head is None:
            raise ArtalkError("There is no head to play the take.", "Select one.")
        settings = settings_of(action)
        play_take(action, head)
        show_settings(context.scene, *settings)


class ARTALK_OT_duplicate_take(_TakeOperator, bpy.types.Operator):
    """Copy the take, to tune or edit it in another way; the head goes on playing the first"""

    bl_idname = "artalk.duplicate_take"
    bl_label = "Duplicate Take"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        self.report({"INFO"}, said(f"Made “{duplicate_take(action).name}”."))


class ARTALK_OT_rename_take(_TakeOperator, bpy.types.Operator):
    """Give the take another name"""

    bl_idname = "artalk.rename_take"
    bl_label = "Rename Take"

    name: bpy.props.StringProperty(name="Name", description="The new name")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        action = bpy.data.actions.get(self.take) or playing_take(find_player(context))
        self.name = action.name if action is not None else ""
        return context.window_manager.invoke_props_dialog(self)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.activate_init = True  # so that one can type at once
        self.layout.prop(self, "name")

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        rename_take(action, self.name)


class ARTALK_OT_remove_take(_TakeOperator, bpy.types.Operator):
    """Delete the take with its NLA strips, and nothing else; what the head played before it plays again"""

    bl_idname = "artalk.remove_take"
    bl_label = "Remove Take"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        name = action.name
        remove_take(action)
        self.report({"INFO"}, said(f"Removed “{name}”."))


class ARTALK_OT_push_take_to_nla(_TakeOperator, bpy.types.Operator):
    """Move the take that the head plays into NLA tracks, for face and bones, on top of those that are there"""

    bl_idname = "artalk.push_take_to_nla"
    bl_label = "Push Take to NLA"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        if head is None:
            raise ArtalkError("There is no head that plays the take.", "Select one.")
        push_take(action, head)


class ARTALK_OT_follow_strip(_TakeOperator, bpy.types.Operator):
    """Bring the take to where its sound strip is now; what is no longer heard goes. The model is not asked"""

    bl_idname = "artalk.follow_strip"
    bl_label = "Follow Strip"

    def run(self, context: bpy.types.Context, action: Any, head: Head | Retarget | None) -> None:
        follow_strip(action, compat.sequencer_scene(context))


def _owner(action: Any, head: Head | Retarget | None) -> Head | Retarget | None:
    """The head to tune a take on: the selected one if it plays it; else the take finds its own."""
    return head if playing_take(head) == action else None


CLASSES = (
    ARTALK_OT_retune_take, ARTALK_OT_reset_tuning, ARTALK_OT_use_take,
    ARTALK_OT_duplicate_take, ARTALK_OT_rename_take, ARTALK_OT_remove_take, ARTALK_OT_push_take_to_nla,
    ARTALK_OT_follow_strip,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
