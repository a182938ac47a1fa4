# SPDX-License-Identifier: GPL-3.0-or-later
"""A head that is in the file: its two objects, what they know about themselves, and how they are found."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.flame.model import EXPRESSION_COUNT, SHAPE_COUNT
from ..motion.regions import REGIONS, FaceChannels
from .names import BLINK_KEY, HEAD_KEY, IDENTITY_KEY, LIPS_KEY, REGIONS_KEY, ROLE_KEY, SHIFT_KEY


@dataclass(frozen=True)
class Head:
    """The two objects of a head. Hold it for one operation only: undo and delete make it stale."""

    armature: Any
    mesh: Any

    @property
    def shape_keys(self) -> Any:
        """The Key data-block."""
        return self.mesh.data.shape_keys

    @property
    def owners(self) -> tuple[tuple[str, Any], ...]:
        """The data-blocks that a take animates, with the kind of their slot (animation/fcurves.py)."""
        return ("KEY", self.shape_keys), ("OBJECT", self.armature)

    @property
    def name(self) -> str:
        return str(self.armature.name)

    @property
    def expression_keys(self) -> list[str]:
        """Names of the 100 expression shape keys, in channel order."""
        return list(self.armature[HEAD_KEY]["expression_keys"])

    @property
    def joint_shift(self) -> NDArray[np.float64]:
        """(5,3,100): metres that each joint moves per unit of each expression."""
        return np.array(self.armature[SHIFT_KEY], np.float64).reshape(5, 3, EXPRESSION_COUNT)

    @property
    def identity(self) -> NDArray[np.float64]:
        """(300,) identity coefficients that the head is to have; all zero for the neutral one."""
        stored = np.array(self.armature.get(IDENTITY_KEY, ()), np.float64).ravel()[:SHAPE_COUNT]
        return np.concatenate([stored, np.zeros(SHAPE_COUNT - len(stored))])

    @property
    def lip_vertices(self) -> dict[str, list[int]]:
        """`upper` and `lower`: vertices of the inner lips, opposite each other; `ring`: both lips. Empty if unknown."""
        stored = self.armature.get(LIPS_KEY)
        return {} if stored is None else {name: list(stored[name]) for name in ("upper", "lower", "ring")}

    def face_channels(self) -> FaceChannels:
        """What tuning has to know of the head; heads of earlier versions know only their channels' names."""
        gram = self._floats(REGIONS_KEY, (len(REGIONS), EXPRESSION_COUNT, EXPRESSION_COUNT))
        return FaceChannels(tuple(self.expression_keys), gram, self._floats(BLINK_KEY, (EXPRESSION_COUNT,)))

    def _floats(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """An array that the head keeps, or None where it has none of that size."""
        stored = self.armature.get(name, ())
        return np.array(stored, np.float32).reshape(shape) if len(stored) == prod(shape) else None


def find_head(context: Any) -> Head | None:
    """The head that was picked for the scene; or the one that is active or selected; or the only one in the scene."""
    picked = getattr(getattr(context.scene, "artalk", None), "head_object", None)
    if picked is not None and picked.name in context.scene.objects and head_of(picked) is not None:
        return head_of(picked)
    candidates = [context.view_layer.objects.active, *context.view_layer.objects.selected]
    for candidate in candidates:
        head = head_of(candidate)
        if head is not None:
            return head
    heads = [head for head in map(head_of, context.scene.objects) if head is not None]
    armatures = {head.armature.name for head in heads}
    return heads[0] if len(armatures) == 1 else None


def head_of(thing: Any) -> Head | None:
    """The head that an object, its armature or its mesh, belongs to."""
    if thing is None:
        return None
    armature = thing.parent if ROLE_KEY in thing and thing.parent else thing
    if HEAD_KEY not in armature or armature.type != "ARMATURE":
        return None
    mesh = next((child for child in armature.children if ROLE_KEY in child and child.type == "MESH"), None)
    return Head(armature, mesh) if mesh is not None and mesh.data.shape_keys else None
