# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole files or none: writing beside the target and renaming; reading and writing motion files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .errors import EngineError
from .npz_file import UNREADABLE, read_npy, read_npz
from .pipeline import check_style
from .torch_zip import read_torch_file

_MOTION_LIMIT = 1 << 30  # bytes unpacked: 28 hours of motion need less


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A new file open for writing that takes `path`'s place once it is whole; nothing is left behind otherwise.

    Raises EngineError when the folder is missing or can't be written to.
    """
    path = Path(path)
    check_writable(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mode = 0o666 & ~_umask()
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else mode)
        os.replace(name, path)
    except OSError as error:
        raise EngineError(f"“{path}” could not be written: {error.strerror}.",
                          "Free some space or choose another folder.", code="bad_output") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def check_writable(path: Path) -> None:
    """Raises EngineError with one sentence when a file can't be made at `path`."""
    if path.is_dir():
        raise EngineError(f"“{path}” is a folder.", "Name a file in it.", code="bad_output")
    if not path.parent.is_dir():
        raise EngineError(f"There is no folder “{path.parent}”.", "Make it, or choose another.", code="bad_output")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise EngineError(f"“{path.parent}” can't be written to: {error.strerror}.", "Choose another folder.",
                          code="bad_output") from None
    os.close(handle)
    os.unlink(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@dataclass(frozen=True)
class MotionFile:
    """What a `MOTION.npz` holds: motion (T,106) float32 at `fps`, and where it came from."""

    motion: NDArray[np.float32]
    fps: float = 25.0
    model: str = ""
    version: str = ""


def write_motion(path: str | Path, motion: NDArray[np.floating[Any]], model: str, sample_rate: int = 16000,
                 neck: NDArray[np.floating[Any]] | None = None, eyes: NDArray[np.floating[Any]] | None = None) -> None:
    """Writes motion (T,106) with its provenance; `model` is its name and sha256.

    `neck` (T,3) and `eyes` (T,6), axis-angle in radians, go beside it as `neck_pose` and `eyes_pose`: ARTalk's own
    motions have none, and who reads only `motion` misses nothing else.
    """
    beside = {name: np.asarray(value, np.float32) for name, value in (("neck_pose", neck), ("eyes_pose", eyes))
              if value is not None}
    with replacing(path) as file:
        np.savez_compressed(
            file, motion=np.asarray(motion, np.float32), fps=np.float64(25.0), sample_rate=np.int64(sample_rate),
            model=np.array(model), version=np.array(__version__), **beside,
        )


def read_motion(path: str | Path) -> MotionFile:
    """Reads a `MOTION.npz`. Raises EngineError when it is missing, damaged, or no motion."""
    path = Path(path)
    if not path.is_file():
        raise EngineError(f"There is no motion file “{path}”.", "Check the path.")
    damaged = EngineError(f"“{path.name}” is no motion file, or it is damaged.",
                          "Make one with `python -m engine generate`.", code="bad_file")
    try:
        arrays = read_npz(path, _MOTION_LIMIT)
        with np.errstate(over="ignore"):
            motion = np.array(arrays["motion"], np.float32)
        fps = float(arrays["fps"]) if "fps" in arrays else 25.0
        model, version = (str(arrays[name]) if name in arrays else "" for name in ("model", "version"))
    except (EngineError, KeyError, ValueError, TypeError):
        raise damaged from None
    if motion.ndim != 2 or motion.shape[1] != 106 or not np.isfinite(motion).all():
        raise EngineError(f"“{path.name}” is no motion: {motion.shape} instead of (frames, 106) numbers.",
                          code="bad_file")
    return MotionFile(motion, fps, model, version)


def read_style(path: str | Path) -> NDArray[np.float32]:
    """A style motion (50,106) from `.npy`, `.npz` (its `motion`) or the published `.pt` (read without torch)."""
    path = Path(path)
    if not path.is_file():
        raise EngineError(f"There is no style file “{path}”.", "Check the path.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        style = read_motion(path).motion
    elif suffix in (".pt", ".pth"):
        style = read_torch_file(path)
    elif suffix == ".npy":
        try:
            style = read_npy(path.read_bytes())
        except UNREADABLE:
            raise EngineError(f"“{path.name}” is no readable .npy file.", code="bad_file") from None
    else:
        raise EngineError(f"“{path.name}” is no style file.", "Choose a .npy, .npz or .pt with 50 frames of motion.")
    if not isinstance(style, np.ndarray) or style.dtype.kind != "f":
        raise EngineError(f"“{path.name}” holds no motion.", "Choose a file with 50 frames of 106 values.",
                          code="bad_file")
    return check_style(style)
