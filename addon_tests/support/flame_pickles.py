# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME pickles as they were published: chumpy and scipy objects, by Python 2 or 3, written without chumpy."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy import sparse

OLD_MODULES = {"scipy.sparse._csc": "scipy.sparse.csc", "scipy.sparse._csr": "scipy.sparse.csr",
               "numpy._core.multiarray": "numpy.core.multiarray", "copyreg": "copy_reg", "builtins": "__builtin__",
               "numpy._core.numeric": "numpy.core.numeric"}


@contextmanager
def chumpy() -> Iterator[types.SimpleNamespace]:
    """Classes that pickle as chumpy's do; the modules are gone again afterwards."""
    made = {}
    for module, names in (("chumpy", ()), ("chumpy.ch", ("Ch",)), ("chumpy.ch_ops", ("add",)),
                          ("chumpy.reordering", ("Select", "Reshape", "transpose", "Concatenate"))):
        sys.modules[module] = types.ModuleType(module)
        for name in names:
            made[name] = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, made[name])
    try:
        yield types.SimpleNamespace(**made)
    finally:
        for module in ("chumpy", "chumpy.ch", "chumpy.ch_ops", "chumpy.reordering"):
            del sys.modules[module]


def node(kind: type, **state: object) -> object:
    """A chumpy object with these attributes, and with those that every one of them carries."""
    thing = kind()
    thing.__dict__.update({"_dirty_vars": {"x"}, "_itr": None, "_make_dense": False, "_make_sparse": False,
                           "_depends_on_deps": {"J": {"deps": {"x", "y"}, "value": None, "out_of_date": True}},
                           **state})
    return thing


class Python2Pickler(pickle._Pickler):
    """Writes byte strings and module names as Python 2 does, protocols 0 and 2."""

    dispatch = dict(pickle._Pickler.dispatch)

    def write_bytes(self, value: bytes) -> None:
        if self.proto == 0:
            self.write(b"S" + repr(value)[1:].encode() + b"\n")
        elif len(value) < 256:
            self.write(b"U" + struct.pack("<B", len(value)) + value)
        else:
            self.write(b"T" + struct.pack("<i", len(value)) + value)

    def save_bytes(self, value: bytes) -> None:
        self.write_bytes(value)
        self.memoize(value)

    def save_str(self, value: str) -> None:
        self.write_bytes(value.encode("latin-1"))
        self.memoize(value)

    def save_global(self, value: object, name: str | None = None) -> None:
        module = OLD_MODULES.get(value.__module__, value.__module__)
        self.write(f"c{module}\n{name or value.__name__}\n".encode())
        self.memoize(value)

    dispatch[bytes] = save_bytes
    dispatch[str] = save_str
    dispatch[type] = save_global
    dispatch[types.FunctionType] = save_global
    dispatch[types.BuiltinFunctionType] = save_global


def python2(value: object, protocol: int) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol).dump(value)
    return file.getvalue()


def flame_dict(arrays: dict[str, np.ndarray], ch: types.SimpleNamespace | None,
               layout: str = "csc") -> dict[str, object]:
    """The published dict: float64, uint32 faces and tree, sparse regressor, shapedirs (and more) in chumpy objects."""
    tree = arrays["kintree_table"].astype(np.int64) % 2**32
    result: dict[str, object] = {
        "f": arrays["f"].astype(np.uint32),
        "v_template": arrays["v_template"].astype(np.float64),
        "posedirs": arrays["posedirs"].astype(np.float64),
        "shapedirs": np.asfortranarray(arrays["shapedirs"].astype(np.float64)),
        "J_regressor": getattr(sparse, f"{layout}_matrix")(arrays["J_regressor"].astype(np.float64)),
        "kintree_table": tree.astype(np.uint32),
        "weights": arrays["weights"].astype(np.float64),
        "J": np.zeros((5, 3)), "bs_style": "lbs", "bs_type": "lrotmin", "vert_sym_idxs": [3, 1, 2],
    }
    if ch is not None:
        shapes = result["shapedirs"]
        result["shapedirs"] = node(ch.Ch, x=shapes)
        result["v_template"] = node(ch.Ch, x=result["v_template"])
        posedirs = result["posedirs"]
        flat = node(ch.Reshape, a=node(ch.Ch, x=posedirs), newshape=(-1,))
        result["posedirs"] = node(ch.Select, a=flat, idxs=np.arange(posedirs.size), preferred_shape=posedirs.shape)
        weights = result["weights"]
        result["weights"] = node(ch.transpose, axes=None, a=node(
            ch.Concatenate, dterms=["m0", "m1"], axis=0, m0=node(ch.Ch, x=weights.T[:2].copy()),
            m1=node(ch.Ch, x=weights.T[2:].copy())))
    return result
