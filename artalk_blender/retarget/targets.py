# SPDX-License-Identifier: GPL-3.0-or-later
"""The target of a retarget: its meshes with shape keys and its armature, found from any one of its objects.

Nothing here changes what it finds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ..animation.fcurves import KEY, OBJECT
from ..errors import ArtalkError
from ..head.handle import Head, head_of
from .bones import FACINGS, face_axes
from .mapping import KEY as KEY_ROW
from .mapping import Table
from .names import face_bones, words

ERROR_PROPERTY = "artalk_error_mm"  # on the main object: mm at the lips, keyed by the take


@dataclass(frozen=True)
class Target:
    """Objects that a take moves together. Hold it for one operation only: undo and delete make it stale.

    main: the object that was picked; meshes with shape keys, no mesh twice; armature or None. `owners`: what a take
    animates, each with the kind of its slot, “KEY:name of the slot” or “OBJECT:name”.
    """

    main: Any
    meshes: tuple[Any, ...]
    armature: Any
    owners: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        return str(self.main.name)

    @property
    def objects(self) -> tuple[Any, ...]:
        return tuple(dict.fromkeys([self.main, *self.meshes, *([self.armature] if self.armature else [])]))

    def kind_of(self, owner: Any) -> str:
        return next(kind for kind, one in self.owners if one == owner)

    def keys(self) -> dict[str, list[tuple[Any, Any]]]:
        """Name -> (object, shape key) of every mesh that has it; without each mesh's basis."""
        found: dict[str, list[tuple[Any, Any]]] = {}
        for mesh in self.meshes:
            blocks = mesh.data.shape_keys
            for block in blocks.key_blocks:
                if block != blocks.reference_key:
                    found.setdefault(block.name, []).append((mesh, block))
        return found

    def bone_names(self) -> list[str]:
        return [bone.name for bone in self.armature.pose.bones] if self.armature else []


def target_of(thing: Any, others: Iterable[Any] = ()) -> Target:
    """The target that an object is part of: an armature with its meshes, or a mesh with its armature; and others.

    Raises ArtalkError where there is nothing that could be moved.
    """
    if thing is None:
        raise ArtalkError("There is no target.", "Choose a mesh with shape keys, or an armature.")
    head = head_of(thing)
    if head is not None:
        return _of_head(thing, head)
    if thing.type not in ("MESH", "ARMATURE"):
        raise ArtalkError(f"“{thing.name}” is neither a mesh nor an armature.",
                          "Choose a mesh with shape keys, or an armature.")
    given = [thing, *(other for other in others if other is not None and other != thing)]
    armature = next((one for one in given if one.type == "ARMATURE"), None)
    if armature is None:
        armature = next(filter(None, map(_armature_of, given)), None)
    meshes = [one for one in given if _has_keys(one)]
    if thing.type == "ARMATURE" or not meshes:
        meshes += [one for one in bpy.data.objects if _has_keys(one) and armature and _armature_of(one) == armature]
    return _target(thing, meshes, armature)


def _target(main: Any, meshes: list[Any], armature: Any) -> Target:
    seen: dict[Any, Any] = {}
    for mesh in meshes:
        seen.setdefault(mesh.data, mesh)
    found = tuple(seen.values())
    if not found and (armature is None or not armature.pose.bones):
        raise ArtalkError(f"“{main.name}” has neither shape keys nor bones.",
                          "Choose a mesh with shape keys, or an armature.")
    for mesh in found:
        if not mesh.data.shape_keys.use_relative:
            raise ArtalkError(f"The shape keys of “{mesh.name}” are not relative ones.",
                              "Tick Relative in its Shape Keys panel.")
    owners = [(f"{KEY}:{mesh.data.shape_keys.name}", mesh.data.shape_keys) for mesh in found]
    objects = [armature] if armature is not None else []
    if main not in objects:
        objects.append(main)
    owners += [(f"{OBJECT}:{one.name}", one) for one in objects]
    return Target(main, found, armature, tuple(owners))


def _of_head(thing: Any, head: Head) -> Target:
    return _target(head.mesh if thing == head.mesh else head.armature, [head.mesh], head.armature)


def _has_keys(thing: Any) -> bool:
    return thing.type == "MESH" and thing.data.shape_keys is not None and len(thing.data.shape_keys.key_blocks) > 1


def _armature_of(mesh: Any) -> Any:
    """The armature that deforms a mesh, or that it hangs on."""
    if mesh.type != "MESH":
        return None
    found = next((one.object for one in mesh.modifiers if one.type == "ARMATURE" and one.object is not None), None)
    if found is None and mesh.parent is not None and mesh.parent.type == "ARMATURE":
        found = mesh.parent
    return found


def skinned(target: Target) -> list[Any]:
    """Meshes without keys that the armature deforms, those with the most points first: one of them is the skin."""
    found = [one for one in bpy.data.objects if one.type == "MESH" and any(
        modifier.type == "ARMATURE" and modifier.object == target.armature for modifier in one.modifiers)]
    return sorted(found, key=lambda one: -len(one.data.vertices))[:4]


def skin_of(target: Target) -> Any:
    """The mesh that landmarks belong to: what was picked, or the first with keys, or the skin; None without any."""
    if target.main.type == "MESH":
        return target.main
    return next(iter(target.meshes or skinned(target)), None)


# -- what must be known before anything is written ---------------------------------------------------------------------

def check_target(target: Target) -> None:
    """Raises ArtalkError for what can't be animated; nothing is to be written then."""
    for _, owner in target.owners:
        if owner.library is not None and not (isinstance(owner, bpy.types.Key) and _to_override(target)):
            raise ArtalkError(f"“{owner.name}” is linked from another file and can't be animated here.",
                              "Make a library override of it (Object > Library Override > Make).")


def _to_override(target: Target) -> list[Any]:
    """Overridden objects whose meshes are still linked, so that their keys can't be animated."""
    return [mesh for mesh in target.meshes if mesh.library is None and mesh.data.library is not None]


def override_meshes(target: Target) -> list[str]:
    """Makes library overrides of the meshes of objects that are ones already; returns what was done, in sentences."""
    done = []
    for mesh in _to_override(target):
        if mesh.data.override_create(remap_local_usages=True) is None:
            raise ArtalkError(f"The mesh of “{mesh.name}” can't be overridden.", "Make it local (Object > Relations).")
        done.append(f"The mesh of “{mesh.name}” is a library override now: the keys of linked ones can't be animated.")
    return done


def driven(owner: Any) -> set[str]:
    """Data paths on a data-block that have drivers."""
    data = owner.animation_data
    return {curve.data_path for curve in data.drivers} if data is not None else set()


def limits_of(blocks: list[tuple[Any, Any]]) -> tuple[float, float]:
    """The range in which all sliders of that name can go."""
    low = max(block.slider_min for _, block in blocks)
    high = min(block.slider_max for _, block in blocks)
    return (low, high) if low < high else (0.0, 1.0)


# -- bones -------------------------------------------------------------------------------------------------------------

def bones_of_face(target: Target) -> dict[str, list[str]]:
    """Role -> names; the neck as a chain from the head downwards, as long as its bones are called necks."""
    names = target.bone_names()
    found = face_bones(names)
    if "head" in found:
        chain, bone = [], target.armature.data.bones[found["head"][0]].parent
        necks = set(found.get("neck", ()))
        while bone is not None and bone.name in necks:
            chain.append(bone.name)
            bone = bone.parent
        found["neck"] = chain or found.get("neck", [])[:1]
    elif "neck" in found:
        found["neck"] = found["neck"][:1]
    return {role: bones for role, bones in found.items() if bones}


def axes_of(target: Target, facing: str) -> Any:
    """(3,3) the face's left, up and forward as columns, in the armature's own axes."""
    if facing in FACINGS:
        return FACINGS[facing]
    bones = target.armature.data.bones
    heads = {bone.name: np.array(bone.head_local) for bone in bones}
    pairs, sides = [], {}
    for name in heads:
        parts = words(name)
        side = next((word for word in parts if word in ("left", "right")), "")
        if side:
            sides.setdefault(tuple(word for word in parts if word not in ("left", "right")), {})[side] = name
    for both in sides.values():
        if len(both) == 2:
            pairs.append((heads[both["left"]], heads[both["right"]]))
    roles = face_bones(heads)
    head = roles.get("head", [None])[0]
    below = next((name for name in (*roles.get("neck", ()), *_parents(bones, head))), None)
    above = np.array(bones[head].tail_local) if head else None
    found = face_axes(pairs, above, heads[below] if below else heads[head] if head else None)
    if found is not None:
        return found
    # a character stands upright in the scene and looks to the front
    world = np.array(target.armature.matrix_world.to_3x3().normalized())
    return world.T @ FACINGS["-Y"]


def _parents(bones: Any, name: str | None) -> list[str]:
    return [bone.name for bone in bones[name].parent_recursive] if name else []


# -- known again -------------------------------------------------------------------------------------------------------

def fingerprint(target: Target) -> str:
    """sha256 of the names of keys and bones: the same for every character that was made with the same rig."""
    keys, bones = sorted(target.keys()), sorted(target.bone_names())
    text = "\n".join([str(len(keys)), *keys, str(len(bones)), *bones])
    return hashlib.sha256(text.encode()).hexdigest()


def missing_rows(target: Target, table: Table) -> tuple[list[str], list[str]]:
    """Names of keys and of bones that the table speaks of and the target has not."""
    keys, bones = target.keys(), set(target.bone_names())
    lost_keys = [row.target for row in table.rows if row.kind == KEY_ROW and row.target not in keys]
    lost_bones = [row.target for row in table.rows if row.kind != KEY_ROW and row.target not in bones]
    return sorted(set(lost_keys)), sorted(set(lost_bones))

