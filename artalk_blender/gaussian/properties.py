# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a scene: which avatar, and how it is rendered. No logic."""

from __future__ import annotations

import bpy

from ..engine.gaussian.shot import LARGEST, SMALLEST

DEFAULT, FILE, PUBLISHED = "DEFAULT", "FILE", "PUBLISHED"
OWN_CAMERA, SCENE_CAMERA = "AVATAR", "SCENE"
SCENE_RANGE, TAKE_RANGE = "SCENE", "TAKE"
EXR, PNG = "OPEN_EXR", "PNG"

_AVATARS = (
    (DEFAULT, "Default", "Splats that are grown on the head as it is in the scene; nothing to download"),
    (FILE, "Splat File", "A .ply of splats that ride on a head's triangles, in the manner of GaussianAvatars"),
    (PUBLISHED, "GAGAvatar", "The published network's folder, with GAGAvatar.pt and tracked.pt; needs PyTorch"),
)
_CAMERAS = (
    (OWN_CAMERA, "Avatar", "From the avatar's front, as it was made to be seen; square pictures"),
    (SCENE_CAMERA, "Scene", "The scene's camera, its movements and the scene's resolution"),
)
_RANGES = (
    (SCENE_RANGE, "Scene", "From the scene's first frame to its last; its preview range where that is on"),
    (TAKE_RANGE, "Take", "All that is animated on the head"),
)
_FORMATS = (
    (EXR, "OpenEXR", "Scene-linear half floats with alpha: right under every view transform"),
    (PNG, "PNG", "Bytes for the screen (sRGB) with alpha: small, for editors and the web"),
)


class ArtalkAvatarSettings(bpy.types.PropertyGroup):
    """Which avatar a scene's head drives, and what its frames are like."""

    avatar: bpy.props.EnumProperty(name="Avatar", items=_AVATARS, default=DEFAULT, description="Who is rendered")
    file: bpy.props.StringProperty(
        name="Splats", subtype="FILE_PATH", description="A .ply of splats that ride on the head's triangles",
    )
    folder: bpy.props.StringProperty(
        name="Folder", subtype="DIR_PATH", description="Where GAGAvatar.pt and tracked.pt lie",
    )
    photo: bpy.props.StringProperty(
        name="Photo", description="The name of a photo in tracked.pt; empty: the first one",
    )
    camera: bpy.props.EnumProperty(name="Camera", items=_CAMERAS, default=OWN_CAMERA,
                                   description="From where the avatar is seen")
    size: bpy.props.IntProperty(
        name="Size", default=512, min=SMALLEST, max=LARGEST, subtype="PIXEL",
        description="Pixels along a side of a frame, from the avatar's own camera; GAGAvatar is made for 512",
    )
    range: bpy.props.EnumProperty(name="Range", items=_RANGES, default=SCENE_RANGE,
                                  description="Which frames are rendered")
    format: bpy.props.EnumProperty(name="Format", items=_FORMATS, default=EXR,
                                   description="What kind of files the frames are")
    mark: bpy.props.BoolProperty(
        name="Visible Mark", default=False,
        description="Write “synthetic” into a corner of every frame; the files' metadata says so in any case",
    )
    give_back: bpy.props.BoolProperty(
        name="Free Memory for Renders", default=True,
        description="Before Blender renders, the engine forgets its model and avatar; it loads them when asked again",
    )


def register() -> None:
    bpy.utils.register_class(ArtalkAvatarSettings)
    bpy.types.Scene.artalk_avatar = bpy.props.PointerProperty(type=ArtalkAvatarSettings)


def unregister() -> None:
    del bpy.types.Scene.artalk_avatar
    bpy.utils.unregister_class(ArtalkAvatarSettings)
