# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's landmarks: points that lie on faces of the mesh, so vertices -> landmarks. numpy only.

Source: Li et al. 2017, "Learning a model of facial shape and expression from 4D scans", and the landmark tables
published with FLAME. The published ARTalk code gives either 70 points (iBUG's 68 and two pupils) or 105 of
MediaPipe's, both at fixed places of the mesh. Its 70 points are those of the table: it also computes eyelid points
from single vertices, but returns the others, and so do we. It carries FLAME's moving jaw contour along without using
it; `jaw_contour` gives that too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .model import FlameModel, Landmarks
from .skinning import rotation_matrices

Floats = NDArray[np.float32]
_LAST_DEGREE = 39  # the contour's table: 0..39 degrees one way, then 1..39 the other way


def points_on_faces(model: FlameModel, vertices: NDArray[np.floating[Any]], where: Landmarks) -> Floats:
    """Vertices (T,V,3) in metres -> the N points (T,N,3) that `where` places on the head's faces."""
    corners = vertices[:, model.faces[where.faces]].astype(np.float64)  # (T,N,3 corners,3)
    return np.einsum("tncx,nc->tnx", corners, where.barycentric.astype(np.float64)).astype(np.float32)


def landmarks70(model: FlameModel, vertices: NDArray[np.floating[Any]]) -> Floats:
    """Vertices (T,V,3) in metres -> iBUG's 68 landmarks, then the two pupils (T,70,3).

    Raises EngineError when the head's file has no such table.
    """
    return points_on_faces(model, vertices, _table(model, model.landmarks, "70 iBUG landmarks"))


def landmarks105(model: FlameModel, vertices: NDArray[np.floating[Any]]) -> Floats:
    """Vertices (T,V,3) in metres -> 105 of MediaPipe's landmarks (T,105,3), in the order of FLAME's table.

    Raises EngineError when the head's file has no such table.
    """
    return points_on_faces(model, vertices, _table(model, model.mediapipe_landmarks, "105 MediaPipe landmarks"))


def jaw_contour(
    model: FlameModel,
    vertices: NDArray[np.floating[Any]],
    root: NDArray[np.floating[Any]],
    neck: NDArray[np.floating[Any]] | None = None,
) -> Floats:
    """Vertices (T,V,3) in metres, posed with root and neck (T,3) in radians -> the 17 points of the jaw's outline.

    The outline of a turned head, seen from the front, runs over other faces: (T,17,3) by the head's yaw.
    Raises EngineError when the head's file has no such table.
    """
    table = _table(model, model.jaw_contour, "moving jaw contour")
    row = contour_rows(root, neck)
    corners = model.faces[table.faces[row]]  # (T,17,3)
    placed = vertices[np.arange(len(vertices))[:, None, None], corners].astype(np.float64)
    return np.einsum("tncx,tnc->tnx", placed, table.barycentric[row].astype(np.float64)).astype(np.float32)


def contour_rows(
    root: NDArray[np.floating[Any]], neck: NDArray[np.floating[Any]] | None = None
) -> NDArray[np.int64]:
    """Root and neck rotation (T,3) in radians -> row (T,) of the contour's table: the yaw in whole degrees.

    Rows 0..39 are 0..39 degrees, rows 40..78 are -1..-39 degrees; beyond that the last row of either.
    """
    turn = rotation_matrices(root)
    if neck is not None:
        turn = turn @ rotation_matrices(neck)
    yaw = np.arctan2(-turn[:, 2, 0], np.hypot(turn[:, 0, 0], turn[:, 1, 0]))
    degrees = np.clip(np.round(np.degrees(yaw)), -_LAST_DEGREE, _LAST_DEGREE).astype(np.int64)
    return np.where(degrees < 0, _LAST_DEGREE - degrees, degrees)


def _table(model: FlameModel, table: Landmarks | None, what: str) -> Landmarks:
    if table is None:
        raise EngineError(f"The head “{model.path.name if model.path else ''}” has no {what}.",
                          "Use the published FLAME_with_eye.pt.")
    return table
