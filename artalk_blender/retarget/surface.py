# SPDX-License-Identifier: GPL-3.0-or-later
"""Triangle meshes: normals, neighbours, closest points, what is seen from outside. numpy only, no `bpy` use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..head.topology import pieces

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_DISTANCES = 8_000_000  # that are held at once
_MOST_TRIANGLES = 12  # round one vertex, that are tried


@dataclass(frozen=True)
class Places:
    """N points on a mesh: `corners` (N,3) vertices and `weights` (N,3) that sum to 1."""

    corners: Ints
    weights: Floats

    def of(self, values: NDArray[Any]) -> Floats:
        """Values (V,...) at the points (N,...)."""
        return np.einsum("nc...,nc->n...", values[self.corners].astype(np.float64), self.weights)

    def of_keys(self, deltas: NDArray[Any]) -> Floats:
        """Deltas (K,V,3) at the points (K,N,3)."""
        result = np.zeros((len(deltas), len(self.corners), 3))
        for corner in range(3):
            result += deltas[:, self.corners[:, corner]] * self.weights[None, :, corner, None]
        return result

    def __getitem__(self, chosen: Any) -> Places:
        return Places(self.corners[chosen], self.weights[chosen])


def at_vertices(vertices: Ints) -> Places:
    """The vertices (N,) themselves."""
    return Places(np.repeat(vertices[:, None], 3, 1), np.tile([1.0, 0.0, 0.0], (len(vertices), 1)))


def join(first: Places, second: Places) -> Places:
    return Places(np.concatenate([first.corners, second.corners]), np.concatenate([first.weights, second.weights]))


def vertex_normals(points: Floats, triangles: Ints) -> Floats:
    """(V,3) unit normals, each triangle counted by its area; zero for a vertex without area."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for axis in range(3):
        for corner in range(3):
            total[:, axis] += np.bincount(triangles[:, corner], across[:, axis], len(points))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0.0)


def vertex_areas(points: Floats, triangles: Ints) -> Floats:
    """(V,) a third of the area around each vertex."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6.0
    return np.bincount(triangles.ravel(), np.repeat(area, 3), len(points)).astype(np.float64)


def welded_pieces(points: Floats, triangles: Ints) -> Ints:
    """(V,) label of each vertex's piece, where vertices at the same place count as one (split at UV seams)."""
    unit = max(float(np.ptp(points, axis=0).max(initial=0.0)), 1e-12) * 1e-6
    _, place = np.unique(np.round(points / unit).astype(np.int64), axis=0, return_inverse=True)
    place = place.reshape(-1).astype(np.int64)
    return pieces(int(place.max(initial=-1)) + 1, place[triangles])[place]


def nearest(queries: Floats, data: Floats, count: int = 1) -> tuple[Ints, Floats]:
    """Rows of `data` (M,D) nearest to each of `queries` (N,D): indices and squared distances (N,count), nearest first.

    Every distance is computed, in float32 about the data's middle: 1,000 x 50,000 take a fraction of a second.
    """
    count = min(count, len(data))
    middle = data.mean(0)
    known = (data - middle).astype(np.float32)
    squares = (known**2).sum(1)
    asked = (queries - middle).astype(np.float32)
    index = np.empty((len(queries), count), np.int64)
    step = max(_MOST_DISTANCES // max(len(data), 1), 1)
    for begin in range(0, len(queries), step):
        part = squares - 2.0 * asked[begin : begin + step] @ known.T
        if count == 1:
            index[begin : begin + step, 0] = part.argmin(1)
            continue
        some = np.argpartition(part, count - 1, 1)[:, :count] if count < part.shape[1] else \
            np.tile(np.arange(count), (len(part), 1))
        order = np.take_along_axis(part, some, 1).argsort(1)
        index[begin : begin + step] = np.take_along_axis(some, order, 1)
    return index, ((queries[:, None] - data[index]) ** 2).sum(2)


def triangles_around(count: int, triangles: Ints) -> Ints:
    """(V,12) triangles at each vertex, -1 where there are fewer; more than 12 are left out."""
    table = np.full((count, _MOST_TRIANGLES), -1, np.int64)
    flat = triangles.ravel()
    order = np.argsort(flat, kind="stable")
    vertex = flat[order]
    first = np.searchsorted(vertex, vertex)
    slot = np.arange(len(vertex)) - first
    kept = slot < _MOST_TRIANGLES
    table[vertex[kept], slot[kept]] = order[kept] // 3
    return table


def closest_on_triangles(points: Floats, corners: Floats) -> tuple[Floats, Floats]:
    """Closest place of each triangle (N,3 corners,3) to its point (N,3): weights (N,3) and distance (N,)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    area = d00 * d11 - d01 * d01
    safe = np.where(area > 1e-30, area, 1.0)
    v, w = (d11 * d20 - d01 * d21) / safe, (d00 * d21 - d01 * d20) / safe
    best = np.stack([1.0 - v - w, v, w], 1)
    inside = (area > 1e-30) & (best >= 0.0).all(1)
    distance = np.where(inside, np.linalg.norm(np.einsum("nc,ncx->nx", best, corners) - points, axis=1), np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, second] - corners[:, first]
        length = (edge * edge).sum(1)
        share = ((points - corners[:, first]) * edge).sum(1) / np.where(length > 0.0, length, 1.0)
        share = np.clip(share, 0.0, 1.0)
        away = np.linalg.norm(corners[:, first] + share[:, None] * edge - points, axis=1)
        nearer = ~inside & (away < distance)
        weights = np.zeros_like(best)
        weights[:, first], weights[:, second] = 1.0 - share, share
        best[nearer], distance[nearer] = weights[nearer], away[nearer]
    return best, distance


class Surface:
    """The part of a mesh that points may be placed on, with its features for telling places apart."""

    def __init__(self, points: Floats, triangles: Ints, follow: Floats) -> None:
        """points (V,3); triangles (F,3) of the part; follow (V,) 0..1: how much a vertex goes with the jaw."""
        self.points = points
        self.triangles = triangles
        self.normals = vertex_normals(points, triangles)
        self.follow = follow
        self.used = np.unique(triangles)
        self._around = triangles_around(len(points), triangles)

    def closest(self, points: Floats, normals: Floats, follow: Floats, unit: float,
                facing: float = 0.15, following: float = 0.2, tries: int = 4) -> tuple[Places, Floats]:
        """Where on the surface N points with normals (N,3) and follow (N,) belong, and how far that is (N,).

        A normal turned by 60 degrees counts as much as `facing` units of distance, a jaw that is followed and one
        that is not as `following` units.
        """
        data = self._features(self.points[self.used], self.normals[self.used], self.follow[self.used], unit, facing,
                              following)
        asked = self._features(points, normals, follow, unit, facing, following)
        vertices = self.used[nearest(asked, data, tries)[0]]
        candidates = self._around[vertices].reshape(len(points), -1)
        row, column = np.nonzero(candidates >= 0)
        triangle = candidates[row, column]
        corners = self.triangles[triangle]
        weights, _ = closest_on_triangles(points[row], self.points[corners])
        place, normal, follows = (np.einsum("nc,nc...->n...", weights, values[corners])
                                  for values in (self.points, self.normals, self.follow))
        cost = ((self._features(place, normal, follows, unit, facing, following) - asked[row]) ** 2).sum(1)
        order = np.lexsort([cost, row])
        first = order[np.unique(row[order], return_index=True)[1]]
        places = Places(corners[first], weights[first])
        return places, np.linalg.norm(places.of(self.points) - points, axis=1)

    @staticmethod
    def _features(points: Floats, normals: Floats, follow: Floats, unit: float, facing: float,
                  following: float) -> Floats:
        return np.concatenate([points, facing * unit * normals, following * unit * follow[:, None]], 1)


def seen_from_outside(points: Floats, triangles: Ints, front: Floats, up: Floats, unit: float) -> NDArray[np.bool_]:
    """(V,) vertices that no other part of the mesh hides from front, left or right; depth on a grid of points."""
    side = np.cross(up, front)
    seen = np.zeros(len(points), bool)
    middles = points[triangles].mean(1)
    edges = 0.5 * (points[triangles] + points[np.roll(triangles, 1, 1)]).reshape(-1, 3)
    cloud = np.concatenate([points, middles, edges])
    cell, slack = 0.05 * unit, 0.10 * unit
    for angle in (0.0, 0.9, -0.9):
        view = np.cos(angle) * front + np.sin(angle) * side
        across = np.cross(up, view)
        grid = np.floor(np.stack([cloud @ across, cloud @ up], 1) / cell).astype(np.int64)
        grid -= grid.min(0)
        width = int(grid[:, 0].max()) + 1
        flat = grid[:, 1] * width + grid[:, 0]
        depth = np.full(int(flat.max()) + 1, -np.inf)
        np.maximum.at(depth, flat, cloud @ view)
        seen |= points @ view > depth[flat[: len(points)]] - slack
    return seen
