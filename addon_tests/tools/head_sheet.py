# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a contact sheet of a head file with Blender's Workbench: views, close-ups, shapes.

Run: python addon_tests/tools/head_sheet.py HEAD.npz OUT.png [--sheet views|mouth|eyes|...] [--size 420]
Each cell is VIEW[:shape=value[+shape=value]][:jaw=radians]; --cells gives your own list.
Boundary: bpy, numpy; reads the npz itself so that it also shows unfinished heads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

# view: target in metres, azimuth to the head's left and elevation in degrees, width of the picture in metres
VIEWS = {
    "front": ((0, -0.025, 0.02), 0, 0, 0.30),
    "quarter": ((0, -0.025, 0.02), 40, 3, 0.30),
    "profile": ((0, -0.025, 0.0), 90, 0, 0.30),
    "below": ((0, -0.03, 0.03), 20, -40, 0.28),
    "back": ((0, -0.025, 0.0), 150, 10, 0.30),
    "face": ((0, -0.03, 0.05), 0, 0, 0.18),
    "face30": ((0, -0.03, 0.05), 30, 0, 0.18),
    "mouth": ((0, -0.068, 0.09), 0, 0, 0.08),
    "mouth30": ((0.004, -0.068, 0.09), 35, 5, 0.08),
    "mouth90": ((0.0, -0.068, 0.085), 90, 0, 0.08),
    "mouthbelow": ((0, -0.06, 0.09), 0, -35, 0.08),
    "eye": ((0.0315, 0.002, 0.08), 0, 0, 0.06),
    "eye30": ((0.0315, 0.002, 0.08), 40, 0, 0.06),
    "eyes": ((0.0, 0.005, 0.08), 0, 0, 0.13),
    "nose": ((0.0, -0.03, 0.1), 25, -25, 0.07),
    "ear": ((0.07, -0.019, -0.005), 90, 0, 0.09),
    "ear50": ((0.07, -0.019, -0.005), 45, 0, 0.09),
}
SHEETS = {
    "views": [
        "front",
        "quarter",
        "profile",
        "below",
        "back",
        "face",
        "face30",
        "mouth",
        "mouth30",
        "eye",
        "ear",
        "ear50",
    ],
    "eyes": [
        "eyes",
        "eye",
        "eye30",
        "eyes:eyeBlinkLeft=1+eyeBlinkRight=1",
        "eyes:eyeBlinkLeft=0.5+eyeBlinkRight=0.5",
        "eye30:eyeBlinkLeft=1",
        "eyes:eyeSquintLeft=1+eyeSquintRight=1",
        "eyes:eyeWideLeft=1+eyeWideRight=1",
        "eyes:browInnerUp=1",
        "eyes:browDownLeft=1+browDownRight=1",
        "eyes:eyeLookUpLeft=1+eyeLookUpRight=1",
        "eyes:eyeLookInLeft=1+eyeLookOutRight=1",
    ],
    "jaw": [
        "face:jaw=0.13",
        "face:jaw=0.26",
        "face:jaw=0.35",
        "face30:jaw=0.26",
        "mouth:jaw=0.13",
        "mouth:jaw=0.26",
        "mouth:jaw=0.13:mouthClose=0.5",
        "mouth30:jaw=0.13:mouthClose=0.5",
        "profile:jaw=0.26",
        "mouthbelow:jaw=0.2",
        "face:jawOpen=1",
        "mouth:jaw=0.26:mouthClose=1",
    ],
    "mouth": [
        "mouth",
        "mouth:mouthFunnel=1",
        "mouth:mouthPucker=1",
        "mouth30:mouthPucker=1",
        "mouth30:mouthFunnel=1",
        "mouth:mouthFunnel=1:jaw=0.1",
        "mouth:mouthSmileLeft=1+mouthSmileRight=1",
        "mouth:mouthStretchLeft=1+mouthStretchRight=1",
        "mouth:mouthFrownLeft=1+mouthFrownRight=1",
        "mouth:mouthRollLower=1+mouthRollUpper=1",
        "mouth:mouthPressLeft=1+mouthPressRight=1",
        "mouth:mouthShrugLower=1+mouthShrugUpper=1",
        "mouth:mouthLowerDownLeft=1+mouthLowerDownRight=1",
        "mouth:mouthUpperUpLeft=1+mouthUpperUpRight=1",
        "mouth:mouthDimpleLeft=1+mouthDimpleRight=1",
        "mouth90:mouthPucker=1",
    ],
    "shapes": [
        "face",
        "face:mouthSmileLeft=1+mouthSmileRight=1",
        "face30:mouthSmileLeft=1+mouthSmileRight=1",
        "face:mouthSmileLeft=1+mouthSmileRight=1:jaw=0.1",
        "face:mouthPucker=1",
        "face:mouthFunnel=1:jaw=0.1",
        "face:cheekPuff=1",
        "face30:cheekPuff=1",
        "face:noseSneerLeft=1+noseSneerRight=1",
        "face:browInnerUp=1+browOuterUpLeft=1+browOuterUpRight=1",
        "face:browDownLeft=1+browDownRight=1",
        "face:mouthFrownLeft=1+mouthFrownRight=1+browInnerUp=0.7",
        "face:eyeBlinkLeft=1+eyeBlinkRight=1",
        "face:mouthLeft=1",
        "face:jawLeft=1",
        "face30:jawForward=1",
    ],
}


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    """(3,) radians -> (3,3)."""
    angle = float(np.linalg.norm(axis_angle))
    return np.array(Matrix.Rotation(angle, 3, Vector(axis_angle) if angle else Vector((1, 0, 0))))


def posed(head: dict[str, np.ndarray], shapes: dict[str, float], jaw: float, shape: np.ndarray) -> np.ndarray:
    """Vertices (V,3) of one pose; only the jaw joint turns."""
    v = head["v_template"].astype(float)
    if "shapedirs" not in head:
        return v
    names = [str(n) for n in head["expression_names"]]
    dirs = head["shapedirs"].astype(float)
    v = v + dirs[:, :, : len(shape)] @ shape
    rest = v
    for name, value in shapes.items():
        v = v + dirs[:, :, 300 + names.index(name)] * value
    turn = rotation(np.array([jaw, 0, 0]))
    feature = np.zeros((4, 3, 3))
    feature[1] = turn - np.eye(3)
    v = v + head["posedirs"].astype(float) @ feature.ravel()
    joint = head["J_regressor"][2].astype(float) @ rest
    w = head["weights"][:, 2:3].astype(float)
    return (1 - w) * v + w * ((v - joint) @ turn.T + joint)


def scene(size: int) -> bpy.types.Object:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    s = bpy.context.scene
    s.render.engine = "BLENDER_WORKBENCH"
    s.render.resolution_x = s.render.resolution_y = size
    s.render.film_transparent = False
    s.display.shading.light = "STUDIO"
    s.display.shading.color_type = "MATERIAL"
    s.display.shading.show_cavity = True
    s.display.shading.cavity_type = "SCREEN"
    s.display.render_aa = "8"
    s.view_settings.view_transform = "Standard"
    s.world = bpy.data.worlds.new("w")
    s.world.color = (0.35, 0.37, 0.4)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_start = 0.01
    s.collection.objects.link(camera)
    s.camera = camera
    return camera


def add_mesh(head: dict[str, np.ndarray], wire: bool) -> bpy.types.Mesh:
    quads = [list(dict.fromkeys(q)) for q in head["f_quads"].tolist()]
    mesh = bpy.data.meshes.new("head")
    mesh.from_pydata(head["v_template"].tolist(), [], quads)
    for name, colour in zip(head["material_names"].tolist(), head["material_colors"].tolist(), strict=True):
        material = bpy.data.materials.new(name)
        material.diffuse_color = (*colour, 1)
        material.roughness = 0.55
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", head["face_material"].astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.full(len(quads), not wire))
    thing = bpy.data.objects.new("head", mesh)
    bpy.context.scene.collection.objects.link(thing)
    if wire:
        bpy.context.scene.display.shading.show_object_outline = True
        copy = bpy.data.objects.new("wire", mesh)
        copy.modifiers.new("w", "WIREFRAME").thickness = 0.0004
        copy.color = (0, 0, 0, 1)
        bpy.context.scene.collection.objects.link(copy)
        bpy.context.scene.display.shading.color_type = "OBJECT"
    return mesh


def aim(camera: bpy.types.Object, view: str) -> None:
    target, azimuth, elevation, width = VIEWS[view]
    a, e = np.radians(azimuth), np.radians(elevation)
    direction = Vector((np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)))
    camera.data.lens = 85
    distance = width * 85 / 36
    camera.location = Vector(target) + direction * distance
    right = Vector((np.cos(a), 0, -np.sin(a)))
    up = direction.cross(right)
    camera.rotation_euler = Matrix((right, up, direction)).transposed().to_euler()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("head", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sheet", default="views", choices=sorted(SHEETS))
    parser.add_argument("--cells", nargs="*")
    parser.add_argument("--size", type=int, default=420)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--wire", action="store_true")
    parser.add_argument("--people", action="store_true", help="every cell another random identity")
    args = parser.parse_args()
    with np.load(args.head) as f:
        head = {k: f[k] for k in f.files}
    camera = scene(args.size)
    mesh = add_mesh(head, args.wire)
    cells = args.cells or SHEETS[args.sheet]
    pictures = []
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        for cell in cells:
            view, *options = cell.split(":")
            values = {k: float(x) for o in options for k, x in (kv.split("=") for kv in o.split("+"))}
            jaw = values.pop("jaw", 0.0)
            shape = rng.standard_normal(300) if args.people else np.zeros(300)
            mesh.vertices.foreach_set("co", posed(head, values, jaw, shape).astype(np.float32).ravel())
            mesh.update()
            aim(camera, view)
            path = Path(folder) / "cell.png"
            bpy.context.scene.render.filepath = str(path)
            bpy.ops.render.render(write_still=True)
            image = bpy.data.images.load(str(path))
            buffer = np.empty(args.size * args.size * 4, np.float32)
            image.pixels.foreach_get(buffer)
            bpy.data.images.remove(image)
            pictures.append(buffer.reshape(args.size, args.size, 4))
    rows = -(-len(pictures) // args.columns)
    sheet = np.zeros((rows * args.size, args.columns * args.size, 4), np.float32)
    for k, picture in enumerate(pictures):
        r, c = rows - 1 - k // args.columns, k % args.columns
        sheet[r * args.size : (r + 1) * args.size, c * args.size : (c + 1) * args.size] = picture
    out = bpy.data.images.new("sheet", sheet.shape[1], sheet.shape[0])
    out.pixels.foreach_set(sheet.ravel())
    out.filepath_raw, out.file_format = str(args.out), "PNG"
    out.save()


if __name__ == "__main__":
    main()
