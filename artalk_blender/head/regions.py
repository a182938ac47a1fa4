# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the face a vertex belongs to, and where the lips meet. numpy only, no `bpy` module use.

All lengths are in units of the distance between the eye joints, so that a file in other units or of another face
comes out the same. Landmarks say where mouth and lids are, where the file has them; else the mouth is found by the
jaw's weights: nowhere but between the lips do two vertices lie so close of which only one follows the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.flame.landmarks import points_on_faces
from ..engine.flame.model import JOINT_NAMES, FlameModel
from .topology import pieces

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_JAW, _EYE_LEFT, _EYE_RIGHT = (JOINT_NAMES.index(name) for name in ("jaw", "eye_left", "eye_right"))
# iBUG's landmarks
_OUTER_LIPS = slice(48, 60)
_INNER_LIPS = slice(60, 68)
_LOWER_LIDS = (40, 41, 46, 47)
# without landmarks, from the middle of the eyes: an average face
_MOUTH_BELOW, _MOUTH_BEFORE, _MOUTH_HALF_WIDTH, _LID_BELOW = 1.07, 0.35, 0.35, 0.08
_LIPS_HEIGHT = 0.17  # from where they meet to their edge
_PAIR_REACH = 0.08  # how far apart opposite lips may be in the neutral face
_PAIR_SPACING = 0.05  # between one pair and the next
_MOST_PAIRS = 16_000_000  # that are tried; a FLAME head has half a million
_PAIR_JAW = 0.3  # by how much more the lower one follows the jaw
_LIPS_FADE = (0.22, 0.62)  # from full to nothing, from the line of the mouth
_BELOW_COUNTS = 0.45  # the chin is the lips' more than the nose is: the jaw moves both
_BROWS_FADE = (0.40, 0.10)  # below the lower lid, from nothing to full


@dataclass(frozen=True)
class Lips:
    """Opposite vertices `upper` (P,) and `lower` (P,) of the inner lips from right to left, and both lips' `ring`."""

    upper: Ints
    lower: Ints
    ring: Ints

    def as_dict(self) -> dict[str, list[int]]:
        return {"upper": self.upper.tolist(), "lower": self.lower.tolist(), "ring": self.ring.tolist()}


@dataclass(frozen=True)
class _Face:
    """Where things are: mouth and eyes' middle (3,), `unit` between the eyes, half the mouth's width, lower lid's y."""

    mouth: Floats
    eyes: Floats
    unit: float
    half_width: float
    lid: float
    outer: Floats | None = None  # (12,3) outline of the lips


def region_weights(model: FlameModel) -> Floats:
    """(V,3) in 0..1: how much each vertex belongs to lips (with jaw), cheeks (with nose), brows (with lids).

    They fade smoothly into each other and sum to 1, so that the same gain on all three is that gain.
    """
    face = _measure(model, _pairs(model))
    points = model.v_template.astype(np.float64) - face.mouth
    aside = np.maximum(np.abs(points[:, 0]) - face.half_width, 0.0)
    above = np.where(points[:, 1] > 0.0, points[:, 1], _BELOW_COUNTS * points[:, 1])
    lips = 1.0 - _smoothstep(np.hypot(aside, above) / face.unit, *_LIPS_FADE)
    below_lid = (face.lid - model.v_template[:, 1]) / face.unit
    brows = 1.0 - _smoothstep(below_lid, _BROWS_FADE[1], _BROWS_FADE[0])
    return np.stack([lips * (1.0 - brows), (1.0 - lips) * (1.0 - brows), brows], 1)


def find_lips(model: FlameModel) -> Lips | None:
    """The lips, or None where no mouth can be found."""
    pairs = _pairs(model)
    if pairs is None:
        return None
    face = _measure(model, pairs)
    label = pieces(model.vertex_count, model.faces)
    skin = label == np.bincount(label).argmax()
    points = model.v_template.astype(np.float64)
    line = 0.5 * (points[pairs[0]] + points[pairs[1]])
    nearest = np.abs(points[:, None, 0] - line[None, :, 0]).argmin(1)
    # inside the mouth the skin goes on, behind the lips
    front = points[:, 2] > line[nearest, 2] - 0.06 * face.unit
    if face.outer is not None:
        within = _inside(points[:, :2], face.outer[:, :2])
    else:
        across = (points[:, 0] - face.mouth[0]) / (face.half_width + 0.05 * face.unit)
        along = (points[:, 1] - line[nearest, 1]) / (_LIPS_HEIGHT * face.unit)
        within = np.hypot(across, along) < 1.0
    ring = np.flatnonzero(skin & front & within)
    return Lips(pairs[0], pairs[1], np.union1d(ring, np.concatenate(pairs)))


def _smoothstep(value: NDArray[np.floating[Any]], low: float, high: float) -> Floats:
    """0 below low, 1 above high, no kink at either."""
    x = np.clip((value - low) / (high - low), 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _measure(model: FlameModel, pairs: tuple[Ints, Ints] | None) -> _Face:
    """Finds mouth and eyes: by landmarks, else by the lips' pairs, else where an average face has them."""
    joints = model.neutral_joints().astype(np.float64)
    eyes = 0.5 * (joints[_EYE_LEFT] + joints[_EYE_RIGHT])
    unit = max(float(np.linalg.norm(joints[_EYE_LEFT] - joints[_EYE_RIGHT])), 1e-6)
    if model.landmarks is not None:
        marks = points_on_faces(model, model.v_template[None], model.landmarks)[0].astype(np.float64)
        inner = marks[_INNER_LIPS]
        return _Face(inner.mean(0), eyes, unit, 0.5 * float(np.ptp(inner[:, 0])),
                     float(marks[list(_LOWER_LIDS), 1].mean()), marks[_OUTER_LIPS])
    lid = float(eyes[1]) - _LID_BELOW * unit
    if pairs is None:
        mouth = eyes + unit * np.array([0.0, -_MOUTH_BELOW, _MOUTH_BEFORE])
        return _Face(mouth, eyes, unit, _MOUTH_HALF_WIDTH * unit, lid)
    line = 0.5 * (model.v_template[pairs[0]] + model.v_template[pairs[1]]).astype(np.float64)
    centre = np.array([0.5 * (line[:, 0].min() + line[:, 0].max()), line[:, 1].mean(), line[:, 2].mean()])
    return _Face(centre, eyes, unit, 0.5 * float(np.ptp(line[:, 0])), lid)


def _pairs(model: FlameModel) -> tuple[Ints, Ints] | None:
    """(upper (P,), lower (P,)): vertices close to each other of which the lower follows the jaw and the upper not."""
    joints = model.neutral_joints().astype(np.float64)
    eyes = 0.5 * (joints[_EYE_LEFT] + joints[_EYE_RIGHT])
    unit = max(float(np.linalg.norm(joints[_EYE_LEFT] - joints[_EYE_RIGHT])), 1e-6)
    label = pieces(model.vertex_count, model.faces)
    place = (model.v_template - eyes) / unit
    jaw = model.lbs_weights[:, _JAW].astype(np.float64)
    near = ((label == np.bincount(label).argmax()) & (np.abs(place[:, 0]) < 0.6) & (place[:, 2] > -0.2)
            & (place[:, 1] < -0.5) & (place[:, 1] > -1.7))
    upper, lower = np.flatnonzero(near & (jaw < 0.6)), np.flatnonzero(near & (jaw > _PAIR_JAW))
    if not 0 < len(upper) * len(lower) <= _MOST_PAIRS:
        return None
    squares = (place[upper] ** 2).sum(1)[:, None] + (place[lower] ** 2).sum(1) - 2.0 * place[upper] @ place[lower].T
    apart = np.sqrt(np.maximum(squares, 0.0))
    apart[jaw[lower][None] - jaw[upper][:, None] < _PAIR_JAW] = np.inf
    best = apart.argmin(1)
    mutual = (apart.argmin(0)[best] == np.arange(len(upper))) & (apart[np.arange(len(upper)), best] < _PAIR_REACH)
    if mutual.sum() < 3:
        return None
    upper, lower, gap = upper[mutual], lower[best[mutual]], apart[np.arange(len(upper)), best][mutual]
    # behind the lips the mouth's inside lies close too: of the pairs side by side the closest, then the foremost
    slot = np.round(place[upper, 0] / _PAIR_SPACING).astype(int)
    order = np.lexsort([-place[upper, 2], np.round(gap, 3), slot])
    first = order[np.unique(slot[order], return_index=True)[1]]
    return upper[first], lower[first]


def _inside(points: Floats, outline: Floats) -> NDArray[np.bool_]:
    """(V,) whether points (V,2) lie in a closed outline (N,2): an odd number of edges to their right."""
    a, b = outline, np.roll(outline, -1, 0)
    straddles = (a[None, :, 1] > points[:, None, 1]) != (b[None, :, 1] > points[:, None, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = a[:, 0] + (points[:, None, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return (straddles & (points[:, None, 0] < crossing)).sum(1) % 2 == 1
