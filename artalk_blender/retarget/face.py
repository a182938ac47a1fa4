# SPDX-License-Identifier: GPL-3.0-or-later
"""What the retargeting knows of a head: the one the motion comes from, the one it goes to. numpy only, no `bpy` use.

All lengths are metres. The source stands in FLAME's axes: Y up, facing +Z, its left at +X. The target may stand
anywhere, in any size and turned in any way; with its axes like the source's it is found most surely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.flame.landmarks import points_on_faces
from ..engine.flame.model import JOINT_NAMES, FlameModel
from ..head.regions import Lips, find_lips, region_weights
from ..motion.mouth import FacePoints

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_JAW, _EYE_LEFT, _EYE_RIGHT = (JOINT_NAMES.index(name) for name in ("jaw", "eye_left", "eye_right"))
_JAW_FEATURES = slice(9, 18)  # of the 36 pose features: neck, jaw, left and right eye

# Guided clicks, in the order in which they are asked for. Left and right are the head's own.
LANDMARKS = {
    "nose_tip": "the tip of the nose",
    "chin": "the middle of the chin, where its front turns under",
    "mouth_right": "the right corner of the mouth",
    "mouth_left": "the left corner of the mouth",
    "upper_lip": "the middle of the upper lip's upper edge",
    "lower_lip": "the middle of the lower lip's lower edge",
    "eye_right_outer": "the outer corner of the right eye",
    "eye_right_inner": "the inner corner of the right eye",
    "eye_left_inner": "the inner corner of the left eye",
    "eye_left_outer": "the outer corner of the left eye",
}
FEWEST_LANDMARKS = 4
_IBUG = {"nose_tip": 30, "chin": 8, "mouth_right": 48, "mouth_left": 54, "upper_lip": 51, "lower_lip": 57,
         "eye_right_outer": 36, "eye_right_inner": 39, "eye_left_inner": 42, "eye_left_outer": 45}


@dataclass(frozen=True)
class JawBone:
    """A bone that opens the mouth: one more unknown, its angle in radians about `axis`, 0 at rest.

    weight (V,) 0..1: how much each vertex follows it; joint (3,) where it turns; axis (3,) unit vector, about which
    a positive angle (right-hand rule) opens the mouth; limits: smallest and largest angle.
    """

    weight: Floats
    joint: Floats
    axis: Floats
    limits: tuple[float, float] = (0.0, 0.6)


@dataclass(frozen=True)
class TargetFace:
    """What can be moved: V vertices in one common frame, metres; K sliders.

    neutral (V,3) with all sliders at 0 and bones at rest; triangles (F,3); names (K,); deltas (K,V,3): what each
    slider moves at 1; limits (K,2): smallest and largest value. A slider that several objects share is one row over
    all their vertices, and the objects' vertices stand one after the other. `landmarks`: name of `LANDMARKS` ->
    (3,), where the target knows them. `jaw`: where a bone opens the mouth.
    """

    neutral: Floats
    triangles: Ints
    names: tuple[str, ...]
    deltas: NDArray[np.float32]
    limits: Floats
    jaw: JawBone | None = None
    landmarks: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, keys = len(self.neutral), len(self.names)
        shapes = {"neutral": (count, 3), "deltas": (keys, count, 3), "limits": (keys, 2)}
        for name, shape in shapes.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"the {name} of a target are {shape}, not {np.shape(getattr(self, name))}")
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3:
            raise ValueError(f"the triangles of a target are (F,3), not {self.triangles.shape}")
        if self.jaw is not None and self.jaw.weight.shape != (count,):
            raise ValueError(f"the jaw of a target weighs {count} vertices, not {self.jaw.weight.shape}")


@dataclass(frozen=True)
class SourceFace:
    """A head in FLAME's format with its identity; `from_model` makes it.

    neutral (V,3); triangles (F,3); points: all that moves the vertices; regions (V,3) 0..1 of lips, cheeks, brows;
    lips: opposite vertices of the inner lips, or None where no mouth was found; landmarks: name -> (3,); unit: the
    distance between the eyes.
    """

    neutral: Floats
    triangles: Ints
    points: FacePoints
    regions: Floats
    lips: Lips | None
    landmarks: dict[str, Floats]
    names: tuple[str, ...]
    unit: float

    @classmethod
    def from_model(cls, model: FlameModel, shape: NDArray[np.floating[Any]] | None = None) -> SourceFace:
        """The head of a FLAME file with the identity `shape` (300,), the average one when left out."""
        neutral = shaped(model, shape)
        regressor = model.J_regressor.astype(np.float64)
        directions = model.expressiondirs.astype(np.float64)
        points = FacePoints(
            neutral, directions, model.posedirs[:, :, _JAW_FEATURES].astype(np.float64),
            model.lbs_weights[:, _JAW].astype(np.float64), regressor[_JAW] @ neutral,
            np.einsum("v,vck->ck", regressor[_JAW], directions),
        )
        return cls(neutral, model.faces.astype(np.int64), points, region_weights(model), find_lips(model),
                   flame_landmarks(model, shape), model.expression_names, _eye_distance(regressor @ neutral))

    def positions(self, motion: NDArray[np.floating[Any]], vertices: Ints | None = None) -> NDArray[np.float32]:
        """Motion (T,106) -> (T,P,3) of the chosen vertices, without the head's own turning; metres."""
        points = self.points if vertices is None else FacePoints(
            self.points.rest[vertices], self.points.expression[vertices], self.points.corrective[vertices],
            self.points.jaw_weight[vertices], self.points.joint, self.points.joint_shift)
        return points.positions(motion)


def _eye_distance(joints: Floats) -> float:
    return max(float(np.linalg.norm(joints[_EYE_LEFT] - joints[_EYE_RIGHT])), 1e-6)


def shaped(model: FlameModel, shape: NDArray[np.floating[Any]] | None = None) -> Floats:
    """(V,3) neutral vertices with the identity `shape`, of up to 300 coefficients."""
    neutral = model.v_template.astype(np.float64)
    if shape is None:
        return neutral
    shape = np.asarray(shape, np.float64).ravel()
    return neutral + model.shapedirs[:, :, : len(shape)].astype(np.float64) @ shape


def flame_landmarks(model: FlameModel, shape: NDArray[np.floating[Any]] | None = None) -> dict[str, Floats]:
    """Name -> (3,) of `LANDMARKS` on a FLAME head: by the file's table, else what can be told from jaw and joints."""
    neutral = shaped(model, shape)
    if model.landmarks is not None and len(model.landmarks.faces) >= 68:
        marks = points_on_faces(model, neutral[None], model.landmarks)[0].astype(np.float64)
        return {name: marks[index] for name, index in _IBUG.items()}
    return _guessed_landmarks(model, neutral)


def _guessed_landmarks(model: FlameModel, neutral: Floats) -> dict[str, Floats]:
    """Mouth corners by the lips' ring, nose and chin by the profile in the middle; none where no mouth is found."""
    lips = find_lips(model)
    if lips is None:
        return {}
    eyes = (model.J_regressor.astype(np.float64) @ neutral)[[_EYE_RIGHT, _EYE_LEFT]]
    unit = float(np.linalg.norm(eyes[1] - eyes[0]))
    ring = neutral[lips.ring]
    found = {"mouth_right": ring[ring[:, 0].argmin()], "mouth_left": ring[ring[:, 0].argmax()]}
    middle = neutral[np.abs(neutral[:, 0] - eyes[:, 0].mean()) < 0.06 * unit]
    line = 0.5 * (neutral[lips.upper, 1].mean() + neutral[lips.lower, 1].mean())
    nose = middle[(middle[:, 1] < eyes[:, 1].mean()) & (middle[:, 1] > line)]
    chin = middle[(middle[:, 1] < line - 0.35 * unit) & (middle[:, 1] > line - 0.9 * unit)]
    if len(nose):
        found["nose_tip"] = nose[nose[:, 2].argmax()]
    if len(chin):
        found["chin"] = chin[(chin[:, 2] - chin[:, 1]).argmax()]
    return found


@dataclass(frozen=True)
class Options:
    """How strongly the solver holds on to what; 1 is the usual strength of each, 0 switches it off.

    contact: the target's lips touch where the source's do. lip_shape: opening and spreading of the lips count more
    than the rest. regions: weight of lips, cheeks, brows. l2 keeps values small, l1 sparse. smoothness: against
    jitter between frames. symmetry: keys that mirror each other move alike where the motion does not tell.
    opposing: of two keys that undo each other only one is used.
    """

    contact: float = 1.0
    lip_shape: float = 1.0
    regions: tuple[float, float, float] = (1.0, 1.0, 1.0)
    l1: float = 1.0
    l2: float = 1.0
    smoothness: float = 1.0
    symmetry: float = 1.0
    opposing: float = 1.0


@dataclass(frozen=True)
class Solved:
    """A motion on the target, T frames.

    weights (T,K) float32 within the limits; jaw (T,) radians, or None without a jaw bone; error_mm (T,) at the lips,
    root mean square over the points, in the target's millimetres; by_channel: source channel -> mm at the lips that
    the target falls short of it, where the motion uses it; missing: sentences on what the target cannot do.
    """

    weights: NDArray[np.float32]
    jaw: NDArray[np.float32] | None
    error_mm: NDArray[np.float32]
    by_channel: dict[str, float]
    missing: list[str]


# What `transfer.py` offers, for both sides:
#   prepare(source, target, landmarks=None, options=Options(), progress=None) -> Transfer      at once, some seconds
#   preparing(...) -> generator for runner.py that returns the Transfer                        Blender stays free
#   Transfer.solve(motion (T,106)) -> Solved;  Transfer.solving(motion) -> generator
#   Transfer.with_options(options) -> Transfer: same heads, other strengths, no new preparation (live sliders)
#   Transfer.notes: list of sentences on what was only a best effort (landmarks guessed, mirrored mesh, no mouth ...)
# Both raise ArtalkError with one sentence where nothing sensible can be done.
