# SPDX-License-Identifier: GPL-3.0-or-later
"""Places on a mesh that are clicked: where they lie at rest, and where the mesh shows them whatever it plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
from mathutils import Vector
from mathutils.interpolate import poly_3d_calc

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Spot:
    """`rest`: where it lies while nothing plays, in the object's own coordinates. `corners`: the vertices of its
    polygon, with the share of each; `count`: how many vertices the mesh had as it was shown."""

    rest: Point
    corners: tuple[int, ...]
    shares: tuple[float, ...]
    count: int

    def shown_by(self, shown: Any) -> Vector:
        """Where an evaluated object shows it, in the world; its place at rest if the mesh has other vertices now."""
        points = shown.data.vertices
        place = _blend(points, self.corners, self.shares) if len(points) == self.count else Vector(self.rest)
        return shown.matrix_world @ place


def hit(context: bpy.types.Context, mesh: Any, start: Any, way: Any) -> Spot | None:
    """Where a ray of the scene meets the mesh as it is shown; None where it does not."""
    graph = context.evaluated_depsgraph_get()
    shown = mesh.evaluated_get(graph)
    inverse = shown.matrix_world.inverted()
    found, place, _, face = shown.ray_cast(inverse @ start, (inverse.to_3x3() @ way).normalized())
    if not found:
        return None
    points = shown.data.vertices
    corners = tuple(shown.data.polygons[face].vertices)
    shares = tuple(poly_3d_calc([points[corner].co for corner in corners], place))
    rest = mesh.data.shape_keys.reference_key.points if mesh.data.shape_keys is not None else mesh.data.vertices
    if len(points) == len(rest):
        place = _blend(rest, corners, shares)  # else a modifier has made others of them: the place itself
    return Spot(tuple(place), corners, shares, len(points))


def _blend(points: Any, corners: tuple[int, ...], shares: tuple[float, ...]) -> Vector:
    return sum((share * points[corner].co for corner, share in zip(corners, shares, strict=True)), Vector())
