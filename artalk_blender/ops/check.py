# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the lips against the sound, with markers on the timeline; mend lips that are early or late."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import bpy

from ..animation.markers import clear_markers, our_markers, put_markers
from ..animation.nla import playing_take
from ..animation.shift import shift_take
from ..animation.take_data import is_edited, settings_of
from ..animation.takes import retune
from ..audio import reports
from ..audio.strip import sound_file, sound_strips, speech_strips
from ..errors import ArtalkError, EngineError
from ..head.handle import find_head
from ..language import said
from ..lip_check import LipCheck, forget, marker_of, remember, remembered, strips_of, summary_of
from ..live_tuning import show_settings
from ..motion.process import RANGES
from ..runner import AGAIN, Work
from ..worker.job import ModalJob, is_busy
from .reasoned import BUSY, NO_HEAD, Reasoned


def disabled_reason(context: bpy.types.Context) -> str:
    """Why lips can't be checked now, in one sentence; empty when they can."""
    if is_busy():
        return BUSY
    head = find_head(context)
    if head is None:
        return NO_HEAD
    if not strips_of(context, playing_take(head)):
        return "Add a sound strip in the Video Sequencer and make it active"
    return ""


def fix_reason(context: bpy.types.Context) -> str:
    """Why there is nothing to mend, in one sentence; empty when there is."""
    if is_busy():
        return BUSY
    take = playing_take(find_head(context))
    if take is None:
        return "The head plays no take; move its keys by hand"
    found = remembered(context.scene, take)
    if not found:
        return "Check the lips first: the take is new, or was changed since"
    return "" if found["fix_ms"] else "The lips are neither early nor late"


class ARTALK_OT_check_lip_sync(Reasoned, ModalJob, bpy.types.Operator):
    """Mark on the timeline where lips miss a closure, come early or late, or move in silence; Esc stops it"""

    bl_idname = "artalk.check_lip_sync"
    bl_label = "Check Lip Sync"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def work(self) -> Work[None]:
        scene_name = bpy.context.scene.name
        take = playing_take(find_head(bpy.context))
        take_name = take.name if take is not None else ""
        check = LipCheck(bpy.context, take)
        del take
        found = yield from check.work(self)
        scene = bpy.data.scenes.get(scene_name)
        if scene is None:
            raise ArtalkError("The scene is gone.", "Check again in another.")
        put_markers(scene, (marker_of(finding) for one in found for finding in one.report.findings))
        remember(scene, bpy.data.actions.get(take_name) if take_name else None, found)
        faults = any(one.report.findings for one in found)
        self.report({"WARNING" if faults else "INFO"}, said(summary_of(found)))


class ARTALK_OT_clear_lip_sync_markers(bpy.types.Operator):
    """Remove the markers of the lip-sync check, and no others"""

    bl_idname = "artalk.clear_lip_sync_markers"
    bl_label = "Clear Markers"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        there = bool(our_markers(context.scene))
        if not there:
            cls.poll_message_set(said("There are no markers of the lip-sync check"))
        return there

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            count = clear_markers(context.scene)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        forget(context.scene)
        self.report({"INFO"}, said(f"Removed {count} marker{'' if count == 1 else 's'}."))
        return {"FINISHED"}


class ARTALK_OT_fix_sync_offset(Reasoned, bpy.types.Operator):
    """Set the take's sync offset so that its lips are neither early nor late, as the last check found"""

    bl_idname = "artalk.fix_sync_offset"
    bl_label = "Fix Sync Offset"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(fix_reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, scene = find_head(context), context.scene
        take = playing_take(head)
        try:
            tuning, keys = settings_of(take)
            low, high = RANGES["offset_ms"]
            wanted = min(max(tuning.offset_ms + remembered(scene, take)["fix_ms"], low), high)
            if take.library is None and is_edited(take):
                shift_take(take, wanted - tuning.offset_ms, head)
            else:
                take = retune(take, replace(tuning, offset_ms=wanted), keys, head)
            clear_markers(scene)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        forget(scene)
        show_settings(scene, *settings_of(take))
        self.report({"INFO"}, said(f"“{take.name}” has a sync offset of {wanted:.0f} ms now."))
        return {"FINISHED"}


def sound_reason(context: bpy.types.Context) -> str:
    """Why no sound can be checked now, in one sentence; empty when one can."""
    if is_busy():
        return BUSY
    return "" if speech_strips(context) else "Add a sound strip in the Video Sequencer and make it active"


class ARTALK_OT_check_sound(Reasoned, ModalJob, bpy.types.Operator):
    """Say whether the chosen sound will do: clipped, quiet, noisy, dull, or with a voice in each channel"""

    bl_idname = "artalk.check_sound"
    bl_label = "Check Sound"
    bl_options = {"REGISTER"}

    reason = staticmethod(sound_reason)

    def work(self) -> Work[None]:
        strips = [strip for strip in speech_strips(bpy.context) if strip.sound is not None]
        files = [(strip.name, sound_file(strip.sound)) for strip in strips]
        del strips
        for name, file in files:
            steps, report = reports.examine(file), None
            with closing(steps):
                while report is None:
                    try:
                        self.show(f"Listening to “{name}”", next(steps))
                    except StopIteration as end:
                        report = end.value
                    else:
                        yield AGAIN
            strip = next((strip for strip in sound_strips(bpy.context) if strip.name == name), None)
            if strip is not None and strip.sound is not None:
                reports.remember(strip, report)
            for finding in report.findings:
                self.report({"WARNING"}, said(f"“{name}”: {finding}"))
            if not report.findings:
                self.report({"INFO"}, said(f"“{name}” is fine: {report.summary}."))


CLASSES = (ARTALK_OT_check_sound, ARTALK_OT_check_lip_sync, ARTALK_OT_clear_lip_sync_markers, ARTALK_OT_fix_sync_offset)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
