# SPDX-License-Identifier: GPL-3.0-or-later
"""FlameModel -> mesh, shape keys, armature, correctives that evaluate to exactly what FLAME's skinning gives.

How the two meet: every bone points along FLAME's +Y with roll 0, so its rest axes are FLAME's axes and an
axis-angle is its `rotation_quaternion`; shape keys act before the Armature modifier, as in FLAME; pose correctives
are shape keys driven by (R - I), one element of the bone's own matrix each, which Blender evaluates without Python
and in whatever rotation mode the bone has; bones turn about joints that move with the expression (`joints.py`).
FLAME is Y-up: the armature object carries the turn to Blender's Z-up, mesh and bones stay in FLAME's own coordinates.
"""

from __future__ import annotations

from math import pi
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..engine import __version__
from ..engine.assets import DEFAULT_HEAD
from ..engine.flame.model import SHAPE_COUNT, FlameModel
from ..motion.lids import blink_direction
from ..motion.regions import region_grams
from .bones import edit_bones
from .handle import Head, find_head, head_of
from .joints import add_joints
from .materials import add_uvs, face_materials, make_material, read_picture, read_uvs
from .names import (
    BLINK_KEY,
    BONES,
    BUILT_KEY,
    HEAD_KEY,
    IDENTITY_KEY,
    LIPS_KEY,
    REGIONS_KEY,
    ROLE_KEY,
    SHIFT_KEY,
    corrective_key,
    head_name,
)
from .regions import find_lips, region_weights

__all__ = ["Head", "build_head", "find_head", "head_of"]

_BONE_LENGTHS = (0.05, 0.05, 0.03, 0.015, 0.015)  # metres, for the eye only
_SMALLEST_WEIGHT = 1e-6
_SMALLEST_OFFSET = 1e-8  # metres: a pose direction below this moves nothing that float32 could tell
_SLIDER = 10.0  # Blender's own limit; FLAME coefficients leave 0..1 all the time


def build_head(model: FlameModel, context: Any, name: str = "") -> Head:
    """Adds a neutral head to the scene at the 3D cursor, facing the front view, and selects it.

    Without a name it is called after its file. Raises ArtalkError, and adds nothing, where the file's UVs are wrong.
    """
    name = name or head_name(model.path, model.path == DEFAULT_HEAD)
    mesh = _make_mesh(model, name)
    _add_expressions(mesh, model)
    armature = _make_armature(model, context, name)
    context.collection.objects.link(mesh)
    mesh.parent = armature
    mesh[ROLE_KEY] = "mesh"
    _bind(mesh, armature, model)
    _add_correctives(mesh, armature, model)
    _remember(armature, model)
    head = Head(armature, mesh)
    add_joints(head)
    armature.location = context.scene.cursor.location
    armature.rotation_euler = (pi / 2.0, 0.0, 0.0)
    return head


def _remember(armature: Any, model: FlameModel) -> None:
    """Writes on the armature what later work on the head needs, so that it needs no FLAME file."""
    armature[HEAD_KEY] = {
        "name": model.path.name if model.path else "",
        # the default head is found again by its sha256, wherever the extension lies then
        "path": str(model.path.resolve()) if model.path and model.path != DEFAULT_HEAD else "",
        "sha256": model.sha256,
        "version": __version__,
        "expression_keys": list(model.expression_names),
    }
    shift = np.einsum("jv,vck->jck", model.J_regressor.astype(np.float64), model.expressiondirs)
    armature[SHIFT_KEY] = shift.ravel()
    gram = region_grams(model.expressiondirs, region_weights(model))
    armature[REGIONS_KEY] = gram.ravel()
    blink = blink_direction(model, gram)
    if blink is not None:
        armature[BLINK_KEY] = blink
    lips = find_lips(model)
    if lips is not None:
        armature[LIPS_KEY] = lips.as_dict()
    armature[IDENTITY_KEY] = armature[BUILT_KEY] = np.zeros(SHAPE_COUNT)


def _make_mesh(model: FlameModel, name: str) -> Any:
    """The neutral head, smooth, with its materials."""
    faces = model.quads if model.quads is not None else model.faces
    uvs = read_uvs(model)
    data = bpy.data.meshes.new(name)
    # a quad that repeats its last index is a triangle
    polygons = [face[:3] if len(face) == 4 and face[3] == face[2] else face for face in faces.tolist()]
    data.from_pydata(model.v_template, [], polygons)
    names, index = face_materials(model, faces)
    picture = read_picture(model) if uvs is not None else None
    for material in names:
        data.materials.append(make_material(material, picture))
    data.polygons.foreach_set("material_index", index)
    if uvs is not None:
        add_uvs(data, model, faces, *uvs)
    data.shade_smooth()
    data.update()
    return bpy.data.objects.new(name, data)


def _add_key(mesh: Any, name: str, offset: NDArray[np.floating]) -> Any:
    """A shape key at rest + offset (V,3), slider wide open."""
    key = mesh.shape_key_add(name=name, from_mix=False)
    key.value = 0.0  # Blender 5.2 adds it at 1
    key.slider_min, key.slider_max = -_SLIDER, _SLIDER
    rest = np.empty(3 * len(offset), np.float32)
    mesh.data.vertices.foreach_get("co", rest)
    key.points.foreach_set("co", rest + offset.astype(np.float32).ravel())
    return key


def _add_expressions(mesh: Any, model: FlameModel) -> None:
    mesh.shape_key_add(name="Basis", from_mix=False)
    mesh.data.shape_keys.name = mesh.name
    for channel, name in enumerate(model.expression_names):
        _add_key(mesh, name, model.expressiondirs[:, :, channel])


def _make_armature(model: FlameModel, context: Any, name: str) -> Any:
    """Five bones at the neutral joints, linked, active and selected."""
    data = bpy.data.armatures.new(name)
    data.display_type = "STICK"
    armature = bpy.data.objects.new(f"{name} Rig", data)
    armature.show_in_front = True
    context.collection.objects.link(armature)
    joints = model.neutral_joints().astype(float)
    with edit_bones(data, context) as bones:
        for index, bone_name in enumerate(BONES):
            bone = bones.new(bone_name)
            bone.head = joints[index]
            bone.tail = joints[index] + (0.0, _BONE_LENGTHS[index], 0.0)
            bone.roll = 0.0
            if index:
                bone.parent = bones[BONES[model.parents[index]]]
    if context.view_layer.objects.get(armature.name) == armature:  # else it is in a collection that is switched off
        for other in list(context.view_layer.objects.selected):
            other.select_set(False)
        context.view_layer.objects.active = armature
        armature.select_set(True)
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return armature


def _bind(mesh: Any, armature: Any, model: FlameModel) -> None:
    """Vertex groups and linear blend skinning, FLAME's own."""
    for index, bone_name in enumerate(BONES):
        group = mesh.vertex_groups.new(name=bone_name)
        weights = model.lbs_weights[:, index]
        for vertex in np.flatnonzero(weights > _SMALLEST_WEIGHT):
            group.add([int(vertex)], float(weights[vertex]), "REPLACE")
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    modifier.use_deform_preserve_volume = False


def _add_correctives(mesh: Any, armature: Any, model: FlameModel) -> None:
    """A driven shape key for every pose direction that moves anything.

    The driver reads one number, the bone's own rotation matrix at (row, column): a third of what a formula of
    quaternion components costs, right between keys too, and right for bones turned by Euler angles.
    """
    for feature in range(36):
        offset = model.posedirs[:, :, feature]
        if np.abs(offset).max() < _SMALLEST_OFFSET:
            continue
        bone, row, column = 1 + feature // 9, feature % 9 // 3, feature % 3
        key = _add_key(mesh, corrective_key(bone, row, column), offset)
        driver = key.driver_add("value").driver
        driver.type = "SCRIPTED"
        variable = driver.variables.new()
        variable.name = "r"
        variable.targets[0].id = armature
        # Blender's data paths name a matrix's column first
        variable.targets[0].data_path = f'pose.bones["{BONES[bone]}"].matrix_basis[{column}][{row}]'
        driver.expression = "r-1" if row == column else "r"
