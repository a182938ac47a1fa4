# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the full model and its Python lie, for those who have them; everything empty works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy


class ArtalkPreferences(bpy.types.AddonPreferences):
    """Shown under the extension in Blender's preferences."""

    bl_idname = __package__

    engine_python: bpy.props.StringProperty(
        name="Engine Python", subtype="FILE_PATH",
        description="Python that has PyTorch, for the published model; empty: Blender's own, for the default model",
    )
    model: bpy.props.StringProperty(
        name="Model", subtype="FILE_PATH",
        description="Folder or file of a published ARTalk model; empty: the default model",
    )
    head: bpy.props.StringProperty(
        name="Head", subtype="FILE_PATH",
        description="FLAME head (.npz or FLAME_with_eye.pt) for Add Head; empty: the default head",
    )

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.use_property_split = True
        for name in ("head", "model", "engine_python"):
            column.prop(self, name)


@dataclass(frozen=True)
class Preferences:
    """The preferences as plain data; empty strings are the defaults."""

    engine_python: str = ""
    model: str = ""
    head: str = ""


def read_preferences(context: Any) -> Preferences:
    """What is set, or the defaults where the package runs without being an installed extension."""
    entry = context.preferences.addons.get(__package__)
    if entry is None or entry.preferences is None:
        return Preferences()
    stored = entry.preferences
    return Preferences(*(bpy.path.abspath(getattr(stored, name)) for name in ("engine_python", "model", "head")))


def register() -> None:
    bpy.utils.register_class(ArtalkPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(ArtalkPreferences)
