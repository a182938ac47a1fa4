# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys for the same curves, within a stated bound. Plain numpy, no `bpy` module use.

Every piece between two keys is a cubic: its ends lie on the dense curve, its two slopes are the least-squares fit to
what lies between. Where a piece strays too far it is split at its worst sample (top-down, as Ramer 1972 and Douglas
and Peucker 1973 do with lines); then keys that turn out needless are taken out again. All pieces of all channels are
fitted at once. Channels add up on a face, so a bound for each alone does not bound their sum: `measure` looks at all
of them together, and where that is too much the channel to blame gets one key more.

A cubic over x with Bezier handles at thirds of the way is just what Blender evaluates, so errors measured here are
errors in Blender.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# (R,C) values and their rows (R,) -> (R,) error as a part of what is allowed
Measure = Callable[[Floats, Ints], Floats]

_PRUNINGS = 4
_ROUNDS = 400
_VERIFICATIONS = 40
_BLOCK = 12000  # samples, an even number
# found to need the fewest keys: how much of the bound each channel may use alone at first and while keys are taken out
# again, and how often that is done
_ALONE, _IN_TURN, _TURNS = 0.5, 0.65, 3
_DRAWN = 1e-3  # how much a piece's slopes keep to those of the dense curve
_DOUBTFUL = 0.92  # by the fast measure; only from there on the true one is asked


@dataclass(frozen=True)
class Simplified:
    """The keys (K,) of each channel as rows of the samples, the slopes on both sides of each, and the curves (S,C)."""

    keys: list[Ints]
    left: list[Floats]
    right: list[Floats]
    values: Floats

    @property
    def count(self) -> int:
        return sum(map(len, self.keys))

    def handles(self, channel: int, frames: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Keys, left handles and right handles, each (K,2) of frame and value, from the dense samples (S,), (S,C)."""
        rows = self.keys[channel]
        x, y = frames[rows], values[rows, channel]
        third = np.diff(x) / 3.0
        before = np.concatenate([third[:1], third]) if len(third) else np.ones(1)
        after = np.concatenate([third, third[-1:]]) if len(third) else np.ones(1)
        return (np.stack([x, y], 1), np.stack([x - before, y - before * self.left[channel]], 1),
                np.stack([x + after, y + after * self.right[channel]], 1))


def simplify(frames: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]],
             tolerance: NDArray[np.floating[Any]], measure: Measure | None = None,
             verify: Measure | None = None, slopes: NDArray[np.floating[Any]] | None = None) -> Simplified:
    """Dense samples (S,C) at rising `frames` (S,) -> few keys with every channel within `tolerance` (C,).

    Keys lie on every second sample; the samples between are only looked at in the end, whether nothing escapes there.
    `slopes` (S,C) are the dense curves' own, per frame; left out, they are taken from the samples.

    With a `measure` of all channels together, that is to be at most 1 on every row instead; an error by a channel's
    tolerance should be about 1 by that measure. `verify` is the true measure where `measure` is only nearly right.
    """
    x, y = np.asarray(frames, np.float64), np.asarray(values, np.float64)
    tolerance = np.asarray(tolerance, np.float64)
    slopes = (np.gradient(y, x, axis=0) if len(x) > 1 else np.zeros_like(y)) if slopes is None else slopes
    parts = []
    if len(x) % 2 == 0:
        raise ValueError("samples to simplify are odd in number: one between each two that may be keys")
    for start in range(0, max(len(x) - 1, 1), _BLOCK):  # a block's working set stays small; keys where they meet
        rows = np.arange(start, min(start + _BLOCK + 1, len(x)))
        fit = _Pieces(x[rows], y[rows], slopes[rows], tolerance * (1.0 if measure is None else _ALONE))
        fit.split(fit.pieces())
        for turn in range(_PRUNINGS):
            fit.prune(turn % 2)
        fit.refit(fit.pieces())
        if measure is not None:
            _all_together(fit, rows, tolerance, measure, verify or measure)
        parts.append(fit.result(start))
    return _joined(parts)


def _all_together(fit: _Pieces, rows: Ints, tolerance: Floats, measure: Measure, verify: Measure) -> None:
    """Keys are added where the channels' sum needs them, taken out where others made them needless, in turns."""

    def fast(values: Floats, some: Ints) -> Floats:
        return measure(values, rows[2 * some])

    _bound_together(fit, fast, 1.0 / tolerance)
    fit.tolerance = tolerance * _IN_TURN
    for turn in range(_TURNS):
        fit.prune(turn % 2)
        fit.refit(fit.pieces())
        _bound_together(fit, fast, 1.0 / tolerance)
    looked_at = np.ones(len(rows), bool)
    for _ in range(_VERIFICATIONS):
        some = np.flatnonzero(looked_at)
        values = fit.values_at(some)
        error = measure(values, rows[some])
        doubtful = np.flatnonzero(error > _DOUBTFUL)
        error[doubtful] = verify(values[doubtful], rows[some[doubtful]])
        worst = _peaks(error)
        missing = np.abs(fit.samples[some[worst]] - values[worst]) / tolerance
        changed = fit.add_near(some[worst], missing)
        if not changed.any():
            break
        changed |= _bound_together(fit, fast, 1.0 / tolerance, changed)
        looked_at[::2] = changed
        looked_at[1::2] = changed[1:] | changed[:-1]


def _joined(parts: list[Simplified]) -> Simplified:
    """Blocks whose last sample is the next one's first."""
    first, *others = parts
    keys, left, right, values = list(first.keys), list(first.left), list(first.right), [first.values]
    for part in others:
        values.append(part.values[1:])
        for channel in range(len(keys)):
            keys[channel] = np.concatenate([keys[channel], part.keys[channel][1:]])
            left[channel] = np.concatenate([left[channel], part.left[channel][1:]])
            right[channel] = np.concatenate([right[channel][:-1], part.right[channel]])
    return Simplified(keys, left, right, np.concatenate(values))


def _bound_together(fit: _Pieces, measure: Measure, blame: Floats,
                    suspects: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Adds keys until the measure of all channels together is at most 1 on every row; returns which rows changed.

    `suspects` (S,) are the rows that may be beyond it, where that is known.
    """
    samples = len(fit.x)
    rows = np.arange(samples) if suspects is None else np.flatnonzero(suspects)
    error = np.zeros(samples)
    error[rows] = measure(fit.fitted[:, rows].T, rows)
    changed = np.zeros(samples, bool)
    for _ in range(_ROUNDS):
        rows = _peaks(error)
        missing = np.abs(fit.y[:, rows] - fit.fitted[:, rows]) * blame[:, None]
        channel = missing.argmax(0)
        strays = missing[channel, np.arange(len(rows))] > 0.0
        if not strays.any():
            break  # all is well, or every channel has its key there
        touched = fit.add(channel[strays] * samples + rows[strays])
        error[touched] = measure(fit.fitted[:, touched].T, touched)
        changed[touched] = True
    return changed


def _peaks(error: Floats) -> Ints:
    """The worst row of every run of rows with an error above 1."""
    over = error > 1.0
    if not over.any():
        return np.zeros(0, np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], over, [False]]).astype(np.int8)))
    return np.array([start + int(np.argmax(error[start:end])) for start, end in edges.reshape(-1, 2)], np.int64)


class _Pieces:
    """All channels' keys and the cubics between them, fitted to every second sample.

    Those are numbered through: channel * S + row.
    """

    def __init__(self, x: Floats, values: Floats, slopes: NDArray[np.floating[Any]], tolerance: Floats) -> None:
        self.x, self.between, self.samples = x[::2], x[1::2], values
        self.y = np.ascontiguousarray(values[::2].T)  # (C,S)
        self.slope = np.ascontiguousarray(slopes[::2].T, np.float64)
        self.tolerance = tolerance
        self.fitted = self.y.copy()
        self.is_key = np.zeros(self.y.shape, bool)
        if len(x):
            self.is_key[:, 0] = self.is_key[:, -1] = True
        self.left = np.zeros(self.y.shape)
        self.right = np.zeros(self.y.shape)

    def values_at(self, places: Ints) -> Floats:
        """The curves (R,C) at some of all samples, those between the ones that are fitted too."""
        result = self.fitted[:, places // 2].T.copy()
        odd = np.flatnonzero(places % 2)
        row = places[odd] // 2
        for channel, y in enumerate(self.y if len(odd) else ()):
            keys = np.flatnonzero(self.is_key[channel])
            piece = np.searchsorted(keys, row, "right") - 1
            first, last = keys[piece], keys[piece + 1]
            width = self.x[last] - self.x[first]
            t = (self.between[row] - self.x[first]) / width
            u = 1.0 - t
            result[odd, channel] = (
                y[first] * (1.0 + 2.0 * t) * u * u + y[last] * t * t * (3.0 - 2.0 * t)
                + width * t * u * (self.right[channel, first] * u - self.left[channel, last] * t))
        return result

    def pieces(self) -> Ints:
        """(P,2) first and last sample of every piece."""
        keys = np.flatnonzero(self.is_key)
        pairs = np.stack([keys[:-1], keys[1:]], 1)
        return pairs[pairs[:, 0] // len(self.x) == pairs[:, 1] // len(self.x)]

    def split(self, pieces: Ints) -> Ints:
        """Fits the pieces and splits them until all are within tolerance; returns those that they ended as."""
        done = []
        while len(pieces):
            worst, where = self._fit(pieces)
            bad = worst > 1.0
            done.append(pieces[~bad])
            pieces, where = pieces[bad], where[bad]
            self.is_key.flat[where] = True
            pieces = np.concatenate([np.stack([pieces[:, 0], where], 1), np.stack([where, pieces[:, 1]], 1)])
        return np.concatenate(done) if done else pieces

    def prune(self, parity: int) -> None:
        """Takes out every second inner key where one cubic does for the pieces on both its sides."""
        keys = np.flatnonzero(self.is_key)
        row = keys % len(self.x)
        inner = np.flatnonzero((row > 0) & (row < len(self.x) - 1))
        inner = inner[inner % 2 == parity]
        if len(inner):
            worst, _ = self._fit(np.stack([keys[inner - 1], keys[inner + 1]], 1), keep=False)
            self.is_key.flat[keys[inner[worst <= 1.0]]] = False

    def refit(self, pieces: Ints) -> None:
        self._fit(pieces)
        self.fitted[self.is_key] = self.y[self.is_key]

    def add(self, samples: Ints) -> Ints:
        """Makes samples keys; returns the rows (sorted, once each) whose values changed."""
        self.is_key.flat[samples] = True
        keys = np.flatnonzero(self.is_key)
        place = np.searchsorted(keys, samples)
        pieces = np.concatenate([np.stack([keys[place - 1], samples], 1), np.stack([samples, keys[place + 1]], 1)])
        pieces = self.split(np.unique(pieces, axis=0))
        self.fitted.flat[pieces] = self.y.flat[pieces]
        rows = pieces % len(self.x)
        touched = np.zeros(len(self.x) + 1, np.int64)
        np.add.at(touched, rows[:, 0], 1)
        np.add.at(touched, rows[:, 1] + 1, -1)
        return np.flatnonzero(np.cumsum(touched)[:-1])

    def add_near(self, places: Ints, missing: Floats) -> NDArray[np.bool_]:
        """For each place (P,) among all samples a key there, or beside it, in the channel that misses (P,C) most there.

        Returns which rows changed.
        """
        changed = np.zeros(len(self.x), bool)
        for beside in (places // 2, (places + 1) // 2):
            free = np.where(self.is_key[:, beside].T, 0.0, missing)
            channel = free.argmax(1)
            wanted = free[np.arange(len(places)), channel] > 0.0
            if wanted.any():
                changed[self.add(np.unique(channel[wanted] * len(self.x) + beside[wanted]))] = True
        return changed

    def _fit(self, pieces: Ints, keep: bool = True) -> tuple[Floats, Ints]:
        """Worst error of each piece (P,), as a part of its tolerance, and the sample it is at."""
        first, last = pieces[:, 0], pieces[:, 1]
        inner = last - first - 1
        worst, where = np.zeros(len(pieces)), first.copy()
        y, count = self.y.reshape(-1), len(self.x)
        width = self.x[last % count] - self.x[first % count]
        chord = (y[last] - y[first]) / width
        start_slope, end_slope = self.slope.flat[first], self.slope.flat[last]  # where nothing lies between to fit
        filled = np.flatnonzero(inner > 0)
        if len(filled):
            starts = np.cumsum(inner[filled]) - inner[filled]
            piece = np.repeat(np.arange(len(filled)), inner[filled])
            sample = np.arange(len(piece)) - starts[piece] + first[filled][piece] + 1
            t = (self.x[sample % count] - self.x[first[filled] % count][piece]) / width[filled][piece]
            line = y[first[filled]][piece] + (chord * width)[filled][piece] * t
            rest = y[sample] - line
            from_start, from_end = t * (1.0 - t) ** 2, -(t**2) * (1.0 - t)
            wanted = [(slope[filled] - chord[filled]) * width[filled] for slope in (start_slope, end_slope)]
            a, b = _two_slopes(from_start, from_end, rest, starts, *wanted)
            off = a[piece] * from_start + b[piece] * from_end
            channel = (first[filled] // count)[piece]
            error = np.abs(rest - off) / self.tolerance[channel]
            worst[filled] = np.maximum.reduceat(error, starts)
            hit = np.flatnonzero(error == worst[filled][piece])
            _, once = np.unique(piece[hit], return_index=True)
            where[filled] = sample[hit[once]]
            start_slope[filled] = chord[filled] + a / width[filled]
            end_slope[filled] = chord[filled] + b / width[filled]
            if keep:
                self.fitted.flat[sample] = line + off
        if keep:
            self.right.flat[first] = start_slope
            self.left.flat[last] = end_slope
        return worst, where

    def result(self, start: int) -> Simplified:
        keys = [np.flatnonzero(row) for row in self.is_key]
        left, right = [row[k] for row, k in zip(self.left, keys)], [row[k] for row, k in zip(self.right, keys)]
        for before, after in zip(left, right):
            if len(before):  # ends go on as they came
                before[0], after[-1] = after[0], before[-1]
        values = self.values_at(np.arange(len(self.samples)))
        return Simplified([start + 2 * rows for rows in keys], left, right, values)


def _two_slopes(a: Floats, b: Floats, rest: Floats, starts: Ints, near_p: Floats, near_q: Floats,
                ) -> tuple[Floats, Floats]:
    """Least squares for rest = p a + q b within each group of samples that begins at `starts` -> p, q.

    They are drawn a little to near_p, near_q, which decides where one sample has to settle two unknowns.
    """
    aa, ab, bb = (np.add.reduceat(value, starts) for value in (a * a, a * b, b * b))
    ra, rb = np.add.reduceat(rest * a, starts), np.add.reduceat(rest * b, starts)
    little = _DRAWN * (aa + bb)
    aa, bb, ra, rb = aa + little, bb + little, ra + little * near_p, rb + little * near_q
    determinant = aa * bb - ab * ab
    return (ra * bb - rb * ab) / determinant, (rb * aa - ra * ab) / determinant
