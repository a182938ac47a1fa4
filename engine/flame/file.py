# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads FLAME heads: our `.npz`, FLAME's arrays in an `.npz`, its published `.pkl`, `FLAME_with_eye.pt`. numpy only.

The `.pkl` of 2016 to 2023 are pickles of chumpy and scipy objects: they are read without either library, by a
reader that executes nothing (pickle_machine.py). A head has 300 shape and 100 expression components; one that was
cut to the 100 and 50 that many trackers use is filled up with components that do nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..npz_file import read_npz
from ..torch_zip import read_torch_file
from .model import EXPRESSION_COUNT, SHAPE_COUNT, FlameModel, Landmarks
from .pickle_arrays import dense, read_object_array, read_pickle_arrays

_ARRAYS = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
_UNPACKED_LIMIT = 512 << 20  # bytes that a head may need in memory; a FLAME head needs 30 MB
_EXTRAS = ("vt", "ft")
# the tables' names in FLAME's file: faces, weights
_IBUG = ("full_lmk_faces_idx_with_eye", "full_lmk_bary_coords_with_eye")
_MEDIAPIPE = ("lmk_face_idx", "lmk_b_coords")
_CONTOUR = ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")
_CUT = {SHAPE_COUNT + EXPRESSION_COUNT: SHAPE_COUNT, 150: 100}  # components in all: of these shape, the rest expression
_OTHERS = {16: "a MANO hand", 24: "an SMPL body", 52: "an SMPL+H body", 55: "an SMPL-X body"}  # by joints
_FETCH_JAW = "Choose the FLAME with the jaw: generic, female or male, or flame2023.pkl."


def read_flame(path: str | Path) -> FlameModel:
    """The head in `path`.

    Raises EngineError with one sentence when the file is missing, damaged, or no FLAME head.
    """
    path = Path(path)
    if not path.is_file():
        raise EngineError(f"There is no head file “{path}”.", "Check the path, or leave it out for the default head.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = _join_sparse(read_npz(path, _UNPACKED_LIMIT, _read_object))
    elif suffix in (".pkl", ".pickle"):
        arrays = read_pickle_arrays(_read_bytes(path), path.name, (*_ARRAYS, *_EXTRAS, *_IBUG, *_MEDIAPIPE, *_CONTOUR))
    elif suffix in (".pt", ".pth"):
        arrays = _flatten_published(read_torch_file(path), path)
    else:
        raise EngineError(
            f"“{path.name}” is not a head file that can be read.",
            "Choose a FLAME `.pkl` or `.npz`, or `FLAME_with_eye.pt`.",
        )
    return _build(arrays, path)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _UNPACKED_LIMIT:
            raise EngineError(f"“{path.name}” has {path.stat().st_size >> 20} MB, far more than a head needs.",
                              code="bad_file")
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"“{path.name}” can't be read: {error.strerror}.", code="bad_file") from None


def _read_object(data: bytes, file: str, name: str) -> NDArray[Any] | None:
    """The sparse matrix that `np.savez` of a FLAME dict leaves as a pickled object; no other object is looked at."""
    return read_object_array(data, file, name) if name == "J_regressor" else None


def _join_sparse(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """J_regressor from the parts that scipy's `save_npz` writes, named `J_regressor_data` and so on."""
    for mark in ("_", ".", "/"):
        names = {part: f"J_regressor{mark}{part}" for part in ("data", "indices", "indptr", "shape", "format")}
        parts = {part: arrays[name] for part, name in names.items() if name in arrays}
        if "J_regressor" in arrays or not {"data", "indices", "indptr", "shape"} <= set(parts):
            continue
        shape = tuple(int(size) for size in parts["shape"].ravel()[:3])
        form = parts["format"].item() if "format" in parts and parts["format"].size == 1 else b""
        form = form.decode("latin-1") if isinstance(form, bytes) else str(form)
        if not form and len(shape) == 2:  # as many column starts as columns, or row starts as rows
            form = "csc" if len(parts["indptr"]) == shape[1] + 1 else "csr"
        if form in ("csc", "csr"):
            with contextlib.suppress(ValueError):
                arrays["J_regressor"] = dense(form, parts, shape)
    return arrays


def _flatten_published(content: Any, path: Path) -> dict[str, NDArray[Any]]:
    """One flat dict from the published file's three groups."""
    if not isinstance(content, dict) or not isinstance(content.get("flame_model"), dict):
        raise EngineError(f"“{path.name}” holds no FLAME head (no `flame_model` in it).",
                          "Choose the published FLAME_with_eye.pt.", code="bad_file")
    arrays = dict(content["flame_model"])
    for group in ("lmk_embeddings", "lmk_embeddings_mediapipe"):
        if isinstance(content.get(group), dict):
            arrays.update(content[group])
    return {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}


def _check_kind(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    """Raises EngineError where the file is a head without a jaw, or another model of the family."""
    tree = arrays.get("kintree_table")
    joints = tree.shape[1] if tree is not None and tree.ndim == 2 else 5
    if joints == 4 or "flame2023_no_jaw" in path.stem.lower():
        raise EngineError(f"“{path.name}” is a FLAME without a jaw joint, and speech needs one.", _FETCH_JAW,
                          code="bad_file")
    if joints != 5:
        what = _OTHERS.get(joints, "another model")
        raise EngineError(f"“{path.name}” is {what} ({joints} joints) and no FLAME head (5 joints).",
                          "Choose a FLAME file.", code="bad_file")


def _directions(value: NDArray[Any], path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """shapedirs (V,3,N) -> shape (V,3,300) and expression (V,3,100) components."""
    count = value.shape[2]
    if count not in _CUT:
        raise EngineError(f"“{path.name}” has {count} shape and expression components, and a FLAME head has 300 + 100.",
                          "Choose a complete FLAME file.", code="bad_file")
    shapes = _CUT[count]
    parts = []
    for part, wanted in ((value[:, :, :shapes], SHAPE_COUNT), (value[:, :, shapes:], EXPRESSION_COUNT)):
        whole = np.zeros((len(value), 3, wanted), np.float32)
        whole[:, :, : part.shape[2]] = part
        parts.append(whole)
    return parts[0], parts[1]


def _build(arrays: dict[str, NDArray[Any]], path: Path) -> FlameModel:
    _check_kind(arrays, path)
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise EngineError(f"“{path.name}” is no FLAME head: `{missing[0]}` is missing.", code="bad_file")

    def need(name: str, *shape: int | None) -> NDArray[Any]:
        value = arrays[name]
        fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape))
        if not fits or value.dtype.kind not in "fiu":
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise EngineError(f"“{path.name}” is no FLAME head: `{name}` is {value.shape}, not ({wanted}).",
                              code="bad_file")
        return _numbers(value, name, path)

    vertices = need("v_template", None, 3).astype(np.float32)
    count = len(vertices)
    shapedirs, expressiondirs = _directions(need("shapedirs", count, 3, None), path)
    faces = _indices(need("f", None, 3), count, "f", path)
    parents = need("kintree_table", 2, 5)[0].astype(np.int64)
    parents[0] = -1
    if ((parents[1:] < 0) | (parents[1:] >= np.arange(1, 5))).any():
        raise EngineError(f"“{path.name}” is damaged: its joints do not form a tree.", code="bad_file")
    quads = _indices(need("f_quads", None, 4), count, "f_quads", path) if "f_quads" in arrays else None
    names = _names(arrays, "expression_names")
    if len(names) != EXPRESSION_COUNT:
        names = tuple(f"expression_{index:03d}" for index in range(EXPRESSION_COUNT))
    material, material_names = _materials(arrays, len(quads) if quads is not None else len(faces))
    return FlameModel(
        v_template=vertices,
        faces=faces,
        shapedirs=shapedirs,
        expressiondirs=expressiondirs,
        posedirs=need("posedirs", count, 3, 36).astype(np.float32),
        J_regressor=need("J_regressor", 5, count).astype(np.float32),
        parents=parents,
        lbs_weights=need("weights", count, 5).astype(np.float32),
        expression_names=names,
        quads=quads,
        landmarks=_landmarks(arrays, _IBUG, (70,), len(faces), path),
        mediapipe_landmarks=_landmarks(arrays, _MEDIAPIPE, (105,), len(faces), path),
        jaw_contour=_landmarks(arrays, _CONTOUR, (79, 17), len(faces), path),
        face_material=material,
        material_names=material_names,
        path=path,
        sha256=_sha256(path),
        extras={name: arrays[name] for name in _EXTRAS if name in arrays},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numbers(value: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """`value`, if all of it are numbers that float32 can hold too. Raises EngineError otherwise."""
    with np.errstate(over="ignore"):
        if not np.isfinite(value.astype(np.float32, copy=False)).all():
            raise EngineError(f"“{path.name}” is damaged: `{name}` holds values that are not numbers.", code="bad_file")
    return value


def _indices(value: NDArray[Any], limit: int, name: str, path: Path) -> NDArray[np.int64]:
    # compared before the conversion, which would turn 1e30 into anything
    if value.size == 0 or value.min() < 0 or value.max() >= limit:
        raise EngineError(f"“{path.name}” is damaged: `{name}` points outside the mesh.", code="bad_file")
    return value.astype(np.int64)


def _names(arrays: dict[str, NDArray[Any]], key: str) -> tuple[str, ...]:
    return tuple(str(name) for name in np.ravel(arrays[key])) if key in arrays else ()


def _materials(arrays: dict[str, NDArray[Any]], face_count: int) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    names = _names(arrays, "material_names")
    value = arrays.get("face_material")
    if value is None or value.shape != (face_count,) or value.size == 0 or value.dtype.kind not in "iu":
        return None, ()
    if value.min() < 0 or value.max() >= len(names):
        return None, ()
    return value.astype(np.int64), names


def _landmarks(
    arrays: dict[str, NDArray[Any]], names: tuple[str, str], shape: tuple[int, ...], face_count: int, path: Path
) -> Landmarks | None:
    """The landmark table under `names`, or None where the file has none. Raises EngineError where it is wrong."""
    if not any(name in arrays for name in names):
        return None
    found = []
    for name, wanted in zip(names, (shape, (*shape, 3))):
        value = arrays.get(name)
        if value is None:
            raise EngineError(f"“{path.name}” is damaged: it has only half of a landmark table, without `{name}`.",
                              code="bad_file")
        # FLAME's file has an axis of length one in front of some
        if value.shape not in (wanted, (1, *wanted)) or value.dtype.kind not in "fiu":
            raise EngineError(f"“{path.name}” is damaged: its landmark table `{name}` is {value.shape}, not {wanted}.",
                              code="bad_file")
        found.append(_numbers(value, name, path).reshape(wanted))
    faces = _indices(found[0], face_count, names[0], path)
    return Landmarks(faces, found[1].astype(np.float32))
