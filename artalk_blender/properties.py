# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that belong to a scene. No logic."""

from __future__ import annotations

import bpy

from .motion.process import ProcessSettings


class ArtalkSceneSettings(bpy.types.PropertyGroup):
    """How a new take is keyed."""

    head_gain: bpy.props.FloatProperty(
        name="Head Motion", default=1.0, min=0.0, soft_max=2.0, max=5.0,
        description="How much the head moves: 1 as generated, 0 holds it still",
    )
    smooth: bpy.props.BoolProperty(
        name="Smooth", default=True, description="Take the jitter out of the motion, as the published model does",
    )


def process_settings(scene: bpy.types.Scene) -> ProcessSettings:
    """The scene's settings as plain data."""
    return ProcessSettings(smooth=scene.artalk.smooth, head_gain=scene.artalk.head_gain)


def register() -> None:
    bpy.utils.register_class(ArtalkSceneSettings)
    bpy.types.Scene.artalk = bpy.props.PointerProperty(type=ArtalkSceneSettings)


def unregister() -> None:
    del bpy.types.Scene.artalk
    bpy.utils.unregister_class(ArtalkSceneSettings)
