# SPDX-License-Identifier: GPL-3.0-or-later
"""A head that speaks, and an avatar of few splats, which is quickly drawn where numpy draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.gaussian.grown import grow_from_file
from artalk_blender.engine.gaussian.ply import write_rigged_ply

from artalk_blender.head.build import Head
from artalk_blender.head.handle import find_head


def write_few_splats(folder: Path) -> Path:
    """The default avatar with few splats, as a file."""
    path = folder / "few.ply"
    write_rigged_ply(path, grow_from_file(DEFAULT_HEAD)[1].thinned(1500))
    return path


def key(head: Head, frame: int, **values: float) -> None:
    """Keys expressions by their names."""
    for name, value in values.items():
        block = head.shape_keys.key_blocks[name]
        block.value = value
        block.keyframe_insert("value", frame=frame)


def set_avatar_stage(scene: Any, splats: Path, file: Path, size: int) -> Head:
    """A saved file, the default head with a mouth that opens from frame 1 to 4, an avatar of these splats."""
    bpy.ops.artalk.add_head()
    head = find_head(bpy.context)
    for frame, value in ((1, 0.0), (4, 0.8)):
        key(head, frame, jawOpen=value)
    scene.frame_start, scene.frame_end = 1, 4
    settings = scene.artalk_avatar
    settings.avatar, settings.file, settings.size = "FILE", str(splats), size
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    return head
