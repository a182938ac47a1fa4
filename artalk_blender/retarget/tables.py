# SPDX-License-Identifier: GPL-3.0-or-later
"""The table that a target gets by itself: by names of keys and bones, or by geometry where these say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ArtalkError
from ..head.handle import head_of
from ..head.names import BONES, ROOT
from .bones import chain_shares
from .mapping import AXIS, SOLVED, TURN, Row, Table
from .names import recognise
from .signals import ALONE, VISEME
from .targets import Target, bones_of_face, driven, limits_of

AUTO, NAMES, GEOMETRY = "auto", "names", "geometry"
METHODS = (AUTO, NAMES, GEOMETRY)
# Controls of Rigify's face, by how their names begin, and which of their axes move the skin as a face does.
_RIGIFY = ("jaw_master", "lip.", "lips.", "brow.T.", "brow.B.", "lid.T.", "lid.B.", "cheek.B.", "cheek.T.", "chin",
           "nose.L", "nose.R", "nose_master")
_RIGIFY_JAW = "jaw_master"
_SHIPPED_EYES = 0.103  # metres between the eye controls of the rig that the shipped presets were made on
_REACH = 0.12  # of the distance between the eyes or of the head's size: how far a control may be moved


def table_for(target: Target, source_names: Sequence[str], method: str = AUTO) -> tuple[Table, list[str]]:
    """A table for a source whose expressions have these names, and sentences on what was left out.

    Raises ArtalkError where nothing of the target could be moved.
    """
    notes: list[str] = []
    if method not in METHODS:
        raise ArtalkError(f"There is no method “{method}”.", f"Use {', '.join(METHODS)}.")
    keys = _free_keys(target, notes)
    same = _same_head(target, source_names)
    if same is not None:
        return same, notes
    spoken, doubtful = recognise(keys)
    mouth = any(one.source.startswith((VISEME, "mouth", "jawOpen")) for one in spoken)
    by_name = method == NAMES or (method == AUTO and mouth)
    meant = {one.key: one.source for one in spoken}
    rows = []
    if by_name:
        notes += doubtful
        unknown = [name for name in keys if name not in meant]
        rows = [Row(name, meant[name], low=limits[0], high=limits[1]) for name, limits in keys.items() if name in meant]
        if unknown:
            notes.append(f"{len(unknown)} shape keys have names that mean nothing here and are left alone: "
                         f"{_some(unknown)}.")
    else:
        rows = [Row(name, SOLVED, low=limits[0], high=limits[1]) for name, limits in keys.items()]
    if method == NAMES and keys and not spoken:
        raise ArtalkError(f"No shape key of “{target.name}” has a name that is known here.",
                          "Retarget by geometry, or fill in the table.")
    bones = _bone_rows(target, meant, by_name, notes)
    if any(row.source == "jaw" and not row.mute for row in bones):  # which turns it aside as well
        rows = [replace(row, source=f"{ALONE}{row.source}") if row.source in ("jawLeft", "jawRight") else row
                for row in rows]
    rows += bones
    if not rows:
        raise ArtalkError(f"Nothing of “{target.name}” could be moved: no free shape keys, no bones of a face.",
                          "Choose the mesh with the face's shape keys, or name the bones in the table.")
    return Table(tuple(rows)), notes


def _free_keys(target: Target, notes: list[str]) -> dict[str, tuple[float, float]]:
    """Keys without drivers and their limits; what has drivers is named."""
    keys, bound, muted = {}, [], []
    paths = {mesh: driven(mesh.data.shape_keys) for mesh in target.meshes}
    for name, blocks in target.keys().items():
        if any(block.path_from_id("value") in paths[mesh] for mesh, block in blocks):
            bound.append(name)
        else:
            keys[name] = limits_of(blocks)
            if all(block.mute for _, block in blocks):
                muted.append(name)
    if bound:
        notes.append(f"{len(bound)} shape keys have drivers and are left to them: {_some(bound)}.")
    if muted:
        notes.append(f"{len(muted)} shape keys are switched off in the mesh, so they will not be seen: {_some(muted)}.")
    return keys


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _same_head(target: Target, names: Sequence[str]) -> Table | None:
    """A FLAME head with the very same expressions takes them as they are, its bones too."""
    head = head_of(target.main)
    if head is None or list(names) != head.expression_keys:
        return None
    rows = [Row(name, f"{ALONE}{name}", low=-10.0, high=10.0) for name in names]
    rows += [Row(BONES[ROOT], "head", TURN), Row("jaw", "jaw_bone", TURN)]
    return Table(tuple(rows), facing="+Z")


def _bone_rows(target: Target, meant: dict[str, str], by_name: bool, notes: list[str]) -> list[Row]:
    """Turns of head, neck, jaw and eyes; a face rig's controls where there are no keys to do it."""
    if target.armature is None:
        return []
    found, bound = bones_of_face(target), driven(target.armature)
    bones = target.armature.data.bones
    head = head_of(target.main)
    rows = []
    if head is not None:
        rows.append(Row(BONES[ROOT], "head", TURN))
    elif "head" in found or "neck" in found:
        top = found.get("head", found.get("neck", []))[0]
        chain = {name: bones[name].length for name in [top, *found.get("neck", ())]}
        rows += [Row(name, "head", TURN, gain=round(share, 4)) for name, share in chain_shares(chain, top).items()]
    said = set(meant.values())
    is_control_rig = by_name is False and not target.keys() and _RIGIFY_JAW in bones
    if "jaw" in found and not is_control_rig:
        rows.append(Row(found["jaw"][0], "jaw", TURN, mute=by_name and "jawOpen" in said))
    elif "jaw" not in found and not any(one == "jawOpen" or one.startswith(VISEME) for one in said) \
            and (by_name or not target.keys()):
        notes.append(f"“{target.armature.name}” has no bone that is called a jaw: choose one in the table.")
    for role, key in (("eye_left", "eyeLookUpLeft"), ("eye_right", "eyeLookUpRight")):
        if role in found:
            rows.append(Row(found[role][0], role, TURN, mute=key in said))
    if is_control_rig:
        rows += control_rows(target)
    held = [row.target for row in rows if any(f'"{row.target}"].rotation' in path for path in bound)]
    if held:
        notes.append(f"The bones {_some(held)} are turned by drivers and left to them.")
    return [replace(row, mute=True) if row.target in held else row for row in rows]


def control_rows(target: Target, names: Sequence[str] = ()) -> list[Row]:
    """Rows that the solver fills for controls of a face: of Rigify's, or of the bones that are named."""
    bones = target.armature.data.bones
    if not names:
        names = [bone.name for bone in bones if bone.name.startswith(_RIGIFY)]
    reach = _eyes_apart(target) or _size(target)
    rows: list[Row] = []
    for name in names:
        bone = target.armature.pose.bones[name]
        if name == _RIGIFY_JAW:
            rows += [Row(name, SOLVED, AXIS, low=-0.5, high=0.5, path="rotation", index=index) for index in (0, 2)]
        else:
            rows += [Row(name, SOLVED, AXIS, low=-_REACH * reach, high=_REACH * reach, path="location", index=index)
                     for index in range(3) if not bone.lock_location[index]]
    return rows


def to_size(target: Target, table: Table) -> Table:
    """A shipped table, whose controls move as befits Rigify's human, for a face of another size."""
    factor = _eyes_apart(target) / _SHIPPED_EYES
    if factor <= 0.0:
        return table
    return replace(table, rows=tuple(
        replace(row, low=row.low * factor, high=row.high * factor)
        if row.kind == AXIS and row.path == "location" else row for row in table.rows))


def _eyes_apart(target: Target) -> float:
    """Distance of the eye controls of a face rig at rest, in the armature's units; 0 where it has none."""
    bones = target.armature.data.bones if target.armature is not None else {}
    eyes = [bones[name].head_local for name in ("eye.L", "eye.R") if name in bones]
    return float((eyes[0] - eyes[1]).length) if len(eyes) == 2 else 0.0


def _size(target: Target) -> float:
    mesh: Any = next(iter(target.meshes), None)
    return max(mesh.dimensions) * 0.3 if mesh is not None else 0.06
