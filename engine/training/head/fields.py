# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth fields on the head mesh: harmonic and biharmonic solves with handles and anchors.

The mesh itself keeps upper and lower lip (and lid and eye) apart, which free-hanging falloffs
in space would not. Boundary: numpy and scipy; millimetres.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from .assemble import Head
from .primitives import Array


def laplacian(points: Array, quads: np.ndarray) -> csr_matrix:
    """Graph Laplacian with inverse edge lengths (V,V)."""
    pairs = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1).clip(0.2)
    n = len(points)
    w = csr_matrix((1.0 / length, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    w = w + w.T
    return csr_matrix(diags(np.asarray(w.sum(1)).ravel()) - w)


class Solver:
    """Biharmonic and harmonic interpolation on the skin (with bag and lids) of a head."""

    def __init__(self, head: Head) -> None:
        self.head = head
        lap = laplacian(head.points, head.quads)
        _, label = connected_components(lap)
        self.skin = label == label[head.tables["mouth"][0, 0]]
        self._lap = lap
        mass = np.asarray(lap.diagonal()).clip(1e-6)
        self._bilap = csc_matrix(lap.T @ diags(1.0 / mass) @ lap)

    def field(self, handles: np.ndarray, values: Array, anchors: np.ndarray, harmonic: bool = False) -> Array:
        """Values (V,K) that equal `values` (H,K) on `handles`, 0 on `anchors`, smooth between."""
        matrix = csc_matrix(self._lap) if harmonic else self._bilap
        out = np.zeros((len(self.skin), values.shape[1]))
        known = ~self.skin
        known[anchors] = True
        known[handles] = True
        out[handles] = values
        free = np.flatnonzero(~known)
        fixed = np.flatnonzero(known)
        right = -(matrix[free][:, fixed] @ out[fixed])
        out[free] = splu(csc_matrix(matrix[free][:, free])).solve(right)
        return out


def symmetric(head: Head, values: Array) -> Array:
    """Mean of a displacement field (V,3) and its mirror image, exactly symmetric."""
    return 0.5 * (values + values[head.mirror] * [-1, 1, 1])
