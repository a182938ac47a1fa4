# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets made from the default head by program: remeshed, turned, scaled, of other proportions, with its keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from real_motion import default_head

from artalk_blender.retarget.face import JawBone, SourceFace, TargetFace, flame_landmarks

KEYS = 52
INNER_UPPER, INNER_LOWER, CORNERS = (61, 62, 63), (67, 66, 65), (60, 64)


@cache
def source_face() -> SourceFace:
    return SourceFace.from_model(default_head())


def proportions(points: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """A smooth warp: a longer, narrower head with a wider mouth, a bigger nose and a heavier jaw. Metres."""
    x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    moved = np.stack([x * (1.0 - 0.08 * strength), y * (1.0 + 0.12 * strength), z * (1.0 + 0.05 * strength)], -1)
    for centre, radius, scale in (
        ((0.0, -0.068, 0.095), 0.035, (0.28, 0.10, 0.05)),  # mouth
        ((0.0, -0.030, 0.110), 0.020, (0.20, 0.05, 0.25)),  # nose
        ((0.0, -0.105, 0.070), 0.040, (0.18, 0.10, 0.08)),  # jaw
        ((0.0, 0.000, 0.080), 0.040, (-0.06, 0.10, 0.00)),  # eyes
    ):
        away = np.asarray(points, np.float64) - np.array(centre)
        near = np.exp(-0.5 * (away**2).sum(-1) / radius**2)
        moved += strength * near[..., None] * away * np.array(scale)
    return moved


def rotation(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@dataclass(frozen=True)
class Place:
    """Where the made head stands: points -> scale * turn (warp(points)) + shift."""

    scale: float = 1.0
    turn: np.ndarray | None = None
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    strength: float = 0.0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        moved = proportions(points, self.strength)
        turned = moved if self.turn is None else moved @ self.turn.T
        return self.scale * turned + np.array(self.shift)


ELSEWHERE = Place(1.4, rotation((0.2, 1.0, 0.1), 0.5), (0.3, 1.5, -0.2), 1.0)


@dataclass(frozen=True)
class Made:
    """A target, and the same head in the default head's own mesh, by which it is measured."""

    face: TargetFace
    measured: np.ndarray  # (V,3) neutral
    measured_deltas: np.ndarray  # (K,V,3)
    up: np.ndarray
    scale: float

    def aperture(self, weights: np.ndarray) -> np.ndarray:
        """Sliders (T,K) -> distance of the inner lips along the head's up (T,), metres; negative where they cross."""
        upper, lower = self._points(weights, INNER_UPPER), self._points(weights, INNER_LOWER)
        return ((upper - lower) @ self.up).mean(1)

    def lips(self, weights: np.ndarray) -> np.ndarray:
        """(T,20,3) the lips' landmarks."""
        return self._points(weights, tuple(range(48, 68)))

    def _points(self, weights: np.ndarray, marks: tuple[int, ...]) -> np.ndarray:
        table = default_head().landmarks
        corners = default_head().faces[table.faces[list(marks)]]
        bary = table.barycentric[list(marks)].astype(np.float64)
        rest = np.einsum("ncx,nc->nx", self.measured[corners], bary)
        moves = np.einsum("kncx,nc->knx", self.measured_deltas[:, corners], bary)
        return rest + np.einsum("tk,knx->tnx", weights, moves)


def another_mesh(points: np.ndarray, triangles: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, object]:
    """The same surface with every vertex elsewhere and other edges: points, triangles, and what carries values (V,...).

    Vertices slide into one of their triangles, those on the line where lips meet along that line, each lip by itself;
    then every edge that can be is turned.
    """
    random = np.random.default_rng(seed)
    crease = _doubled(points)
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    corners = np.tile(np.arange(len(points))[:, None], (1, 3))
    order = random.permutation(len(triangles))
    for k in range(3):
        corners[triangles[order, k]] = triangles[order]
    weights = random.uniform(0.5, 1.0, (len(points), 3))
    along = edges[crease[edges].all(1)]
    along = along[np.linalg.norm(points[along[:, 0]] - points[along[:, 1]], axis=1) > 1e-6]
    corners[crease] = np.flatnonzero(crease)[:, None]
    corners[along[:, 0], 1] = along[:, 1]
    weights[crease] = np.stack([random.uniform(0.5, 0.9, crease.sum())] * 2 + [np.zeros(crease.sum())], 1)
    weights[crease, 1] = 1.0 - weights[crease, 0]
    weights /= weights.sum(1, keepdims=True)

    def carry(values: np.ndarray) -> np.ndarray:
        return np.einsum("nc...,nc->n...", values[corners], weights)

    moved = carry(points)
    return moved, _turned_edges(moved, triangles.copy(), crease), carry


def _doubled(points: np.ndarray) -> np.ndarray:
    """(V,) vertices that share their place with another one."""
    _, label, count = np.unique(np.round(points / 1e-7).astype(np.int64), axis=0, return_inverse=True,
                                return_counts=True)
    return count[label.reshape(-1)] > 1


def _turned_edges(points: np.ndarray, triangles: np.ndarray, crease: np.ndarray) -> np.ndarray:
    """Turns edges between two triangles where that folds nothing; no triangle twice."""
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    face = np.tile(np.arange(len(triangles)), 3)
    key = edges.min(1) * len(points) + edges.max(1)
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    first, second = order[same], order[same + 1]
    one, two = face[first], face[second]
    a, b = edges[first].T
    c, d = triangles[one].sum(1) - a - b, triangles[two].sum(1) - a - b
    new = np.stack([np.stack([c, a, d], 1), np.stack([d, b, c], 1)], 1)

    def normals(corners: np.ndarray) -> np.ndarray:
        p, q, r = (points[corners[:, k]] for k in range(3))
        side = np.cross(q - p, r - p)
        return side / (np.linalg.norm(side, axis=1, keepdims=True) + 1e-30)

    flat = np.min([(normals(triangles[old]) * normals(new[:, k])).sum(1) for old in (one, two) for k in (0, 1)], 0)
    used = np.zeros(len(triangles), bool)
    for row in np.flatnonzero((flat > 0.9) & ~(crease[a] & crease[b])).tolist():
        if not (used[one[row]] or used[two[row]]):
            triangles[one[row]], triangles[two[row]] = new[row]
            used[one[row]] = used[two[row]] = True
    return triangles


def dual_mesh(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, object]:
    """Another topology of the same surface: a vertex in each triangle, a polygon round each old vertex.

    Returns points, triangles and a function that carries values (V,...) over. Border edges get a vertex of their own.
    """
    count = len(triangles)
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    face = np.tile(np.arange(count), 3)
    key = edges.min(1) * len(points) + edges.max(1)
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    first, second = order[:-1][same], order[1:][same]
    paired = np.zeros(len(edges), bool)
    paired[first] = paired[second] = True
    border = np.flatnonzero(~paired)

    def carry(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[triangles].mean(1), values[edges[border]].mean(1)])

    # in the polygon of a vertex v, the side across an edge at v leads from one triangle to the next
    sides, middles = [], []
    start, end = edges[first, 0], edges[first, 1]
    one, two = face[first], face[second]
    for vertex, a, b in ((start, two, one), (end, one, two)):
        sides.append(np.stack([a, b], 1))
        middles.append(vertex)
    marks = count + np.arange(len(border))
    sides += [np.stack([marks, face[border]], 1), np.stack([face[border], marks], 1)]
    middles += [edges[border, 0], edges[border, 1]]
    side, middle = np.concatenate(sides), np.concatenate(middles)
    # fan: from the polygon's first corner to each of its sides
    hub = np.full(len(points), np.iinfo(np.int64).max)
    np.minimum.at(hub, middle, side.min(1))
    fan = np.concatenate([hub[middle][:, None], side], 1)
    fan = fan[(fan[:, 0] != fan[:, 1]) & (fan[:, 0] != fan[:, 2])]
    return carry(points), fan, carry


def finer_mesh(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, object]:
    """The same surface with a vertex in the middle of each edge too: four triangles for each one, in a row."""
    edges = np.sort(np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)]), 1)
    edges, which = np.unique(edges, axis=0, return_inverse=True)

    def carry(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[edges].mean(1)])

    (a, b, c), (ab, bc, ca) = triangles.T, len(points) + which.reshape(3, -1)
    four = [np.stack(three, 1) for three in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return carry(points), np.stack(four, 1).reshape(-1, 3), carry


def made(place: Place = Place(), remesh: object = another_mesh, keep: tuple[int, ...] | None = None, marks: bool = True,
         jaw: bool = False) -> Made:
    """The default head somewhere else, in another mesh (`remesh`, or None for its own).

    `keep`: which of the 52 keys, all when left out; `marks`: whether it knows its landmarks; `jaw`: a bone as well.
    """
    model = default_head()
    rest = model.v_template.astype(np.float64)
    keys = np.arange(KEYS) if keep is None else np.array(keep, np.int64)
    deltas = model.expressiondirs[:, :, keys].astype(np.float64).transpose(2, 0, 1)
    neutral = place(rest)
    moved = place(rest + deltas) - neutral
    landmarks = {name: place(point) for name, point in flame_landmarks(model).items()} if marks else {}
    points, triangles, carried = neutral, model.faces.astype(np.int64), moved
    weight = model.lbs_weights[:, 2].astype(np.float64)
    if remesh is not None:
        points, triangles, carry = remesh(neutral, triangles)
        carried = np.stack([carry(delta) for delta in moved]) if len(moved) else np.zeros((0, len(points), 3))
        weight = carry(weight[:, None])[:, 0]
    turn = np.eye(3) if place.turn is None else place.turn
    bone = JawBone(weight, place(model.neutral_joints()[2].astype(np.float64)), turn @ np.array([1.0, 0, 0]),
                   (-0.05, 0.5)) if jaw else None
    face = TargetFace(points, triangles, tuple(model.expression_names[k] for k in keys), carried.astype(np.float32),
                      np.tile([0.0, 1.0], (len(keys), 1)), bone, landmarks)
    up = turn @ np.array([0.0, 1.0, 0.0])
    return Made(face, neutral, moved, up, place.scale)


def known_target(keys: int = 20, vertices: int = 400, seed: int = 0) -> TargetFace:
    """Nothing but random keys on random points; for the solver."""
    random = np.random.default_rng(seed)
    return TargetFace(random.normal(size=(vertices, 3)), random.integers(0, vertices, (2 * vertices, 3)),
                      tuple(f"key {k}" for k in range(keys)),
                      random.normal(0.0, 0.004, (keys, vertices, 3)).astype(np.float32),
                      np.tile([0.0, 1.0], (keys, 1)))


def without(target: TargetFace, name: str) -> TargetFace:
    """The target without one key."""
    kept = [index for index, own in enumerate(target.names) if own != name]
    return replace(target, names=tuple(target.names[k] for k in kept), deltas=target.deltas[kept],
                   limits=target.limits[kept])
