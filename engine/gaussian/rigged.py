# SPDX-License-Identifier: GPL-3.0-or-later
"""Splats that ride on a mesh's triangles, as GaussianAvatars has them. numpy only.

Source: Qian et al. 2024, "GaussianAvatars: Photorealistic Head Avatars with Rigged 3D Gaussians". A triangle has a
middle, a frame (along its first edge, its normal, and across) and a size (the mean of base and height); a splat's
place, turn and size are told in these, so it moves, turns and grows with its triangle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_AWAY = -0.2        # cosine: what is turned away further is hidden, or nearly


@dataclass(frozen=True)
class RiggedSplats:
    """N splats in the frames of their triangles.

    faces (N,) rows of the mesh's triangles; means (N,3) and scales (N,3) in sizes of the triangle; quats (N,4: w, x,
    y, z) of length 1; opacities (N,) 0 to 1; colors (N,3) sRGB, around 0 to 1.
    """

    faces: NDArray[np.int64]
    means: Floats
    quats: Floats
    scales: Floats
    opacities: Floats
    colors: Floats

    def __len__(self) -> int:
        return len(self.faces)

    def posed(self, vertices: Floats, triangles: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """(means, quats, scales) in the world for a mesh's vertices (V,3) and triangles (F,3)."""
        middle, frame, size = triangle_frames(vertices, triangles)
        turn = quaternions(frame)[self.faces]
        size, frame = size[self.faces], frame[self.faces]
        means = np.einsum("nij,nj->ni", frame, self.means) * size[:, None] + middle[self.faces]
        return means, quaternion_product(turn, self.quats), self.scales * size[:, None]

    def thinned(self, count: int) -> RiggedSplats:
        """About `count` of them, taken evenly, each larger by as much as there are fewer: a coarse likeness."""
        if len(self) <= count:
            return self
        kept = np.linspace(0, len(self) - 1, count).astype(np.int64)
        fewer = self._only(kept)
        return replace(fewer, scales=fewer.scales * np.float32(np.sqrt(len(self) / count)))

    def facing(self, vertices: Floats, triangles: NDArray[np.int64], eye: Floats) -> RiggedSplats:
        """Those whose triangles don't look away from a point (3,)."""
        middle, frame, _ = triangle_frames(vertices, triangles)
        towards = np.einsum("ij,ij->i", frame[:, :, 1], _unit(eye - middle)) > _AWAY
        return self._only(np.flatnonzero(towards[self.faces]))

    def _only(self, kept: NDArray[np.int64]) -> RiggedSplats:
        return RiggedSplats(self.faces[kept], self.means[kept], self.quats[kept], self.scales[kept],
                            self.opacities[kept], self.colors[kept])


def triangle_frames(vertices: Floats, triangles: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Middle (F,3), frame (F,3,3; its axes are the columns) and size (F,) of every triangle."""
    first, second, third = vertices[triangles].transpose(1, 0, 2)
    along = second - first
    base = np.linalg.norm(along, axis=1)
    along = _unit(along)
    normal = _unit(np.cross(along, third - first))
    across = np.cross(along, normal)
    height = np.abs(np.einsum("ij,ij->i", across, third - first))
    return (first + second + third) / 3, np.stack([along, normal, across], -1), (base + height) / 2


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def quaternions(matrices: NDArray[np.floating[Any]]) -> Floats:
    """Rotations (N,3,3) -> (N,4: w, x, y, z). Each from the largest of four sums of the diagonal, so none is lost."""
    m = np.asarray(matrices, np.float64)
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    squares = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], 1)
    # products of two parts, times 4: a symmetric table of which one row is enough
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    table = np.stack([squares[:, 0], wx, wy, wz, wx, squares[:, 1], xy, xz, wy, xy, squares[:, 2], yz,
                      wz, xz, yz, squares[:, 3]], 1).reshape(-1, 4, 4)
    row = table[np.arange(len(m)), squares.argmax(1)]
    return (row / np.maximum(np.linalg.norm(row, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def quaternion_product(left: Floats, right: Floats) -> Floats:
    """(N,4) times (N,4), w first: the right one turns first."""
    a, b, c, d = left.T
    w, x, y, z = right.T
    return np.stack([a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y,
                     a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w], 1)


def camera(size: int, centre: Floats | tuple[float, float, float], distance: float = 1.1,
           span: float = 0.36) -> tuple[Floats, Floats]:
    """(viewmats (4,4), Ks (3,3)) that look at a head from its front, `span` metres at its place filling the picture."""
    view = np.diag(np.array([1, -1, -1, 1], np.float32))
    view[:3, 3] = -view[:3, :3] @ np.asarray(centre, np.float32)
    view[2, 3] += distance
    focal = size * distance / span
    return view, np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
