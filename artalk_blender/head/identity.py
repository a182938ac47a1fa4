# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose head it is: 300 coefficients that lie in the basis, not in shape keys of their own.

A change moves the basis, every shape key with it, and the joints. What FLAME itself does not know stays as it is:
animation, materials, modifiers, vertex groups, and every vertex, shape key or bone that an artist has changed or added
keeps what it has over FLAME's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..engine.flame.model import SHAPE_COUNT, FlameModel
from ..engine.npz_file import UNREADABLE, read_npy
from ..errors import ArtalkError
from .bones import edit_bones
from .handle import Head
from .names import BONES, BUILT_KEY, IDENTITY_KEY, corrective_key
from .source import load_model

Floats = NDArray[np.float32]
_EDIT = 1e-6  # metres: a vertex or joint nearer to FLAME's than this was not moved by anybody
_LARGEST_FILE = 1 << 16  # bytes
_MOST = 100.0  # a coefficient is a number of standard deviations


def random_coefficients(seed: int, strength: float = 1.0) -> NDArray[np.float64]:
    """(300,) a person at random: FLAME's coefficients are in standard deviations of the people it was made from."""
    return strength * np.random.default_rng(seed).standard_normal(SHAPE_COUNT)


def read_coefficients(path: str | Path) -> NDArray[np.float64]:
    """(up to 300,) an identity from a `.npy` file. Raises ArtalkError where it holds none."""
    path = Path(path)
    problem = ArtalkError(f"“{path.name}” holds no identity.", f"Choose a .npy of up to {SHAPE_COUNT} numbers.")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise problem
        found = read_npy(path.read_bytes())
    except OSError:
        raise ArtalkError(f"“{path}” can't be read.", "Check the path.") from None
    except UNREADABLE:
        raise problem from None
    if found.dtype.kind not in "fiu" or not 0 < found.size <= SHAPE_COUNT:
        raise problem
    return found.astype(np.float64).ravel()


def set_identity(head: Head, coefficients: NDArray[np.floating[Any]], context: Any) -> None:
    """Gives the head the identity (up to 300,), FLAME's first coefficients, the others zero.

    Raises ArtalkError, and changes nothing, where the head can't be changed or its file is not found.
    """
    wanted = np.zeros(SHAPE_COUNT)
    given = np.asarray(coefficients, np.float64).ravel()
    if len(given) > SHAPE_COUNT or not np.isfinite(given).all() or (np.abs(given) > _MOST).any():
        raise ArtalkError(f"An identity is up to {SHAPE_COUNT} numbers between -{_MOST:g} and {_MOST:g}.",
                          "Most people lie between -3 and 3.")
    wanted[: len(given)] = given
    reason = fixed_reason(head, context)
    if reason:
        raise ArtalkError(reason, "The head is as it was.")
    model = load_model(head)
    if len(head.mesh.data.vertices) != model.vertex_count:
        raise ArtalkError(f"“{head.mesh.name}” no longer has FLAME's {model.vertex_count} vertices.",
                          "Change the identity before vertices are added or removed.")
    before, after = _neutral(model, built_identity(head)), _neutral(model, wanted)
    _move_shapes(head, model, before.astype(np.float32), after.astype(np.float32))
    _move_joints(head, model.J_regressor @ before, model.J_regressor @ after, context)
    for name in (IDENTITY_KEY, BUILT_KEY):
        # Blender overruns its memory where an array takes the place of one of another length
        head.armature.pop(name, None)
        head.armature[name] = wanted


def built_identity(head: Head) -> NDArray[np.float64]:
    """(300,) coefficients that mesh and joints have now; what is asked for may differ until it is applied."""
    return np.array(head.armature.get(BUILT_KEY, np.zeros(SHAPE_COUNT)), np.float64)


def fixed_reason(head: Head, context: Any) -> str:
    """Why the identity can't be changed now, in one sentence; empty when it can."""
    for data in (head.armature, head.armature.data, head.mesh.data, head.shape_keys):
        if data.library is not None or data.override_library is not None:
            return "The head is linked from another file: change its identity there"
    if context.mode not in ("OBJECT", "POSE") or head.mesh.mode != "OBJECT":
        return "Go to Object Mode first"
    for thing in (head.mesh, head.armature):
        other = next((found for found in bpy.data.objects if found.data == thing.data and found != thing), None)
        if other is not None:
            return f"The head shares its data with “{other.name}”: make it a single user first"
    return ""


def _neutral(model: FlameModel, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V,3) metres. In float32, which is within 1e-7 m of exact and leaves a slider smooth to drag."""
    offset = model.shapedirs.reshape(-1, SHAPE_COUNT) @ coefficients.astype(np.float32)
    return model.v_template.astype(np.float64) + offset.reshape(-1, 3)


def _move_shapes(head: Head, model: FlameModel, before: Floats, after: Floats) -> None:
    """Basis and all keys, from neutral `before` to `after` (V,3); edits by hand are carried along."""
    offsets = dict(zip(head.expression_keys, np.moveaxis(model.expressiondirs, 2, 0), strict=True))
    for feature in range(36):
        name = corrective_key(1 + feature // 9, feature % 9 // 3, feature % 3)
        offsets[name] = model.posedirs[:, :, feature]
    keys = head.shape_keys
    offsets[keys.reference_key.name] = np.zeros_like(before)
    points = np.empty_like(before)
    for key in keys.key_blocks:
        key.points.foreach_get("co", points.ravel())
        flame = offsets.get(key.name)
        if flame is None:
            moved = after + (points - before)
        else:
            edit = points - (before + flame)
            moved = after + flame
            if np.abs(edit).max() > _EDIT:
                moved += np.where(np.abs(edit) > _EDIT, edit, 0.0)
        key.points.foreach_set("co", moved.ravel())
        if key == keys.reference_key:
            head.mesh.data.vertices.foreach_set("co", moved.ravel())
    keys.update_tag()
    head.mesh.data.update()


def _move_joints(head: Head, before: NDArray[np.float64], after: NDArray[np.float64], context: Any) -> None:
    """FLAME's bones from joints `before` to `after` (5,3); bones that an artist hung on them go along."""
    moves = dict(zip(BONES, zip(before, after, strict=True), strict=True))
    with edit_bones(head.armature.data, context) as bones:
        heads, tails = {}, {}
        for bone in bones:
            head_now, tail_now = np.array(bone.head), np.array(bone.tail)
            if bone.name in moves:
                old, new = moves[bone.name]
                edit = head_now - old
                place = new + (edit if np.abs(edit).max() > _EDIT else 0.0)
            else:
                carrier = next((above.name for above in bone.parent_recursive if above.name in moves), None)
                place = head_now + (np.subtract(*reversed(moves[carrier])) if carrier else 0.0)
            heads[bone.name], tails[bone.name] = place, place + (tail_now - head_now)
        for bone in bones:
            bone.head, bone.tail = heads[bone.name], tails[bone.name]
