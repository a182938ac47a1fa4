# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion -> the F-curves of a target: signals, the table, turns of bones, and how far off the lips come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..animation.channels import continuous_axis_angle, continuous_euler
from ..animation.fcurves import Channel, bone_path, key_path
from ..errors import ArtalkError
from ..head.handle import Head
from ..motion.process import axis_angle_to_quaternions
from .bones import local_turns
from .draft import solution
from .faces import arkit_values, slider_rows, transfer_for
from .mapping import AXIS, KEY, SOLVED, TURN, Row, Table, apply_rows, terms
from .names import ARKIT
from .signals import VISEME, arkit_table, is_arkit, named_signals, turns, viseme_signals
from .system import Reduced
from .targets import ERROR_PROPERTY, Target, axes_of, driven, missing_rows
from .transfer import Held, Transfer

Floats = NDArray[np.floating[Any]]

_WORST = 12  # channels named in a report


@dataclass(frozen=True)
class Baked:
    """F-curves, and a report fit for JSON: notes and missing (sentences), lips_mm (median, 95th percentile, largest)
    or none where nothing was measured, by_channel: [name, mm], draft: True where the keys are one."""

    channels: list[Channel]
    report: dict[str, Any]


def bake(target: Target, table: Table, head: Head | None, names: Sequence[str], motion: Floats,
         wants_error: bool = True, source_name: str = "", take: str = "") -> Baked:
    """Motion (T,106) of a source with expressions of these names, on its frames, becomes all that the table asks for.

    wants_error: also where the heads have to be prepared for it, which takes some seconds. take: its id, under which
    the solver remembers what it found.
    Raises ArtalkError where a row wants the geometry and there is none.
    """
    notes: list[str] = []
    signals = signals_of(table, head, names, motion, source_name)
    transfer, solved, error = _solve(target, table, head, motion, signals, wants_error, source_name, take, notes)
    applied = apply_rows([row for row in table.rows if _is_there(row, target)], signals,
                         solved.weights_by_label if solved else {}, len(motion))
    notes += applied.notes
    lost_keys, lost_bones = missing_rows(target, table)
    for lost, what in ((lost_keys, "shape keys"), (lost_bones, "bones")):
        if lost:
            notes.append(f"These {what} are no longer there or have other names: {', '.join(lost[:5])}.")
    channels = _key_channels(target, applied.values, notes)
    channels += _bone_channels(target, table, applied.values, turns(motion, signals), solved)
    if transfer is not None:
        if error is None:
            error = _error_by_name(transfer, target, table, applied.values, turns(motion, signals), motion,
                                   solved.reduced if solved else transfer.reduce(motion))
        notes += transfer.notes
        channels += _error_channel(target, error.error_mm)
    return Baked(channels, {**_report(notes, error), **({"draft": True} if solved and not solved.whole else {})})


def signals_of(table: Table, head: Head | None, names: Sequence[str], motion: Floats,
               source_name: str = "") -> dict[str, Any]:
    """All signals (T,) that the rows ask for, as far as the source has them."""
    signals: dict[str, Any] = named_signals(names, motion)
    asked = {name for row in table.rows if row.kind != TURN and not row.mute for _, name in terms(row.source)}
    visemes = sorted(name.removeprefix(VISEME) for name in asked if name.startswith(VISEME))
    if (visemes or asked & set(ARKIT)) and not is_arkit(names):
        signals.update(arkit_values(head, source_name, motion))
    if visemes:
        signals.update(viseme_signals(visemes, arkit_table(signals)))
    return signals


def held_rows(target: Target, table: Table, signals: dict[str, Any], count: int) -> Held | None:
    """The rows that follow names, beside others that are solved, as the solver's sliders; None without any."""
    rows = slider_rows(table, target)
    named = [index for index, row in enumerate(rows) if all(name != SOLVED for _, name in terms(row.source))]
    if not named:
        return None
    values = apply_rows([rows[index] for index in named], signals, {}, count).values
    return Held(np.array(named), np.stack([values[rows[index]] for index in named], 1).astype(np.float64))


@dataclass(frozen=True)
class _Solution:
    weights_by_label: dict[str, Any]
    jaw: Any
    reduced: Reduced
    whole: bool


def _solve(target: Target, table: Table, head: Head | None, motion: Floats, signals: dict[str, Any],
           wants_error: bool, source_name: str, take: str, notes: list[str],
           ) -> tuple[Transfer | None, _Solution | None, Any]:
    """The solver where rows or the error want it, what it gave, and its own account of the error."""
    if not table.solves:
        try:
            return transfer_for(target, table, head, source_name, not wants_error), None, None
        except ArtalkError as error:
            if wants_error:
                notes.append(f"The error could not be measured: {error}")
            return None, None, None
    transfer = transfer_for(target, table, head, source_name)
    assert transfer is not None
    found = solution(transfer, motion, take, held_rows(target, table, signals, len(motion)))
    rows, x = slider_rows(table, target), found.x.astype(np.float32)
    by_label = {row.label: x[:, index] for index, row in enumerate(rows)}
    solved = _Solution(by_label, x[:, -1] if transfer.system.has_jaw else None, found.reduced, found.whole)
    plain = all(row.source == "solved" and row.gain == 1.0 and row.offset == 0.0 for row in rows)
    return transfer, solved, transfer.report(motion, found.reduced, found.x) if plain else None


def _error_by_name(transfer: Transfer, target: Target, table: Table, values: dict[Row, Floats],
                   turned: dict[str, Any], motion: Floats, reduced: Reduced) -> Any:
    """How far off the lips are with these values, whoever chose them."""
    rows = slider_rows(table, target)
    sliders = np.stack([values.get(row, np.zeros(len(motion))) for row in rows], 1) if rows \
        else np.zeros((len(motion), 0))
    if transfer.target.jaw is not None:
        row = next(row for row in table.rows if row.kind == TURN and row.source in ("jaw", "jaw_bone") and not row.mute)
        sliders = np.column_stack([sliders, row.gain * turned[row.source][:, 0]])
    return transfer.report(motion, reduced, sliders)


def _report(notes: list[str], solved: Any) -> dict[str, Any]:
    report: dict[str, Any] = {"notes": list(dict.fromkeys(notes))}
    if solved is not None:
        error = np.asarray(solved.error_mm, np.float64)
        report["lips_mm"] = [float(np.median(error)), float(np.percentile(error, 95)), float(error.max())] \
            if len(error) else []
        worst = sorted(solved.by_channel.items(), key=lambda pair: -pair[1])[:_WORST]
        report["by_channel"] = [[name, float(value)] for name, value in worst if value > 0.05]
        report["missing"] = list(solved.missing)
    return report


def _is_there(row: Row, target: Target) -> bool:
    return row.target in (target.keys() if row.kind == KEY else target.bone_names())


def _key_channels(target: Target, values: dict[Row, Floats], notes: list[str]) -> list[Channel]:
    """A curve on every mesh that has the key; a slider with a driver is left to it."""
    keys, channels, bound = target.keys(), [], []
    kinds = {mesh: target.kind_of(mesh.data.shape_keys) for mesh in target.meshes}
    drivers = {mesh: driven(mesh.data.shape_keys) for mesh in target.meshes}
    for row, numbers in values.items():
        if row.kind != KEY:
            continue
        for mesh, _ in keys[row.target]:
            path = key_path(row.target)
            if path in drivers[mesh]:
                bound.append(row.target)
                continue
            channels.append(Channel(kinds[mesh], path, 0, "Expression", numbers))
    if bound:
        notes.append(f"Left to their drivers: {', '.join(sorted(set(bound))[:5])}.")
    return channels


def _bone_channels(target: Target, table: Table, values: dict[Row, Floats], turned: dict[str, Any],
                   solved: _Solution | None) -> list[Channel]:
    """Turns and controls; several rows of one bone add up."""
    if target.armature is None:
        return []
    kind, there = target.kind_of(target.armature), set(target.bone_names())
    axes = axes_of(target, table.facing)
    vectors: dict[str, Any] = {}
    channels = []
    for row in table.rows:
        if row.mute or row.target not in there:
            continue
        if row.kind == TURN:
            turn = turned[row.source]
            if row.source == "jaw" and solved is not None and solved.jaw is not None:
                turn = np.stack([solved.jaw, 0 * solved.jaw, 0 * solved.jaw], 1).astype(np.float64)
            rest = np.array(target.armature.data.bones[row.target].matrix_local.to_3x3().normalized())
            local = local_turns(turn, axes, rest, row.gain)
            vectors[row.target] = vectors.get(row.target, 0.0) + local
        elif row.kind == AXIS and row in values:
            if row.path == "rotation":
                vector = np.zeros((len(values[row]), 3))
                vector[:, row.index] = values[row]
                vectors[row.target] = vectors.get(row.target, 0.0) + vector
            else:
                numbers = values[row] + (1.0 if row.path == "scale" else 0.0)
                channels.append(Channel(kind, bone_path(row.target, row.path), row.index, row.target, numbers))
    bound = driven(target.armature)
    for name, vector in vectors.items():
        if not any(path.startswith(bone_path(name, "rotation")) for path in bound):
            channels += rotation_channels(kind, name, target.armature.pose.bones[name].rotation_mode, vector)
    return channels


def rotation_channels(kind: str, name: str, mode: str, vector: Floats) -> list[Channel]:
    """Rotation vectors (T,3) as curves in the bone's own rotation mode."""
    quaternions = axis_angle_to_quaternions(vector)
    if mode == "QUATERNION":
        path, numbers = "rotation_quaternion", quaternions
    elif mode == "AXIS_ANGLE":
        path, numbers = "rotation_axis_angle", continuous_axis_angle(vector)
    else:
        path, numbers = "rotation_euler", continuous_euler(quaternions, mode)
    return [Channel(kind, bone_path(name, path), index, name, numbers[:, index]) for index in range(numbers.shape[1])]


def _error_channel(target: Target, error: Floats) -> list[Channel]:
    """Millimetres at the lips as a curve of the main object, to be seen in the Graph Editor."""
    target.main[ERROR_PROPERTY] = float(error[0]) if len(error) else 0.0
    return [Channel(target.kind_of(target.main), f'["{ERROR_PROPERTY}"]', 0, "ARTalk", error)]

