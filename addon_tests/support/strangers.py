# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with those whom desktop scenarios retarget to; scenario -> what it is given besides the sound."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from retarget_targets import Place, dual_mesh, made, source_face

from artalk_blender.retarget.face import LANDMARKS

_CAST = Path(__file__).resolve().parents[1] / "tools" / "cast.py"
_KEYS = ("jawOpen", "mouthPucker", "mouthFunnel", "mouthClose", "mouthSmileLeft", "mouthSmileRight",
         "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthRollUpper",
         "mouthRollLower", "eyeBlinkLeft", "eyeBlinkRight")
_TO_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_OPEN = 0.12  # of jawOpen, at rest


def stranger(folder: Path) -> Path:
    """A face of other proportions, in another mesh, its mouth open at rest; arrays in Blender's axes."""
    head = made(Place(1.1, None, (0.3, 0.0, 0.0), 0.7), remesh=dual_mesh,
                keep=tuple(source_face().names.index(name) for name in _KEYS))
    face, jaw = head.face, head.measured_deltas[0]
    rest = face.neutral + _OPEN * face.deltas[0]
    marks = {name: place + _OPEN * jaw[np.linalg.norm(head.measured - place, axis=1).argmin()]
             for name, place in face.landmarks.items()}
    np.savez(folder / "stranger.npz", points=rest @ _TO_BLENDER.T, triangles=face.triangles,
             keys=face.deltas @ _TO_BLENDER.T, marks=np.array([marks[name] for name in LANDMARKS]) @ _TO_BLENDER.T)
    return folder / "stranger.npz"


def cast(folder: Path) -> Path:
    """Four characters of Blender objects (tools/cast.py)."""
    subprocess.run([sys.executable, _CAST, folder / "cast.blend"], check=True, capture_output=True)
    return folder / "cast.blend"


BESIDES: dict[str, Callable[[Path], Path]] = {"retarget_by_clicks": stranger, "speak_together": cast}
