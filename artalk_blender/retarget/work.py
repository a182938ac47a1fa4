# SPDX-License-Identifier: GPL-3.0-or-later
"""The job: a take of a head onto a target, as a take of its own; from the panel, a script or the command line.

Written for runner.py: no Blender data is held over a yield, all is found again by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy

from ..animation.take_data import (
    LINES,
    TAKE_KEY,
    UNFINISHED,
    Provenance,
    check_take,
    keying_of,
    loudness_of,
    noted,
    raw_motion,
    settings_of,
    times_of,
)
from ..animation.takes import head_of_take, new_take, retune
from ..errors import ArtalkError
from ..head.handle import Head, head_of
from ..runner import Stopped, Work
from .faces import Pair, pair_of, preparing_transfer
from .mapping import Table
from .player import Retarget, Source, retarget_of_take, retargets
from .rigs import find_preset, fitted, read_preset
from .tables import AUTO, table_for, to_size
from .targets import Target, fingerprint, limits_of, override_meshes, skin_of, target_of

LANDMARKS_KEY = "artalk_landmarks"  # on the target's mesh: JSON, name -> (3,) in its own coordinates

Tell = Callable[[float, str], None]


def retargeting(take: str, target: str, others: Iterable[str] = (), method: str = AUTO, facing: str = "auto",
                folders: Iterable[Path] = (), tell: Tell | None = None) -> Work[str]:
    """Makes a take on the target from the take of that name; returns the new take's name.

    By names it is keyed at once and its error measured afterwards, if that can be; by geometry the heads are laid onto
    each other first. Raises ArtalkError with one sentence; then nothing has changed.
    """
    tell = tell or (lambda share, what: None)
    tell(0.0, "Looking at the target")
    made = make_retarget(take, target, tuple(others), method, facing, tuple(folders))
    solves = made.table.solves
    made.wants_error = False
    name = ""
    if not solves:
        name = _key(take, made)
    del made
    yield
    try:
        pair = _pair(take, target, tuple(others), method, facing, tuple(folders), name)
        yield from preparing_transfer(pair, tell)
        del pair
    except Stopped:
        if solves:
            raise
        _say(name, "You stopped before the error was measured.")
        return name
    except ArtalkError as error:
        if solves:
            raise
        _say(name, f"The error could not be measured: {error}")
        return name
    tell(1.0, "Writing the keys")
    yield
    if solves:
        return _key(take, make_retarget(take, target, tuple(others), method, facing, tuple(folders)))
    action = bpy.data.actions.get(name)
    if action is not None:
        measure(action)
    return name


def make_retarget(take: str, target: str, others: tuple[str, ...], method: str, facing: str,
                  folders: tuple[Path, ...]) -> Retarget:
    """The target with its table for a take, before anything is written. Raises ArtalkError."""
    _, source = source_of(take)
    thing = bpy.data.objects.get(target)
    if thing is None:
        raise ArtalkError(f"There is no object “{target}”.", "Choose one of the file.")
    found = target_of(thing, [one for one in map(bpy.data.objects.get, others) if one is not None])
    head = source.found()
    if head is not None and (head.mesh in found.objects or head.armature in found.objects):
        raise ArtalkError(f"“{target}” is the head that plays the take itself.", "Choose another target.")
    table, notes = _table(found, source, method, folders)
    marks = landmarks_of(found)
    table = replace(table, facing=facing if facing != "auto" else table.facing, landmarks=marks or table.landmarks)
    Retarget(found, table, source).check()
    done = override_meshes(found)
    if done:
        found = target_of(thing, [one for one in map(bpy.data.objects.get, others) if one is not None])
    return Retarget(found, table, source, about=[*notes, *done])


def _table(target: Target, source: Source, method: str, folders: tuple[Path, ...]) -> tuple[Table, list[str]]:
    """A preset's where one knows the rig, else what names or geometry give."""
    if method == AUTO:
        keys = target.keys()
        given = next((path for path in folders if path.is_file()), None)
        preset = read_preset(given) if given is not None else \
            find_preset(fingerprint(target), [*keys, *target.bone_names()], folders)
        if preset is not None and head_of(target.main) is None:
            table, notes = fitted(preset, {name: limits_of(blocks) for name, blocks in keys.items()},
                                  target.bone_names())
            if not preset.fingerprint:
                table = to_size(target, table)
            return table, [f"Mapped by the preset “{preset.name}”.", *notes]
    return table_for(target, source.face.names, method)


def source_of(take: str) -> tuple[Any, Source]:
    """The take of that name and the head that it is for. Raises ArtalkError."""
    action = bpy.data.actions.get(take)
    if action is None:
        raise ArtalkError(f"There is no take “{take}”.", "Choose one of the list, or generate one.")
    check_take(action)
    if UNFINISHED in action[TAKE_KEY]:
        raise ArtalkError(f"The take “{take}” is still being made.", "Wait until it is whole.")
    if retargets(action):
        return action, retarget_of_take(action).source
    head = head_of_take(action)
    assert isinstance(head, Head)
    return action, Source.of(head)


def _key(take: str, made: Retarget) -> str:
    """Writes the new take: same motion, tuning, keying and provenance as the one it comes from."""
    action, _ = source_of(take)
    stored = action[TAKE_KEY].to_dict()
    known = {name: stored[name] for name in Provenance.__dataclass_fields__ if name in stored and name != LINES}
    known["settings"] = {}
    provenance = Provenance(**{name: value for name, value in known.items() if name not in ("lines",)},
                            lines=noted(action, LINES, []))
    result = new_take(made, raw_motion(action), stored["start_frame"], stored["scene_fps"], provenance,
                      *settings_of(action), loudness=loudness_of(action), times=times_of(action))
    result.name = f"{action.name} on {made.name}"
    made.remember(result)
    return str(result.name)


def _say(name: str, sentence: str) -> None:
    """Adds a sentence to a take's report."""
    action = bpy.data.actions.get(name)
    if action is not None:
        made = retarget_of_take(action)
        made.report["notes"] = [*made.report.get("notes", []), sentence]
        made.remember(action)


def _pair(take: str, target: str, others: tuple[str, ...], method: str, facing: str, folders: tuple[Path, ...],
          name: str) -> Pair:
    made = retarget_of_take(bpy.data.actions[name]) if name in bpy.data.actions else \
        make_retarget(take, target, others, method, facing, folders)
    return pair_of(made.target, made.table, made.source.found(), made.source.head)


def measure(action: Any) -> dict[str, Any]:
    """Makes a take's keys again with the error measured; returns the report. The heads are prepared if they are not."""
    made = retarget_of_take(action)
    made.wants_error = True
    retune(action, *settings_of(action), made)
    return made.report


def change_table(action: Any, table: Table) -> Any:
    """Makes a take's keys again with another table; returns the Action that has them."""
    made = retarget_of_take(action)
    return retune(action, settings_of(action)[0], keying_of(action), replace(made, table=table))


# -- landmarks ---------------------------------------------------------------------------------------------------------

def landmarks_of(target: Target) -> dict[str, tuple[float, float, float]]:
    """What was clicked on the target's main mesh; nothing where that is damaged."""
    mesh = skin_of(target)
    if mesh is None or LANDMARKS_KEY not in mesh:
        return {}
    with suppress(ValueError, TypeError, ArtalkError):
        return Table.from_dict({"rows": [], "landmarks": json.loads(mesh[LANDMARKS_KEY])}).landmarks
    return {}


def set_landmarks(mesh: Any, marks: dict[str, tuple[float, float, float]]) -> None:
    if marks:
        mesh[LANDMARKS_KEY] = json.dumps({name: list(point) for name, point in marks.items()})
    elif LANDMARKS_KEY in mesh:
        del mesh[LANDMARKS_KEY]


__all__ = ["change_table", "landmarks_of", "make_retarget", "measure", "retargeting", "set_landmarks"]
