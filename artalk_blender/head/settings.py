# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's sliders, on its armature object. They show and set the ID property that the head keeps without us."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from ..errors import EngineError
from .handle import head_of
from .identity import set_identity
from .names import IDENTITY_KEY

SLIDERS = 10
_UNCHECKED = -1.0

# why the last slider that was moved moved nothing; shown under the sliders
problem = ""


class ArtalkHeadSettings(bpy.types.PropertyGroup):
    """The first coefficients of a head's identity, and what checking it gave."""

    def _get_first(self) -> Sequence[float]:
        stored = list(self.id_data.get(IDENTITY_KEY, ()))[:SLIDERS]
        return stored + [0.0] * (SLIDERS - len(stored))

    def _set_first(self, values: Sequence[float]) -> None:
        global problem
        problem = ""
        head = head_of(self.id_data)
        if head is None:
            return
        identity = head.identity
        identity[:SLIDERS] = list(values)
        try:
            set_identity(head, identity, bpy.context)
        except EngineError as error:
            problem = str(error)
        else:
            forget_check(self.id_data)

    # not animatable: the shape is in the basis, which keys can't reach
    first: bpy.props.FloatVectorProperty(
        name="Identity", size=SLIDERS, get=_get_first, set=_set_first, options=set(), soft_min=-3.0, soft_max=3.0,
        min=-10.0, max=10.0, step=10, precision=2,
        description="The first ten of 300 coefficients, which change the face most, in standard deviations",
    )
    checked: bpy.props.FloatProperty(
        name="Distance from FLAME", default=_UNCHECKED, options=set(),
        description="Largest distance of a vertex from FLAME's own skinning, in metres, when last checked; -1: not yet",
    )


def forget_check(armature: bpy.types.Object) -> None:
    """After the head's shape was changed."""
    global problem
    problem = ""
    if hasattr(armature, "artalk_face"):
        armature.artalk_face.checked = _UNCHECKED


def accuracy(face: ArtalkHeadSettings) -> str:
    """What checking the head gave, for the panel."""
    if face.checked < 0.0:
        return "Distance from FLAME: not checked"
    return f"Distance from FLAME: {1e6 * face.checked:.2f} µm at most"


def register() -> None:
    bpy.utils.register_class(ArtalkHeadSettings)
    bpy.types.Object.artalk_face = bpy.props.PointerProperty(type=ArtalkHeadSettings)


def unregister() -> None:
    del bpy.types.Object.artalk_face
    bpy.utils.unregister_class(ArtalkHeadSettings)
