# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a motion came over to a made target: aperture, closure, jitter; the pseudo-inverse beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from real_motion import default_head, demo_motion
from retarget_targets import Made, Place

from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.regions import FaceChannels
from artalk_blender.retarget.transfer import Transfer
from engine.flame.landmarks import points_on_faces
from engine.flame.lips import lip_curves
from engine.flame.skinning import skin

CLOSED = 1e-4  # metres of the source's aperture, below which its lips touch


@cache
def speech_motion() -> np.ndarray:
    """(T,106) of the demo speech as a take has it: the default model's, smoothed."""
    motion = process_motion(demo_motion(), ProcessSettings(), FaceChannels(default_head().expression_names), None)
    motion.setflags(write=False)
    return motion


@dataclass(frozen=True)
class Measures:
    """correlation of aperture; closure mm, at most, while the source is closed, in the source's size; jerk of the lips
    over the source's, both in the target's proportions; error mm (rms) to the source's lips warped onto the target.
    """

    correlation: float
    closure: float
    jerk: float
    error: float

    def text(self) -> str:
        return f"{self.correlation:12.4f}{self.closure:12.3f}{self.jerk:10.2f}{self.error:12.2f}"


def measure(made: Made, place: Place, motion: np.ndarray, sliders: np.ndarray) -> Measures:
    """Sliders (T,K) of a made target for a motion (T,106) of the default head."""
    source = 1e3 * lip_curves(default_head(), motion).aperture.astype(np.float64)
    own = np.maximum(1e3 * made.aperture(sliders) / made.scale, 0.0)
    closed = source < 1e3 * CLOSED
    lips, wish = 1e3 * made.lips(sliders) / made.scale, 1e3 * true_lips(place, motion) / made.scale
    error = np.sqrt(((lips - wish) ** 2).sum(2).mean())
    return Measures(float(np.corrcoef(own, source)[0, 1]), float(own[closed].max(initial=0.0)),
                    jerk(lips) / jerk(wish), float(error))


def true_lips(place: Place, motion: np.ndarray) -> np.ndarray:
    """(T,20,3) where the target's lips would be if the source's every shape were warped as its neutral one was."""
    model = default_head()
    table = model.landmarks
    vertices = place(skin(model, motion[:, :100], jaw=motion[:, 103:106]).astype(np.float64))
    return points_on_faces(model, vertices, table)[:, 48:68].astype(np.float64)


def jerk(points: np.ndarray) -> float:
    """Root mean square of third differences over time."""
    return float(np.sqrt((np.diff(points, 3, axis=0) ** 2).mean()))


def pseudo_inverse(transfer: Transfer, motion: np.ndarray) -> np.ndarray:
    """(T,K) the plain way: weighted least squares of the same moves by pinv, cut to the limits afterwards."""
    system = transfer.system
    wishes = system.wishes(motion)[:, : system.samples].reshape(len(motion), -1) / system.size
    weights = np.sqrt(np.repeat(system.weights.sum(0), 3))
    rows = system.columns_rows["lips"] * weights
    found = (wishes * weights) @ np.linalg.pinv(rows)
    return np.clip(found, *np.asarray(transfer.target.limits).T)
