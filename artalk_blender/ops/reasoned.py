# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators share that are greyed out for a reason, or choose a file before their long work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy_extras.io_utils import ExportHelper

from ..language import said
from ..worker.job import ModalJob

BUSY = "Another job is running; Esc stops it"
NO_HEAD = "Select a head, or add one with Add > ARTalk Head"


class Reasoned:
    """Poll with a sentence: `reason` of the context says why it can't be, and is empty where it can."""

    reason: Callable[[bpy.types.Context], str]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.reason(context)
        if reason:
            cls.poll_message_set(said(reason))  # type: ignore[attr-defined]
        return not reason


class BrowsedJob(ModalJob, ExportHelper):
    """Long work on a file that the file browser chooses first: modal after that, blocking where a script names it."""

    _browsed = False

    def invoke(self, context: Any, event: Any) -> set[str]:
        self._browsed = True
        return ExportHelper.invoke(self, context, event)  # type: ignore[no-any-return]

    def execute(self, context: Any) -> set[str]:
        modal, self._browsed = self._browsed and not bpy.app.background, False
        return self.run(context, modal)
