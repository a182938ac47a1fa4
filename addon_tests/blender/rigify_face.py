# SPDX-License-Identifier: GPL-3.0-or-later
"""The default head's skin on a face that Rigify has generated, weighted by nearness to its deforming bones."""

from __future__ import annotations

import addon_utils
import bpy
import numpy as np
from characters import TO_BLENDER, mesh_object
from retarget_targets import source_face

_PLACES = {"mouth_left": "lips.L", "mouth_right": "lips.R", "nose_tip": "nose.002", "chin": "chin"}
_NEAR = 0.016  # metres
_LOWER = ("lip.B", "chin", "jaw", "tongue")


def generate() -> bpy.types.Object:
    """Rigify's human without a body."""
    addon_utils.enable("rigify", default_set=True)  # without that its parameters are not registered
    bpy.ops.object.armature_human_metarig_add()
    meta = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    bones = meta.data.edit_bones
    kept = {"spine.006", "spine.005", "spine.004"} | {bone.name for bone in bones["spine.006"].children_recursive}
    for bone in list(bones):
        if bone.name not in kept:
            bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    meta.pose.bones["spine.004"].rigify_parameters.connect_chain = False
    bpy.ops.pose.rigify_generate()
    rig = bpy.context.object
    bpy.data.objects.remove(meta)
    return rig


def skin(rig: bpy.types.Object) -> bpy.types.Object:
    """The default head brought to where the rig has mouth, nose, chin and eyes; no shape keys."""
    source = source_face()
    bones = rig.data.bones
    ours = [source.landmarks[name] for name in _PLACES]
    theirs = [np.array(bones[name].head_local) @ TO_BLENDER for name in _PLACES.values()]
    for side, letter in (("left", "L"), ("right", "R")):
        ours.append(0.5 * (source.landmarks[f"eye_{side}_inner"] + source.landmarks[f"eye_{side}_outer"]))
        lids = [bones[f"lid.{row}.{letter}.002"].head_local for row in "TB"]
        theirs.append(np.mean([np.array(lid) @ TO_BLENDER for lid in lids], 0))
    known = np.column_stack([np.array(ours), np.ones(len(ours))])
    fit = np.linalg.lstsq(known, np.array(theirs), rcond=None)[0]
    points = np.column_stack([source.neutral, np.ones(len(source.neutral))]) @ fit
    thing = mesh_object("Skin", points, source.triangles, {})
    lower = source.points.jaw_weight > 0.5
    placed = points @ TO_BLENDER.T
    thing["height"] = float(fit[1, 1])  # of the face, times the default head's
    deform = [bone for bone in bones if bone.name.startswith("DEF-") and bone.name != "DEF-spine.006"
              and not any(word in bone.name for word in ("spine", "teeth", "tongue", "ear"))]
    weights = {}
    for bone in deform:
        start, end = np.array(bone.head_local), np.array(bone.tail_local)
        along = np.clip((placed - start) @ (end - start) / max(((end - start) ** 2).sum(), 1e-12), 0, 1)
        away = np.linalg.norm(placed - start - along[:, None] * (end - start), axis=1)
        near = np.exp(-((away / _NEAR) ** 2))
        is_lower = bone.name.removeprefix("DEF-").startswith(_LOWER)
        if "lip" in bone.name or is_lower:
            near = near * (lower == is_lower)
        weights[bone.name] = near
    total = np.sum(list(weights.values()), 0)
    weights["DEF-spine.006"] = np.maximum(0.3 - total, 0.0) + 1e-4
    total = total + weights["DEF-spine.006"]
    for name, near in weights.items():
        group = thing.vertex_groups.new(name=name)
        for index in np.flatnonzero(near > 1e-3 * total).tolist():
            group.add([index], float(near[index] / total[index]), "REPLACE")
    modifier = thing.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    thing.parent = rig
    return thing
