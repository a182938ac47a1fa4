# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a contact sheet of a head file, with the materials that the extension gives it.

Run: python addon_tests/tools/head_sheet.py HEAD.npz OUT.png [--sheet all|views|mouth|eyes|...] [--size 420]
     [--engine workbench|eevee|cycles]
Each cell is VIEW[:shape=value[+shape=value]][:jaw=radians][:turn=radians][:nod=radians][:person=seed]; --cells gives
your own list.
A pair's name without its side stands for both sides. Cells go from left to right, top to bottom.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from artalk_blender.engine.flame.file import read_flame
from artalk_blender.engine.flame.model import FlameModel
from artalk_blender.engine.flame.skinning import skin

import artalk_blender  # noqa: F401  mounts the engine
from artalk_blender.head.materials import add_uvs, face_materials, make_material, read_picture, read_uvs

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
# what the teacher of the default model asks for in the middle of each sound
VISEMES = {
    "PP": "mouthClose=0.1+mouthPress=0.22+mouthRollLower=0.1+mouthRollUpper=0.1:jaw=0.024",
    "FF": "mouthRollLower=0.38+mouthUpperUp=0.16+mouthStretch=0.06:jaw=0.02",
    "TH": "mouthLowerDown=0.16+mouthUpperUp=0.08+tongueOut=0.35:jaw=0.03",
    "DD": "mouthLowerDown=0.14+mouthUpperUp=0.06+mouthStretch=0.08:jaw=0.024",
    "kk": "mouthLowerDown=0.1+mouthUpperUp=0.04:jaw=0.04",
    "CH": "mouthFunnel=0.27+mouthPucker=0.14+mouthLowerDown=0.16+mouthUpperUp=0.1:jaw=0.015",
    "SS": "mouthStretch=0.22+mouthSmile=0.1+mouthLowerDown=0.2+mouthUpperUp=0.1:jaw=0.012",
    "nn": "mouthLowerDown=0.12+mouthUpperUp=0.06:jaw=0.03",
    "RR": "mouthFunnel=0.18+mouthPucker=0.22+mouthLowerDown=0.08:jaw=0.034",
    "aa": "mouthLowerDown=0.16+mouthUpperUp=0.06:jaw=0.13",
    "E": "mouthStretch=0.16+mouthSmile=0.06+mouthLowerDown=0.16+mouthUpperUp=0.08:jaw=0.075",
    "ih": "mouthStretch=0.18+mouthSmile=0.08+mouthLowerDown=0.16+mouthUpperUp=0.08:jaw=0.045",
    "oh": "mouthFunnel=0.24+mouthPucker=0.1+mouthLowerDown=0.1+mouthUpperUp=0.06:jaw=0.1",
    "ou": "mouthFunnel=0.25+mouthPucker=0.52:jaw=0.031",
}
PAIRS = [
    "eyeBlink",
    "eyeLookDown",
    "eyeLookIn",
    "eyeLookOut",
    "eyeLookUp",
    "eyeSquint",
    "eyeWide",
    "mouthSmile",
    "mouthFrown",
    "mouthDimple",
    "mouthStretch",
    "mouthPress",
    "mouthLowerDown",
    "mouthUpperUp",
    "browDown",
    "browOuterUp",
    "cheekSquint",
    "noseSneer",
]
SINGLE = [
    "jawForward",
    "jawRight",
    "jawLeft",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRight",
    "mouthLeft",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "browInnerUp",
    "cheekPuff",
    "tongueOut",
]
ARKIT = [f"{name}{side}" for name in PAIRS for side in ("Left", "Right")] + SINGLE
SHEETS: dict[str, list[str]] = {
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
        "front:turn=0.6",
        "quarter:turn=-0.6",
        "quarter:nod=0.35",
        "quarter:nod=-0.35",
    ],
    "eyes": [
        "eyes",
        "eye",
        "eye30",
        "eyes:eyeBlink=1",
        "eyes:eyeBlink=0.5",
        "eye30:eyeBlinkLeft=1",
        "eyes:eyeSquint=1",
        "eyes:eyeWide=1",
        "eyes:browInnerUp=1",
        "eyes:browDown=1",
        "eyes:eyeLookUp=1",
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
        "mouth:mouthSmile=1",
        "mouth:mouthStretch=1",
        "mouth:mouthFrown=1",
        "mouth:mouthRollLower=1+mouthRollUpper=1",
        "mouth:mouthPress=1",
        "mouth:mouthShrugLower=1+mouthShrugUpper=1",
        "mouth:mouthLowerDown=1",
        "mouth:mouthUpperUp=1",
        "mouth:mouthDimple=1",
        "mouth90:mouthPucker=1",
    ],
    "shapes": [f"face:{name}=1" for name in ARKIT],
    "pairs": [f"face:{name}=1" for name in PAIRS + SINGLE],
    "combinations": [
        "face:mouthSmile=1:jaw=0.1",
        "face30:mouthSmile=1:jaw=0.1",
        "face:mouthSmile=1+cheekSquint=1+eyeSquint=0.6",
        "face30:mouthSmile=1+cheekSquint=1+eyeSquint=0.6",
        "face:mouthSmile=0.7+mouthUpperUp=0.7+mouthLowerDown=0.5:jaw=0.05",
        "face:mouthFunnel=1:jaw=0.13",
        "face:mouthPucker=1:jaw=0.13",
        "face:mouthFunnel=0.6+mouthPucker=0.6:jaw=0.06",
        "face:mouthFrown=1+browInnerUp=0.8",
        "face:browDown=1+noseSneer=1+mouthUpperUp=0.6+eyeSquint=0.5",
        "face:browDown=1+mouthPress=1+eyeSquint=0.4",
        "face:browInnerUp=1+browOuterUp=1+eyeWide=1:jaw=0.16",
        "face:mouthStretch=1:jaw=0.13",
        "face:mouthUpperUp=1+mouthLowerDown=1",
        "face:cheekPuff=1+mouthPucker=0.6",
        "face:tongueOut=1:jaw=0.13",
        "face30:tongueOut=1:jaw=0.13",
        "face:mouthSmileLeft=1+browOuterUpRight=1+eyeBlinkLeft=1",
        "face:jawLeft=1+mouthLeft=1",
        "face:mouthRollUpper=1+mouthRollLower=1+mouthDimple=1",
    ],
    "visemes": [f"{view}:{keys}" for view in ("mouth", "face30") for keys in VISEMES.values()],
    "people": [f"{view}:person={k}" for k in range(1, 11) for view in ("front", "quarter", "profile")],
}
SHEETS["all"] = [
    cell
    for name in ("views", "eyes", "jaw", "mouth", "shapes", "combinations", "visemes", "people")
    for cell in SHEETS[name]
]


def posed(model: FlameModel, values: dict[str, float]) -> np.ndarray:
    """Vertices (V,3) of one cell; person 0 is the neutral head, `turn` and `nod` are the neck's."""
    names = model.expression_names
    jaw, turn, nod = (values.pop(name, 0.0) for name in ("jaw", "turn", "nod"))
    person = int(values.pop("person", 0))
    expression = np.zeros((1, len(names)), np.float32)
    for name, value in values.items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in names:
                expression[0, names.index(full)] = value
    shape = np.random.default_rng(person).standard_normal(300).astype(np.float32) if person else None
    neck = np.float32([[nod, turn, 0]])
    return np.asarray(skin(model, expression, jaw=np.float32([[jaw, 0, 0]]), neck=neck, shape=shape)[0])


def make_scene(size: int, engine: str) -> Any:
    """An empty scene with a camera; returns it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    s = bpy.context.scene
    kinds = {item.identifier for item in s.render.bl_rna.properties["engine"].enum_items}
    eevee = next(name for name in ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE") if name in kinds)
    s.render.engine = {"workbench": "BLENDER_WORKBENCH", "eevee": eevee, "cycles": "CYCLES"}[engine]
    s.render.resolution_x = s.render.resolution_y = size
    shading = s.display.shading
    shading.light, shading.studio_light = "STUDIO", "paint.sl"
    shading.use_world_space_lighting = False
    shading.color_type = "TEXTURE"
    shading.show_cavity, shading.cavity_type = True, "BOTH"
    shading.cavity_ridge_factor, shading.cavity_valley_factor = 0.25, 0.9
    shading.curvature_ridge_factor, shading.curvature_valley_factor = 0.2, 0.35
    s.display.render_aa = "8"
    s.view_settings.view_transform = "Standard"
    s.world = bpy.data.worlds.new("w")
    s.world.color = (0.15, 0.17, 0.195)
    if engine != "workbench":
        _light(s)
        if engine == "cycles":
            s.cycles.samples, s.cycles.use_denoising = 48, True
        else:
            s.eevee.taa_render_samples = 16  # enough to look, and some seconds a picture without a GPU
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_start = 0.01
    s.collection.objects.link(camera)
    s.camera = camera
    return camera


def _light(scene: Any) -> None:
    lights = (((0.5, 0.5, 0.8), 0.5, 11.0), ((-0.8, 0.1, 0.6), 0.8, 5.0), ((0.3, 0.5, -0.9), 0.5, 9.0))
    for where, size, power in lights:
        data = bpy.data.lights.new("light", "AREA")
        data.size, data.energy = size, power
        light = bpy.data.objects.new("light", data)
        light.location = where
        light.rotation_euler = Vector(where).to_track_quat("Z", "Y").to_euler()
        scene.collection.objects.link(light)
    world = scene.world
    if world.node_tree is None:
        world.use_nodes = True
    background = next(n for n in world.node_tree.nodes if n.type == "BACKGROUND")
    background.inputs["Color"].default_value = (0.30, 0.33, 0.37, 1)


def add_mesh(model: FlameModel, wire: bool, plain: bool) -> Any:
    faces = model.quads if model.quads is not None else model.faces
    mesh = bpy.data.meshes.new("head")
    mesh.from_pydata(model.v_template.tolist(), [], faces.tolist())
    uvs = read_uvs(model)
    if uvs is not None:
        add_uvs(mesh, model, faces, *uvs)
    picture = None if plain else read_picture(model)
    names, index = face_materials(model, faces)
    for name in names:
        mesh.materials.append(make_material(name, picture))
    mesh.polygons.foreach_set("material_index", index)
    mesh.polygons.foreach_set("use_smooth", np.full(len(faces), not wire))
    thing = bpy.data.objects.new("head", mesh)
    bpy.context.scene.collection.objects.link(thing)
    if wire:
        copy = bpy.data.objects.new("wire", mesh)
        copy.modifiers.new("w", "WIREFRAME").thickness = 0.0004
        copy.color = (0, 0, 0, 1)
        bpy.context.scene.collection.objects.link(copy)
        bpy.context.scene.display.shading.color_type = "OBJECT"
    return mesh


def aim(camera: Any, view: str) -> None:
    target, azimuth, elevation, width = VIEWS[view]
    a, e = np.radians(azimuth), np.radians(elevation)
    direction = Vector((np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)))
    camera.data.lens = 85
    distance = width * 85 / 36
    camera.location = Vector(target) + direction * distance
    right = Vector((np.cos(a), 0, -np.sin(a)))
    up = direction.cross(right)
    camera.rotation_euler = Matrix((right, up, direction)).transposed().to_euler()


def rendered(path: Path, size: int) -> np.ndarray:
    """The scene as (size, size, 4), bottom row first."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    buffer = np.empty(size * size * 4, np.float32)
    image.pixels.foreach_get(buffer)
    bpy.data.images.remove(image)
    return buffer.reshape(size, size, 4)


def save(pictures: list[np.ndarray], columns: int, path: Path) -> None:
    size = len(pictures[0])
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * size, columns * size, 4), np.float32)
    for k, picture in enumerate(pictures):
        r, c = rows - 1 - k // columns, k % columns
        sheet[r * size : (r + 1) * size, c * size : (c + 1) * size] = picture
    out = bpy.data.images.new("sheet", sheet.shape[1], sheet.shape[0])
    out.pixels.foreach_set(sheet.ravel())
    out.filepath_raw, out.file_format = str(path), "PNG"
    out.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sheet", default="views", choices=sorted(SHEETS))
    parser.add_argument("--cells", nargs="*")
    parser.add_argument("--size", type=int, default=420)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--engine", default="workbench", choices=("workbench", "eevee", "cycles"))
    parser.add_argument("--wire", action="store_true")
    parser.add_argument("--plain", action="store_true", help="without the texture")
    args = parser.parse_args()
    model = read_flame(args.head)
    camera = make_scene(args.size, args.engine)
    mesh = add_mesh(model, args.wire, args.plain)
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in args.cells or SHEETS[args.sheet]:
            view, *options = cell.split(":")
            values = {k: float(x) for o in options for k, x in (kv.split("=") for kv in o.split("+"))}
            mesh.vertices.foreach_set("co", posed(model, values).astype(np.float32).ravel())
            mesh.update()
            aim(camera, view)
            pictures.append(rendered(Path(folder) / "cell.png", args.size))
    save(pictures, args.columns, args.out)


if __name__ == "__main__":
    main()
