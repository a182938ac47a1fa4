# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters of Blender objects for the retargeting: made from the default head by program, in other meshes."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from retarget_targets import Place, another_mesh, made

from artalk_blender.head.build import Head, build_head
from artalk_blender.retarget.names import ARKIT
from artalk_blender.retarget.signals import JAW_OPEN, viseme_recipe

_THERE = Place()
_BESIDE = Place(1.2, None, (0.4, 0.0, 0.0), 1.0)
TO_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # FLAME's axes -> Z up, facing -Y


def default_head() -> Head:
    return build_head(read_flame(DEFAULT_HEAD), bpy.context)


def speaking(frames: int = 60) -> np.ndarray:
    """(T,106) a mouth that opens, rounds, smiles and closes, a blink, a turning head; as on the default head."""
    time = np.arange(frames) / 25.0
    motion = np.zeros((frames, 106), np.float32)
    motion[:, 103] = 0.2 * np.sin(2 * np.pi * 1.1 * time) ** 2
    motion[:, ARKIT.index("mouthPucker")] = 0.6 * np.clip(np.sin(2 * np.pi * 0.5 * time), 0, 1)
    for side in ("Left", "Right"):
        motion[:, ARKIT.index(f"mouthSmile{side}")] = 0.4 * np.clip(-np.sin(2 * np.pi * 0.5 * time), 0, 1)
        motion[:, ARKIT.index(f"eyeBlink{side}")] = np.clip(np.sin(2 * np.pi * 0.8 * time) * 4 - 3, 0, 1)
    motion[:, 100:103] = 0.2 * np.sin(time[:, None] * [1.0, 1.7, 0.6])
    return motion


def jaw_open(motion: np.ndarray) -> np.ndarray:
    return motion[:, ARKIT.index("jawOpen")] + motion[:, 103] / JAW_OPEN


def mesh_object(name: str, points: np.ndarray, triangles: np.ndarray, keys: dict[str, np.ndarray]) -> bpy.types.Object:
    """An object with shape keys; points and deltas (V,3) in FLAME's axes."""
    data = bpy.data.meshes.new(name)
    data.from_pydata((points @ TO_BLENDER.T).tolist(), [], triangles.tolist())
    thing = bpy.data.objects.new(name, data)
    bpy.context.collection.objects.link(thing)
    if keys:
        thing.shape_key_add(name="Basis")
    for key, delta in keys.items():
        block = thing.shape_key_add(name=key)
        block.points.foreach_set("co", ((points + delta) @ TO_BLENDER.T).astype(np.float32).ravel())
    return thing


def remeshed(name: str = "Face", spell: Callable[[str], str] = str, keep: tuple[int, ...] | None = None,
             place: Place = _BESIDE, remesh: object = another_mesh) -> bpy.types.Object:
    """The default head in another mesh, of other proportions, with its ARKit keys under other spellings."""
    face = made(place, remesh, keep).face
    return mesh_object(name, face.neutral, face.triangles,
                       {spell(key): face.deltas[index] for index, key in enumerate(face.names)})


def viseme_head(name: str = "Cartoon", place: Place = _THERE, remesh: object = another_mesh) -> bpy.types.Object:
    """A cartoon head with VRM's five mouths and a blink, in another mesh."""
    face = made(place, remesh).face
    deltas = dict(zip(face.names, face.deltas, strict=True))
    arkit = np.stack([deltas[shape] for shape in ARKIT])
    keys = {letter: np.tensordot(viseme_recipe(f"VRM {mouth}"), arkit, 1)
            for letter, mouth in (("A", "aa"), ("I", "ih"), ("U", "ou"), ("E", "ee"), ("O", "oh"))}
    keys["Blink"] = deltas["eyeBlinkLeft"] + deltas["eyeBlinkRight"]
    return mesh_object(name, face.neutral, face.triangles, keys)


def armature(name: str, bones: dict[str, tuple[str, tuple[float, ...], tuple[float, ...], float]]) -> bpy.types.Object:
    """Bones as name -> (parent, head, tail, roll), in the armature's axes."""
    data = bpy.data.armatures.new(name)
    thing = bpy.data.objects.new(name, data)
    bpy.context.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    bpy.ops.object.mode_set(mode="EDIT")
    for bone_name, (parent, head, tail, roll) in bones.items():
        bone = data.edit_bones.new(bone_name)
        bone.head, bone.tail, bone.roll = head, tail, roll
        if parent:
            bone.parent = data.edit_bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    return thing


def value_at(thing: bpy.types.Object, key: str, frame: int) -> float:
    """A shape key's value as Blender plays it."""
    bpy.context.scene.frame_set(frame)
    return float(thing.data.shape_keys.key_blocks[key].value)
