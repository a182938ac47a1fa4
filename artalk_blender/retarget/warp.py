# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth deformations of space, laid one over the other. numpy only, no `bpy` use.

Each layer moves points by a sum of bumps (Wendland 1995, C2, compact support) that are fitted to wished moves by
least squares with a ridge: wide bumps first, then narrower ones, as in coarse-to-fine registration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """centres (C,3), radius, weights (C,3)."""

    centres: Floats
    radius: float
    weights: Floats

    def move(self, points: Floats) -> Floats:
        return bumps(points, self.centres, self.radius) @ self.weights

    def gradient(self, points: Floats) -> Floats:
        """(N,3,3) how the move changes with the place: [n,y,x] of move y along x."""
        distance = _distances(points, self.centres) / self.radius
        slope = -20.0 * np.maximum(1.0 - distance, 0.0) ** 3 / self.radius**2
        outer = (self.weights[:, :, None] * self.centres[:, None]).reshape(-1, 9)
        return (slope @ self.weights)[:, :, None] * points[:, None] - (slope @ outer).reshape(-1, 3, 3)


class Warp:
    """Points on their way through a linear map and then layers; what it does to small moves is carried along."""

    def __init__(self, points: Floats, matrix: Floats, shift: Floats, stop_turning: float) -> None:
        """Layers narrower than the radius `stop_turning` move the points and leave `gradient` alone."""
        self.points = points @ matrix.T + shift
        self.gradient = np.array(np.broadcast_to(matrix, (len(points), 3, 3)))
        self._stop_turning = stop_turning

    def add(self, layer: Layer) -> None:
        if layer.radius >= self._stop_turning:
            self.gradient = (np.eye(3) + layer.gradient(self.points)) @ self.gradient
        self.points = self.points + layer.move(self.points)

    def normals(self, normals: Floats) -> Floats:
        """Unit normals (N,3) at the points, carried along."""
        carried = np.einsum("nyx,ny->nx", np.linalg.inv(self.gradient), normals)
        return carried / np.maximum(np.linalg.norm(carried, axis=1, keepdims=True), 1e-12)


def bumps(points: Floats, centres: Floats, radius: float) -> Floats:
    """(N,C) height of each bump at each point."""
    distance = _distances(points, centres) / radius
    rest = np.maximum(1.0 - distance, 0.0)
    rest *= rest
    return rest * rest * (4.0 * distance + 1.0)


def _distances(points: Floats, centres: Floats) -> Floats:
    """(N,C), computed about the centres' middle, so that heads far from the origin lose nothing."""
    middle = centres.mean(0)
    points, centres = points - middle, centres - middle
    squares = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2.0 * points @ centres.T
    return np.sqrt(np.maximum(squares, 0.0))


def fit_layer(points: Floats, moves: Floats, weights: Floats, radius: float, stiffness: float) -> Layer:
    """The layer that moves points (N,3) by `moves` (N,3), each counting `weights` (N,), as far as `stiffness` lets."""
    centres = spread(points, radius / 2.5)
    height = bumps(points, centres, radius)
    weighted = height * weights[:, None]
    between = bumps(centres, centres, radius)
    left = weighted.T @ height + stiffness * weights.mean() * between + 1e-9 * np.eye(len(centres))
    return Layer(centres, radius, np.linalg.solve(left, weighted.T @ moves))


def spread(points: Floats, spacing: float) -> Floats:
    """Some of the points (C,3), one of each cube of that size that holds any."""
    return points[thin(points, spacing)]


def thin(points: Floats, spacing: float) -> NDArray[np.int64]:
    """Indices of the points nearest to the middle of their cube."""
    cell = np.floor(points / spacing)
    away = ((points / spacing - cell - 0.5) ** 2).sum(1)
    _, label = np.unique(cell.astype(np.int64), axis=0, return_inverse=True)
    label = label.reshape(-1)
    order = np.lexsort([away, label])
    return np.sort(order[np.unique(label[order], return_index=True)[1]])
