# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of a head that nobody has clicked, from its profile and from what its sliders move. No `bpy` use.

Both heads are asked in the same way, so that what the guesses get wrong they get wrong alike: the mouth is where close
vertices part as it opens, the nose the foremost point above, the chin the foremost and lowest below, the eyes where
small areas far up move down by themselves. A target is tried in several postures, and the one that fits best is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .align import Similarity, fit_similarity
from .face import SourceFace, TargetFace
from .surface import nearest
from .warp import thin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# columns: where the head's left, up and front point to
POSTURES = {
    "": np.eye(3),
    "lying as Blender's axes have it": np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]),
    "looking backwards": np.diag([-1.0, 1.0, -1.0]),
    "lying, looking backwards": np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]),
    "looking to its left": np.array([[0, 0, 1.0], [0, 1.0, 0], [-1.0, 0, 0]]),
    "looking to its right": np.array([[0, 0, -1.0], [0, 1.0, 0], [1.0, 0, 0]]),
}
_MOVES = 0.05  # of the largest move: what belongs to the face
_MOST = 4000  # vertices that are compared
_PARTED = 0.15  # of the opening
_NEAR = 0.10  # of the face's width: how close lips lie
_AGAIN = 2
_EYE = 0.2  # of the face's width: how far what one lid moves may reach


@dataclass(frozen=True)
class _Head:
    """A head upright: points (V,3) with Y up and Z to the front, moves (N,V,3), which of them opens its mouth."""

    points: Floats
    moves: NDArray[np.float32]
    opening: Floats
    names: tuple[str, ...]


def guess_landmarks(source: SourceFace, target: TargetFace) -> tuple[dict[str, Floats], dict[str, Floats], str] | None:
    """(the source's, the target's, the target's posture in words) or None where no mouth is found."""
    own = _guess(_source_head(source))
    if own is None:
        return None
    moves = target.deltas * np.maximum(target.limits[:, 1], 0.0)[:, None, None].astype(np.float32)
    face = source.neutral[thin(source.neutral, 0.15 * source.unit)]
    face = face[face[:, 2] > own["nose_tip"][2] - 1.7 * source.unit]
    best: tuple[float, dict[str, Floats], str] | None = None
    for words, posture in POSTURES.items():
        found = _guess(_target_head(target, moves, posture))
        if found is None:
            continue
        placed = {name: posture @ point for name, point in found.items()}
        cost = _misfit(own, placed, face, target.neutral, posture)
        if best is None or cost < 0.8 * best[0]:
            best = cost, placed, words
    if best is None:
        return None
    _, placed, words = best
    for _ in range(_AGAIN):  # upright as the first guesses have it, the next are better
        posture = _fit(own, placed).turn
        found = _guess(_target_head(target, moves, posture))
        if found is None:
            break
        placed = {name: posture @ point for name, point in found.items()}
    return own, placed, words


def _misfit(own: dict[str, Floats], other: dict[str, Floats], face: Floats, points: Floats, posture: Floats) -> float:
    """How badly the source's face lies on the target's, in its own size; more where it had to be turned far."""
    fit = _fit(own, other)
    away = np.sqrt(nearest(fit(face), points)[1][:, 0]) / max(fit.scale, 1e-12)
    turned = np.trace(fit.turn.T @ posture)
    return float(np.median(away)) * (1.0 if turned > 2.5 else 3.0)


def _fit(own: dict[str, Floats], other: dict[str, Floats]) -> Similarity:
    names = [name for name in own if name in other]
    return fit_similarity(np.array([own[name] for name in names]), np.array([other[name] for name in names]))


def _source_head(source: SourceFace) -> _Head:
    motion = np.zeros((1, 106), np.float32)
    motion[0, 103] = 0.2
    opening = source.positions(motion)[0].astype(np.float64) - source.neutral
    moves = np.concatenate([source.points.expression.transpose(2, 0, 1), opening[None]]).astype(np.float32)
    return _Head(source.neutral, moves, opening, (*source.names, "jaw"))


def _target_head(target: TargetFace, moves: NDArray[np.float32], posture: Floats) -> _Head:
    points, turned = target.neutral @ posture, moves @ posture.astype(np.float32)
    if target.jaw is not None:
        jaw = target.jaw
        opening = 0.2 * jaw.weight[:, None] * np.cross(jaw.axis, target.neutral - jaw.joint) @ posture
        return _Head(points, np.concatenate([turned, opening[None].astype(np.float32)]), opening,
                     (*target.names, "jaw"))
    down = np.maximum(-turned[:, :, 1], 0.0).sum(1)
    return _Head(points, turned, turned[int(down.argmax())].astype(np.float64), target.names)


def _guess(head: _Head) -> dict[str, Floats] | None:
    """The landmarks of an upright head; None where it has no mouth that opens."""
    size = np.linalg.norm(head.moves, axis=2).max(0)
    face = size > _MOVES * float(size.max(initial=0.0))
    if face.sum() < 20:
        return None
    low, high = np.percentile(head.points[face, 0], (2, 98))
    middle, width = 0.5 * (low + high), max(float(high - low), 1e-12)
    mouth = _mouth(head, face, width)
    if mouth is None:
        return None
    right, left = mouth
    line, half = 0.5 * (right + left), max(0.5 * float(np.linalg.norm(left - right)), 1e-6 * width)
    middle = 0.5 * (middle + line[0])
    central = np.abs(head.points[:, 0] - middle) < 0.08 * width
    central &= np.linalg.norm(head.points - line, axis=1) < 1.5 * width
    above, down = (head.points[:, 1] - line[1]) / half, -head.opening[:, 1]
    nose = np.flatnonzero(central & (above > 0.3) & (above < 4.0))
    chin = np.flatnonzero(central & (above < -0.8) & (above > -4.0) & (down > 0.5 * float(down[face].max())))
    if not (len(nose) and len(chin)):
        return None
    found = {"mouth_right": right, "mouth_left": left, "nose_tip": head.points[nose[head.points[nose, 2].argmax()]],
             "chin": head.points[chin[(head.points[chin, 2] - head.points[chin, 1]).argmax()]]}
    found.update(_eyes(head, found["nose_tip"], middle, width))
    return found


def _mouth(head: _Head, face: NDArray[np.bool_], width: float) -> tuple[Floats, Floats] | None:
    """Right and left end of where close vertices part as the mouth opens."""
    follow = -head.opening[:, 1]
    most = float(follow[face].max())
    if most < 1e-3 * width:
        return None
    rows = np.flatnonzero(face)
    follow = follow / most
    still, moving = rows[follow[rows] < 0.4], rows[follow[rows] > _PARTED]
    if len(still) < 4 or len(moving) < 4:
        return None
    still, moving = still[:: max(len(still) // _MOST, 1)], moving[:: max(len(moving) // _MOST, 1)]
    index, squares = nearest(head.points[moving], head.points[still], min(8, len(still)))
    apart = np.sqrt(squares)
    step = follow[moving][:, None] - follow[still][index]
    # between lips the move jumps; elsewhere it changes with the distance, as it does over a face's width
    jump = step / np.maximum(apart / width, 0.004)
    fits = (step > _PARTED) & (apart < _NEAR * width) & (jump > 12.0)
    chosen = fits.any(1)
    if chosen.sum() < 4:
        return None
    at = head.points[moving[chosen]]
    front = at[:, 2] > np.percentile(at[:, 2], 75) - 0.25 * width
    at = at[front]
    ends = np.percentile(at[:, 0], (1, 99))
    right, left = (at[np.abs(at[:, 0] - end) < 0.05 * width] for end in ends)
    return (right.mean(0), left.mean(0)) if len(right) and len(left) else None


def _eyes(head: _Head, nose: Floats, middle: float, width: float) -> dict[str, Floats]:
    """Where each lid comes down, if something moves it by itself."""
    found: dict[str, tuple[float, Floats]] = {}
    for move, name in zip(head.moves, head.names, strict=True):
        down = np.maximum(-move[:, 1].astype(np.float64), 0.0)
        down[(head.points[:, 1] < nose[1]) | (down < 0.3 * down.max(initial=0.0))] = 0.0
        plain = "".join(letter for letter in name.lower() if letter.isalpha())
        if down.max(initial=0.0) < 2e-3 * width or not any(word in plain for word in ("blink", "eyeclose", "wink")):
            continue
        for side, where in (("right", head.points[:, 0] < middle), ("left", head.points[:, 0] >= middle)):
            weight = down * where
            if weight.sum() < 0.3 * down.sum():
                continue
            centre = weight @ head.points / weight.sum()
            spread = float(np.sqrt(weight @ ((head.points - centre) ** 2).sum(1) / weight.sum()))
            if spread < _EYE * width and (side not in found or weight.max() > found[side][0]):
                found[side] = float(weight.max()), centre
    return {f"eye_{side}": centre for side, (_, centre) in found.items()} if len(found) == 2 else {}
