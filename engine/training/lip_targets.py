# SPDX-License-Identifier: GPL-3.0-or-later
"""Lip opening and width of each phone for the hearing's own training and measuring, and the decoder of its
posteriors.

A rough table, good enough to train and judge the encoder by; the shapes that the default model performs are
the visemes'. numpy and scipy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .phones import BILABIALS, INDEX, LABELS, SILENCE

FEATURE_RATE = 50.0  # frames per second of the encoder
SPEECH_SHARE = 0.5  # a frame counts as speech where silence is less likely than this

_OPENING = {
    "AA": 1.0, "AE": 0.95, "AO": 0.72, "AH": 0.65, "AX": 0.5, "EH": 0.65, "ER": 0.45, "IH": 0.4, "IY": 0.33,
    "UH": 0.35,
    "UW": 0.25, "P": 0.2, "B": 0.2, "M": 0.2, "F": 0.12, "V": 0.12, "W": 0.16, "S": 0.2, "Z": 0.2,
    "SH": 0.22, "ZH": 0.22,
    "CH": 0.22, "JH": 0.22, "T": 0.25, "D": 0.25, "N": 0.28, "L": 0.35, "TH": 0.28, "DH": 0.28, "R": 0.3,
    "K": 0.32,
    "G": 0.32, "NG": 0.32, "HH": 0.42, "Y": 0.3, SILENCE: 0.0,
}  # fmt: skip
_WIDTH = {
    "IY": 1.0, "IH": 0.5, "EH": 0.45, "AE": 0.35, "S": 0.55, "Z": 0.55, "Y": 0.7, "T": 0.25, "D": 0.25,
    "N": 0.15,
    "UW": -1.0, "UH": -0.6, "AO": -0.5, "W": -1.0, "SH": -0.5, "ZH": -0.5, "CH": -0.4, "JH": -0.4,
    "R": -0.3, "ER": -0.3,
}  # fmt: skip

OPENING = np.array([_OPENING[label] for label in LABELS], dtype=np.float32)
WIDTH = np.array([_WIDTH.get(label, 0.0) for label in LABELS], dtype=np.float32)
BILABIAL = np.array([label in BILABIALS for label in LABELS], dtype=np.float32)


class Decoding(NamedTuple):
    """The decoder's settings."""

    opening_sigma: float = 0.035  # s
    width_sigma: float = 0.045  # s
    closure_sigma: float = 0.012  # s
    gate: float = 0.28  # bilabial posterior at which the lips start to close
    adaptive: float = 0.6  # times the utterance's own high bilabial posterior; geometric mean with `gate`


class Curves(NamedTuple):
    """Lip curves (T,) float32 at 25 fps."""

    aperture: np.ndarray  # 0 closed
    width: np.ndarray


def decode(posteriors: np.ndarray, settings: Decoding | None = None) -> Curves:
    """Phone posteriors (T50, 36) at 50 fps to lip curves at 25 fps: every second frame."""
    settings = settings or Decoding()
    opening = gaussian_filter1d(posteriors @ OPENING, settings.opening_sigma * FEATURE_RATE, mode="nearest")
    width = gaussian_filter1d(posteriors @ WIDTH, settings.width_sigma * FEATURE_RATE, mode="nearest")
    bilabial = gaussian_filter1d(posteriors @ BILABIAL, settings.closure_sigma * FEATURE_RATE, mode="nearest")
    speech = posteriors[:, INDEX[SILENCE]] < SPEECH_SHARE
    high = settings.gate
    if speech.any() and settings.adaptive:
        high = float(np.sqrt(settings.gate * settings.adaptive * np.percentile(bilabial[speech], 97)))
    high = float(np.clip(high, 0.12, 0.6))
    gate = np.clip((high - bilabial) / (high - 0.3 * high), 0.0, 1.0)
    return Curves((opening * gate)[::2].astype(np.float32), width[::2].astype(np.float32))
