# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads tensors from a torch.save file without torch and without executing anything. numpy only.

A torch file is a zip of `NAME/data.pkl` (a pickle that describes tensors) and `NAME/data/KEY` (their raw bytes).
The pickle is read with an allow-list of three constructors; every other name in it refuses the file.
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError

_DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_PICKLE_LIMIT = 64 << 20  # bytes; the largest published one is under 1 MB


class _StorageType:
    """Stands for `torch.FloatStorage` and its kin inside the pickle."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(_DTYPES[name])


def _rebuild_tensor(
    storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_ignored: Any
) -> NDArray[Any]:
    """The view of `storage` that a tensor was, copied; bounds checked before any memory is touched."""
    if len(size) != len(stride) or offset < 0 or min((*size, *stride, 0)) < 0:
        raise EngineError("the file describes an impossible tensor.", code="bad_file")
    if 0 in size:
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # zero strides (expanded tensors) would let a small file demand a huge copy
    if last >= storage.size or int(np.prod(size, dtype=object)) > storage.size:
        raise EngineError("the file describes a tensor larger than its data.", code="bad_file")
    bytes_per_step = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, bytes_per_step).copy()


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, storages: Any) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _StorageType(name)
        raise EngineError(
            f"the file asks to run `{module}.{name}`, which no file of tensors needs, so it was not opened.",
            code="bad_file",
        )

    def persistent_load(self, reference: Any) -> NDArray[Any]:
        if not (isinstance(reference, tuple) and len(reference) >= 5 and reference[0] == "storage"):
            raise EngineError("the file refers to data in an unknown way.", code="bad_file")
        _, kind, key, _, count = reference[:5]
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or not isinstance(count, int):
            raise EngineError("the file refers to data in an unknown way.", code="bad_file")
        return self._storages(kind.dtype, key, count)


def read_torch_file(path: Path) -> Any:
    """The object saved in a `.pt` file, every tensor as a numpy array.

    Raises EngineError when the file is no torch zip, is damaged, or names anything but tensors and containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive)
    except EngineError as error:
        raise EngineError(f"“{path.name}” can't be read: {error.message}", code=error.code) from None
    except FileNotFoundError:
        raise EngineError(f"There is no file “{path}”.", "Check the path.") from None
    except IsADirectoryError:
        raise EngineError(f"“{path}” is a folder, not a file.", "Name the file in it.") from None
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError,
            AttributeError, UnicodeDecodeError, NotImplementedError, OSError, MemoryError, RecursionError):
        raise EngineError(
            f"“{path.name}” is no readable torch file, or it is damaged.", "Fetch it again and compare its size.",
            code="bad_file",
        ) from None


def _read_archive(archive: zipfile.ZipFile) -> Any:
    entries = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise EngineError("it is a zip, but not one that torch wrote.", code="bad_file")
    root = pickles[0].removesuffix("data.pkl")
    if entries[pickles[0]].file_size > _PICKLE_LIMIT:
        raise EngineError("its table of contents is larger than any real one.", code="bad_file")
    order_name = root + "byteorder"
    order = archive.read(order_name).decode() if order_name in entries else "little"
    cache: dict[str, NDArray[Any]] = {}

    def storage(dtype: np.dtype[Any], key: str, count: int) -> NDArray[Any]:
        if key not in cache:
            info = entries[f"{root}data/{key}"]
            # stored, not deflated: so no entry can unpack to more than the file holds
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != count * dtype.itemsize:
                raise EngineError("a tensor's size does not fit its data.", code="bad_file")
            values = np.frombuffer(archive.read(info), dtype)
            cache[key] = values if order == sys.byteorder else values.byteswap()
        if cache[key].dtype != dtype or cache[key].size != count:
            raise EngineError("a tensor's size does not fit its data.", code="bad_file")
        return cache[key]

    with archive.open(pickles[0]) as file:
        return _TensorUnpickler(file, storage).load()
