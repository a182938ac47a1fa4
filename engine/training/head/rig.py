# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints, their regressor and the skin weights of the default head (FLAME's five joints).

Boundary: numpy and scipy; millimetres.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from .assemble import Head
from .fields import Solver
from .primitives import Array, smoothstep
from .sdf import EYE

JOINTS = np.array([[0, -150, -36], [0, -78, -26], [0, -19, 4], EYE, EYE * [-1, 1, 1]], dtype=float)
ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)
PARENTS = np.array([-1, 0, 1, 1, 1])


def lip_share(count: int = 33) -> Array:
    """Jaw weight along a half lip loop: 0 upper middle, .5 corner, 1 lower middle, rounded at the corner."""
    t = np.linspace(-1, 1, count)
    # steep at the corner, as an ellipse is: a plain sine opens to a hexagon
    return 0.5 + 0.5 * np.sign(t) * np.sin(np.pi / 2 * np.minimum(1.0, np.abs(t) / 0.65)) ** 0.72


def jaw_weights(head: Head, solver: Solver) -> Array:
    """Harmonic jaw weights (V,), 0 to 1; teeth and tongue rigid with their bone."""
    p, tab, x = head.points, head.tables, np.abs(head.points[:, 0])
    known: dict[int, float] = {}

    def put(index: np.ndarray, value: Array | float) -> None:
        for v, w in zip(
            index.ravel().tolist(), np.broadcast_to(value, index.shape).ravel().tolist(), strict=True
        ):
            known[v] = w

    skin = np.isin(np.arange(len(p)), tab["skin"]) & solver.skin
    put(np.flatnonzero(skin & (p[:, 1] > -8)), 0.0)
    put(np.flatnonzero(skin & (p[:, 2] < -8)), 0.0)
    put(np.flatnonzero(skin & (p[:, 1] < -128)), 0.0)
    put(np.flatnonzero(skin & (p[:, 1] > -45) & (p[:, 2] > 62)), 0.0)
    put(np.flatnonzero(skin & (p[:, 1] > -62) & (x < 14) & (p[:, 2] > 85)), 0.0)
    put(np.flatnonzero(skin & (p[:, 1] < -88) & (p[:, 1] > -112) & (p[:, 2] > 62) & (x < 26)), 1.0)
    rim = skin & (p[:, 1] < -80) & (p[:, 1] > -104) & (p[:, 2] > 40) & (x < 44) & (x > 20)
    put(np.flatnonzero(rim), 1.0)
    put(
        np.flatnonzero(skin & (x > 40) & (p[:, 1] < -66) & (p[:, 1] > -84) & (p[:, 2] > 12) & (p[:, 2] < 36)),
        0.62,
    )
    put(tab["ear"], 0.0)
    put(tab["eye"][:7], 0.0)
    put(tab["lid_inner"], 0.0)
    share = lip_share()
    put(tab["mouth"][:5], np.broadcast_to(share, (5, 33)))
    put(tab["bag"], np.broadcast_to(share, (4, 33)))
    put(tab["bag_back"], 0.5)
    left = np.array(sorted(known))
    value = np.array([known[v] for v in left])
    both = np.concatenate([left, head.mirror[left]])
    w = solver.field(both, np.concatenate([value, value])[:, None], np.array([], int), harmonic=True)[:, 0]
    for name in ("teeth_lower", "tongue"):
        w[tab[name]] = 1.0
    back = tab["tongue"][:4]
    w[back] = np.array([0.45, 0.65, 0.85, 0.95])[:, None]
    w = np.maximum(w, w[head.mirror]).clip(0, 1)
    return np.where(w < 1e-4, 0.0, w)


def skin_weights(head: Head, solver: Solver) -> Array:
    """(V,5), rows sum to 1."""
    p = head.points
    w = np.zeros((len(p), 5))
    up = smoothstep(p[:, 1] + 0.25 * p[:, 2], -165, -100)
    jaw = jaw_weights(head, solver)
    inner = np.concatenate(
        [head.tables[k].ravel() for k in ("bag", "bag_back", "teeth_upper", "teeth_lower", "tongue")]
    )
    up[np.concatenate([inner, head.mirror[inner]])] = 1.0
    w[:, ROOT] = (1 - up) * (1 - jaw)
    w[:, NECK] = up * (1 - jaw)
    w[:, JAW] = jaw
    ball = head.tables["eyeball"]
    for joint, index in ((LEFT_EYE, ball), (RIGHT_EYE, head.mirror[ball])):
        w[index] = 0.0
        w[index, joint] = 1.0
    w = w.astype(np.float32).astype(float)
    return w / w.sum(1, keepdims=True)


def _exact(points: Array, target: Array) -> Array:
    """Non-negative weights that sum to 1 and average `points` to `target`, spread as evenly as possible."""
    n = len(points)
    rows = np.vstack([np.eye(n) * 1e-3, (points - target).T, np.ones((1, n)) * 10])
    right = np.concatenate([np.full(n, 1e-3 / n), np.zeros(3), [10.0]])
    w, _ = nnls(rows, right)
    active = np.flatnonzero(w > 0)
    a = np.vstack([points[active].T, np.ones(len(active))])
    w[active] += np.linalg.lstsq(a, np.append(target, 1.0) - a @ w[active], rcond=None)[0]
    return w.clip(0) / w.clip(0).sum()


def joint_regressor(head: Head) -> Array:
    """(5,V): local vertices whose mean is each joint; the mirror image counts alike."""
    p, tab = head.points, head.tables
    out = np.zeros((5, len(p)))
    skin = np.isin(np.arange(len(p)), tab["skin"])
    near = {
        ROOT: skin & (p[:, 1] < -120),
        NECK: skin & (p[:, 1] < -45) & (p[:, 1] > -120) & (p[:, 2] < 30),
        JAW: skin & (np.abs(p[:, 1] + 19) < 30) & (np.abs(p[:, 2] - 4) < 34) & (p[:, 0] > 45),
    }
    for joint, mask in near.items():
        index = np.flatnonzero(mask)
        flat = p[index].copy()
        flat[:, 0] = 0.0
        half = _exact(flat, JOINTS[joint])
        out[joint, index] += half / 2
        np.add.at(out[joint], head.mirror[index], half / 2)
    index = tab["eyeball"]
    weights = _exact(p[index], EYE)
    out[LEFT_EYE, index] = weights
    out[RIGHT_EYE, head.mirror[index]] = weights
    return out
