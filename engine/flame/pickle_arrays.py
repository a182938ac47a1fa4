# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays of a pickled table, read off its description: numpy's, scipy's sparse ones, chumpy's. numpy only.

The forms are those of numpy (`_reconstruct` and its state, `_frombuffer`, `scalar`), of scipy.sparse (the
attributes of csc, csr and coo matrices) and of chumpy (`Ch` holds its values as `x`; the classes of
chumpy/reordering.py that only rearrange another one's values). Every shape is held against the bytes given
before an array is made, so no small file asks for a big one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .pickle_machine import Thing, as_text, describe

Array = NDArray[Any]
_DTYPE = re.compile(r"[<>=|]?([biuf][1248])")
_MOST_VALUES = 64 << 20  # that all arrays of a file together may unfold to; a FLAME head has 7 million
_DEEPEST = 20  # chumpy objects inside each other
_EACH = 1000  # values that an object counts for beyond its own: else ever so many empty ones would cost nothing
_NOT_READABLE = (IndexError, KeyError, ValueError, TypeError, OverflowError, UnicodeError, MemoryError, AttributeError,
                 RecursionError)


def read_pickle_arrays(data: bytes, name: str, wanted: Collection[str] | None = None) -> dict[str, Array]:
    """Arrays by key of the pickled dict `data`, without keys that are not `wanted` and values that are no numbers.

    `name` is the file's, for the sentence. Raises EngineError when the file is damaged, is something else, or
    names anything that a table of arrays has no need of.
    """
    try:
        table = _table(describe(data))
        reader = _Reader()
        found = {}
        for key, value in table.items():
            if isinstance(key, str) and (wanted is None or key in wanted):
                array = reader.array(value, key)
                if array is not None:
                    found[key] = array
        return found
    except EngineError as error:
        raise EngineError(f"“{name}” is not opened: {error.message}", error.remedy, error.code) from None
    except _NOT_READABLE:
        raise EngineError(f"“{name}” is damaged: one of its arrays is not what it says.", "Fetch it again.",
                          code="bad_file") from None


def read_object_array(data: bytes, name: str, key: str) -> Array | None:
    """The array in an `.npy` of one Python object, as `np.savez` writes a sparse matrix; None where it is none."""
    try:
        thing = describe(data)
        state = thing.state if isinstance(thing, Thing) else None
        if not isinstance(state, tuple) or not isinstance(state[-1], list) or len(state[-1]) != 1:
            return None
        return _Reader().array(state[-1][0], key)
    except EngineError as error:
        raise EngineError(f"“{name}” is not opened: {error.message}", error.remedy, error.code) from None
    except _NOT_READABLE:
        raise EngineError(f"“{name}” is damaged: `{key}` is not what it says.", "Fetch it again.",
                          code="bad_file") from None


def dense(kind: str, parts: dict[str, Any], shape: tuple[int, ...]) -> Array:
    """A csc, csr or coo matrix (`kind`) of 1-D `parts` as a plain array. Raises ValueError where they do not fit."""
    if len(shape) != 2 or min(shape) < 0 or math.prod(shape) > _MOST_VALUES:
        raise ValueError
    values = parts["data"]
    if kind == "coo":
        row, column = parts["coords"] if "coords" in parts else (parts["row"], parts["col"])
    else:
        pointer, minor = parts["indptr"], parts["indices"]
        counts = np.diff(_integers(pointer))
        major = shape[1] if kind == "csc" else shape[0]
        if len(counts) != major or pointer[0] != 0 or (counts < 0).any() or counts.sum() != len(values):
            raise ValueError
        line = np.repeat(np.arange(major), counts)
        row, column = (minor, line) if kind == "csc" else (line, minor)
    row, column = _integers(row), _integers(column)
    if not len(row) == len(column) == len(values):
        raise ValueError
    if len(values) and (min(row.min(), column.min()) < 0 or row.max() >= shape[0] or column.max() >= shape[1]):
        raise ValueError
    result = np.zeros(shape, values.dtype)
    np.add.at(result, (row, column), values)  # scipy adds up what is given twice
    return result


def _integers(values: Any) -> Array:
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError
    return values.astype(np.int64)


def _table(content: Any) -> dict[Any, Any]:
    """The dict that the file is, also where it is an OrderedDict of either Python."""
    if isinstance(content, Thing) and content.name.name in ("OrderedDict", "defaultdict", "dict"):
        pairs = content.args[0] if content.args and isinstance(content.args[0], list) else []
        content = {**{as_text(key): value for key, value in pairs}, **content.items}
    if not isinstance(content, dict) or not content:
        raise EngineError("it holds no table of arrays.", code="bad_file")
    return content


class _Reader:
    """Makes arrays of described ones, never more than `_MOST_VALUES` values in all."""

    def __init__(self) -> None:
        self.left = _MOST_VALUES

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise EngineError("its arrays would unfold to far more than a head needs.", code="bad_file")

    def array(self, value: Any, key: str, depth: int = 0) -> Array | None:
        """The array that `value` describes, or None where it describes none. `key` is for the sentence."""
        if depth > _DEEPEST:
            raise EngineError(f"`{key}` is nested too deeply.", code="bad_file")
        if isinstance(value, bool | int | float):
            return np.asarray(value)
        if not isinstance(value, Thing):
            return None
        module = value.name.module.split(".")[0]
        if module == "numpy":
            return self.numpy(value)
        if module == "scipy":
            return self.sparse(value, key, depth)
        if module == "chumpy":
            return self.chumpy(value, key, depth)
        return None

    def numpy(self, thing: Thing) -> Array | None:
        name, args = thing.name.name, thing.args
        if name == "_frombuffer":
            raw, dtype, shape, order = args
            return self.raw(raw, dtype, shape, as_text(order) == "F")
        if name == "scalar" and len(args) == 2:
            return self.raw(args[1], args[0], (), False)
        if name in ("_reconstruct", "ndarray", "matrix", "memmap") and isinstance(thing.state, tuple):
            shape, dtype, fortran, raw = thing.state[-4:]
            return self.raw(raw, dtype, shape, bool(fortran))
        return None

    def raw(self, raw: Any, dtype_thing: Any, shape: Any, fortran: bool) -> Array | None:
        """An array of these bytes, a view of the file where they are in it as they are."""
        dtype = _dtype(dtype_thing)
        if dtype is None:
            return None
        sizes = _sizes(shape)
        if isinstance(raw, Thing) and str(raw.name) == "_codecs.encode" and as_text(raw.args[1]) == "latin1":
            text = as_text(raw.args[0])
            self.spend(len(text) // dtype.itemsize)
            raw = text.encode("latin-1")
        if not isinstance(raw, memoryview | bytes) or math.prod(sizes) * dtype.itemsize != len(raw):
            raise ValueError
        return np.frombuffer(raw, dtype).reshape(sizes, order="F" if fortran else "C")

    def sparse(self, thing: Thing, key: str, depth: int) -> Array:
        state = _attributes(thing)
        shape = _sizes(state["_shape"] if "_shape" in state else state["shape"])
        self.spend(math.prod(shape))
        parts: dict[str, Any] = {name: self.array(state[name], key, depth + 1)
                                 for name in ("data", "indices", "indptr", "row", "col") if name in state}
        if isinstance(state.get("coords"), tuple):
            parts["coords"] = [self.array(one, key, depth + 1) for one in state["coords"]]
        return dense(thing.name.name[:3], parts, shape)

    def chumpy(self, thing: Thing, key: str, depth: int) -> Array:
        """What chumpy's `.r` would give."""
        kind, state = thing.name.name, _attributes(thing)

        def inner(name: str) -> Array:
            value = self.array(state[name], key, depth + 1)
            if value is None:
                raise ValueError
            self.spend(value.size + _EACH)
            return value

        if kind == "Ch":
            return inner("x")
        if kind == "Select":
            chosen = inner("a").ravel()[inner("idxs")]
            return chosen.reshape(_sizes(state["preferred_shape"])) if "preferred_shape" in state else chosen
        if kind == "Reshape":
            return inner("a").reshape(_sizes(state["newshape"], negative=True))
        if kind == "transpose":
            return inner("a").transpose(_sizes(state["axes"]) if state.get("axes") is not None else None)
        if kind == "Concatenate":
            return np.concatenate([inner(as_text(name)) for name in state["dterms"]], int(state["axis"]))
        raise EngineError(f"`{key}` is a formula (`{thing.name}`) and not an array.",
                          "Save it as plain arrays (`.r` of the chumpy object) and try again.", code="bad_file")


def _attributes(thing: Thing) -> dict[str, Any]:
    state = thing.state[0] if isinstance(thing.state, tuple) else thing.state
    if not isinstance(state, dict):
        raise ValueError
    return state


def _sizes(value: Any, negative: bool = False) -> tuple[int, ...]:
    """A shape: up to 8 whole numbers."""
    sizes = (value,) if isinstance(value, int) else value
    if not isinstance(sizes, list | tuple) or len(sizes) > 8:
        raise ValueError
    if not all(isinstance(size, int) and (negative or size >= 0) for size in sizes):
        raise ValueError
    return tuple(sizes)


def _dtype(thing: Any) -> np.dtype[Any] | None:
    """A plain numeric dtype, or None for any other. Its state is (version, byte order, ...)."""
    if not isinstance(thing, Thing) or thing.name.name != "dtype" or not thing.args:
        return None
    match = _DTYPE.fullmatch(as_text(thing.args[0]))
    if match is None:
        return None
    order = as_text(thing.state[1]) if isinstance(thing.state, tuple) else "<"
    return np.dtype((order if order in ("<", ">") else "<") + match[1]) if order in "<>=|" else None


