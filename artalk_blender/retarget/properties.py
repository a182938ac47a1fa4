# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the retargeting: of a scene, what is to be retargeted where; of a take, its table as it is shown.

What counts is the table that the take notes; the rows here are its picture, in which people change it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import bpy

from ..animation.take_data import is_edited, noted
from ..errors import EngineError
from .bones import FACINGS
from .mapping import Row, Table
from .player import RETARGET, retargets
from .tables import AUTO, GEOMETRY, NAMES

_METHODS = (
    (AUTO, "By Itself", "A preset that knows the rig, else by names where they say something, else by geometry"),
    (NAMES, "By Names", "ARKit's names in any spelling, visemes, VRM expressions"),
    (GEOMETRY, "By Geometry", "The shape keys, whatever they are called, that bring the face nearest to the source's"),
)
_FACINGS = (("auto", "By Bones", "As the bones of the two sides lie; else to the front"),
            *((name, name, f"The face looks along {name}") for name in FACINGS))

_silent = 0
problem = ""  # why the last change of a table changed no keys


def _moved(row: Any, _context: Any) -> None:
    """A row was changed by hand: the take that has it is keyed anew."""
    global problem
    if _silent:
        return
    from .work import change_table

    action = row.id_data
    problem = ""
    if not retargets(action):
        return
    if is_edited(action):
        problem = "The take was edited by hand, so its table stays as it is: duplicate the take first"
        show_rows(action)
        return
    try:
        table = Table.from_dict(noted(action, RETARGET, {}).get("table"))
        changed = Table(tuple(_row_of(one) for one in action.artalk_rows), table.facing, table.landmarks,
                        table.strengths)
        change_table(action, changed)
    except (EngineError, ValueError) as error:
        problem = str(error)[0].upper() + str(error)[1:]


class ArtalkRetargetRow(bpy.types.PropertyGroup):
    """One row of a mapping table, as in mapping.Row."""

    target: bpy.props.StringProperty(name="Target", description="Shape key or bone of the target")
    kind: bpy.props.StringProperty(options={"HIDDEN"})
    path: bpy.props.StringProperty(options={"HIDDEN"})
    index: bpy.props.IntProperty(options={"HIDDEN"})
    source: bpy.props.StringProperty(
        name="Source", update=_moved,
        description="What it follows: jawOpen, 0.5*mouthFunnel+jawOpen, viseme:aa; solved: what the geometry asks for",
    )
    gain: bpy.props.FloatProperty(name="Gain", default=1.0, soft_min=0.0, soft_max=2.0, min=-1000.0, max=1000.0,
                                  update=_moved, description="Times the source")
    offset: bpy.props.FloatProperty(name="Offset", soft_min=-1.0, soft_max=1.0, min=-1000.0, max=1000.0, update=_moved,
                                    description="Added to it")
    low: bpy.props.FloatProperty(name="Least", min=-1000.0, max=1000.0, soft_min=-1.0, soft_max=1.0, update=_moved,
                                 description="No value below it is written")
    high: bpy.props.FloatProperty(name="Most", default=1.0, min=-1000.0, max=1000.0, soft_min=0.0, soft_max=2.0,
                                  update=_moved, description="No value above it is written")
    mute: bpy.props.BoolProperty(name="Mute", update=_moved, description="Leave this channel alone")


_FIELDS = ("target", "source", "kind", "gain", "offset", "low", "high", "mute", "path", "index")


def _row_of(shown: Any) -> Row:
    """Raises ValueError, one sentence."""
    return Row(**{name: getattr(shown, name) for name in _FIELDS})


def show_rows(action: Any) -> None:
    """Puts a take's table into its rows, as far as they differ."""
    global _silent
    if not hasattr(action, "artalk_rows") or not retargets(action) or action.library is not None:
        return
    rows: tuple[Row, ...] = ()
    with suppress(EngineError):
        rows = Table.from_dict(noted(action, RETARGET, {}).get("table")).rows
    shown = action.artalk_rows
    _silent += 1
    try:
        if [one.target for one in shown] != [row.target for row in rows]:
            shown.clear()
            for _ in rows:
                shown.add()
        for one, row in zip(shown, rows, strict=True):
            for name in _FIELDS:
                value = getattr(row, name)
                if getattr(one, name) != value:
                    setattr(one, name, value)
    finally:
        _silent -= 1


def _is_target(_settings: Any, thing: bpy.types.Object) -> bool:
    return thing.type in ("MESH", "ARMATURE")


class ArtalkRetargetSettings(bpy.types.PropertyGroup):
    """What the next retarget does."""

    target: bpy.props.PointerProperty(
        name="Target", type=bpy.types.Object, poll=_is_target,
        description="The mesh with the face's shape keys, or the armature with its meshes",
    )
    with_selected: bpy.props.BoolProperty(
        name="With Selected", default=True,
        description="The other selected meshes move along: teeth, lashes, beard",
    )
    method: bpy.props.EnumProperty(name="Map", items=_METHODS, default=AUTO, description="How the table is made")
    facing: bpy.props.EnumProperty(name="Facing", items=_FACINGS, default="auto",
                                   description="Which way the face looks at rest, in its armature or else in the scene")
    row: bpy.props.IntProperty(name="Row", description="The row of the table that is shown in full")


_CLASSES = (ArtalkRetargetRow, ArtalkRetargetSettings)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Action.artalk_rows = bpy.props.CollectionProperty(type=ArtalkRetargetRow)
    bpy.types.Scene.artalk_retarget = bpy.props.PointerProperty(type=ArtalkRetargetSettings)


def unregister() -> None:
    del bpy.types.Scene.artalk_retarget
    del bpy.types.Action.artalk_rows
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
