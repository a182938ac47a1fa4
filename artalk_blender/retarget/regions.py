# SPDX-License-Identifier: GPL-3.0-or-later
"""How much each sample counts, and which sliders belong together. numpy only, no `bpy` use."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from .correspond import Correspondence
from .face import SourceFace, TargetFace
from .surface import nearest, vertex_areas

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REGIONS = ("lips", "cheeks", "brows")
_SHARES = (1.0, 0.4, 0.4)  # of the regions, beside each other
_LIPS_COUNT = 3.0  # the lips themselves, beside the skin around them
_ALIKE = 0.85  # cosine of two keys' moves, one of them mirrored, that are each other's mirror image
_OPPOSED = -0.8  # cosine of two keys' moves that undo each other
_SHOWN = 0.12  # of the distance between the eyes: how near a sample what it shows lies
_FOREIGN = 1.5  # times more that a slider moves elsewhere
_NAMED = re.compile(r"eye_?.?look|look_?.?(up|down|in|out|left|right)|tongue", re.IGNORECASE)
_SIDES = (("left", "right"), ("_l", "_r"), (".l", ".r"), ("-l", "-r"))


def sample_weights(source: SourceFace, found: Correspondence) -> Floats:
    """(3,P) how much each sample counts for lips, cheeks and brows: by the area it stands for and how well it lies."""
    samples = found.samples.vertices
    area = vertex_areas(source.neutral, source.triangles)
    owner = nearest(source.neutral, source.neutral[samples], 1)[0][:, 0]
    near = np.linalg.norm(source.neutral - source.neutral[samples][owner], axis=1) < 0.2 * found.samples.unit
    stands_for = np.bincount(owner[near], area[near], len(samples))
    weights = source.regions[samples].T * stands_for * found.trust
    weights[0] *= np.where(found.samples.lips, _LIPS_COUNT, 1.0)
    total = weights.sum(1, keepdims=True)
    return np.array(_SHARES)[:, None] * weights / np.maximum(total, 1e-30)


def mirrored_pairs(names: tuple[str, ...], moves: Floats, places: Floats, axes: Floats) -> list[tuple[int, int]]:
    """Sliders that are each other's mirror image: by name, else by what they move.

    moves (K,P,3) at places (P,3); axes (3,3) rows: left, up, forward, through the origin of `places`.
    """
    by_name = _paired_names(names)
    known = {index for pair in by_name for index in pair}
    rest = [index for index in range(len(names)) if index not in known]
    if len(rest) < 2:
        return by_name
    local = places @ axes.T
    flipped = local * np.array([-1.0, 1.0, 1.0])
    partner = nearest(flipped, local, 1)[0][:, 0]
    turned = moves[rest] @ axes.T
    mirror = turned[:, partner] * np.array([-1.0, 1.0, 1.0])
    a, b = turned.reshape(len(rest), -1), mirror.reshape(len(rest), -1)
    size = np.linalg.norm(a, axis=1)
    alike = a @ b.T / np.maximum(np.outer(size, size), 1e-30)
    np.fill_diagonal(alike, np.where(np.diag(alike) > _ALIKE, 1.0, -1.0))  # those that mirror themselves have no pair
    best = alike.argmax(1)
    found = [(rest[i], rest[j]) for i, j in enumerate(best) if i < j and best[j] == i and alike[i, j] > _ALIKE]
    return by_name + found


def _paired_names(names: tuple[str, ...]) -> list[tuple[int, int]]:
    """By left and right in the names, in any spelling."""
    lower = [name.lower() for name in names]
    place = {name: index for index, name in enumerate(lower)}
    pairs = []
    for index, name in enumerate(lower):
        for left, right in _SIDES:
            pattern = re.escape(left) + ("" if len(left) > 2 else r"(?=$|[^a-z])")
            other = place.get(re.sub(pattern, right, name))
            if other is not None and other != index:
                pairs.append((index, other))
                break
    return pairs


def opposed_pairs(moves: Floats, weights: Floats) -> list[tuple[int, int]]:
    """Sliders of which one undoes the other, by their moves (K,P,3) with weights (P,)."""
    flat = (moves * np.sqrt(weights)[:, None]).reshape(len(moves), 3 * len(weights))
    size = np.linalg.norm(flat, axis=1)
    cosine = flat @ flat.T / np.maximum(np.outer(size, size), 1e-30)
    return [(int(i), int(j)) for i, j in np.argwhere(cosine < _OPPOSED) if i < j]


def foreign_sliders(target: TargetFace, found: Correspondence) -> NDArray[np.bool_]:
    """(K,) sliders that are about what the samples do not show, as tongue and eyeballs are: what they do to the face
    comes second, and to use them for that would stick the tongue out. By name too: a gaze draws the lids along.
    """
    named = np.array([bool(_NAMED.search(name)) for name in target.names], bool)
    used = np.unique(target.triangles)
    shown = nearest(target.neutral[used], found.places.of(target.neutral), 1)[1][:, 0]
    near = used[shown < (_SHOWN * found.samples.unit * found.scale) ** 2]
    most = np.linalg.norm(target.deltas, axis=2).max(1, initial=0.0)
    own = np.linalg.norm(target.deltas[:, near], axis=2).max(1, initial=0.0)
    return named | (most > _FOREIGN * own)
