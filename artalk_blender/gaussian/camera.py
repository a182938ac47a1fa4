# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the head stands and how the scene's camera sees it, frame by frame, without a change to the artist's scene.

As in animation/read_head.py a scene of our own is stepped through time; into it go the armature and the cameras.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..head.handle import Head

Floats = NDArray[np.float32]
_NAME = "ARTalk Camera"
_AT_ONCE = 8
_TO_PIXELS_DOWN = np.diag((1.0, -1.0, -1.0, 1.0))     # Blender's camera looks along -z with +y up
_Key = tuple[str, str | None]


@dataclass(frozen=True)
class Places:
    """placements (T,4,4): the head's space to the world; views (T,4,4) and Ks (T,3,3): to the camera, to pixels."""

    placements: Floats
    views: Floats | None = None
    Ks: Floats | None = None


def camera_at(scene: Any, frame: int) -> Any:
    """The scene's camera at a frame: markers may switch it, the first of them already before it, as Blender does.

    Raises ArtalkError where there is none that can be used.
    """
    bound = [marker for marker in scene.timeline_markers if marker.camera is not None and not marker.camera.hide_render]
    bound.sort(key=lambda marker: marker.frame)
    past = [marker for marker in bound if marker.frame <= frame]
    camera = (past[-1:] or bound[:1])[0].camera if bound else scene.camera
    if camera is None or camera.type != "CAMERA":
        raise ArtalkError("The scene has no camera.", "Add one, or choose the avatar's own camera.")
    if camera.data.type != "PERSP":
        raise ArtalkError(f"The camera “{camera.name}” is no perspective one.",
                          "Change its type, or choose the avatar's own camera.")
    return camera


def scene_size(scene: Any) -> tuple[int, int]:
    """Width and height of the scene's render, pixels."""
    part = scene.render.resolution_percentage / 100
    return max(1, int(scene.render.resolution_x * part)), max(1, int(scene.render.resolution_y * part))


def view_of(camera: Any, armature: Any, depsgraph: Any, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """(view (4,4), K (3,3)) with which a camera sees the head's space in a picture of so many pixels, as evaluated."""
    camera, armature = camera.evaluated_get(depsgraph), armature.evaluated_get(depsgraph)
    render = depsgraph.scene.render
    lens = np.array(camera.calc_matrix_camera(depsgraph, x=size[0], y=size[1], scale_x=render.pixel_aspect_x,
                                              scale_y=render.pixel_aspect_y))
    where = np.array(camera.matrix_world.normalized().inverted())
    K = np.array([[lens[0, 0] * size[0] / 2, 0, (1 - lens[0, 2]) * size[0] / 2],
                  [0, lens[1, 1] * size[1] / 2, (1 + lens[1, 2]) * size[1] / 2], [0, 0, 1]], np.float32)
    return (_TO_PIXELS_DOWN @ where @ np.array(armature.matrix_world)).astype(np.float32), K


def places_in_steps(scene: Any, head: Head, first: int, last: int,
                    size: tuple[int, int] | None) -> Generator[float, None, Places]:
    """Frames `first` to `last`, both included, in short steps that yield the part that is done.

    With a `size` also what the scene's camera sees in so many pixels. Holds no Blender data between two steps.
    """
    cameras = [_key(camera_at(scene, frame)) for frame in range(first, last + 1)] if size is not None else []
    armature = _key(head.armature)
    matrices, views, Ks = [], [], []
    with _stage(scene, [armature, *sorted(set(cameras))]) as name:
        del scene, head
        for start in range(first, last + 1, _AT_ONCE):
            stage, thing = bpy.data.scenes.get(name), bpy.data.objects.get(armature)
            if stage is None or thing is None:
                raise ArtalkError("The head was changed while it was read.", "Render it again.")
            for frame in range(start, min(start + _AT_ONCE, last + 1)):
                stage.frame_set(frame)
                graph = stage.view_layers[0].depsgraph
                matrices.append(np.array(thing.evaluated_get(graph).matrix_world, np.float32))
                if size is not None:
                    view, K = view_of(bpy.data.objects[cameras[frame - first]], thing, graph, size)
                    views.append(view)
                    Ks.append(K)
            del stage, thing, graph
            yield min(1.0, (start + _AT_ONCE - first) / (last + 1 - first))
    return Places(np.stack(matrices), np.stack(views) if views else None, np.stack(Ks) if Ks else None)


def _key(block: Any) -> _Key:
    return block.name, block.library.filepath if block.library is not None else None


@contextmanager
def _stage(scene: Any, things: list[_Key]) -> Iterator[str]:
    """The name of a scene with nothing but these objects in it, in no window; it goes afterwards."""
    stage = bpy.data.scenes.new(_NAME)
    name = stage.name
    try:
        for setting in ("fps", "fps_base", "frame_map_old", "frame_map_new", "pixel_aspect_x", "pixel_aspect_y"):
            setattr(stage.render, setting, getattr(scene.render, setting))
        for thing in things:
            stage.collection.objects.link(bpy.data.objects[thing])
        del stage, scene
        yield name
    finally:
        if (left := bpy.data.scenes.get(name)) is not None:
            bpy.data.scenes.remove(left)
