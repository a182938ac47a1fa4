# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files as people have them -> a motion (T,106) at 25 frames a second. numpy only, nothing of a file is run.

Read are our `MOTION.npz`; ARTalk's `.pt`, `.npy` or `.pkl` with (T,106) values; and tables of FLAME parameters
(`.npz`, `.pt`, `.pkl`) under the names that trackers and other speech models give them (flame_tables.py). What runs at
another rate is resampled to 25 here, rotations by slerp, so that everything after this knows one rate; `source_fps`
tells the old one.

The mirrored head. ARTalk's GAGAvatar renderer negates channels 100 and 102 (the head's turn about x and z) in the
caller's tensor, and its app then saves that tensor. Nothing in the numbers tells: a mirrored nod is a nod. But the
app names its files SOUND_STYLE_APPEARANCE_motions.pt, and torch keeps that name inside the file even when the file
is renamed: APPEARANCE is `mesh` where the motion is as it was made, and an avatar's picture (`12_jpg`) where it is
mirrored. So `mirrored=None` goes by that name; a `.pt` without it is left as it is, and a note says so. Other kinds of
files are not ARTalk's own, and are mirrored only where one is told so.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError
from .flame.pickle_arrays import read_pickle_arrays
from .flame_tables import Parts, find, read_table
from .npz_file import UNREADABLE, read_npy, read_npz
from .rotations import chained, continuous, slerp
from .torch_zip import read_torch_file

FPS = 25.0
SUFFIXES = (".npz", ".pt", ".pth", ".npy", ".pkl", ".pickle")
_LIMIT = 1 << 30  # bytes unpacked: 28 hours of motion need less
_MOST_FRAMES = 2_700_000  # 30 hours
_MOTION_NAMES = ("motion", "motions", "pred_motions", "pred_motion", "motion_code", "motion_codes")
_APP_NAME = re.compile(r"_(mesh|\w+_(?:jpe?g|png|webp|bmp))_motions$", re.IGNORECASE)


@dataclass(frozen=True)
class ReadMotion:
    """A motion read from a file.

    `motion` (T,106) float32 at 25 fps; `neck` (T,3) and `eyes` (T,6: left, right) axis-angle in radians and `shape`
    (300,) where the file has them, else None; `mirrored` whether the head's mirroring was undone; `notes` are
    sentences about what was guessed or left out.
    """

    motion: NDArray[np.float32]
    source_fps: float
    neck: NDArray[np.float32] | None
    eyes: NDArray[np.float32] | None
    shape: NDArray[np.float32] | None
    mirrored: bool
    notes: tuple[str, ...]
    path: Path
    sha256: str

    def with_neck_in_head(self) -> NDArray[np.float32]:
        """The motion (T,106) whose head rotation is root times neck, so that the face looks where it looked."""
        if self.neck is None or not self.neck.any():
            return self.motion
        motion = self.motion.copy()
        motion[:, 100:103] = continuous(chained(motion[:, 100:103], self.neck))
        return motion


def read_motion_file(path: str | Path, mirrored: bool | None = None) -> ReadMotion:
    """The motion in `path`; `mirrored` as in the module's docstring.

    Raises EngineError with one sentence when the file is missing, damaged, no motion, or leaves open what it means.
    """
    path = Path(path)
    if not path.is_file():
        raise EngineError(f"There is no motion file “{path}”.", "Check the path.")
    if path.suffix.lower() not in SUFFIXES:
        raise EngineError(f"“{path.name}” is no motion file that can be read.", "Choose a .npz, .pt, .npy or .pkl.")
    try:
        parts = _parts(_content(path), path.name)
        digest = _sha256(path)
    except OSError as error:
        raise EngineError(f"“{path.name}” can't be read: {error.strerror}.", code="bad_file") from None
    notes = list(parts.notes)
    if mirrored is None and path.suffix.lower() in (".pt", ".pth"):
        mirrored = _told_by_name(path)
        if mirrored is None and parts.head.any():
            notes.append("Whether its head is mirrored, as after ARTalk's avatar rendering, can't be told: "
                         "left as it is.")
    if mirrored:
        parts.head = parts.head * (-1.0, 1.0, -1.0)
    return _at_25(parts, path, digest, bool(mirrored), notes)


def _content(path: Path) -> Mapping[str, NDArray[Any]] | NDArray[Any]:
    """An array, or arrays by name."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path, _LIMIT)
    if suffix in (".npy", ".pkl", ".pickle"):
        if path.stat().st_size > _LIMIT:
            raise EngineError(f"“{path.name}” has {path.stat().st_size >> 20} MB, far more than a motion needs.",
                              code="bad_file")
        data = path.read_bytes()
        if suffix != ".npy":
            return read_pickle_arrays(data, path.name)
        try:
            return read_npy(data)
        except UNREADABLE:
            raise EngineError(f"“{path.name}” is no readable .npy file.", code="bad_file") from None
    content = read_torch_file(path)
    if isinstance(content, Mapping):
        return {name: np.asarray(value) for name, value in content.items()
                if isinstance(name, str) and isinstance(value, np.ndarray | int | float)}
    if isinstance(content, list | tuple) and len(content) == 1:
        content = content[0]
    if not isinstance(content, np.ndarray):
        raise EngineError(f"“{path.name}” holds no motion.", code="bad_file")
    return content


def _parts(content: Mapping[str, NDArray[Any]] | NDArray[Any], file: str) -> Parts:
    """What the file says, at its own rate."""
    if isinstance(content, np.ndarray):
        return _split(_motion(content, file), {}, file)
    named = find(content, _MOTION_NAMES)
    if named is not None:
        return _split(_motion(content[named], file), content, file)
    whole = [value for value in content.values() if value.ndim in (2, 3) and value.shape[-1] == 106]
    if len(whole) == 1:
        return _split(_motion(whole[0], file), content, file)
    return read_table(content, file)


def _motion(value: NDArray[Any], file: str) -> NDArray[np.float64]:
    if value.ndim == 3 and value.shape[0] == 1:
        value = value[0]
    if value.ndim != 2 or value.shape[1] != 106 or value.dtype.kind not in "fiu":
        raise EngineError(f"“{file}” is no motion: {value.shape} instead of (frames, 106) numbers.", code="bad_file")
    return value.astype(np.float64)


def _split(motion: NDArray[np.float64], table: Mapping[str, NDArray[Any]], file: str) -> Parts:
    """(T,106) and, where the file has them beside it, rate, neck, eyes and shape."""
    beside = {name: value for name, value in table.items() if value.dtype.kind in "fiu" and value.shape[-1:] != (106,)}
    extra = read_table(beside, file, frames=len(motion))
    extra.expression, extra.head, extra.jaw = motion[:, :100], motion[:, 100:103], motion[:, 103:106]
    extra.fps = extra.fps or FPS
    return extra


def _told_by_name(path: Path) -> bool | None:
    """What the name that ARTalk's app gave a `.pt` says of the mirroring; torch keeps it in the archive."""
    with zipfile.ZipFile(path) as archive:
        kept = [name.split("/")[0] for name in archive.namelist()[:1]]
    for name in (*kept, path.stem):
        match = _APP_NAME.search(name)
        if match:
            return match[1].lower() != "mesh"
    return None


def _at_25(parts: Parts, path: Path, digest: str, mirrored: bool, notes: list[str]) -> ReadMotion:
    """The checked result, resampled where the file runs at another rate."""
    arrays = [value for value in (parts.expression, parts.head, parts.jaw, parts.neck, parts.eyes) if value is not None]
    with np.errstate(over="ignore"):
        if not all(np.isfinite(value.astype(np.float32)).all() for value in arrays):
            raise EngineError(f"“{path.name}” is damaged: it holds values that are not numbers.", code="bad_file")
    count, fps = len(parts.expression), parts.fps
    if not fps:
        fps = FPS
        notes.append("It does not say its frame rate: taken as 25.")
    if not 1.0 <= fps <= 1000.0:
        raise EngineError(f"“{path.name}” claims {fps:g} frames a second, and 1 to 1000 make sense.", code="bad_file")
    places = None
    if abs(fps - FPS) > 1e-3 and count > 1:
        total = int(np.floor((count - 1) * FPS / fps + 1e-6)) + 1
        places = np.minimum(np.arange(min(total, _MOST_FRAMES + 1)) * (fps / FPS), count - 1)
        notes.append(f"It runs at {fps:g} frames a second: resampled to 25.")
    if max(count, 0 if places is None else len(places)) > _MOST_FRAMES:
        raise EngineError(f"“{path.name}” lasts longer than 30 hours.", code="bad_file")

    def turned(value: NDArray[np.float64]) -> NDArray[np.float32]:
        if places is not None:
            value = np.concatenate([slerp(value[:, i : i + 3], places) for i in range(0, value.shape[1], 3)], 1)
        return value.astype(np.float32)

    expression = parts.expression
    if places is not None:
        before = np.minimum(np.floor(places).astype(np.int64), count - 2)
        share = (places - before)[:, None]
        expression = (1 - share) * expression[before] + share * expression[before + 1]
    motion = np.concatenate([expression.astype(np.float32), turned(parts.head), turned(parts.jaw)], 1)
    return ReadMotion(
        motion=motion, source_fps=fps,
        neck=None if parts.neck is None else turned(parts.neck),
        eyes=None if parts.eyes is None else turned(parts.eyes),
        shape=None if parts.shape is None else parts.shape.astype(np.float32),
        mirrored=mirrored, notes=tuple(notes), path=path, sha256=digest,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
