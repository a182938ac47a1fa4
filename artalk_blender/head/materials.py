# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's materials: plain colours that look right in Workbench, and as Principled BSDF everywhere else."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..engine.flame.model import FlameModel
from .names import BONES, look_of

_IRIS, _PUPIL = np.cos(np.radians(27.0)), np.cos(np.radians(11.0))


def face_materials(model: FlameModel, faces: NDArray[np.integer]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """(names, index per face (F,)) from the file, or, where it has none, skin and eyes found by their bones."""
    if model.face_material is not None and len(model.face_material) == len(faces):
        return model.material_names, model.face_material.astype(np.int32)
    names = ("skin", "sclera", "iris", "pupil")
    index = np.zeros(len(faces), np.int32)
    joints = model.neutral_joints()
    for bone in (BONES.index("eye_left"), BONES.index("eye_right")):
        in_eye = (model.lbs_weights[:, bone] > 0.99)[faces].all(1)
        if not in_eye.any():
            continue
        centre = model.v_template[faces[in_eye]].mean(1)
        direction = centre - joints[bone]
        forward = direction[:, 2] / np.maximum(np.linalg.norm(direction, axis=1), 1e-9)
        index[in_eye] = 1 + (forward > _IRIS).astype(np.int32) + (forward > _PUPIL)
    return names, index


def make_material(name: str) -> Any:
    """A new material `name` (Blender numbers it where the name is taken)."""
    look = look_of(name)
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*look.colour, 1.0)
    material.roughness = look.roughness
    material.metallic = 0.0
    shader = next((node for node in compat.node_tree(material).nodes if node.type == "BSDF_PRINCIPLED"), None)
    if shader is not None:
        shader.inputs["Base Color"].default_value = (*look.colour, 1.0)
        shader.inputs["Roughness"].default_value = look.roughness
    return material
