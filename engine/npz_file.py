# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads `.npz` files from anywhere: sizes checked before anything is made, no Python object built. numpy only."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import EngineError

Array = NDArray[Any]
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError, MemoryError, TypeError,
              NotImplementedError, RuntimeError)


def read_npz(path: Path, limit: int, read_object: Callable[[bytes, str, str], Array | None] | None = None,
             ) -> dict[str, Array]:
    """Arrays by name. Members of Python objects go to `read_object(pickle, file name, member)`, or are left out.

    `limit`: bytes that all members together may unpack to. Raises EngineError with one sentence where there is
    nothing to read, or too much of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            size = sum(info.file_size for info in archive.infolist())
            if size > limit:
                raise EngineError(f"“{path.name}” would unpack to {size >> 20} MB, far more than it could need.",
                                  code="bad_file")
            arrays = {}
            for info in members:
                name = info.filename.removesuffix(".npy")
                data = archive.read(info)
                start, dtype, shape, _ = _read_header(data)
                array = None
                if not dtype.hasobject:
                    array = read_npy(data)
                elif read_object is not None and math.prod(shape) == 1:
                    array = read_object(data[start:], path.name, name)
                if array is not None:
                    arrays[name] = array
            return arrays
    except UNREADABLE:
        raise EngineError(f"“{path.name}” is no readable .npz file, or it is damaged.", "Fetch or export it again.",
                          code="bad_file") from None


def read_npy(data: bytes) -> Array:
    """The array in the bytes of an `.npy`, a view of them. Raises one of `UNREADABLE` where it is not what it says."""
    start, dtype, shape, fortran = _read_header(data)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")


def _read_header(data: bytes) -> tuple[int, np.dtype[Any], tuple[int, ...], bool]:
    """(where the values begin, their type, shape, whether the first axis runs fastest)."""
    stream = io.BytesIO(data)
    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return stream.tell(), dtype, shape, fortran
