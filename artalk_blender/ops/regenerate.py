# SPDX-License-Identifier: GPL-3.0-or-later
"""Regenerate Range: a part of the playing take once more, joined without a seam."""

from __future__ import annotations

import bpy

from ..animation.nla import playing_take
from ..errors import ArtalkError
from ..head.handle import find_head
from ..regeneration import Regeneration, Wish, lines_of, scene_range, strip_of
from ..runner import Work
from ..worker.job import ModalJob, is_busy
from .reasoned import BUSY, NO_HEAD, Reasoned


def disabled_reason(context: bpy.types.Context) -> str:
    """Why no range can be made again now, in one sentence; empty when one can."""
    if is_busy():
        return BUSY
    head = find_head(context)
    if head is None:
        return NO_HEAD
    take = playing_take(head)
    if take is None:
        return "The head plays no take; Generate Motion makes one"
    lines = lines_of(take)
    if not lines:
        return "The take was not made from a sound strip"
    if any(strip_of(context, line, len(lines) == 1) is None for line in lines):
        return "The sound strip that the take was made from is not in the Video Sequencer"
    return ""


def range_reason(context: bpy.types.Context) -> str:
    """Why the button cannot know which range is meant, in one sentence; empty when it can."""
    if scene_range(context.scene) is None:
        return "Set a preview range over the timeline, or select two markers"
    return ""


class ARTALK_OT_regenerate_range(Reasoned, ModalJob, bpy.types.Operator):
    """Make the preview range, or what lies between the selected markers, of the take again; Esc stops it"""

    bl_idname = "artalk.regenerate_range"
    bl_label = "Regenerate Range"
    bl_options = {"REGISTER", "UNDO"}

    start: bpy.props.FloatProperty(
        name="Start", options={"SKIP_SAVE"},
        description="First scene frame of the range; unless set, that of the preview range or of the selected markers",
    )
    end: bpy.props.FloatProperty(
        name="End", options={"SKIP_SAVE"},
        description="Last scene frame of the range; unless set, that of the preview range or of the selected markers",
    )
    variation: bpy.props.IntProperty(
        name="Variation", default=1, min=0,
        description="Another number, another motion for the same words; 0 is what the model finds likeliest",
    )
    in_place: bpy.props.BoolProperty(
        name="Into the Same Take", default=False,
        description="Change the take itself, unless it was edited by hand; otherwise a new one is made beside it",
    )
    changed_sound: bpy.props.BoolProperty(
        name="Changed Sound", default=False,
        description="Go by the sound as it is now, though its file was edited since the take was made",
    )
    stopped = "Stopped; the take is as it was."
    _regeneration: Regeneration | None = None

    reason = staticmethod(disabled_reason)

    def work(self) -> Work[None]:
        context = bpy.context
        head = find_head(context)
        wish = Wish(*self._range(context.scene), self.variation, self.in_place, self.changed_sound)
        self._regeneration = Regeneration(context, playing_take(head), head, wish)
        del context, head
        yield from self._regeneration.work(self)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        outcome = super().modal(context, event)
        passed = outcome == {"PASS_THROUGH"} and self._regeneration is not None and self._regeneration.writing
        return {"RUNNING_MODAL"} if passed else outcome

    def _range(self, scene: bpy.types.Scene) -> tuple[float, float]:
        """Explicit ends first. Raises ArtalkError where one is missing."""
        given = scene_range(scene) or (None, None)
        start = self.start if self.properties.is_property_set("start") else given[0]
        end = self.end if self.properties.is_property_set("end") else given[1]
        if start is None or end is None:
            raise ArtalkError("No range is chosen.", "Set a preview range over the timeline, or select two markers.")
        self.start, self.end = min(start, end), max(start, end)  # so that redoing it does the same
        return self.start, self.end


CLASSES = (ARTALK_OT_regenerate_range,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
