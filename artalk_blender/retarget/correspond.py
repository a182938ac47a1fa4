# SPDX-License-Identifier: GPL-3.0-or-later
"""Which place of the target's face is which of the source's. numpy only, no `bpy` use.

The source's face is laid on the target's by the landmarks, bent to them, then drawn to the nearest places of the
surface in ever narrower bumps (non-rigid ICP after Amberg et al. 2007, with the warp of warp.py for their mesh's
stiffness). Places are matched by position, normal and by how much they follow the opening mouth, so that an upper lip
never takes the lower one for its own. What the warp does to small moves turns the source's moves into the target's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..runner import AGAIN, Step
from .align import Alignment
from .contact import Mouth, Seam, find_seam
from .face import SourceFace, TargetFace
from .surface import Places, Surface, at_vertices, nearest, seen_from_outside, vertex_normals, welded_pieces
from .warp import Warp, fit_layer, thin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FRONT, UP = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])  # of the source
OPEN_JAW = 0.15  # radians at which the source's mouth is looked at
_MOVES = 4e-4  # metres by which some channel moves a vertex that counts
_LANDMARK_RADII = (3.0, 1.5)  # in units of the distance between the eyes
_RADII = (1.5, 1.5, 1.0, 1.0, 0.7, 0.7, 0.5, 0.5, 0.35, 0.35, 0.25, 0.25)
_FRAME_RADIUS = 0.5  # narrower bumps place points, but do not turn their moves
_STIFFNESS = 0.02
_MARGIN = 0.5  # round the face, that the target's surface is cut to
_SEAM_COUNTS = 8.0  # against a sample
_LANDMARK_COUNTS = 10.0
_GOOD = 0.12  # units: how far off the surface a sample may end


@dataclass(frozen=True)
class Samples:
    """The source's vertices that are transferred: `vertices` (P,); `lips` (P,) bool; `follow` (P,) 0..1 the jaw."""

    vertices: Ints
    lips: NDArray[np.bool_]
    follow: Floats
    unit: float


@dataclass(frozen=True)
class Correspondence:
    """samples of the source; `places` on the target; `trust` (P,) 0..1; `frames` (P,3,3) of displacements; seams."""

    samples: Samples
    places: Places
    trust: Floats
    frames: Floats
    seams: tuple[Seam, Seam] | None  # the source's and the target's
    mouth: Mouth
    mouth_frame: Floats
    opening: str | None
    scale: float  # the target's size beside the source's
    offset: float  # median distance of the warped samples from the surface, in units


def take_samples(source: SourceFace) -> Samples:
    """Vertices of the source's face that can be seen and that something moves, thinned out but for the lips."""
    motion = np.zeros((1, 106), np.float32)
    motion[0, 103] = OPEN_JAW
    opened = np.linalg.norm(source.positions(motion)[0] - source.neutral, axis=1)
    moved = np.maximum(np.linalg.norm(source.points.expression, axis=1).max(1), opened)
    unit = source.unit
    label = welded_pieces(source.neutral, source.triangles)
    face = label == np.bincount(label).argmax()
    face &= seen_from_outside(source.neutral, source.triangles, FRONT, UP, unit) & (moved > _MOVES)
    face &= source.neutral[:, 2] > source.neutral[face, 2].max() - 1.7 * unit
    ring = np.zeros(len(face), bool)
    if source.lips is not None:
        ring[source.lips.ring] = True
    rest = np.flatnonzero(face & ~ring)
    rest = rest[thin(source.neutral[rest], 0.09 * unit)]
    vertices = np.union1d(rest, np.flatnonzero(ring & face))
    follow = np.clip(opened / max(float(np.percentile(opened[vertices], 95)), 1e-9), 0.0, 1.0)
    return Samples(vertices, ring[vertices], follow[vertices], unit)


def source_opening(source: SourceFace) -> Floats:
    """(V,3) what opening the jaw moves."""
    motion = np.zeros((1, 106), np.float32)
    motion[0, 103] = OPEN_JAW
    return source.positions(motion)[0].astype(np.float64) - source.neutral


def target_opening(target: TargetFace, landmarks: dict[str, Floats], mouth: Mouth) -> tuple[Floats, str] | None:
    """What opens the target's mouth: moves (V,3) and the slider's name; None where nothing does."""
    above = next((landmarks[name] for name in ("upper_lip", "nose_tip") if name in landmarks), None)
    below = next((landmarks[name] for name in ("lower_lip", "chin") if name in landmarks), None)
    if above is None or below is None:
        return None
    rows = nearest(np.array([above, below]), target.neutral, 6)[0]
    best: tuple[Floats, str] | None = None
    most = 0.06 * mouth.width
    if target.jaw is not None:
        jaw = target.jaw
        turned = OPEN_JAW * jaw.weight[:, None] * np.cross(jaw.axis, target.neutral - jaw.joint)
        if _opens(turned, rows, mouth) > most:
            return turned, "the jaw bone"
    for index, name in enumerate(target.names):
        value = _opens(target.deltas[index], rows, mouth) * max(float(target.limits[index, 1]), 0.0)
        if value > most:
            best, most = (target.deltas[index].astype(np.float64), name), value
    return best


def _opens(moves: NDArray[Any], rows: Ints, mouth: Mouth) -> float:
    above, below = (moves[row].mean(0) @ mouth.axes[1] for row in rows)
    return float(above - below)


def face_part(target: TargetFace, alignment: Alignment, around: Floats, unit: float) -> Ints:
    """Triangles (F,3) of the target's face: pieces that landmarks lie on, cut to the surroundings of `around`."""
    label = welded_pieces(target.neutral, target.triangles)
    outer = [pair[1] for name, pair in alignment.landmarks.items() if not name.startswith("eye")]
    used = np.unique(target.triangles)
    hit = label[used[nearest(np.array(outer), target.neutral[used], 1)[0][:, 0]]]
    names, counts = np.unique(hit, return_counts=True)
    kept = np.isin(label, names[counts >= min(2, counts.max())])
    low, high = around.min(0) - _MARGIN * unit, around.max(0) + _MARGIN * unit
    kept &= ((target.neutral >= low) & (target.neutral <= high)).all(1)
    return target.triangles[kept[target.triangles].all(1)]


def corresponding(source: SourceFace, target: TargetFace, alignment: Alignment,
                  notes: list[str]) -> Generator[Step, Any, Correspondence]:
    """Finds it in small steps (for runner.py); adds to `notes` what was only a best effort."""
    samples = take_samples(source)
    yield AGAIN
    opening, seams, mouths = yield lambda: _seams(source, target, alignment, samples, notes)
    yield AGAIN
    drawn = _Drawn(source, target, alignment, samples, seams)
    if drawn.flipped:
        notes.append("The target's faces point inwards; they are read the other way round.")
    drawn.follow(opening)
    for radius in _RADII:
        yield AGAIN
        drawn.draw(radius)
    yield AGAIN
    return drawn.result(seams, mouths[1], opening[1] if opening else None)


Opening = tuple[Floats, str] | None
Seams = tuple[Seam, Seam] | None


def _seams(source: SourceFace, target: TargetFace, alignment: Alignment, samples: Samples,
           notes: list[str]) -> tuple[Opening, Seams, tuple[Mouth, Mouth]]:
    """What opens the target's mouth, where both mouths' lips meet, and where the mouths are."""
    similarity = alignment.similarity
    marks = {name: pair[1] for name, pair in alignment.landmarks.items()}
    mouths = (mouth_of({name: pair[0] for name, pair in alignment.landmarks.items()}, UP),
              mouth_of(marks, similarity.turn @ UP))
    opening = target_opening(target, marks, mouths[1])
    if opening is None:
        notes.append("Nothing on the target opens its mouth, so the contact of its lips can't be kept.")
        return None, None, mouths
    seen = np.zeros(len(source.neutral), bool)
    seen[samples.vertices] = True
    part = face_part(target, alignment, similarity(source.neutral[samples.vertices]),
                     samples.unit * similarity.scale)
    on_face = np.zeros(len(target.neutral), bool)
    on_face[part.ravel()] = True
    own = find_seam(source.neutral, source.triangles, source_opening(source), mouths[0], seen)
    other = find_seam(target.neutral, target.triangles, opening[0], mouths[1], on_face)
    if own is None or other is None:
        whose = "source" if own is None else "target"
        notes.append(f"Where the {whose}'s lips meet could not be found, so their contact can't be kept.")
        return opening, None, mouths
    return opening, (own, other), mouths


class _Drawn:
    """The source's samples, landmarks and seam on their way to the target's surface."""

    def __init__(self, source: SourceFace, target: TargetFace, alignment: Alignment, samples: Samples,
                 seams: Seams) -> None:
        self.samples, self.target = samples, target
        self.unit = samples.unit * alignment.similarity.scale
        self.count = len(samples.vertices)
        self.normals = vertex_normals(source.neutral, source.triangles)[samples.vertices]
        marks = list(alignment.landmarks.values())
        parts, goals = [np.array([pair[0] for pair in marks])], [np.array([pair[1] for pair in marks])]
        self.marks, self.sure = len(marks), alignment.sure
        if seams is not None:
            parts.append(0.5 * (seams[0].upper.of(source.neutral) + seams[0].lower.of(source.neutral)))
            goals.append(0.5 * (seams[1].upper.of(target.neutral) + seams[1].lower.of(target.neutral)))
        self.goals = np.concatenate(goals)
        points = np.concatenate([source.neutral[samples.vertices], *parts])
        fit = alignment.similarity
        self.warp = Warp(points, fit.matrix, fit.shift, 0.99 * _FRAME_RADIUS * self.unit)
        for radius in _LANDMARK_RADII[: 2 if self.sure == 1.0 else 1]:
            now = self.warp.points[self.count : self.count + self.marks]
            self.warp.add(fit_layer(now, self.goals[: self.marks] - now, np.ones(self.marks), radius * self.unit, 0.05))
        triangles = face_part(target, alignment, self.warp.points[: self.count], self.unit)
        self.triangles, self.flipped = self._outwards(triangles)
        self.same = len(target.neutral) == len(source.neutral) and np.array_equal(target.triangles, source.triangles)

    def _outwards(self, triangles: Ints) -> tuple[Ints, bool]:
        """The triangles with their normals outwards, and whether they had to be turned."""
        if not len(triangles):
            raise ArtalkError("The target's mesh has no faces where the landmarks say that its face is.",
                              "Set the landmarks again, or choose another object.")
        normals = vertex_normals(self.target.neutral, triangles)
        used = np.unique(triangles)
        near = used[nearest(self.warp.points[: self.count], self.target.neutral[used], 1)[0][:, 0]]
        agree = (normals[near] * self.carried()).sum(1)
        return (triangles[:, ::-1], True) if np.median(agree) < 0.0 else (triangles, False)

    def carried(self) -> Floats:
        """(P,3) the samples' normals as the warp turns them."""
        normals = np.concatenate([self.normals, np.tile(FRONT, (len(self.goals), 1))])
        return self.warp.normals(normals)[: self.count]

    def follow(self, opening: Opening) -> None:
        """Makes the surface, with how much each of its vertices goes along as the mouth opens."""
        amount = np.zeros(len(self.target.neutral))
        if opening is not None:
            size = np.linalg.norm(opening[0], axis=1)
            moved = size[np.unique(self.triangles)]
            moved = moved[moved > 0.05 * moved.max()]
            amount = np.clip(size / max(float(np.percentile(moved, 90)) if len(moved) else 1.0, 1e-12), 0.0, 1.0)
        self.surface = Surface(self.target.neutral, self.triangles, amount)

    def closest(self) -> tuple[Places, Floats]:
        if self.same:
            return at_vertices(self.samples.vertices), np.zeros(self.count)
        return self.surface.closest(self.warp.points[: self.count], self.carried(), self.samples.follow, self.unit)

    def draw(self, radius: float) -> None:
        """Adds one layer that draws the samples to the surface, and landmarks and seam to theirs."""
        now = self.warp.points
        normals = self.carried()
        places, away = self.closest()
        agree = np.clip((places.of(self.surface.normals) * normals).sum(1), 0.0, 1.0)
        counts = agree / (1.0 + (away / (3.0 * np.median(away) + 1e-3 * self.unit)) ** 2) ** 2
        marks = np.full(self.marks, _LANDMARK_COUNTS * self.sure * min(radius, 1.0) ** 2)
        seam = np.full(len(self.goals) - self.marks, _SEAM_COUNTS)
        goals = np.concatenate([places.of(self.surface.points), self.goals])
        self.warp.add(fit_layer(now, goals - now, np.concatenate([counts, marks, seam]), radius * self.unit,
                                _STIFFNESS))

    def result(self, seams: Seams, mouth: Mouth, opening: str | None) -> Correspondence:
        places, away = self.closest()
        trust = 1.0 / (1.0 + (away / (_GOOD * self.unit)) ** 4)
        gradient = self.warp.gradient
        seam, lips = gradient[self.count + self.marks :], gradient[: self.count][self.samples.lips]
        middle = (seam if len(seam) else lips if len(lips) else gradient).mean(0)
        return Correspondence(self.samples, places, trust, gradient[: self.count], seams, mouth, middle, opening,
                              self.unit / self.samples.unit, float(np.median(away)) / self.unit)


def mouth_of(landmarks: dict[str, Floats], up: Floats) -> Mouth:
    """Where the mouth is, by its corners; without them, by nose and chin."""
    if "mouth_left" in landmarks and "mouth_right" in landmarks:
        right, left = landmarks["mouth_right"], landmarks["mouth_left"]
    else:
        nose, chin = landmarks["nose_tip"], landmarks["chin"]
        middle, length = 0.5 * (nose + chin), float(np.linalg.norm(nose - chin))
        across = np.cross(up, np.array([0.0, 0.0, 1.0])) if len(landmarks) < 2 else _across(landmarks, up)
        right, left = middle - 0.35 * length * across, middle + 0.35 * length * across
    width = float(np.linalg.norm(left - right))
    side = (left - right) / max(width, 1e-12)
    up = up - side * (up @ side)
    up = up / np.linalg.norm(up)
    return Mouth(0.5 * (left + right), np.stack([side, up, np.cross(side, up)]), width)


def _across(landmarks: dict[str, Floats], up: Floats) -> Floats:
    """To the head's left, by any pair of landmarks."""
    for name, point in landmarks.items():
        other = name.replace("left", "right")
        if other != name and other in landmarks:
            side = point - landmarks[other]
            return side / np.linalg.norm(side)
    return np.cross(up, FRONT)
