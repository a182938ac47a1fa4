# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mouth does for each phone: the viseme table and the blending of neighbouring phones.

Works on phone *activations*, (N, phones) shares between 0 and 1 on a time grid, so that the same code turns
known phone times (all ones and zeros) and a recogniser's posteriors (soft) into lip targets.
numpy and scipy only; knows nothing of audio, models or Blender.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .phones import BILABIALS, SILENCE, VOWELS

GRID = 200.0
"""Samples a second of the time grid on which targets are made."""

DIPHTHONGS = {
    "AY": ("AA", "IY"),
    "AW": ("AA", "UW"),
    "OY": ("AO", "IY"),
    "EY": ("EH", "IY"),
    "OW": ("AO", "UW"),
}

# Aperture of the lips (1 = a stressed "ah"), jaw opening (same unit), lip rounding as funnel and pucker,
# spreading as stretch and smile, teeth shown as lower-lip-down and upper-lip-up, and the lower lip rolled in
# under the teeth. fmt: off
#            open  jaw  funnel pucker stretch smile  down   up   roll
_TABLE = {
    "AA": (1.00, 1.00, 0.00, 0.00, 0.02, 0.00, 0.16, 0.06, 0.00),
    "AE": (0.95, 0.92, 0.00, 0.00, 0.14, 0.06, 0.18, 0.10, 0.00),
    "AH": (0.62, 0.62, 0.02, 0.00, 0.04, 0.00, 0.12, 0.05, 0.00),
    "AX": (0.45, 0.45, 0.02, 0.00, 0.04, 0.00, 0.10, 0.04, 0.00),
    "AO": (0.76, 0.80, 0.34, 0.10, 0.00, 0.00, 0.10, 0.06, 0.00),
    "EH": (0.66, 0.62, 0.00, 0.00, 0.16, 0.06, 0.16, 0.08, 0.00),
    "ER": (0.45, 0.42, 0.18, 0.08, 0.00, 0.00, 0.12, 0.06, 0.00),
    "IH": (0.39, 0.36, 0.00, 0.00, 0.18, 0.08, 0.16, 0.08, 0.00),
    "IY": (0.33, 0.28, 0.00, 0.00, 0.30, 0.16, 0.18, 0.08, 0.00),
    "UH": (0.34, 0.34, 0.28, 0.22, 0.00, 0.00, 0.08, 0.04, 0.00),
    "UW": (0.25, 0.26, 0.36, 0.52, 0.00, 0.00, 0.06, 0.04, 0.00),
    "P": (0.00, 0.20, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.10),
    "B": (0.00, 0.18, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.08),
    "M": (0.00, 0.18, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.08),
    "F": (0.11, 0.16, 0.00, 0.00, 0.06, 0.04, 0.00, 0.16, 0.38),
    "V": (0.11, 0.16, 0.00, 0.00, 0.06, 0.04, 0.00, 0.14, 0.34),
    "W": (0.15, 0.20, 0.34, 0.60, 0.00, 0.00, 0.00, 0.00, 0.00),
    "R": (0.30, 0.28, 0.26, 0.22, 0.00, 0.00, 0.08, 0.04, 0.00),
    "Y": (0.30, 0.24, 0.00, 0.00, 0.24, 0.12, 0.12, 0.06, 0.00),
    "L": (0.35, 0.36, 0.00, 0.00, 0.06, 0.02, 0.14, 0.06, 0.00),
    "S": (0.20, 0.10, 0.00, 0.00, 0.22, 0.10, 0.20, 0.10, 0.00),
    "Z": (0.20, 0.10, 0.00, 0.00, 0.22, 0.10, 0.20, 0.10, 0.00),
    "SH": (0.22, 0.12, 0.44, 0.16, 0.00, 0.00, 0.16, 0.12, 0.00),
    "ZH": (0.22, 0.12, 0.40, 0.16, 0.00, 0.00, 0.16, 0.12, 0.00),
    "CH": (0.22, 0.12, 0.38, 0.14, 0.00, 0.00, 0.16, 0.10, 0.00),
    "JH": (0.22, 0.12, 0.36, 0.14, 0.00, 0.00, 0.16, 0.10, 0.00),
    "T": (0.25, 0.16, 0.00, 0.00, 0.08, 0.04, 0.14, 0.06, 0.00),
    "D": (0.25, 0.18, 0.00, 0.00, 0.08, 0.04, 0.14, 0.06, 0.00),
    "N": (0.28, 0.22, 0.00, 0.00, 0.06, 0.02, 0.12, 0.06, 0.00),
    "TH": (0.28, 0.22, 0.00, 0.00, 0.06, 0.02, 0.16, 0.08, 0.00),
    "DH": (0.28, 0.22, 0.00, 0.00, 0.06, 0.02, 0.16, 0.08, 0.00),
    "K": (0.32, 0.32, 0.00, 0.00, 0.04, 0.00, 0.10, 0.04, 0.00),
    "G": (0.32, 0.32, 0.00, 0.00, 0.04, 0.00, 0.10, 0.04, 0.00),
    "NG": (0.32, 0.32, 0.00, 0.00, 0.04, 0.00, 0.10, 0.04, 0.00),
    "HH": (0.42, 0.42, 0.00, 0.00, 0.02, 0.00, 0.08, 0.04, 0.00),
}
# fmt: on
_COLUMNS = ("open", "jaw", "funnel", "pucker", "stretch", "smile", "down", "up", "roll")
# How far (gaussian sigma, s) each articulator's target spreads into its neighbours, and how much earlier it
# starts. Lips round and spread ahead of the sound, the heavy jaw is slow, the lips themselves are quick.
_SPREAD = {
    "open": (0.031, 0.0),
    "jaw": (0.050, 0.010),
    "funnel": (0.055, 0.035),
    "pucker": (0.055, 0.035),
    "stretch": (0.050, 0.015),
    "smile": (0.060, 0.015),
    "down": (0.040, 0.0),
    "up": (0.040, 0.0),
    "roll": (0.025, 0.005),
}
# Sounds with a lip shape of their own insist on it; sounds made inside the mouth take their neighbours'.
_FIRM = ("UW", "OW", "W", "UH", "AO", "SH", "ZH", "CH", "JH", "R", "ER", "IY", "EY", "S", "Z", "F", "V")


@dataclass(frozen=True)
class LipTargets:
    """Tracks (N,) at GRID: what the mouth should do, before it becomes channels. ``gate`` 0 = lips sealed."""

    open: np.ndarray
    jaw: np.ndarray
    funnel: np.ndarray
    pucker: np.ndarray
    stretch: np.ndarray
    smile: np.ndarray
    down: np.ndarray
    up: np.ndarray
    roll: np.ndarray
    gate: np.ndarray
    speech: np.ndarray


def split_diphthongs(phones: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Phones (start s, end s, label) with every diphthong cut into its two halves (the first is longer)."""
    out: list[tuple[float, float, str]] = []
    for start, end, label in phones:
        halves = DIPHTHONGS.get(label)
        if halves is None:
            out.append((start, end, label))
        else:
            middle = start + 0.55 * (end - start)
            out += [(start, middle, halves[0]), (middle, end, halves[1])]
    return out


def activations(
    phones: Sequence[tuple[float, float, str]],
    samples: int,
    labels: Sequence[str],
    shortest_closure: float = 0.060,
) -> np.ndarray:
    """Phone times (s) -> (samples, len(labels)) float32 of ones and zeros at GRID.

    A bilabial shorter than ``shortest_closure`` (more than one frame at 25 fps) is widened at its neighbours'
    cost, so that at least one frame falls inside every closure.
    """
    index = {label: i for i, label in enumerate(labels)}
    silent = index[SILENCE]
    owner = np.full(samples, silent, np.int64)
    phones = split_diphthongs(phones)

    def paint(start: float, end: float, label: str) -> None:
        low, high = round(start * GRID), round(end * GRID)
        owner[max(0, low) : max(high, low + 1)] = index.get(label, silent)

    for start, end, label in phones:
        paint(start, end, label)
    for start, end, label in phones:
        if label in BILABIALS and end - start < shortest_closure:
            middle = (start + end) / 2
            paint(middle - shortest_closure / 2, middle + shortest_closure / 2, label)
    out = np.zeros((samples, len(labels)), np.float32)
    out[np.arange(samples), owner] = 1
    return out


def _table_column(name: str, labels: Sequence[str]) -> np.ndarray:
    """(len(labels),) float32: the table's column, 0 for silence and unknown labels."""
    column = _COLUMNS.index(name)
    values = []
    for label in labels:
        row = _TABLE.get(label)
        if row is None and label in DIPHTHONGS:
            row = tuple(np.mean([_TABLE[half] for half in DIPHTHONGS[label]], axis=0))
        values.append(0.0 if row is None else row[column])
    return np.asarray(values, np.float32)


def _dominance(name: str, labels: Sequence[str]) -> np.ndarray:
    """(len(labels),): how strongly each phone insists on its own value of this articulator."""
    if name in ("open", "jaw", "down", "up", "roll"):
        return np.ones(len(labels), np.float32)
    return np.asarray(
        [
            1.0 if label in _FIRM or label == SILENCE else 0.45 if label in VOWELS else 0.25
            for label in labels
        ],
        np.float32,
    )


def _shift(track: np.ndarray, lead: float) -> np.ndarray:
    """The track ``lead`` seconds earlier, its last value held."""
    steps = round(lead * GRID)
    return track if steps == 0 else np.concatenate([track[steps:], np.repeat(track[-1:], steps, axis=0)])


def lip_targets(
    active: np.ndarray, labels: Sequence[str], threshold: float = 0.3, floor: float = 0.3
) -> LipTargets:
    """Phone activations (N, phones) at GRID -> LipTargets.

    Articulators are blended by dominance: every phone spreads as a gaussian, weighted with how much it
    insists. The lips' gate closes where the (slightly smoothed) share of bilabials passes ``threshold`` and
    is fully open below ``floor * threshold``: soft, so that doubtful closures still narrow the lips.
    """
    tracks: dict[str, np.ndarray] = {}
    for field in fields(LipTargets):
        if field.name in ("gate", "speech"):
            continue
        sigma, lead = _SPREAD[field.name]
        weight = _dominance(field.name, labels)
        above = gaussian_filter1d(
            active @ (weight * _table_column(field.name, labels)), sigma * GRID, mode="nearest"
        )
        below = gaussian_filter1d(active @ weight, sigma * GRID, mode="nearest")
        tracks[field.name] = _shift(above / np.maximum(below, 1e-6), lead)
    silent = np.asarray([label == SILENCE for label in labels], np.float32)
    speech = 1 - gaussian_filter1d(active @ silent, 0.02 * GRID, mode="nearest")
    bilabial = np.asarray([label in BILABIALS for label in labels], np.float32)
    closed = gaussian_filter1d(active @ bilabial, 0.012 * GRID, mode="nearest")
    gate = np.clip((threshold - closed) / (threshold * (1 - floor)), 0, 1)
    return LipTargets(gate=gate, speech=np.clip(speech, 0, 1), **tracks)
