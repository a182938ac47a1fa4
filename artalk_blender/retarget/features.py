# SPDX-License-Identifier: GPL-3.0-or-later
"""A source's moves as fixed fields times numbers of each frame. numpy only, no `bpy` use.

With c the 100 expressions and f the nine entries of R - I of the jaw, FLAME's skinning (resting neck) moves a vertex by

    E c + C f + w (R - I) (E c + C f + rest - joint - joint_shift c)

which is linear in the numbers c, f, f x c and f x f. So whatever is linear in the moves, as the solver's right-hand
side is, becomes one matrix product with these numbers, and no vertex has to be moved for a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..motion.layout import EXPRESSION, JAW_POSE
from ..motion.mouth import FacePoints, rotation_matrices
from .face import SourceFace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EXPRESSIONS = 100
_TURN = 9
_FRAMES_AT_ONCE = 1024


def numbers(motion: NDArray[np.floating[Any]]) -> Floats:
    """Motion (T,106) -> (T,1090): c, f, f x c, f x f."""
    count = len(motion)
    c = np.asarray(motion[:, EXPRESSION], np.float64)
    f = (rotation_matrices(motion[:, JAW_POSE]) - np.eye(3)).reshape(count, _TURN)
    return np.concatenate([c, f, (f[:, :, None] * c[:, None]).reshape(count, -1),
                           (f[:, :, None] * f[:, None]).reshape(count, -1)], 1)


def fields(source: SourceFace, vertices: Ints) -> Floats:
    """(1090,N,3) metres: how the vertices (N,) move for each of `numbers`."""
    points: FacePoints = source.points
    rest, weight = points.rest[vertices] - points.joint, points.jaw_weight[vertices]
    expression = points.expression[vertices]
    corrective = points.corrective[vertices]
    arm = (expression - points.joint_shift).transpose(2, 0, 1) * weight[:, None]  # (100,N,3)
    bend = corrective.transpose(2, 0, 1) * weight[:, None]  # (9,N,3)
    turn = np.zeros((_TURN, len(vertices), 3))
    by_expression = np.zeros((_TURN, _EXPRESSIONS, len(vertices), 3), np.float64)
    by_turn = np.zeros((_TURN, _TURN, len(vertices), 3))
    for entry in range(_TURN):
        row, column = divmod(entry, 3)
        turn[entry, :, row] = weight * rest[:, column]
        by_expression[entry, :, :, row] = arm[:, :, column]
        by_turn[entry, :, :, row] = bend[:, :, column]
    return np.concatenate([expression.transpose(2, 0, 1), corrective.transpose(2, 0, 1) + turn,
                           by_expression.reshape(-1, len(vertices), 3), by_turn.reshape(-1, len(vertices), 3)])


def times(motion: NDArray[np.floating[Any]], *matrices: Floats) -> list[Floats]:
    """`numbers` of a motion (T,106) times each matrix (1090,N): [(T,N), ...], some frames at once."""
    results: list[list[Floats]] = [[] for _ in matrices]
    for part in _parts(motion):
        known = numbers(part)
        used = np.flatnonzero(known.any(0))  # a jaw that only opens leaves most of them zero
        some = known[:, used]
        for result, matrix in zip(results, matrices, strict=True):
            result.append(some @ matrix[used])
    return [np.concatenate(result) if result else np.zeros((0, matrix.shape[1]))
            for result, matrix in zip(results, matrices, strict=True)]


def _parts(motion: NDArray[np.floating[Any]]) -> Iterator[NDArray[np.floating[Any]]]:
    for begin in range(0, len(motion), _FRAMES_AT_ONCE):
        yield motion[begin : begin + _FRAMES_AT_ONCE]
