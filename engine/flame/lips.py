# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of the mouth per frame, from the inner-lip landmarks. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .model import FlameModel
from .skinning import skin

# iBUG inner-lip landmarks: upper lip against the lower lip below it, and the two corners
_UPPER, _LOWER = (61, 62, 63), (67, 66, 65)
_CORNERS = (60, 64)
_LIP_LANDMARKS = (*_UPPER, *_LOWER, *_CORNERS)


@dataclass(frozen=True)
class LipCurves:
    """Per frame: `aperture` (T,) and `width` (T,) in metres, `jaw` (T,) opening in radians.

    Aperture is the vertical distance of the inner lips in the head's own frame, the mean over three points each;
    0 = lips touching (lips pressed into each other count as touching).
    """

    aperture: NDArray[np.float32]
    width: NDArray[np.float32]
    jaw: NDArray[np.float32]


def lip_curves(
    model: FlameModel, motion: NDArray[np.floating[Any]], shape: NDArray[np.floating[Any]] | None = None
) -> LipCurves:
    """Lip curves of a motion (T,106); the head's rotation does not matter.

    Raises EngineError when the head has no landmarks to measure with.
    """
    if model.landmarks is None:
        raise EngineError(
            f"The head “{model.path.name if model.path else ''}” has no landmarks to measure lips with.",
            "Use FLAME_with_eye.pt or the default head.",
        )
    corners = model.faces[model.landmarks.faces[list(_LIP_LANDMARKS)]]  # (8,3) vertex indices
    weights = model.landmarks.barycentric[list(_LIP_LANDMARKS)].astype(np.float64)
    used, place = np.unique(corners, return_inverse=True)
    vertices = skin(model, motion[:, :100], jaw=motion[:, 103:106], shape=shape, vertices=used)
    points = np.einsum("tlcx,lc->tlx", vertices[:, place.reshape(corners.shape)], weights)
    upper, lower, ends = points[:, :3], points[:, 3:6], points[:, 6:8]
    gap = np.maximum(upper[:, :, 1] - lower[:, :, 1], 0.0).mean(1)
    width = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
    jaw = np.asarray(motion[:, 103], np.float32)
    return LipCurves(gap.astype(np.float32), width.astype(np.float32), jaw)
