# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from a built head what its lips and face do: shape keys, jaw weights, joints -> plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..head.handle import Head
from ..head.names import BONES, JAW, corrective_key
from ..motion.mouth import FacePoints, Mouth

Ints = NDArray[np.int64]


def mouth_of(head: Head) -> Mouth | None:
    """The inner lips of a head, or None where it does not know them (built by an older version, or re-meshed)."""
    upper, lower = lip_vertices(head, "upper"), lip_vertices(head, "lower")
    if len(upper) == 0 or len(upper) != len(lower):
        return None
    return Mouth(face_points(head, np.concatenate([upper, lower])), len(upper))


def lip_vertices(head: Head, part: str) -> Ints:
    """Vertices (N,) of “upper”, “lower” or “ring”; none where the head does not know them or its mesh has changed."""
    stored = head.lip_vertices
    indices = np.asarray(list(stored.get(part, ())) if stored else [], np.int64)
    known = len(indices) and indices.min() >= 0 and indices.max() < len(head.mesh.data.vertices)
    return indices if known else np.zeros(0, np.int64)


def expression_offsets(head: Head) -> NDArray[np.float32]:
    """(100,V,3) metres: what each expression key moves at 1."""
    basis = _points(head.shape_keys.reference_key)
    blocks = head.shape_keys.key_blocks
    return np.stack([_points(blocks[name]) - basis for name in head.expression_keys])


def face_points(head: Head, vertices: Ints, offsets: NDArray[np.float32] | None = None) -> FacePoints:
    """The vertices (N,) of a head with all that moves them; `offsets` as from expression_offsets, if at hand."""
    offsets = expression_offsets(head) if offsets is None else offsets
    blocks = head.shape_keys.key_blocks
    basis = _points(head.shape_keys.reference_key)
    corrective = np.zeros((len(vertices), 3, 9))
    for feature in range(9):
        block = blocks.get(corrective_key(JAW, feature // 3, feature % 3))
        if block is not None:
            corrective[:, :, feature] = (_points(block) - basis)[vertices]
    return FacePoints(
        basis[vertices].astype(np.float64), offsets[:, vertices].transpose(1, 2, 0).astype(np.float64), corrective,
        _weights(head, vertices), np.array(head.armature.data.bones[BONES[JAW]].head_local, np.float64),
        head.joint_shift[JAW],
    )


def _points(block: Any) -> NDArray[np.float32]:
    """(V,3) of a shape key."""
    result = np.empty((len(block.points), 3), np.float32)
    block.points.foreach_get("co", result.ravel())  # a hundred times as fast as through `data`
    return result


def _weights(head: Head, vertices: Ints) -> NDArray[np.float64]:
    """(N,) of the jaw's vertex group, as a part of all weights."""
    group = head.mesh.vertex_groups.get(BONES[JAW])
    result = np.zeros(len(vertices))
    for row, index in enumerate(vertices.tolist()):
        weights = {entry.group: entry.weight for entry in head.mesh.data.vertices[index].groups}
        if group is not None and weights:
            result[row] = weights.get(group.index, 0.0) / max(sum(weights.values()), 1e-12)
    return result
