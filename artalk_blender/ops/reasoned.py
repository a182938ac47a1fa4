# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators share that are greyed out for a reason."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from ..language import said


class Reasoned:
    """Poll with a sentence: `reason` of the context says why it can't be, and is empty where it can."""

    reason: Callable[[bpy.types.Context], str]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.reason(context)
        if reason:
            cls.poll_message_set(said(reason))  # type: ignore[attr-defined]
        return not reason
