# SPDX-License-Identifier: GPL-3.0-or-later
"""The jaw's opening: pose correctives, mouthClose (its inverse at the lips) and jawOpen (its linear twin).

Boundary: numpy; millimetres and radians.
"""

from __future__ import annotations

import numpy as np

from .mouth_shapes import OPEN, MouthStage, stack
from .primitives import Array
from .rig import JAW, JOINTS

FEATURES = 36
SINE = 9 + 7  # R_jaw[2,1] = sin(angle)
NARROW = 0.11  # share by which the mouth narrows at jawOpen 1
COSINE = (9 + 4, 9 + 8)  # R_jaw[1,1] - 1 and R_jaw[2,2] - 1, both cos(angle) - 1 for a pure opening
MEET = 0.30  # closed lips follow this share of the jaw's way


def turn(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def solve_close(points: Array, weight: Array) -> tuple[Array, Array]:
    """Seal displacements of mouthClose and their (1 - cos) correctives, both (N,3).

    `points` (N,3) lie on the seal, `weight` (N,) are their jaw weights. Least squares over the
    jaw's range put every point, whichever lip it belongs to, on one common moving line.
    """
    close, bend = np.zeros_like(points), np.zeros_like(points)
    values = np.linspace(0.05, 1.0, 20)
    trust = np.where(values <= 0.55, 1.0, 0.15)
    for k, (p, w) in enumerate(zip(points, weight, strict=True)):
        rows, right = [], []
        for v, t in zip(values, trust, strict=True):
            angle = v * OPEN
            r = turn(angle)
            blend = (1 - w) * np.eye(3) + w * r
            carried = (r - np.eye(3)) @ (p - JOINTS[JAW])
            rows.append(t * np.hstack([v * blend, (1 - np.cos(angle)) * blend]))
            right.append(t * (MEET - w) * carried)
        system = np.vstack([*rows, np.hstack([np.zeros((3, 3)), 1e-4 * np.eye(3)])])
        answer = np.linalg.lstsq(system, np.concatenate([*right, np.zeros(3)]), rcond=None)[0]
        close[k], bend[k] = answer[:3], answer[3:]
    return close, bend


def close_fields(stage: MouthStage, jaw: Array) -> tuple[Array, Array]:
    """mouthClose (V,3) and posedirs (V,3,36)."""
    tab = stage.head.tables
    seal = tab["mouth"][0]
    close, bend = solve_close(stage.head.points[seal], jaw[seal])
    close[[0, 32], 0] = bend[[0, 32], 0] = 0.0
    free = np.flatnonzero(
        stage.solver.skin & (stage.head.points[:, 1] < -80) & (stage.head.points[:, 1] > -89)
    )

    def spread(values: Array, fade: float) -> Array:
        ring = np.arange(5.0)
        return stage.solve(
            lambda q: values[None] * (1 - fade * ring / 4)[:, None, None] + stack(0.0 * q.ring, 0, 0),
            free=free,
        )

    posedirs = np.zeros((len(jaw), 3, FEATURES))
    field = spread(bend, 0.15)
    for feature in COSINE:
        posedirs[:, :, feature] = -0.5 * field
    # straight inwards: a turn about x leaves it as it is, so the lips still close
    drawn = stage.solve(lambda q: stack(-NARROW * q.points[..., 0], 0, 0), free=free)
    posedirs[:, :, SINE] = drawn / np.sin(OPEN)
    return spread(close, 0.12), posedirs


def opened(points: Array, jaw: Array, posedirs: Array, angle: float) -> Array:
    """Vertices (V,3) after the jaw bone has turned by `angle`, correctives included."""
    r = turn(angle)
    feature = np.zeros((4, 3, 3))
    feature[1] = r - np.eye(3)
    p = points + posedirs @ feature.ravel()
    return p + jaw[:, None] * ((p - JOINTS[JAW]) @ (r - np.eye(3)).T)
