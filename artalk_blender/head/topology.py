# SPDX-License-Identifier: GPL-3.0-or-later
"""Which vertices hang together, and which of the pieces are eyeballs. numpy only, no `bpy` module use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..engine.flame.model import JOINT_NAMES, FlameModel

_EYES = tuple(JOINT_NAMES.index(name) for name in ("eye_left", "eye_right"))
_NEAR = 0.4  # of the distance between the eyes: how far an eyeball's middle may be from its joint


def pieces(vertex_count: int, faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """(V,) label of the connected piece that each vertex belongs to: the smallest vertex index in it.

    Hook the larger of two roots to the smaller, then let every vertex jump to its root's root, until all edges
    join equal roots (Shiloach and Vishkin 1982); some ten rounds for a head.
    """
    edges = np.concatenate([faces[:, [k, (k + 1) % faces.shape[1]]] for k in range(faces.shape[1])])
    label = np.arange(vertex_count)
    while True:
        a, b = label[edges[:, 0]], label[edges[:, 1]]
        apart = a != b
        if not apart.any():
            return label
        np.minimum.at(label, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while True:
            jumped = label[label]
            if np.array_equal(jumped, label):
                break
            label = jumped


def eyeballs(model: FlameModel) -> dict[int, NDArray[np.bool_]]:
    """Bone -> vertices (V,) of the eyeball it turns: a piece of its own around the eye's joint, or what it alone moves.

    A bone whose eye cannot be told is left out.
    """
    label = pieces(model.vertex_count, model.faces)
    names, sizes = np.unique(label, return_counts=True)
    joints = model.neutral_joints()
    reach = _NEAR * np.linalg.norm(joints[_EYES[0]] - joints[_EYES[1]])
    found: dict[int, NDArray[np.bool_]] = {}
    for bone in _EYES:
        inside = np.zeros(model.vertex_count, bool)
        for piece in names[sizes < sizes.max()]:
            members = label == piece
            middle = model.v_template[members].mean(0)
            follows = model.lbs_weights[members, bone].mean() > 0.5
            if follows and np.linalg.norm(middle - joints[bone]) < reach:
                inside |= members
        if not inside.any():
            inside = model.lbs_weights[:, bone] > 0.99
        if inside.any():
            found[bone] = inside
    return found
