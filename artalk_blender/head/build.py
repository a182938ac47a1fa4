# SPDX-License-Identifier: GPL-3.0-or-later
"""FlameModel -> mesh, shape keys, armature, correctives that evaluate to exactly what FLAME's skinning gives.

How the two meet: every bone points along FLAME's +Y with roll 0, so its rest axes are FLAME's axes and an
axis-angle is its `rotation_quaternion`; shape keys act before the Armature modifier, as in FLAME; pose
correctives are shape keys driven by (R - I), written out in quaternion components so that Blender evaluates
them without Python. FLAME is Y-up: the armature object carries the turn to Blender's Z-up, mesh and bones
stay in FLAME's own coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..engine import __version__
from ..engine.flame.model import FlameModel
from .materials import face_materials, make_material
from .names import BONES, HEAD_KEY, ROLE_KEY, SHIFT_KEY, corrective_key

_BONE_LENGTHS = (0.05, 0.05, 0.03, 0.015, 0.015)  # metres, for the eye only
_SMALLEST_WEIGHT = 1e-6
_SLIDER = 10.0  # Blender's own limit; FLAME coefficients leave 0..1 all the time

# (R - I)[row][column] of a unit quaternion; n is its squared length, since keys in between are not quite unit
_CORRECTIVE = (
    ("-2*(y*y+z*z)/n", "2*(x*y-w*z)/n", "2*(x*z+w*y)/n"),
    ("2*(x*y+w*z)/n", "-2*(x*x+z*z)/n", "2*(y*z-w*x)/n"),
    ("2*(x*z-w*y)/n", "2*(y*z+w*x)/n", "-2*(x*x+y*y)/n"),
)


@dataclass(frozen=True)
class Head:
    """The two objects of a head. Hold it for one operation only: undo and delete make it stale."""

    armature: Any
    mesh: Any

    @property
    def shape_keys(self) -> Any:
        """The Key data-block."""
        return self.mesh.data.shape_keys

    @property
    def expression_keys(self) -> list[str]:
        """Names of the 100 expression shape keys, in channel order."""
        return list(self.armature[HEAD_KEY]["expression_keys"])

    @property
    def joint_shift(self) -> NDArray[np.float64]:
        """(5,3,100): metres that each joint moves per unit of each expression."""
        return np.array(self.armature[SHIFT_KEY], np.float64).reshape(5, 3, 100)


def build_head(model: FlameModel, context: Any, name: str = "ARTalk Head") -> Head:
    """Adds a head to the scene at the 3D cursor, facing the front view, and selects it."""
    mesh = _make_mesh(model, name)
    _add_expressions(mesh, model)
    armature = _make_armature(model, context, name)
    context.collection.objects.link(mesh)
    mesh.parent = armature
    mesh[ROLE_KEY] = "mesh"
    _bind(mesh, armature, model)
    _add_correctives(mesh, armature, model)
    armature[HEAD_KEY] = {
        "name": model.path.name if model.path else "",
        "sha256": model.sha256,
        "version": __version__,
        "expression_keys": list(model.expression_names),
    }
    shift = np.einsum("jv,vck->jck", model.J_regressor.astype(np.float64), model.expressiondirs)
    armature[SHIFT_KEY] = shift.ravel().tolist()
    armature.location = context.scene.cursor.location
    armature.rotation_euler = (pi / 2.0, 0.0, 0.0)
    return Head(armature, mesh)


def find_head(context: Any) -> Head | None:
    """The head that is active or selected, or else the only one in the scene."""
    candidates = [context.view_layer.objects.active, *context.view_layer.objects.selected]
    for candidate in candidates:
        head = head_of(candidate)
        if head is not None:
            return head
    heads = [head for head in map(head_of, context.scene.objects) if head is not None]
    armatures = {head.armature.name for head in heads}
    return heads[0] if len(armatures) == 1 else None


def head_of(thing: Any) -> Head | None:
    """The head that an object, its armature or its mesh, belongs to."""
    if thing is None:
        return None
    armature = thing.parent if ROLE_KEY in thing and thing.parent else thing
    if HEAD_KEY not in armature or armature.type != "ARMATURE":
        return None
    mesh = next((child for child in armature.children if ROLE_KEY in child and child.type == "MESH"), None)
    return Head(armature, mesh) if mesh is not None and mesh.data.shape_keys else None


def _make_mesh(model: FlameModel, name: str) -> Any:
    """The neutral head, smooth, with its materials."""
    faces = model.quads if model.quads is not None else model.faces
    data = bpy.data.meshes.new(name)
    # a quad that repeats its last index is a triangle
    polygons = [face[:3] if len(face) == 4 and face[3] == face[2] else face for face in faces.tolist()]
    data.from_pydata(model.v_template, [], polygons)
    names, index = face_materials(model, faces)
    for material in names:
        data.materials.append(make_material(material))
    data.polygons.foreach_set("material_index", index)
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
    for other in list(context.view_layer.objects.selected):
        other.select_set(False)
    context.view_layer.objects.active = armature
    armature.select_set(True)
    joints = model.neutral_joints().astype(float)
    bpy.ops.object.mode_set(mode="EDIT")
    try:
        for index, bone_name in enumerate(BONES):
            bone = data.edit_bones.new(bone_name)
            bone.head = joints[index]
            bone.tail = joints[index] + (0.0, _BONE_LENGTHS[index], 0.0)
            bone.roll = 0.0
            if index:
                bone.parent = data.edit_bones[BONES[model.parents[index]]]
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
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
    """A driven shape key for every pose direction that moves anything."""
    for feature in range(36):
        offset = model.posedirs[:, :, feature]
        if not np.any(offset):
            continue
        bone, row, column = 1 + feature // 9, feature % 9 // 3, feature % 3
        key = _add_key(mesh, corrective_key(bone, row, column), offset)
        driver = key.driver_add("value").driver
        driver.type = "SCRIPTED"
        for component, letter in enumerate("wxyz"):
            variable = driver.variables.new()
            variable.name = letter
            variable.targets[0].id = armature
            variable.targets[0].data_path = f'pose.bones["{BONES[bone]}"].rotation_quaternion[{component}]'
        driver.expression = _CORRECTIVE[row][column].replace("n", "(w*w+x*x+y*y+z*z)")
