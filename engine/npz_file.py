# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads `.npz` files from anywhere: sizes checked before anything is made, no Python object built. numpy only."""

from __future__ import annotations

import ast
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError

Array = NDArray[Any]
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError, MemoryError, TypeError,
              NotImplementedError, RuntimeError, struct.error)
_LONGEST_HEADER = 10_000
_LONG = re.compile(r"(\d)L\b")  # Python 2 wrote (5023L, 3L)


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
    """(where the values begin, their type, shape, whether the first axis runs fastest).

    The header is a Python literal (numpy.lib.format). Read here because numpy's own reader raises whatever Python's
    tokenizer does on a damaged one.
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError
    start = 10 if data[6] == 1 else 12
    count = struct.unpack("<H" if start == 10 else "<I", data[8:start])[0]
    text = data[start : start + count].decode("utf-8")
    if len(text) > _LONGEST_HEADER:
        raise ValueError
    try:
        header = ast.literal_eval(_LONG.sub(r"\1", text.strip()))
    except (SyntaxError, RecursionError):
        raise ValueError from None
    shape, dtype = header["shape"], np.dtype(header["descr"]) if isinstance(header["descr"], str) else np.dtype("O")
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError
    return start + count, dtype, shape, header["fortran_order"] is True
