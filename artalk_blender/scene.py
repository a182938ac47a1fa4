# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene of `talk`: empty file, camera on the face, lights, a Workbench look that needs no GPU."""

from __future__ import annotations

from math import atan, tan
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from .head.build import Head
from .head.materials import make_material
from .motion.timing import split_rate

FIRST_FRAME = 1
_LENS = 85.0  # mm: the portrait lens
_SENSOR = 36.0
_ABOVE, _BELOW = 0.10, -0.09  # of the head's height: air over it, and how much of the neck's open end is cut off
_BOWL_STEPS = 33
_BACKGROUND = (0.115, 0.128, 0.140)
_LIGHTS = (
    # name, direction from the face, size and power by head heights
    ("Key", (-0.75, -1.0, 0.75), 1.6, 18.0),
    ("Fill", (1.0, -0.9, 0.1), 2.4, 6.0),
    ("Rim", (0.7, 1.0, 0.9), 1.2, 12.0),
)


def new_talk_file(fps: float) -> Any:
    """Replaces what is open by an empty file at `fps`; returns its scene."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    for collection in (bpy.data.objects, bpy.data.meshes, bpy.data.cameras, bpy.data.lights,
    bpy.data.materials):
        for item in list(collection):
            collection.remove(item)
    bpy.context.view_layer.update()  # 5.2 lists the removed as None until then
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = split_rate(fps)
    scene.sync_mode = "AUDIO_SYNC"  # playback drops frames rather than leave the sound behind
    return scene


def set_the_stage(scene: Any, head: Head) -> None:
    """Camera, lights and look around a head."""
    low, high = head_bounds(head)
    centre = 0.5 * (low + high)
    height = float(high[2] - low[2])
    _add_camera(scene, low, high)
    _add_backdrop(scene, centre, height)
    for light in _LIGHTS:
        _add_light(scene, centre, height, *light)
    _set_look(scene)
    _set_views()
    # what one sees on opening is the face: its bones stay inside it, the mesh with its shape keys is active
    head.armature.show_in_front = False
    head.armature.select_set(False)
    bpy.context.view_layer.objects.active = head.mesh


def head_bounds(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest) corner (3,) of the resting head in world space, metres."""
    bpy.context.view_layer.update()
    points = np.empty(3 * len(head.mesh.data.vertices), np.float32)
    head.mesh.data.vertices.foreach_get("co", points)
    world = np.array(head.mesh.matrix_world)
    placed = points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
    return placed.min(0), placed.max(0)


def _aim(thing: Any, target: Any) -> None:
    thing.rotation_euler = (Vector(target) - thing.location).to_track_quat("-Z", "Y").to_euler()


def _add_camera(scene: Any, low: np.ndarray, high: np.ndarray) -> None:
    """A portrait from the front, far enough not to distort the face; the neck's open end is outside."""
    height = float(high[2] - low[2])
    top, bottom = high[2] + _ABOVE * height, low[2] - _BELOW * height
    data = bpy.data.cameras.new("Camera")
    data.lens, data.sensor_width = _LENS, _SENSOR
    distance = 0.5 * (top - bottom) / tan(atan(0.5 * _SENSOR / _LENS))
    data.clip_start = 0.05 * distance
    camera = bpy.data.objects.new("Camera", data)
    # measured from the middle of the head's depth
    target = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]), 0.5 * (top + bottom))
    camera.location = (target[0], target[1] - distance, target[2])
    _aim(camera, target)
    scene.collection.objects.link(camera)
    scene.camera = camera


def _add_backdrop(scene: Any, centre: np.ndarray, height: float) -> None:
    """A shallow bowl behind the head: its normals turn, so the studio light falls off softly towards the edges."""
    steps = np.linspace(-1.0, 1.0, _BOWL_STEPS)
    x, z = np.meshgrid(steps, steps)
    points = np.stack([3.0 * x, 1.5 - 1.2 * (x * x + z * z), 3.0 * z], -1).reshape(-1, 3) * height + centre
    corner = (np.arange(_BOWL_STEPS - 1) + _BOWL_STEPS * np.arange(_BOWL_STEPS - 1)[:, None]).ravel()
    faces = np.stack([corner, corner + 1, corner + _BOWL_STEPS + 1, corner + _BOWL_STEPS], 1)
    mesh = bpy.data.meshes.new("Backdrop")
    mesh.from_pydata(points.tolist(), [], faces.tolist())
    mesh.shade_smooth()
    mesh.materials.append(make_material("backdrop"))
    backdrop = bpy.data.objects.new("Backdrop", mesh)
    backdrop.hide_select = True  # it must not be what one grabs when one means the head
    scene.collection.objects.link(backdrop)


def _add_light(scene: Any, centre: np.ndarray, height: float, name: str, direction: tuple[float, float, float],
               size: float, power: float) -> None:
    """An area light, for EEVEE and Cycles; Workbench has its own."""
    data = bpy.data.lights.new(name, "AREA")
    data.size = size * height
    data.energy = power * height
    light = bpy.data.objects.new(name, data)
    light.location = Vector(centre) + Vector(direction).normalized() * (3.0 * height)
    _aim(light, centre)
    scene.collection.objects.link(light)


def _set_look(scene: Any) -> None:
    """Workbench with the materials' own colours; colours as they are, not as AgX would have them."""
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x = scene.render.resolution_y = 512
    scene.render.resolution_percentage = 100
    scene.display.render_aa = "5"
    _shade(scene.display.shading)
    world = scene.world or bpy.data.worlds.new("World")
    scene.world = world
    world.color = _BACKGROUND


def _shade(shading: Any) -> None:
    shading.light = "STUDIO"
    shading.studio_light = "paint.sl"
    shading.use_world_space_lighting = False
    shading.color_type = "TEXTURE"  # materials without one show their colour
    shading.show_shadows = False
    shading.show_cavity = True
    shading.cavity_type = "BOTH"
    shading.cavity_ridge_factor, shading.cavity_valley_factor = 0.25, 0.9
    shading.curvature_ridge_factor, shading.curvature_valley_factor = 0.2, 0.35
    shading.show_specular_highlight = True
    shading.show_object_outline = False
    shading.background_type = "VIEWPORT"
    shading.background_color = _BACKGROUND


def _set_views() -> None:
    """3D views open through the camera, with the same look, without the floor and the lights' lines."""
    for screen in bpy.data.screens:
        for area in screen.areas:
            if area.type != "VIEW_3D":
                continue
            space = area.spaces.active
            space.shading.type = "SOLID"
            _shade(space.shading)
            space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
            space.overlay.show_extras = space.overlay.show_cursor = False
            if space.region_3d is not None:
                space.region_3d.view_perspective = "CAMERA"
