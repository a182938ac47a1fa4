# SPDX-License-Identifier: GPL-3.0-or-later
"""A target that plays takes as a head does: what the motion becomes on it, and what a take remembers of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..animation.fcurves import Channel
from ..animation.take_data import TAKE_KEY, is_take, note, noted
from ..errors import ArtalkError
from ..head.handle import Head, find_head, head_of
from ..motion.regions import EXPRESSIONS, REGIONS, FaceChannels
from .bake import Baked, bake
from .draft import known_as
from .layering import body_under, body_up
from .mapping import Table
from .targets import ERROR_PROPERTY, Target, check_target, target_of

RETARGET = "retarget"  # within the take's data: JSON of objects, table, source, report
FACE_KEY = "artalk_source_face"  # on the Action: bytes, (3,100,100) and (100,) float32: how the source's face is tuned
_FACE = len(REGIONS) * EXPRESSIONS * EXPRESSIONS

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Source:
    """The head that a motion is for: its armature's name, and its face for tuning."""

    head: str
    face: FaceChannels

    @classmethod
    def of(cls, head: Head) -> Source:
        return cls(head.armature.name, head.face_channels())

    def found(self) -> Head | None:
        """The head in this file, where its expressions are still the same."""
        head = head_of(bpy.data.objects.get(self.head))
        return head if head is not None and tuple(head.expression_keys) == self.face.names else None


@dataclass
class Retarget:
    """A target, how it follows which source, and what came out of it last.

    about: sentences on the table, said once; report: of bake.Baked, made anew with the keys; take: its id or “”.
    """

    target: Target
    table: Table
    source: Source
    report: dict[str, Any] = field(default_factory=dict)
    about: list[str] = field(default_factory=list)
    wants_error: bool = True
    take: str = ""

    @property
    def owners(self) -> tuple[tuple[str, Any], ...]:
        return self.target.owners

    @property
    def name(self) -> str:
        return self.target.name

    def face_channels(self) -> FaceChannels:
        return self.source.face

    def check(self) -> None:
        """Raises ArtalkError where something of the target can't be animated."""
        check_target(self.target)

    def channels(self, motion: Floats) -> list[Channel]:
        """All F-curves that motion (T,106) becomes on the target; `report` says how well."""
        baked: Baked = bake(self.target, self.table, self.source.found(), self.source.face.names, motion,
                            self.wants_error, self.source.head, self.take)
        self.report = {**baked.report, "notes": list(dict.fromkeys([*self.about, *baked.report["notes"]]))}
        return baked.channels

    # -- what a take remembers -----------------------------------------------------------------------------------------

    def remember(self, action: Any) -> None:
        """Writes on a take what it needs to be made again."""
        take = str(action[TAKE_KEY].get("id", ""))
        known_as(self.take, take)
        self.take = take
        note(action, RETARGET, {
            "main": self.target.main.name, "objects": [one.name for one in self.target.objects],
            "table": self.table.as_dict(), "source": self.source.head, "names": list(self.source.face.names),
            "report": self.report, "about": self.about,
        })
        from .properties import show_rows

        show_rows(action)
        if FACE_KEY in action:
            del action[FACE_KEY]
        gram, blink = self.source.face.gram, self.source.face.blink
        if gram is not None:
            parts = [gram.ravel()] + ([blink] if blink is not None else [])
            action[FACE_KEY] = np.concatenate(parts).astype("<f4").tobytes()

    def forget(self, action: Any) -> None:
        """Takes the error's property off again, once no other take plays it."""
        for _, owner in self.owners:
            playing = owner.animation_data.action if owner.animation_data is not None else None
            if ERROR_PROPERTY in owner and (playing is None or playing == action or not retargets(playing)):
                del owner[ERROR_PROPERTY]

    def put_body_under(self, owner: Any, action: Any) -> str:
        """Lets an object's own animation go on beneath a take; returns the NLA track's name where it made one."""
        current = owner.animation_data.action if owner.animation_data is not None else None
        if not isinstance(owner, bpy.types.Object) or is_take(current) or current == action:
            return ""
        return body_under(owner, action)

    def take_body_up(self, owner: Any, track: str) -> None:
        body_up(owner, track)


def retargets(action: Any) -> bool:
    """Whether a take belongs to a target rather than to a head."""
    return is_take(action) and RETARGET in action[TAKE_KEY]


def is_draft(action: Any) -> bool:
    """Whether a take's keys were solved in haste, while a slider was moved."""
    report = noted(action, RETARGET, {}).get("report") if retargets(action) else None
    return isinstance(report, dict) and report.get("draft") is True


def retarget_of_take(action: Any) -> Retarget:
    """The target of a take with its table. Raises ArtalkError where its objects are gone or its notes are damaged."""
    stored = noted(action, RETARGET, {})
    table = Table.from_dict(stored.get("table"))
    target = _target_of_take(action, stored)
    return Retarget(target, table, Source(str(stored.get("source", "")), _face_of(action, stored)),
                    dict(stored.get("report", {})), [str(one) for one in stored.get("about", ())][:100], False,
                    str(action[TAKE_KEY].get("id", "")))


def _target_of_take(action: Any, stored: dict[str, Any]) -> Target:
    """By the data-blocks that its slots animate, else by name; renamed ones are found by the former."""
    named = [bpy.data.objects.get(str(name)) for name in stored.get("objects", []) if isinstance(name, str)]
    users = {f"{slot.target_id_type}:{slot.name_display}": _user(slot) for slot in action.slots}
    main = bpy.data.objects.get(str(stored.get("main", "")))
    if main is None:
        keys = {user for user in users.values() if isinstance(user, bpy.types.Key)}
        main = next((user for user in users.values() if isinstance(user, bpy.types.Object)), None) or next(
            (one for one in bpy.data.objects if one.type == "MESH" and one.data.shape_keys in keys), None)
    if main is None:
        raise ArtalkError(f"The target of the take “{action.name}” is no longer here.", "Retarget to another object.")
    target = target_of(main, [one for one in named if one is not None])
    owners, free = [], dict(target.owners)
    for kind, user in users.items():
        owner = user if user in free.values() else free.get(kind)
        if owner is not None:
            owners.append((kind, owner))
    taken = {owner for _, owner in owners}
    meshes = tuple(mesh for mesh in target.meshes if mesh.data.shape_keys in taken)
    armature = target.armature if target.armature in taken else None
    return replace(target, meshes=meshes, armature=armature, owners=tuple(owners))


def _user(slot: Any) -> Any:
    return next(iter(slot.users()), None)


def _face_of(action: Any, stored: dict[str, Any]) -> FaceChannels:
    names = tuple(map(str, stored.get("names", ())))
    names = names if len(names) == EXPRESSIONS else tuple(f"exp_{index:03d}" for index in range(EXPRESSIONS))
    gram = blink = None
    kept = action.get(FACE_KEY, b"")
    if isinstance(kept, bytes) and len(kept) in (4 * _FACE, 4 * (_FACE + EXPRESSIONS)):
        numbers = np.frombuffer(kept, "<f4").astype(np.float32)
        gram = numbers[:_FACE].reshape(len(REGIONS), EXPRESSIONS, EXPRESSIONS)
        blink = numbers[_FACE:] if len(numbers) > _FACE else None
    with suppress(ValueError):
        return FaceChannels(names, gram, blink)
    return FaceChannels(names)


def retarget_take_on(thing: Any) -> Any:
    """The take of a retarget that plays on an object, its shape keys or its armature, from the NLA too; or None."""
    if thing is None:
        return None
    owners = [thing, getattr(thing.data, "shape_keys", None) if thing.type == "MESH" else None, thing.parent]
    for owner in owners:
        data = getattr(owner, "animation_data", None)
        if data is None:
            continue
        strips = [strip for track in reversed(data.nla_tracks) if not track.mute for strip in track.strips
                  if not strip.mute]
        for action in (data.action, *(strip.action for strip in strips)):
            if retargets(action):
                return action
    return None


def find_player(context: Any) -> Head | Retarget | None:
    """The target that is active, where it plays a take of ours; else the head, as `find_head` finds it."""
    action = retarget_take_on(context.view_layer.objects.active)
    if action is not None:
        with suppress(ArtalkError):
            return retarget_of_take(action)
    return find_head(context)

