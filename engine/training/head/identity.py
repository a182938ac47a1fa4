# SPDX-License-Identifier: GPL-3.0-or-later
"""300 identity directions: named proportions first, then smooth surface modes of falling size.

One unit is one standard deviation. Every direction moves lips, lids, eyeballs, teeth and tongue
as rigid or jointly scaled wholes, so that seals and sockets stay shut. Boundary: numpy, scipy; millimetres.
"""

from __future__ import annotations

import numpy as np

from .assemble import Head
from .primitives import Array, smoothstep
from .sdf import EYE
from .surface import BROW, EAR_CENTRE

COUNT = 300
SEED = 20240517
BROW_MIDDLE = np.array([31.0, 20.0, 89.0])  # of the left brow, mm
MOOD = 0.75  # the share of tilted brows and corners of the mouth that is taken out
# centre (left half), reach (gaussian sigma per axis), displacement of one standard deviation
HANDLES: list[tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]] = [
    ((0, -100, 88), (30, 22, 30), (0, -2.6, 0)),
    ((0, -100, 92), (26, 20, 26), (0, 0, 2.4)),
    ((48, -78, 22), (26, 26, 34), (2.4, 0, 0)),
    ((46, -82, 20), (28, 20, 30), (0, -2.2, 0)),
    ((56, -18, 48), (22, 20, 26), (2.0, 0, 0.6)),
    ((42, -24, 72), (18, 16, 20), (0.6, 0, 1.6)),
    ((38, -52, 74), (18, 22, 20), (1.2, 0, 1.8)),
    ((0, -32, 112), (12, 14, 16), (0, 0, 1.9)),
    ((0, -36, 110), (14, 12, 16), (0, 1.5, 0)),
    ((13, -38, 97), (10, 9, 12), (1.2, 0, 0)),
    ((0, -14, 102), (9, 14, 14), (0, 0, 1.3)),
    ((0, 4, 95), (10, 12, 14), (0, 0, 1.2)),
    ((6, -12, 96), (9, 16, 12), (0.8, 0, 0)),
    ((20, 18, 92), (22, 10, 18), (0, 0, 1.4)),
    ((20, 20, 92), (26, 9, 18), (0, -1.2, 0)),
    ((0, 50, 94), (44, 24, 30), (0, 0, 2.2)),
    ((0, 60, 90), (50, 26, 40), (0, 2.2, 0)),
    ((62, 30, 20), (24, 34, 40), (1.8, 0, 0)),
    ((0, 20, -95), (60, 60, 34), (0, 0, -2.8)),
    ((0, 108, -10), (60, 30, 70), (0, 2.6, 0)),
    ((48, -150, -30), (24, 46, 40), (3.0, 0, 0)),
    ((0, -140, 12), (30, 40, 24), (0, 0, 2.0)),
    ((0, -56, 98), (18, 10, 14), (0, 0, 1.0)),
    ((0, -88, 92), (20, 9, 14), (0, 0, -1.0)),
    ((26, -68, 88), (9, 12, 14), (0, 0.5, 0)),
    ((48, 18, 76), (14, 10, 18), (0, 1.4, 0)),
    ((14, 16, 94), (10, 10, 14), (0, 0.7, 0)),
]


def _blend(points: Array, centre: Array, reach: Array) -> Array:
    return np.asarray(np.exp(-0.5 * (((points - centre) / reach) ** 2).sum(1)))


def _affine(points: Array) -> list[Array]:
    """Size, breadth, length and depth of the whole head, and of the face alone."""
    q = points - [0, -20, 0]
    out = [q * 0.028, q * [0.030, 0, 0], q * [0, 0.030, 0], q * [0, 0, 0.028]]
    face = 1 / (1 + np.exp(-(points[:, 2:] - 30) / 18))
    low = 1 / (1 + np.exp((points[:, 1:2] + 35) / 16))
    out += [
        np.column_stack([0 * low, (points[:, 1:2] + 35) * low * 0.05, 0 * low]),
        q * face * [0.030, 0, 0],
        (points * low) * [0.035, 0, 0],
        np.column_stack([0 * low, 0 * low, low * face * 2.0]),
    ]
    return out


def _handles(points: Array) -> list[Array]:
    out = []
    for centre, reach, move in HANDLES:
        c, r, m = np.array(centre, float), np.array(reach, float), 1.15 * np.array(move, float)
        field = _blend(points, c, r)[:, None] * m
        if c[0] > 0:
            field = field + _blend(points * [-1, 1, 1], c, r)[:, None] * m * [-1, 1, 1]
        out.append(field)
    return out


def _features(head: Head) -> list[Array]:
    """Eye distance, size, height and slant, mouth width, height and fullness, nose length, ears."""
    p, tab = head.points, head.tables
    side = np.sign(p[:, :1])
    eye = _blend(np.abs(p), EYE, np.array([17, 15, 26.0]))[:, None]
    mouth = _blend(p, np.array([0, -68, 92.0]), np.array([30, 15, 30.0]))[:, None]
    ear = np.zeros((len(p), 1))
    ear[tab["ear"]] = ear[head.mirror[tab["ear"]]] = 1.0
    pinna = p - np.column_stack([side[:, 0] * 68, np.full(len(p), EAR_CENTRE[0]), np.full(len(p), -3.0)])
    q = p - [0, -68.2, 92]
    local = np.column_stack([np.abs(p[:, 0]) - EYE[0], p[:, 1] - EYE[1], p[:, 2] - EYE[2]])
    local[:, 0] *= side[:, 0]
    tilt = np.column_stack([-side[:, 0] * local[:, 1], np.abs(p[:, 0]) - EYE[0], np.zeros(len(p))])
    lips = np.zeros((len(p), 3))
    ring = tab["mouth"][:9]
    seal = p[ring[0]]
    full = np.array([0, 0.14, 0.22, 0.22, 0.14, 0.08, 0.04, 0.01, 0])[:, None, None] * (p[ring] - seal)
    lips[ring] = full
    lips[head.mirror[ring]] = full * [-1, 1, 1]
    return [
        eye * side * [1.3, 0, 0],
        eye * [0, 1.2, 0],
        eye * local * 0.035,
        eye * [0, 0, 1.2],
        eye * tilt * 0.045,
        mouth * q * [0.07, 0, 0],
        mouth * [0, 1.5, 0],
        mouth * [0, 0, 1.5],
        lips * [1, 1, 0.6],
        ear * pinna * 0.07,
        ear * np.abs(pinna[:, :1]) * side * [0.18, 0, 0],
    ]


def _modes(head: Head, rng: np.random.Generator, count: int) -> list[Array]:
    """Random smooth displacement fields in space, shorter and weaker one after the other."""
    out = []
    for k in range(count):
        wave = 170.0 / (1 + k / 16.0) ** 0.5
        size = 0.32 / (1 + k / 10.0) ** 0.75
        even = k % 6 != 5  # one in six is a left-right difference, smaller still
        field = np.zeros_like(head.points)
        for _ in range(6):
            direction = rng.standard_normal(3)
            direction *= 2 * np.pi / wave / np.linalg.norm(direction)
            move = rng.standard_normal(3)
            field += np.sin(head.points @ direction + rng.uniform(0, 2 * np.pi))[:, None] * move
        twin = field[head.mirror] * [-1, 1, 1]
        field = 0.5 * (field + twin) if even else 0.5 * (field - twin) * 0.4
        out.append(field * size / np.sqrt((field**2).sum(1).mean()) * (1.0 if even else 0.4))
    return out


def settle(head: Head, field: Array) -> Array:
    """Let each eyeball move, scale and roll as a whole and take its lids along, fading over the outer lid rings."""
    tab, out = head.tables, field.copy()
    fade = np.array([1, 1, 1, 1, 0.85, 0.6, 0.35, 0.15, 0.05])
    index = np.concatenate([tab["eyeball"], tab["lid_inner"].ravel(), tab["eye"].ravel()])
    rigid = np.concatenate([np.ones(len(tab["eyeball"]) + tab["lid_inner"].size), np.repeat(fade, 32)])[
        :, None
    ]
    for ids, ball, centre in (
        (index, tab["eyeball"], EYE),
        (head.mirror[index], head.mirror[tab["eyeball"]], EYE * [-1, 1, 1]),
    ):
        arm = head.points[ball] - centre
        mean = field[ball].mean(0)
        scale = ((field[ball] - mean) * (arm - arm.mean(0))).sum() / ((arm - arm.mean(0)) ** 2).sum()
        flat, sway = arm[:, :2] - arm[:, :2].mean(0), field[ball, :2] - mean[:2]
        roll = (flat[:, 0] * sway[:, 1] - flat[:, 1] * sway[:, 0]).sum() / (flat**2).sum()
        away = head.points[ids] - centre - arm.mean(0)
        whole = mean + away * scale + roll * away[:, [1, 0, 2]] * [-1, 1, 0]
        out[ids] = rigid * whole + (1 - rigid) * out[ids]
    return out


def calm(head: Head, field: Array) -> Array:
    """Takes most of what reads as a mood out of a direction: brows and corners of the mouth that tilt, brows that sink.

    Brows are turned about their middle and lifted, the corners raised by smooth fields of place, alike on both lips.
    """
    p, tab = head.points, head.tables
    out = field.copy()
    brow, mouth = tab["eye"][6:9, BROW], tab["mouth"][:5]
    for sign, twin in ((1.0, np.arange(len(p))), (-1.0, head.mirror)):
        q = p * [sign, 1, 1]
        move = out[twin[brow], 1].mean(0)
        tilt = np.polyfit(p[brow, 0].mean(0) - BROW_MIDDLE[0], move, 1)[0]
        sink = move.mean() - out[twin[tab["eye"][0]], 1].mean()
        near = _blend(q, BROW_MIDDLE, np.array([17.0, 10.0, 24.0])) * smoothstep(q[:, 0], -2, 8)
        out[:, 1] -= MOOD * near * (tilt * (q[:, 0] - BROW_MIDDLE[0]) + 0.6 * sink)
        droop = out[twin[mouth[:, 14:19]], 1].mean() - out[mouth[:, [0, 32]], 1].mean()
        corner = _blend(q, p[mouth[0, 16]], np.array([9.0, 11.0, 16.0]))
        out[:, 1] -= MOOD * droop * corner
    return out


def level_neck(head: Head, field: Array) -> Array:
    """Lets the neck's cut only shift and scale, so that it stays flat; the change fades out upwards over 60 mm."""
    p = head.points
    rim = np.unique(np.concatenate([head.tables["neck"], head.mirror[head.tables["neck"]]]))
    terms = np.column_stack([np.ones(len(p)), p[:, 0], p[:, 2]])
    plain = np.empty_like(field)
    for axis, used in ((0, [0, 1]), (1, [0]), (2, [0, 2])):
        answer = np.linalg.lstsq(terms[rim][:, used], field[rim, axis], rcond=None)[0]
        plain[:, axis] = terms[:, used] @ answer
    keep = smoothstep(p[:, 1:2], -176.0, -116.0)
    return np.where(p[:, 1:2] < -110, keep * field + (1 - keep) * plain, field)


def identity_directions(head: Head) -> Array:
    """(V,3,300), millimetres per standard deviation."""
    rng = np.random.default_rng(SEED)
    fields = _affine(head.points) + _handles(head.points) + _features(head)
    fields += _modes(head, rng, COUNT - len(fields))
    return np.stack([level_neck(head, settle(head, calm(head, f))) for f in fields], axis=2)
