# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels, each in the sidebar of the 3D view and again in that of the Sequencer. What they show: sections.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from . import avatar_panel, avatar_show_panel, check_panel, retarget_panel, sections

Draw = Callable[[Any, Any], None]
_SPACES = (("", "VIEW_3D"), ("sequencer_", "SEQUENCE_EDITOR"))

# name, label, what it shows, whether it is closed at first
_PANELS: tuple[tuple[str, str, Draw, bool], ...] = (
    ("main", "ARTalk", sections.draw_running, False),
    ("head", "Head", sections.draw_head, False),
    ("identity", "Identity", sections.draw_identity, True),
    ("speech", "Speech", sections.draw_speech, False),
    ("speak", "Text to Speech", check_panel.draw_speak, True),
    ("style", "Style", sections.draw_style, True),
    ("generate", "Generate", sections.draw_generate, False),
    ("takes", "Takes", sections.draw_takes, False),
    ("range", "Regenerate Range", sections.draw_range, True),
    ("tune", "Tune", sections.draw_tune, True),
    ("retarget", "Retarget", retarget_panel.draw_retarget, True),
    ("retarget_table", "Mapping Table", retarget_panel.draw_table, True),
    ("avatar", "Avatar", avatar_panel.draw_avatar, True),
    ("avatar_show", "Show Avatar", avatar_show_panel.draw_avatar_show, True),
    ("check", "Lip-Sync Check", check_panel.draw_lip_check, True),
    ("help", "Help", sections.draw_help, True),
)
_PARENTS = {"identity": "head", "speak": "speech", "range": "takes", "retarget_table": "retarget",
            "avatar_show": "avatar"}


def _panel(prefix: str, space: str, name: str, label: str, show: Draw, closed: bool) -> type:
    def draw(self: bpy.types.Panel, context: bpy.types.Context) -> None:
        show(self.layout, context)

    members = {
        "__doc__": show.__doc__, "bl_label": label, "bl_category": "ARTalk", "bl_space_type": space,
        "bl_region_type": "UI", "bl_options": {"DEFAULT_CLOSED"} if closed else set(), "draw": draw,
    }
    if name != "main":
        members["bl_parent_id"] = f"ARTALK_PT_{prefix}{_PARENTS.get(name, 'main')}"
    return type(f"ARTALK_PT_{prefix}{name}", (bpy.types.Panel,), members)


CLASSES = tuple(_panel(prefix, space, *panel) for prefix, space in _SPACES for panel in _PANELS)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
