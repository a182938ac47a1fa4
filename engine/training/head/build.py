# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the default head's arrays together and writes them in FLAME's layout, metres, byte for byte alike.

Boundary: numpy and scipy; the only module of the package that knows the file format.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from .assemble import Head
from .eye_shapes import EyeStage, eye_shapes
from .fields import Solver
from .identity import identity_directions
from .landmarks import landmarks
from .mouth_shapes import OPEN, MouthStage, mouth_shapes, tongue_out
from .opening import close_fields, opened
from .paint import paint
from .parts import COLOURS, MATERIALS
from .primitives import Array
from .raster import png
from .rig import PARENTS, joint_regressor, skin_weights
from .unwrap import unwrap

NAMES = [
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawRight",
    "jawLeft",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRight",
    "mouthLeft",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
]
CORRECTIVES = 48
ROUND = 2.0**-16  # metres; 15 micrometres, below anything seen, and it lets the file deflate


def expressions(head: Head, solver: Solver, jaw: Array) -> tuple[Array, Array]:
    """Expression directions (V,3,100) and pose correctives (V,3,36), millimetres."""
    stage = MouthStage(head, solver)
    shapes = mouth_shapes(stage, jaw) | eye_shapes(EyeStage(head, solver))
    shapes["mouthClose"], posedirs = close_fields(stage, jaw)
    shapes["jawOpen"] = opened(head.points, jaw, posedirs, OPEN) - head.points
    shapes["tongueOut"] = tongue_out(head, shapes["jawOpen"])
    out = np.zeros((len(head.points), 3, len(NAMES) + CORRECTIVES))
    for k, name in enumerate(NAMES):
        out[:, :, k] = shapes.pop(name)
    if shapes:
        raise ValueError(f"shapes without a channel: {sorted(shapes)}")
    return out, posedirs


def rounded(values_mm: Array, step: float = ROUND) -> np.ndarray:
    """Metres as float16, rounded to `step` where float16 is finer."""
    return (np.round(values_mm / 1000.0 / step) * step).astype(np.float16)


def arrays(head: Head) -> dict[str, np.ndarray]:
    """All arrays of the head file."""
    solver = Solver(head)
    weights = skin_weights(head, solver)
    regressor = joint_regressor(head)
    expression, posedirs = expressions(head, solver, weights[:, 2])
    identity = identity_directions(head)
    triangles = np.stack([head.quads[:, [0, 1, 2]], head.quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
    faces, bary = landmarks(head, triangles)
    shapedirs = np.concatenate([rounded(identity), rounded(expression)], axis=2)
    uv, corners = unwrap(head)
    return {
        "vt": uv.astype(np.float32),
        "ft": corners[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3).astype(np.int32),
        "v_template": (head.points / 1000.0).astype(np.float32),
        "f": triangles.astype(np.int32),
        "f_quads": head.quads.astype(np.int32),
        "shapedirs": shapedirs,
        "posedirs": rounded(posedirs, ROUND / 4),
        "J_regressor": regressor.astype(np.float32),
        "weights": weights.astype(np.float32),
        "kintree_table": np.stack([PARENTS, np.arange(5)]).astype(np.int64),
        "full_lmk_faces_idx_with_eye": faces[None].astype(np.int64),
        "full_lmk_bary_coords_with_eye": bary[None].astype(np.float32),
        "expression_names": np.array([*NAMES, *(f"corrective_{k:02d}" for k in range(CORRECTIVES))]),
        "face_material": head.material,
        "material_names": np.array(MATERIALS),
        "material_colors": np.array([COLOURS[name] for name in MATERIALS], np.float32),
    }


def texture(head: Head) -> bytes:
    """The colour texture as the bytes of a PNG."""
    return png(paint(head, *unwrap(head)))


def write(path: Path, content: dict[str, np.ndarray]) -> None:
    """Write an npz whose bytes depend on the arrays alone (fixed times and order)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(content):
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.ascontiguousarray(content[name]), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr, entry.create_system = (
                zipfile.ZIP_DEFLATED,
                0o644 << 16,
                3,
            )
            archive.writestr(entry, buffer.getvalue())
