# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays an Action on a head, remembers what was there before, and puts it back.

What an artist had on the head is only ever set aside: the Action that played keeps a user, so that saving keeps it,
and the values of what was not animated are noted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import bpy

from ..errors import ArtalkError
from .fcurves import slot_of

Place = tuple[str, str, int]


class Player(Protocol):
    """Whatever plays takes: a head, or a target of the retargeting."""

    @property
    def owners(self) -> tuple[tuple[str, Any], ...]: ...

    @property
    def name(self) -> str: ...


def owners(head: Player) -> tuple[tuple[str, Any], ...]:
    """The data-blocks that a take animates, with the kind of their slot."""
    return head.owners


def owner_of(head: Player, kind: str) -> Any:
    """The data-block of that kind of slot; of takes on this and other players, which name their slots otherwise."""
    known = dict(owners(head))
    return known.get(kind) or next((owner for one, owner in known.items()
                                    if one.partition(":")[0] == kind.partition(":")[0]), None)


def check_changeable(head: Player) -> None:
    """Raises ArtalkError where another Action can't be put on the head."""
    for _, owner in owners(head):
        if owner.library is not None:
            raise ArtalkError(f"“{owner.name}” is linked from another file and can't be animated here.",
                              "Make a library override of the head with its mesh (Object > Library Override).")
        if owner.animation_data is not None and owner.animation_data.use_tweak_mode:
            raise ArtalkError(f"An NLA strip of “{owner.name}” is being tweaked.",
                              "Leave tweak mode in the Nonlinear Animation editor (Tab).")


def check_editable(head: Player) -> None:
    """Raises ArtalkError where an Action can't be put on the head, or would not be seen there."""
    check_changeable(head)
    for _, owner in owners(head):
        tracks = owner.animation_data.nla_tracks if owner.animation_data is not None else ()
        solo = next((track for track in tracks if track.is_solo), None)
        if solo is not None:
            raise ArtalkError(f"The NLA track “{solo.name}” of “{owner.name}” plays solo, so a take would not be seen.",
                              "Switch its star off in the Nonlinear Animation editor.")


def play(owner: Any, action: Any, slot: Any) -> bool:
    """Puts the Action's slot on a data-block; returns whether the one before had to be given a fake user to stay."""
    data = owner.animation_data or owner.animation_data_create()
    before, kept = data.action, False
    if before is not None and before != action and not before.use_fake_user and before.library is None:
        before.use_fake_user = kept = True
    data.action = action
    if action is not None and slot is not None:
        data.action_slot = slot
    return kept


def playing(owner: Any) -> dict[str, str]:
    """What plays on a data-block: name of the Action and identifier of its slot; empty where nothing does."""
    data = owner.animation_data
    if data is None or data.action is None:
        return {}
    return {"action": data.action.name, "slot": data.action_slot.identifier if data.action_slot else ""}


def values_now(head: Player, places: Iterable[Place]) -> dict[str, list[float]]:
    """Values of the properties at these places, as {data path: numbers}; custom ones are ours and aside."""
    result = {}
    for kind, path in dict.fromkeys((kind, path) for kind, path, _ in places if not path.startswith("[")):
        result[_noted_as(kind, path)] = _read(head, kind, path)
    return result


def _noted_as(kind: str, path: str) -> str:
    """The path; with its slot where a take has several of one kind."""
    return f"{kind} {path}" if ":" in kind else path


def _read(head: Player, kind: str, path: str) -> list[float]:
    value = owner_of(head, kind).path_resolve(path)
    return [float(value)] if isinstance(value, (int, float)) else [float(number) for number in value]


def put_values(head: Player, values: dict[str, list[float]], places: Iterable[Place]) -> None:
    """Sets the properties at `places` back to the noted values; what no longer exists is passed over."""
    for kind, path in dict.fromkeys((kind, path) for kind, path, _ in places):
        numbers = values.get(_noted_as(kind, path))
        parent, _, name = path.rpartition(".")
        try:
            thing = owner_of(head, kind).path_resolve(parent) if parent else None
            if numbers is not None and thing is not None:
                setattr(thing, name, numbers[0] if len(numbers) == 1 else numbers)
        except ValueError:
            continue


def users_of(action: Any) -> list[Any]:
    """The data-blocks on which the Action plays now; NLA strips aside."""
    return [owner for owner in _animatable(action) if owner.animation_data.action == action]


def strips_of(action: Any) -> list[tuple[Any, Any, Any]]:
    """NLA strips that use the Action, as (data-block, track, strip)."""
    return [(owner, track, strip) for owner in _animatable(action)
            for track in owner.animation_data.nla_tracks for strip in track.strips if strip.action == action]


def _animatable(action: Any) -> list[Any]:
    users = bpy.data.user_map(subset=[action]).get(action, set())
    return [user for user in users if getattr(user, "animation_data", None) is not None]


def slot_named(action: Any, identifier: str, kind: str) -> Any:
    """The slot of that identifier, or else the Action's first one of that kind, or None."""
    return next((slot for slot in action.slots if slot.identifier == identifier), None) or slot_of(action, kind)
