# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's arrays as one value. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHAPE_COUNT = 300
EXPRESSION_COUNT = 100
JOINT_NAMES = ("root", "neck", "jaw", "eye_left", "eye_right")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Landmarks:
    """N points on faces: `faces` (N,) row of the head's triangles, `barycentric` (N,3) weights of their corners.

    A table of several such sets, as the moving jaw contour is, has one more axis in front: (79,17) and (79,17,3).
    """

    faces: Ints
    barycentric: Floats


@dataclass(frozen=True)
class FlameModel:
    """One FLAME head, metres, Y-up, V vertices, smplx's array names.

    v_template (V,3), faces (F,3) triangles, shapedirs (V,3,300), expressiondirs (V,3,100),
    posedirs (V,3,36) for (R - I) of neck, jaw, left and right eye, row-major,
    J_regressor (5,V), parents (5,) with -1 at the root, lbs_weights (V,5).
    `quads` (Q,4) describe the same surface for display where the file has them (a triangle repeats its last index).
    Where the file has them: `landmarks`, iBUG's 68 and two pupils (70); `mediapipe_landmarks` (105); `jaw_contour`,
    17 points for each of 79 yaws of the head.
    """

    v_template: Floats
    faces: Ints
    shapedirs: Floats
    expressiondirs: Floats
    posedirs: Floats
    J_regressor: Floats
    parents: Ints
    lbs_weights: Floats
    expression_names: tuple[str, ...]
    quads: Ints | None = None
    landmarks: Landmarks | None = None
    mediapipe_landmarks: Landmarks | None = None
    jaw_contour: Landmarks | None = None
    face_material: Ints | None = None
    material_names: tuple[str, ...] = ()
    path: Path | None = None
    sha256: str = ""
    extras: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def vertex_count(self) -> int:
        return len(self.v_template)

    def neutral_joints(self) -> Floats:
        """(5,3) joint positions of the neutral head, metres."""
        # in float64: float32 products round otherwise from machine to machine
        return (self.J_regressor.astype(np.float64) @ self.v_template).astype(np.float32)
