# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the source's neutral head onto the target's: landmarks checked, then one size, turn and shift. No `bpy` use."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from .face import FEWEST_LANDMARKS, LANDMARKS, TargetFace
from .surface import nearest

Floats = NDArray[np.float64]

_SWAPPED = 0.5  # crossed clicks fit this much better the other way round
_OFF = 0.35  # of the distance between the eyes' inner corners and outer ones: a click that is elsewhere
_FAR_OFF = 0.5  # of the same: how far a landmark may lie from the mesh


@dataclass(frozen=True)
class Similarity:
    """points -> scale * turn @ point + shift."""

    scale: float
    turn: Floats
    shift: Floats

    def __call__(self, points: Floats) -> Floats:
        return self.scale * points @ self.turn.T + self.shift

    @property
    def matrix(self) -> Floats:
        """(3,3) of displacements."""
        return self.scale * self.turn


@dataclass
class Alignment:
    """How the source's neutral comes to lie on the target's; the landmarks that were used; what to tell the person.

    landmarks: name -> (the source's (3,), the target's (3,)); sure: how far they are trusted, 1 for clicks.
    """

    similarity: Similarity
    landmarks: dict[str, tuple[Floats, Floats]]
    notes: list[str] = field(default_factory=list)
    sure: float = 1.0


def fit_similarity(source: Floats, target: Floats, weights: Floats | None = None) -> Similarity:
    """The size, turn and shift that bring points (N,3) closest to others (Umeyama 1991), without mirroring."""
    weight = np.ones(len(source)) if weights is None else weights
    weight = weight / weight.sum()
    a, b = source - weight @ source, target - weight @ target
    left, values, right = np.linalg.svd((b * weight[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turn = (left * sign) @ right
    spread = float((weight[:, None] * a * a).sum())
    scale = float((values * sign).sum()) / max(spread, 1e-30)
    return Similarity(scale, turn, weight @ target - scale * turn @ (weight @ source))


def align(source: dict[str, Floats], target: TargetFace, clicked: dict[str, Floats]) -> Alignment:
    """The alignment by landmarks that both heads have.

    Raises ArtalkError where there are too few, or where they fit no head.
    """
    notes: list[str] = []
    common = [name for name in source if name in clicked]
    for name in common:
        if not np.isfinite(clicked[name]).all():
            raise ArtalkError(f"The landmark “{_plain(name)}” has no place.", "Set it again.")
    if len(common) < FEWEST_LANDMARKS:
        raise ArtalkError(f"{len(common)} landmarks are known on both heads, and {FEWEST_LANDMARKS} are needed.",
                          "Set the nose's tip, the chin and both corners of the mouth, better also the eyes' corners.")
    a = np.array([source[name] for name in common], np.float64)
    b = np.array([clicked[name] for name in common], np.float64)
    if np.linalg.svd(b - b.mean(0), compute_uv=False)[1] < 1e-6 * max(float(np.abs(b).max()), 1e-9):
        raise ArtalkError("The landmarks lie in one place or on one line.", "Set each where its name says.")
    b = _uncross(common, a, b, notes)
    a, b, common = _without_strays(common, a, b, notes)
    found = fit_similarity(a, b)
    _check_distance(common, b, target, found, _unit(source), notes)
    return Alignment(found, {name: (a[row], b[row]) for row, name in enumerate(common)}, notes)


def _plain(name: str) -> str:
    return LANDMARKS.get(name, name.replace("_", " "))


def _unit(source: dict[str, Floats]) -> float:
    """A length of the source's face: between eyes' corners, or the mouth's and the nose."""
    for one, two in (("eye_right_outer", "eye_left_outer"), ("mouth_right", "mouth_left"), ("nose_tip", "chin")):
        if one in source and two in source:
            return float(np.linalg.norm(source[one] - source[two]))
    return 0.06


def _misfit(a: Floats, b: Floats) -> Floats:
    """(N,) how far the points are apart after the best fit, in the source's units."""
    fit = fit_similarity(a, b)
    return np.linalg.norm(fit(a) - b, axis=1) / max(fit.scale, 1e-12)


def _mirror_name(name: str) -> str:
    return name.replace("right", "?").replace("left", "right").replace("?", "left")


def _uncross(names: list[str], a: Floats, b: Floats, notes: list[str]) -> Floats:
    """The clicks with left and right put right where they were crossed, all of them or one pair alone."""
    partner = [names.index(_mirror_name(name)) if _mirror_name(name) in names else row
               for row, name in enumerate(names)]
    crossed = np.array(partner)
    now = float((_misfit(a, b) ** 2).sum())
    if now < 1e-12 or (crossed == np.arange(len(names))).all():
        return b
    tries = [(crossed, "Left and right were crossed in the landmarks")]
    for row, other in enumerate(partner):
        if row < other:
            single = np.arange(len(names))
            single[[row, other]] = other, row
            tries.append((single, f"“{_plain(names[row])}” and “{_plain(names[other])}” were crossed"))
    values = [float((_misfit(a, b[order]) ** 2).sum()) for order, _ in tries]
    best = int(np.argmin(values))
    if values[best] > _SWAPPED**2 * now:
        return b
    notes.append(f"{tries[best][1]}; they are used the other way round.")
    return b[tries[best][0]]


def _without_strays(names: list[str], a: Floats, b: Floats, notes: list[str]) -> tuple[Floats, Floats, list[str]]:
    """Leaves out clicks that lie where the others say that they cannot, one by one. Raises where none fit."""
    names = list(names)
    size = float(np.linalg.norm(a - a.mean(0), axis=1).mean())
    while True:
        whole = _misfit(a, b)
        if whole.max() < _OFF * size or len(names) <= FEWEST_LANDMARKS:
            break
        spreads = [float((_misfit(np.delete(a, row, 0), np.delete(b, row, 0)) ** 2).mean()) for row in range(len(a))]
        worst = int(np.argmin(spreads))
        if spreads[worst] > 0.4 * float((whole**2).mean()):
            break
        notes.append(f"The landmark “{_plain(names[worst])}” does not fit the others and was left out.")
        a, b = np.delete(a, worst, 0), np.delete(b, worst, 0)
        del names[worst]
    misfit = _misfit(a, b)
    if misfit.max() > 2.0 * _OFF * size:
        raise ArtalkError(f"The landmarks fit no face: “{_plain(names[int(misfit.argmax())])}” lies far from where "
                          "the others put it.", "Set it again, and look whether left and right are the head's own.")
    return a, b, names


def _check_distance(names: list[str], clicked: Floats, target: TargetFace, fit: Similarity, unit: float,
                    notes: list[str]) -> None:
    """Says which landmarks lie off the mesh, and raises where all do."""
    _, squares = nearest(clicked, np.asarray(target.neutral, np.float64))
    away = np.sqrt(squares[:, 0]) / max(fit.scale * unit, 1e-12)
    if (away > _FAR_OFF).all():
        raise ArtalkError("The landmarks lie far from the target's mesh.", "Set them on its surface.")
    for row in np.flatnonzero(away > 0.5 * _FAR_OFF):
        notes.append(f"The landmark “{_plain(names[row])}” lies off the mesh.")
