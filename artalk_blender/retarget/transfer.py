# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion of one head on the sliders of another, by geometry. numpy only, no `bpy` use.

`prepare` finds once which place is which; the Transfer then solves any motion. Weights of the least squares: moves of
the face by region, distance between the lips (held the more firmly the closer the source's come), opening and width
of the mouth, and small ones that choose between what looks alike: small values, few sliders, smooth in time, the same
left and right, no two that undo each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..motion.layout import CHANNELS
from ..runner import AGAIN, Step, finish
from .align import Alignment, align
from .correspond import Correspondence, corresponding
from .error import both_sides, cannot, channel_name, full_channels, sentences, used_channels
from .face import FEWEST_LANDMARKS, Options, Solved, SourceFace, TargetFace
from .guess import guess_landmarks
from .regions import REGIONS, foreign_sliders, mirrored_pairs, opposed_pairs
from .solve import ROUNDS, Bend, Problem, solve_frames
from .system import GAP, SHAPE, Reduced, System

Floats = NDArray[np.float64]

_CONTACT = (1.0, 90.0)  # open, and what is added as the lips close
_CROSSING = 2.0  # times as far as the source's
_CLOSING = 2.5  # mm of aperture, of the source's size, within which they count as closing
_SOONER = 2.0  # of how far lips are parted at rest
_SHAPE = 1.0
_L2 = 1e-4  # of what each slider does, H's diagonal, as all of these
_L1 = 3e-5
_FLOOR = 1e-6  # of the largest
_SMOOTH = 2e-4
_MIRRORED = 1e-5
_OPPOSED = 1e-2
_RESTS_PARTED = 1.0  # mm of the source's size, from where lips hang open; less is a coarse mesh's, or contact's
_PLAIN_ROUNDS = 40  # without contact, for where to begin
_GUESSED = 0.1  # how far guessed landmarks are trusted
_FAR = 0.06  # of the distance between the eyes, from where the fit of the faces is told to be poor

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Held:
    """Sliders that somebody else moves: columns (H,) and their values (T,H)."""

    columns: NDArray[np.int64]
    values: NDArray[np.float64]

    def among(self, columns: int) -> Floats:
        """(T,columns), all others 0."""
        result = np.zeros((len(self.values), columns))
        result[:, self.columns] = self.values
        return result


class Transfer:
    """Two heads that know each other; `solve` motions as often as you like. Made by `prepare`."""

    def __init__(self, system: System, options: Options, notes: list[str]) -> None:
        self.system = system
        self.options = options
        self.notes = notes
        self.missing_channels: list[str] = []
        self._mirrored: list[tuple[int, int]] = []
        self._opposed: list[tuple[int, int]] = []
        self._limits = system.limits()
        self._rest = np.zeros(system.columns)  # sliders at which the target's lips lie as the source's do at rest
        self._problem: Problem | None = None

    @property
    def source(self) -> SourceFace:
        return self.system.source

    @property
    def target(self) -> TargetFace:
        return self.system.target

    @property
    def found(self) -> Correspondence:
        return self.system.found

    def with_options(self, options: Options) -> Transfer:
        """The same heads with other strengths; costs nothing."""
        other = Transfer(self.system, options, self.notes)
        other.missing_channels = self.missing_channels
        other._mirrored, other._opposed, other._limits = self._mirrored, self._opposed, self._limits
        other._rest = self._rest
        return other

    def sort_sliders(self) -> None:
        """Finds which sliders mirror or undo each other, and which are about eyes or tongue and stay at rest."""
        system, count = self.system, len(self.target.names)
        moves = system.moves[:count, : system.samples]
        mouth = self.found.mouth
        places = self.found.places.of(self.target.neutral) - mouth.centre
        self._mirrored = mirrored_pairs(self.target.names, moves, places, mouth.axes)
        self._opposed = opposed_pairs(moves, system.weights.sum(0))
        still = np.flatnonzero(foreign_sliders(self.target, self.found))
        self._limits = system.limits()
        self._limits[still] = np.clip(0.0, *self._limits[still].T)[:, None]

    def problem(self) -> Problem:
        """The matrices of the solver, with the options' strengths."""
        if self._problem is None:
            system, options = self.system, self.options
            hessian = sum(strength * system.hessians[region]
                          for strength, region in zip(options.regions, REGIONS, strict=True))
            hessian = hessian + options.lip_shape * _SHAPE * system.hessians[SHAPE]
            contact = system.hessians[GAP]
            size = np.diag(hessian)
            size = size + _FLOOR * max(float(size.max(initial=0.0)), 1e-9)  # of what moves nothing
            extra = np.diag(options.l2 * _L2 * size)
            for pairs, sign, strength in ((self._mirrored, -1.0, options.symmetry * _MIRRORED),
                                          (self._opposed, 1.0, options.opposing * _OPPOSED)):
                for one, two in pairs:
                    weight = strength * float(np.sqrt(size[one] * size[two]))
                    extra[[one, two], [one, two]] += weight
                    extra[[one, two], [two, one]] += sign * weight
            self._problem = Problem(hessian + extra, contact, self._limits, options.l1 * _L1 * size * system.units(),
                                    options.smoothness * _SMOOTH, options.contact * _CONTACT[0])
        return self._problem

    def reduce(self, motion: NDArray[np.floating[Any]]) -> Reduced:
        """What a motion (T,106) asks for; kept by who moves sliders, since no option changes it."""
        motion = np.asarray(motion)
        if motion.ndim != 2 or motion.shape[1] != CHANNELS:
            raise ValueError(f"a motion is (T,{CHANNELS}), not {motion.shape}")
        if not np.isfinite(motion).all():
            raise ArtalkError("The motion holds values that are no numbers.", "Generate it again.")
        return self.system.reduce(motion)

    def find_rest(self) -> None:
        """Lays the target's lips as the source's are at rest, where one of them is parted and the other is not.

        What a motion moves is moved from there on, so that lips which hang open close and open as evenly as the
        source's do, and no contact has to draw them together in the last moment.
        """
        parted = np.abs(self.system.rest_gap - self.system.own_gap)
        if not self.system.stations or parted.mean() < _RESTS_PARTED:
            return
        asked = self.reduce(np.zeros((1, CHANNELS)))
        self._rest = self._weights(asked, np.full(1, sum(_CONTACT)), np.maximum(asked.gap, 0.0),
                                   replace(self.problem(), smooth=0.0))[0]

    @property
    def rest(self) -> Floats:
        """(C,) sliders from which a motion moves the target: all of them 0 where contact is switched off."""
        return self._rest * min(self.options.contact, 1.0)

    def contact_strength(self, reduced: Reduced) -> Floats:
        """(T,) how firmly the lips' distance is held. Lips that are parted at rest have further to go, so they begin
        to close sooner."""
        if not reduced.gap.size:
            return np.full(len(reduced), self.options.contact * _CONTACT[0])
        left = self.system.gaps(self.rest[None])[0] - self.system.own_gap
        reach = _CLOSING + _SOONER * float(np.abs(left).mean())
        closing = np.exp(-((np.maximum(reduced.gap, 0.0).mean(1) / reach) ** 2))
        return self.options.contact * (_CONTACT[0] + _CONTACT[1] * closing)

    def weights(self, reduced: Reduced, start: Floats | None = None, live: bool = False,
                stop: threading.Event | None = None, held: Held | None = None) -> Floats:
        """(T,C) sliders, and the jaw's angle last where a bone opens the mouth.

        From a `start` (T,C) for nearly the same, `live` comes near at once, while sliders are moved. Without one the
        motion is solved without contact first, because contact is for what that misses. Those that are `held` are as
        they are, and the others do what is left. Raises Stopped soon after `stop` was set.
        """
        problem, strength = self.problem(), self.contact_strength(reduced)
        if start is None:
            start = self._weights(reduced, np.zeros(len(reduced)), reduced.gap, problem, rounds=_PLAIN_ROUNDS,
                                  stop=stop, held=held)
        return self._weights(reduced, strength, self._aim(reduced, start), problem, start, live=live, stop=stop,
                             held=held)

    def _aim(self, reduced: Reduced, plain: Floats) -> Floats:
        """(T,S) mm, the gaps that contact asks for: the source's. Where its lips cross, the target's may cross as they
        like, up to twice as far: no more is asked than to touch."""
        gap = self.system.gaps(plain)
        return np.where(reduced.gap < 0.0, np.clip(gap, np.minimum(_CROSSING * reduced.gap, 0.0), 0.0), reduced.gap)

    def each_alone(self, reduced: Reduced) -> Floats:
        """(N,C) for motions of one frame each, which the lips' contact would only disturb."""
        return self._weights(reduced, np.zeros(len(reduced)), reduced.gap, replace(self.problem(), smooth=0.0))

    def _weights(self, reduced: Reduced, strength: Floats, aim: Floats, problem: Problem, start: Floats | None = None,
                 rounds: int = ROUNDS, live: bool = False, stop: threading.Event | None = None,
                 held: Held | None = None) -> Floats:
        system, options = self.system, self.options
        right = sum(strength * reduced.right[region]
                    for strength, region in zip(options.regions, REGIONS, strict=True))
        right = right + options.lip_shape * _SHAPE * reduced.right[SHAPE]
        counts = {**dict(zip(REGIONS, options.regions, strict=True)), SHAPE: options.lip_shape * _SHAPE}
        face_hessian = sum(count * system.hessians[block] for block, count in counts.items())
        right = right + self.rest @ face_hessian
        touch = (aim - system.rest_gap) @ system.project[GAP]
        bend: Bend | None = None
        if system.has_jaw:
            face = system.turned_on_columns(counts)
            right = right + face(self.rest[None])
            lips = system.turned_on_columns({GAP: 1.0})

            def bend(x: Floats, some: slice) -> Floats:
                return face(x) + strength[some, None] * lips(x)

        if held is None:
            return solve_frames(problem, right, strength, touch, start, rounds, live=live, bend=bend, stop=stop)
        fixed = held.among(system.columns)
        limits = problem.limits.copy()
        limits[held.columns] = 0.0
        plain_bend = bend
        if plain_bend is not None:
            def bend(x: Floats, some: slice) -> Floats:
                return plain_bend(x + fixed[some], some)

        found = solve_frames(replace(problem, limits=limits), right - fixed @ face_hessian, strength,
                             touch - fixed @ system.hessians[GAP], None if start is None else start - fixed, rounds,
                             live=live, bend=bend, stop=stop)
        return found + fixed

    def solve(self, motion: NDArray[np.floating[Any]]) -> Solved:
        """The motion (T,106) on the target."""
        return finish(self.solving(motion))

    def solving(self, motion: NDArray[np.floating[Any]]) -> Generator[Step, Any, Solved]:
        """The same for runner.py: the long parts run in a thread."""
        reduced: Reduced = yield lambda: self.reduce(motion)
        x: Floats = yield lambda: self.weights(reduced)
        solved: Solved = yield lambda: self.report(motion, reduced, x)
        return solved

    def report(self, motion: NDArray[np.floating[Any]], reduced: Reduced, x: Floats) -> Solved:
        """Sliders (T,C) with their error."""
        system = self.system
        keys = len(self.target.names)
        used, alone = used_channels(motion)
        asked = self.reduce(alone)
        by_channel = self._error(asked, self.each_alone(asked))
        names = [channel_name(index, self.source.names) for index in used]
        missing = [name for name in self.missing_channels if name in names]
        return Solved(x[:, :keys].astype(np.float32), x[:, -1].astype(np.float32) if system.has_jaw else None,
                      self._error(reduced, x), dict(zip(names, by_channel.tolist(), strict=True)), sentences(missing))

    def _error(self, reduced: Reduced, x: Floats) -> NDArray[np.float32]:
        """(T,) root mean square at the lips, in the target's millimetres."""
        off = self.system.reached(x, self.system.shown) - reduced.wish
        off -= self.system.reached(self.rest[None], self.system.shown)
        return (1e3 * self.system.size * np.sqrt((off**2).sum(2).mean(1))).astype(np.float32)

    def find_missing(self) -> None:
        """Tries every named channel alone, and remembers which the target cannot do; one side that fails alone, as one
        eye does where a key closes both, is tried with the other."""
        channels, alone = full_channels(self.source.names)
        if not channels:
            return
        names = [channel_name(index, self.source.names) for index in channels]
        failed = self._cannot(names, alone)
        pairs = [pair for pair in both_sides(names) if set(pair) <= set(failed)]
        row = dict(zip(names, alone, strict=True))
        if pairs:
            together = np.stack([row[left] + row[right] for left, right in pairs])
            still = set(self._cannot([left for left, _ in pairs], together))
            done = {name for pair in pairs if pair[0] not in still for name in pair}
            failed = [name for name in failed if name not in done]
        self.missing_channels = failed

    def _cannot(self, names: list[str], motion: NDArray[np.float32]) -> list[str]:
        """Which frames of a motion (N,106), by their names, the target cannot do."""
        wishes = self.system.wishes(motion)[:, : self.system.samples] / self.system.size
        return cannot(names, wishes, self.system.reached(self.each_alone(self.reduce(motion))))

    @property
    def missing(self) -> list[str]:
        """Sentences on everything the target cannot do, whether a motion uses it or not."""
        return sentences(self.missing_channels)


def prepare(source: SourceFace, target: TargetFace, landmarks: dict[str, Floats] | None = None,
            options: Options | None = None, progress: Progress | None = None) -> Transfer:
    """Finds which place of the target is which of the source; some seconds.

    landmarks: name of `LANDMARKS` -> (3,) on the target, beside or instead of those that it knows. Raises ArtalkError
    where they fit no head, or where the target has nothing that moves.
    """
    return finish(preparing(source, target, landmarks, options, progress))


def preparing(source: SourceFace, target: TargetFace, landmarks: dict[str, Floats] | None = None,
              options: Options | None = None, progress: Progress | None = None) -> Generator[Step, Any, Transfer]:
    """The same for runner.py, in short steps."""
    tell = progress or (lambda share, what: None)
    check_target(target)
    notes: list[str] = []
    alignment: Alignment = yield lambda: find_alignment(source, target, landmarks or {})
    notes += alignment.notes
    tell(0.05, "Laying one face on the other")
    work = corresponding(source, target, alignment, notes)
    steps, result = 0, None
    while True:
        try:
            step = work.send(result)
        except StopIteration as end:
            found = end.value
            break
        steps += 1
        tell(min(0.05 + 0.05 * steps, 0.8), "Laying one face on the other")
        result = yield step
    if found.offset > _FAR:
        notes.append("The faces fit each other poorly; landmarks that lie more exactly would help.")
    tell(0.85, "Measuring what the target can do")
    yield None
    system: System = yield lambda: System(source, target, found)
    transfer = Transfer(system, options or Options(), notes)
    yield transfer.sort_sliders
    yield transfer.find_missing
    yield transfer.find_rest
    yield AGAIN
    tell(1.0, "")
    return transfer


def find_alignment(source: SourceFace, target: TargetFace, clicked: dict[str, Floats]) -> Alignment:
    """By landmarks that are known or were clicked; where they are too few, by guessed ones. Raises ArtalkError."""
    known = {name: np.asarray(at, np.float64) for name, at in {**target.landmarks, **clicked}.items()}
    if len(known.keys() & source.landmarks.keys()) >= FEWEST_LANDMARKS:
        return align(source.landmarks, target, known)
    guessed = guess_landmarks(source, target)
    if guessed is None:
        raise ArtalkError("Where the target's face is could not be told from what its sliders move.",
                          "Set its landmarks: the nose's tip, the chin, the corners of mouth and eyes.")
    own, other, posture = guessed
    found = align(own, target, other)
    found.sure = _GUESSED
    found.notes.insert(0, "Landmarks were guessed" + (f" for a head {posture}" if posture else "")
                       + "; set them where lips or eyes come out wrong.")
    return found


def check_target(target: TargetFace) -> None:
    """Raises ArtalkError where nothing can be solved for."""
    if not len(target.names) and target.jaw is None:
        raise ArtalkError("The target has no shape keys and no jaw bone.", "Choose a mesh that has either.")
    if not len(target.triangles):
        raise ArtalkError("The target's mesh has no faces.", "Choose the mesh of the face.")
    if not (np.isfinite(target.neutral).all() and np.isfinite(target.deltas).all()):
        raise ArtalkError("The target's mesh holds places that are no numbers.", "Mend the mesh or its shape keys.")
    moved = np.abs(target.deltas).max(initial=0.0)
    if moved < 1e-9 and target.jaw is None:
        raise ArtalkError("None of the target's shape keys moves anything.", "Choose the mesh of the face.")
    if (np.asarray(target.limits)[:, 0] > np.asarray(target.limits)[:, 1]).any():
        raise ArtalkError("A slider's smallest value is above its largest.", "Set the range of the target's keys.")
