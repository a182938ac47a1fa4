# SPDX-License-Identifier: GPL-3.0-or-later
"""Take out the keys of a take that nobody would miss. Ten minutes of speech take some seconds."""

from __future__ import annotations

from typing import Any

import bpy

from ..animation.nla import playing_take
from ..animation.take_data import check_take
from ..animation.takes import Bound, head_of_take, simplifying
from ..errors import ArtalkError
from ..head.handle import Head, head_of
from ..language import said
from ..retarget.player import Retarget, find_player, retarget_of_take
from ..runner import Work
from ..worker.job import ModalJob, is_busy
from .reasoned import BUSY, Reasoned
from .takes import take_reason, where


def disabled_reason(context: bpy.types.Context) -> str:
    """Why no take can be simplified now, in one sentence; empty when it can."""
    return BUSY if is_busy() else take_reason(context)


class ARTALK_OT_simplify_take(Reasoned, ModalJob, bpy.types.Operator):
    """Take out keys as far as nobody sees it, so that the rest can be edited; closed lips stay closed"""

    bl_idname = "artalk.simplify_take"
    bl_label = "Simplify Take"
    bl_options = {"REGISTER", "UNDO"}
    alone = True

    take: bpy.props.StringProperty(
        name="Take", options={"SKIP_SAVE"}, description="Name of the take's Action; empty: the one that the head plays",
    )
    millimetres: bpy.props.FloatProperty(
        name="Millimetres", default=0.1, min=0.001, max=10.0, precision=3,
        description="How far the lips may be off; twice that for the rest of the face",
    )
    degrees: bpy.props.FloatProperty(
        name="Degrees", default=0.1, min=0.001, max=10.0, precision=3, description="How far head and jaw may be off",
    )

    reason = staticmethod(disabled_reason)

    def work(self) -> Work[None]:
        self.show("Simplifying")
        player = find_player(bpy.context)
        action = bpy.data.actions.get(self.take) if self.take else playing_take(player)
        if action is None:
            raise ArtalkError(f"There is no take “{self.take}”." if self.take else "The head plays no take.",
                              "Choose one of the list, or generate one.")
        check_take(action)
        find = _Found(action, player if playing_take(player) == action else head_of_take(action))
        name = action.name
        del action, player
        yield
        result, found = yield from simplifying(find, Bound(self.millimetres, self.degrees))
        kind, text = where(name, result, f"{found.keys_after} of {found.keys_before} keys are left, at most "
                                         f"{found.millimetres:.3f} mm and {found.degrees:.3f}° off, in")
        self.report({kind}, said(text))


class _Found:
    """A take with its head or target, found again by name."""

    def __init__(self, action: Any, head: Head | Retarget) -> None:
        self._take = action.name
        self._armature = head.armature.name if isinstance(head, Head) else ""

    def __call__(self) -> tuple[Any, Head | Retarget]:
        action = bpy.data.actions.get(self._take)
        if action is None:
            raise ArtalkError(f"The take “{self._take}” is gone.", "Choose another one.")
        if not self._armature:
            return action, retarget_of_take(action)
        head = head_of(bpy.data.objects.get(self._armature))
        if head is None:
            raise ArtalkError(f"The head “{self._armature}” is gone.", "Add it again and simplify once more.")
        return action, head


CLASSES = (ARTALK_OT_simplify_take,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
