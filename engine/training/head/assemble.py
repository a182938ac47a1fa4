# SPDX-License-Identifier: GPL-3.0-or-later
"""Sews the half head together and mirrors it: the neutral head mesh with its index tables.

Boundary: numpy and scipy; millimetres, head frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .parts import MATERIALS, Half, add_bag, add_ear, add_eye, add_lids, add_teeth, add_tongue
from .primitives import Array
from .sdf import HeadField
from .surface import BROW, HalfHead, midline

VERTICES = 5023


@dataclass(frozen=True)
class Head:
    """The neutral head. `tables` index the left half (x >= 0); `mirror` gives each vertex's twin."""

    points: Array  # (V,3) mm
    quads: np.ndarray  # (Q,4)
    material: np.ndarray  # (Q,) uint8 into MATERIALS
    mirror: np.ndarray  # (V,)
    tables: dict[str, np.ndarray]


def make_head(field: HeadField | None = None) -> Head:
    """Build the neutral head; raises ValueError if the vertex count is not FLAME's."""
    skin = HalfHead(field or HeadField())
    half = Half(points=list(skin.points), quads=[tuple(q) for q in skin.skin.quads.tolist()])
    lip = {v for ring in skin.skin.mouth[:5] for v in ring.tolist()}
    brow = {v for ring in skin.skin.eye[7:9] for v in ring[BROW].tolist()}
    names = (
        "hair"
        if hair
        else "nostrils"
        if dark
        else "lips"
        if set(q) <= lip
        else "brows"
        if set(q) <= brow
        else "skin"
        for q, hair, dark in zip(half.quads, skin.skin.hair, skin.dark, strict=True)
    )
    half.material = [MATERIALS.index(name) for name in names]
    add_ear(half, skin)
    add_lids(half, skin)
    add_bag(half, skin)
    add_eye(half)
    add_teeth(half)
    add_tongue(half)
    half.tables.update(
        mouth=skin.skin.mouth,
        eye=skin.skin.eye,
        neck=skin.skin.neck,
        nose=skin.skin.nose,
        ear_hole=skin.hole,
        skin=np.arange(len(skin.points)),
    )
    return _mirrored(half)


def _mirrored(half: Half) -> Head:
    points = np.array(half.points)
    mid = midline(points)
    points[mid, 0] = 0.0
    twin = np.arange(len(points))
    twin[~mid] = len(points) + np.arange((~mid).sum())
    every = np.concatenate([points, points[~mid] * [-1, 1, 1]])
    if len(every) != VERTICES:
        raise ValueError(f"the head has {len(every)} vertices instead of {VERTICES}")
    mirror = np.concatenate([twin, np.flatnonzero(~mid)])
    quads = np.array(half.quads)
    both = np.concatenate([quads, twin[quads][:, ::-1]])
    # inner sheets of the eye lie on one side only, so every quad is doubled exactly once
    return Head(every, both.astype(np.int32), np.array(half.material * 2, np.uint8), mirror, half.tables)
