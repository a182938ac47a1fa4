# SPDX-License-Identifier: GPL-3.0-or-later
"""How a head without named channels closes its lids: a direction in its expressions. No `bpy` module use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.flame.model import FlameModel
from .regions import EXPRESSIONS, LIPS

Floats = NDArray[np.float32]

# iBUG's landmarks of both eyes: upper lid against the lower lid below it
_UPPER, _LOWER = (37, 38, 43, 44), (41, 40, 47, 46)
_STILLNESS = 1.0  # what lips weigh beside lids
_RIDGE = 1e-2  # small coefficients, and so the plainest way to close
_LEAST_CLOSED = 0.7  # of the lids' distance: less is no blink


def blink_direction(model: FlameModel, gram: NDArray[np.floating[Any]]) -> Floats | None:
    """(100,) expressions that lay the upper lids on the lower ones and leave the lips alone, or None.

    gram is the head's, from `region_grams`. Minimises the distance of four pairs of lid landmarks, squared, plus what
    the lips move, plus the coefficients. None where the head has no landmarks or no expression that closes its lids.
    """
    if model.landmarks is None:
        return None
    upper, lower = (_landmarks(model, rows) for rows in (_UPPER, _LOWER))
    apart = lower[0] - upper[0]  # (4,3)
    closing = (upper[1] - lower[1]).reshape(-1, EXPRESSIONS)  # the pairs approach by closing @ c
    lips = np.asarray(gram[LIPS], np.float64)
    lids = closing.T @ closing
    whole = lids + _STILLNESS * lips * (np.trace(lids) / max(np.trace(lips), 1e-12))
    whole += (_RIDGE * np.trace(lids) / EXPRESSIONS + 1e-12) * np.eye(EXPRESSIONS)
    direction = np.linalg.solve(whole, closing.T @ apart.ravel())
    closed = (closing @ direction) @ apart.ravel() / (apart.ravel() @ apart.ravel())
    if not closed >= _LEAST_CLOSED:
        return None
    return (direction / closed).astype(np.float32)


def _landmarks(model: FlameModel, rows: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (N,3) of landmarks, and what the expressions do to them (N,3,100)."""
    assert model.landmarks is not None
    corners = model.faces[model.landmarks.faces[list(rows)]]  # (N,3)
    weights = model.landmarks.barycentric[list(rows)].astype(np.float64)
    points = np.einsum("nk,nkx->nx", weights, model.v_template[corners].astype(np.float64))
    moved = np.einsum("nk,nkxc->nxc", weights, model.expressiondirs[corners].astype(np.float64))
    return points, moved
