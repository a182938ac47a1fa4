# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's memory goes back to the system before Blender renders, where a scene asks for that."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..worker.job import give_memory_back


@persistent
def before_render(scene: Any, *_: Any) -> None:
    """Blender begins a render, of a frame or of an animation."""
    if scene is not None and scene.artalk_avatar.give_back:
        give_memory_back()


def register() -> None:
    bpy.app.handlers.render_init.append(before_render)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(before_render)
