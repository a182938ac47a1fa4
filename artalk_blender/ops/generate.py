# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate Motion: the active sound strip's speech as a new take on a head."""

from __future__ import annotations

import bpy

from ..audio.strip import speech_strips
from ..generation import Generation
from ..head.handle import find_head
from ..runner import Work
from ..worker.job import ModalJob, is_busy
from .reasoned import BUSY, NO_HEAD, Reasoned


def disabled_reason(context: bpy.types.Context) -> str:
    """Why motion can't be generated now, in one sentence; empty when it can."""
    if is_busy():
        return BUSY
    if find_head(context) is None:
        return NO_HEAD
    strips = speech_strips(context)
    if not strips:
        return "Open a sound under Speech, or choose a sound strip"
    if all(strip.mute for strip in strips):
        return f"The strip “{strips[0].name}” is muted"
    return ""


class ARTALK_OT_generate_motion(Reasoned, ModalJob, bpy.types.Operator):
    """Key the head to speak the active sound strip, as a new Action; Esc stops it"""

    bl_idname = "artalk.generate_motion"
    bl_label = "Generate Motion"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def work(self) -> Work[None]:
        yield from Generation(bpy.context).work(self)


def register() -> None:
    bpy.utils.register_class(ARTALK_OT_generate_motion)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_OT_generate_motion)
