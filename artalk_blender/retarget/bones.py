# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns of a face put onto bones, whatever way these lie at rest. No `bpy` module use.

A turn is told about the face's axes: x to its left, y up, z forward. A bone has axes of its own in its armature, so
the turn is put into them at rest; the parent's motion then carries it along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# columns: the face's left, up and forward in the armature's axes
FACINGS: dict[str, NDArray[np.float64]] = {
    "-Y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "+Y": np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "+X": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "-X": np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
    "+Z": np.eye(3),  # glTF's and FLAME's: Y is up
}
_SAME = 0.2  # of a length: pairs nearer than this tell no side


def face_axes(pairs: list[tuple[Floats, Floats]], above: Floats | None, below: Floats | None) -> Floats | None:
    """(3,3) with the face's left, up and forward as columns, or None where the bones do not tell.

    pairs: positions of bones on the left and the right; above and below: positions of two bones on top of each other,
    such as head and neck.
    """
    left = np.zeros(3)
    for one, other in pairs:
        step = np.asarray(one, np.float64) - np.asarray(other, np.float64)
        if np.linalg.norm(step) > 0.0:
            left += step / np.linalg.norm(step)
    if above is None or below is None or np.linalg.norm(left) < _SAME:
        return None
    left /= np.linalg.norm(left)
    up = np.asarray(above, np.float64) - np.asarray(below, np.float64)
    up -= left * (up @ left)
    if np.linalg.norm(up) < 1e-9:
        return None
    up /= np.linalg.norm(up)
    return _squared(np.stack([left, up, np.cross(left, up)], 1))


def _squared(axes: Floats) -> Floats:
    """A character stands along the armature's axes: the nearest such directions, where they are within 35 degrees."""
    near = np.zeros((3, 3))
    for column in range(2):
        row = int(np.abs(axes[:, column]).argmax())
        near[row, column] = np.sign(axes[row, column])
    near[:, 2] = np.cross(near[:, 0], near[:, 1])
    if abs(np.linalg.det(near)) < 0.5 or (near * axes).sum(0).min() < np.cos(np.radians(35.0)):
        return axes
    return near


def local_turns(turn: Floats, axes: Floats, rest: Floats, share: float = 1.0) -> NDArray[np.float64]:
    """Rotation vectors (T,3) about the face's axes -> those of a bone, in its own axes at rest.

    axes (3,3): the face's in the armature (columns); rest (3,3): the bone's at rest in the armature.
    """
    return share * np.asarray(turn, np.float64) @ (np.asarray(rest).T @ axes).T


def chain_shares(lengths: Mapping[str, float], head: str, head_share: float = 0.5) -> dict[str, float]:
    """How much of a head's turn each bone of a chain takes: the head its share, the others the rest by their length."""
    necks = {name: max(length, 1e-9) for name, length in lengths.items() if name != head}
    if not necks:
        return {head: 1.0}
    total = sum(necks.values())
    return {**{name: (1.0 - head_share) * length / total for name, length in necks.items()}, head: head_share}
