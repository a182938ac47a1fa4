# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the README's picture from a .blend that `talk` made: four moments of the line, side by side.

    python addon_tests/tools/readme_picture.py out/talk.blend docs/talk.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from artalk_blender.engine.assets import DEFAULT_HEAD  # noqa: E402
from artalk_blender.engine.flame.file import read_flame  # noqa: E402
from artalk_blender.engine.flame.lips import lip_curves  # noqa: E402
from artalk_blender.engine.smoothing import smooth_motion  # noqa: E402

from artalk_blender.animation.takes import is_take, raw_motion  # noqa: E402

SIZE = 400


def telling_frames(motion: np.ndarray) -> list[int]:
    """Model frames in the order they come: widest open, roundest, lips shut in the middle of speech, widest."""
    curves = lip_curves(read_flame(DEFAULT_HEAD), motion)
    frames = np.arange(len(motion))
    opened = np.flatnonzero(curves.aperture > 0.3 * curves.aperture.max())
    inside = (frames > opened[0]) & (frames < opened[-1])
    chosen: list[int] = []
    for score in (curves.aperture, -curves.width, -curves.aperture - 0.1 * np.abs(curves.width), curves.width):
        apart = np.array([all(abs(frame - other) > 6 for other in chosen) for frame in frames])
        chosen.append(int(np.argmax(np.where(inside & apart, score, -np.inf))))
    return sorted(chosen)


def render(scene: bpy.types.Scene, frame: int, folder: Path) -> np.ndarray:
    """One model frame as (SIZE, SIZE, 4), bottom row first."""
    path = folder / f"{frame}.png"
    scene.frame_set(round(scene.frame_start + frame * scene.render.fps / scene.render.fps_base / 25))
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.empty(SIZE * SIZE * 4, np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(SIZE, SIZE, 4)


def open_talk(path: Path) -> tuple[bpy.types.Scene, bpy.types.Action, np.ndarray]:
    """Opens a .blend that `talk` made, ready to render squares; returns its take and the motion (T,106) in it."""
    bpy.ops.wm.open_mainfile(filepath=str(path))
    scene = bpy.context.scene
    take = next(action for action in bpy.data.actions if is_take(action))
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    scene.render.use_file_extension = True
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    return scene, take, smooth_motion(raw_motion(take))


def save_sheet(sheet: np.ndarray, path: Path) -> None:
    """(height, width, 4) with the bottom row first, as a PNG."""
    image = bpy.data.images.new("sheet", sheet.shape[1], sheet.shape[0])
    image.pixels.foreach_set(sheet.ravel())
    image.file_format = "PNG"
    image.filepath_raw = str(path)
    image.save()
    print(path)


def main() -> None:
    source, target = (Path(argument).resolve() for argument in sys.argv[-2:])
    scene, _, motion = open_talk(source)
    with tempfile.TemporaryDirectory() as folder:
        tiles = [render(scene, frame, Path(folder)) for frame in telling_frames(motion)]
    save_sheet(np.concatenate(tiles, 1), target)


if __name__ == "__main__":
    main()
