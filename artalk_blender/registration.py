# SPDX-License-Identifier: GPL-3.0-or-later
"""What is registered, in this order, and taken back in the reverse one."""

from __future__ import annotations

from . import cli, language, live_tuning, preferences, properties
from .animation import growing
from .audio import reports
from .gaussian import memory, preview
from .gaussian import properties as avatar_properties
from .ops import (
    avatar,
    avatar_show,
    check,
    generate,
    head,
    motion_io,
    regenerate,
    retarget,
    retarget_io,
    retarget_landmarks,
    simplify,
    speak,
    speech,
    style,
    takes,
)
from .retarget import properties as retarget_properties
from .ui import menus, panels, retarget_panel
from .worker import job

MODULES = (
    language, properties, retarget_properties, avatar_properties, live_tuning, preferences, growing, reports, job, head,
    speech, speak, style, generate, regenerate, takes, simplify, retarget, retarget_landmarks, check, motion_io,
    retarget_io, avatar, avatar_show, memory, preview, menus, retarget_panel, panels, cli,
)


def register() -> None:
    """Registers all, or nothing: an error takes back what was done and is raised."""
    done = []
    try:
        for module in MODULES:
            module.register()
            done.append(module)
    except Exception:
        for module in reversed(done):
            module.unregister()
        raise


def unregister() -> None:
    job.give_up_all()
    for module in reversed(MODULES):
        module.unregister()
