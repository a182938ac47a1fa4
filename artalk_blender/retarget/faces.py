# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's objects -> the plain arrays that the solver works on, for source and target; the solver kept for reuse.

All of it stands in the face's axes, left, up and forward, in metres of the scene. What moves the skin is a list of
sliders: shape keys as they are stored, and a rig's controls as they are found to move it when each is moved alone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Quaternion, Vector
from numpy.typing import NDArray

from ..engine.assets import DEFAULT_HEAD
from ..engine.flame.file import read_flame
from ..errors import ArtalkError
from ..head.handle import Head, head_of
from ..head.source import load_model
from ..runner import Work, finish
from .bones import FACINGS
from .face import JawBone, Options, SourceFace, TargetFace, flame_landmarks
from .mapping import AXIS, KEY, TURN, Row, Table
from .names import ARKIT, arkit_columns
from .targets import Target, axes_of, skin_of, skinned
from .transfer import Progress, Transfer, prepare, preparing

Floats = NDArray[np.float64]

_KEPT = 3  # prepared pairs of heads
_TRIAL = {"rotation": 0.15, "scale": 0.2}  # radians, parts: how far a control is moved to see what it does
_TRIAL_MOVE = 0.1  # of the mesh's size, for locations
_transfers: OrderedDict[str, Transfer] = OrderedDict()


@dataclass(frozen=True)
class Pair:
    """Source and target as plain arrays, and the name under which their solver is remembered."""

    source: SourceFace
    target: TargetFace
    options: Options
    name: str


def pair_of(target: Target, table: Table, head: Head | None, source_name: str) -> Pair:
    """Raises ArtalkError where source or target is not fit for the geometry."""
    if head is None:
        raise ArtalkError(f"The head “{source_name}” that this motion is for is not in the file.",
                          "Bring it back, or map by names.")
    face = target_face(target, table)
    model, identity = load_model(head), head.identity
    known = hashlib.sha1(usedforsecurity=False)
    for array in (face.neutral, face.deltas, face.limits, face.triangles, identity):
        known.update(np.ascontiguousarray(array).tobytes())
    known.update(repr((model.sha256, face.names, sorted(face.landmarks), table.landmarks, face.jaw is None)).encode())
    return Pair(SourceFace.from_model(model, identity), face, options_of(table), known.hexdigest())


def preparing_transfer(pair: Pair, progress: Progress | None = None) -> Work[Transfer]:
    """The solver of a pair for runner.py, made or remembered."""
    known = remembered(pair)
    if known is not None:
        return known
    made = yield from preparing(pair.source, pair.target, None, pair.options, progress)
    _transfers[pair.name] = made
    while len(_transfers) > _KEPT:
        _transfers.popitem(last=False)
    return made


def remembered(pair: Pair) -> Transfer | None:
    if pair.name not in _transfers:
        return None
    _transfers.move_to_end(pair.name)
    return _transfers[pair.name].with_options(pair.options)


def transfer_for(target: Target, table: Table, head: Head | None, source_name: str,
                 only_known: bool = False) -> Transfer | None:
    """The solver for this source and target; None where only a remembered one was wanted and there is none."""
    if only_known and (head is None or not _transfers):
        return None
    pair = pair_of(target, table, head, source_name)
    return remembered(pair) if only_known else finish(preparing_transfer(pair))


def options_of(table: Table) -> Options:
    """The solver's strengths, as far as the table sets them."""
    plain = {name for name in Options.__dataclass_fields__ if name != "regions"}
    return Options(**{name: value for name, value in table.strengths.items() if name in plain})


def arkit_values(head: Head | None, source_name: str, motion: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """ARKit's 52 values (T,) by name for a motion of any FLAME head: with them the default head does the same."""
    if head is None:
        raise ArtalkError(f"The head “{source_name}” that this motion is for is not in the file.",
                          "Bring it back: its expressions have no names by which they could be mapped.")
    model, default = load_model(head), read_flame(DEFAULT_HEAD)
    name = f"default {model.sha256} {head.identity.tobytes()!r}"
    if name not in _transfers:
        columns = arkit_columns(default.expression_names)
        deltas = np.asarray(default.expressiondirs, np.float32)[:, :, columns].transpose(2, 0, 1)
        face = TargetFace(np.asarray(default.v_template, np.float64), default.faces.astype(np.int64), ARKIT, deltas,
                          np.tile((0.0, 1.0), (len(ARKIT), 1)), None, flame_landmarks(default))
        _transfers[name] = prepare(SourceFace.from_model(model, head.identity), face)
    solved = _transfers[name].solve(motion)
    return {shape: solved.weights[:, index].astype(np.float64) for index, shape in enumerate(ARKIT)}


# -- the target --------------------------------------------------------------------------------------------------------

def target_face(target: Target, table: Table) -> TargetFace:
    """All unmuted rows as sliders over all meshes of the target."""
    meshes = list(target.meshes) or skinned(target)
    if not meshes:
        raise ArtalkError(f"“{target.name}” has no mesh, so nothing can be measured on it.", "Map by names.")
    turn = face_axes_in_world(target, table)
    bases = [_to_face(mesh, _basis(mesh), turn) for mesh in meshes]
    starts = np.cumsum([0, *(len(base) for base in bases)])
    triangles = np.concatenate([_triangles(mesh) + start for mesh, start in zip(meshes, starts)])
    rows = slider_rows(table, target)
    deltas = np.zeros((len(rows), int(starts[-1]), 3), np.float32)
    controls = [(index, row) for index, row in enumerate(rows) if row.kind == AXIS]
    for index, row in enumerate(rows):
        if row.kind == KEY:
            for mesh, start in zip(meshes, starts):
                delta = _key_delta(mesh, row.target)
                if delta is not None:
                    part = _to_face(mesh, delta, turn, direction=True)
                    deltas[index, start : start + len(part)] = part
    if controls:
        _measure(target, meshes, [row for _, row in controls], turn, starts, deltas, [index for index, _ in controls])
    limits = np.array([(row.low, row.high) for row in rows], np.float64).reshape(-1, 2)
    main = skin_of(target)
    marks = {name: _to_face(main, np.array([point], np.float64), turn)[0] for name, point in table.landmarks.items()}
    head = head_of(target.main)
    if head is not None and not marks:
        model = load_model(head)
        marks = {name: _to_face(head.mesh, point[None], turn)[0]
                 for name, point in flame_landmarks(model, head.identity).items()}
    neutral = np.concatenate(bases)
    return TargetFace(neutral, triangles, tuple(row.label for row in rows), deltas, limits,
                      _jaw(target, table, meshes, turn), marks)


def slider_rows(table: Table, target: Target) -> list[Row]:
    """Rows that move the skin and that the target has."""
    keys, bones = target.keys(), set(target.bone_names())
    return [row for row in table.rows if not row.mute
            and ((row.kind == KEY and row.target in keys) or (row.kind == AXIS and row.target in bones))]


def face_axes_in_world(target: Target, table: Table) -> Floats:
    """(3,3) the face's left, up and forward as columns."""
    if target.armature is not None:
        world = np.array(target.armature.matrix_world.to_3x3().normalized())
        return world @ axes_of(target, table.facing)
    return FACINGS.get(table.facing, FACINGS["-Y"])


def _to_face(mesh: Any, points: Floats, turn: Floats, direction: bool = False) -> Floats:
    """Points (N,3) of a mesh -> the face's axes."""
    matrix = np.array(mesh.matrix_world)
    world = points @ matrix[:3, :3].T + (0.0 if direction else matrix[:3, 3])
    return np.asarray(world @ turn, np.float64)


def _basis(mesh: Any) -> Floats:
    keys = mesh.data.shape_keys
    return _points(keys.reference_key.points if keys is not None else mesh.data.vertices)


def _points(points: Any) -> Floats:
    result = np.empty((len(points), 3), np.float32)
    points.foreach_get("co", result.ravel())
    return result.astype(np.float64)


def _key_delta(mesh: Any, name: str) -> Floats | None:
    """(V,3) what a shape key moves at 1, within its vertex group; None where the mesh has no such key."""
    keys = mesh.data.shape_keys
    block = keys.key_blocks.get(name) if keys is not None else None
    if block is None or block == keys.reference_key:
        return None
    delta = _points(block.points) - _points(block.relative_key.points)
    if block.vertex_group:
        delta *= _group(mesh, [block.vertex_group])[:, None]
    return delta


def _group(mesh: Any, names: list[str], normal: bool = False) -> Floats:
    """(V,) weights in the vertex groups together; `normal`: as a part of each vertex's weights."""
    wanted = {mesh.vertex_groups[name].index for name in names if name in mesh.vertex_groups}
    result = np.zeros(len(mesh.data.vertices))
    for index, vertex in enumerate(mesh.data.vertices):
        weights = {entry.group: entry.weight for entry in vertex.groups}
        total = sum(weights.values()) if normal else 1.0
        result[index] = sum(weights.get(group, 0.0) for group in wanted) / max(total, 1e-12)
    return result


def _triangles(mesh: Any) -> NDArray[np.int64]:
    mesh.data.calc_loop_triangles()
    result = np.empty(len(mesh.data.loop_triangles) * 3, np.int32)
    mesh.data.loop_triangles.foreach_get("vertices", result)
    return result.reshape(-1, 3).astype(np.int64)


def _jaw(target: Target, table: Table, meshes: list[Any], turn: Floats) -> JawBone | None:
    """The bone that opens the mouth, where a row has it turn and a vertex group hangs on it."""
    row = next((row for row in table.rows if row.kind == TURN and row.source in ("jaw", "jaw_bone") and not row.mute
                and row.target in set(target.bone_names())), None)
    if row is None or target.armature is None:
        return None
    bone = target.armature.data.bones[row.target]
    names = [bone.name, *(child.name for child in bone.children_recursive)]
    weight = np.concatenate([_group(mesh, names, normal=True) for mesh in meshes])
    if weight.max(initial=0.0) <= 0.0:
        return None
    place = np.array(target.armature.matrix_world @ bone.head_local) @ turn
    return JawBone(weight, place, np.array([1.0, 0.0, 0.0]))


# -- controls ----------------------------------------------------------------------------------------------------------

def _measure(target: Target, meshes: list[Any], rows: list[Row], turn: Floats, starts: Any,
             deltas: NDArray[np.float32], places: list[int]) -> None:
    """Moves each control alone, there and back, and writes what the skin did per unit."""
    with _at_rest(target, meshes) as graph:
        for index, row in zip(places, rows, strict=True):
            bone = target.armature.pose.bones[row.target]
            step = _TRIAL.get(row.path) or _TRIAL_MOVE * max(row.high - row.low, 1e-6) * 5.0
            sides = []
            for sign in (1.0, -1.0):
                _place(bone, row, sign * step)
                bpy.context.view_layer.update()
                sides.append([_evaluated(mesh, graph) for mesh in meshes])
                _place(bone, row, 0.0)
            for mesh, start, plus, minus in zip(meshes, starts, *sides):
                moved = _to_face(mesh, (plus - minus) / (2.0 * step), turn, direction=True)
                deltas[index, start : start + len(moved)] = moved
        bpy.context.view_layer.update()


def _place(bone: Any, row: Row, value: float) -> None:
    """One axis of a bone's own transform, all else at rest."""
    vector = [0.0, 0.0, 0.0]
    vector[row.index] = value
    if row.path == "location":
        bone.location = vector
    elif row.path == "scale":
        bone.scale = [1.0 + one for one in vector]
    else:
        bone.matrix_basis = Quaternion(Vector(vector).normalized(), Vector(vector).length).to_matrix().to_4x4() \
            if value else Quaternion().to_matrix().to_4x4()


def _evaluated(mesh: Any, graph: Any) -> Floats:
    found = _points(mesh.evaluated_get(graph).data.vertices)
    if len(found) != len(mesh.data.vertices):
        raise ArtalkError(f"Modifiers of “{mesh.name}” change its vertices, so its controls can't be measured.",
                          "Switch them off in the viewport while you retarget.")
    return found


@contextmanager
def _at_rest(target: Target, meshes: list[Any]) -> Iterator[Any]:
    """The armature in its rest pose with nothing playing on it, and the meshes with nothing but its deformation.

    All of it is as before afterwards.
    """
    armature = target.armature
    if armature.name not in bpy.context.view_layer.objects:
        raise ArtalkError(f"“{armature.name}” is not in this view layer, so its controls can't be measured.",
                          "Show its collection.")
    data = armature.animation_data
    played = (data.action, data.action_slot, data.use_nla) if data is not None else None
    pose = [(bone.name, bone.matrix_basis.copy()) for bone in armature.pose.bones]
    position, off = armature.data.pose_position, []
    try:
        if data is not None:
            data.action, data.use_nla = None, False
        armature.data.pose_position = "POSE"
        for bone in armature.pose.bones:
            bone.matrix_basis = Quaternion().to_matrix().to_4x4()
        for mesh in meshes:
            for modifier in mesh.modifiers:
                if modifier.type != "ARMATURE" and modifier.show_viewport:
                    off.append((mesh.name, modifier.name))
                    modifier.show_viewport = False
        bpy.context.view_layer.update()
        yield bpy.context.evaluated_depsgraph_get()
    finally:
        for name, matrix in pose:
            armature.pose.bones[name].matrix_basis = matrix
        armature.data.pose_position = position
        for mesh_name, name in off:
            bpy.data.objects[mesh_name].modifiers[name].show_viewport = True
        if played is not None:
            data.action = played[0]
            if played[1] is not None:
                data.action_slot = played[1]
            data.use_nla = played[2]
        bpy.context.view_layer.update()
