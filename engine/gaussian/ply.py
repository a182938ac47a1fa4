# SPDX-License-Identifier: GPL-3.0-or-later
"""Splats in `.ply` files, properties named as in GaussianAvatars. numpy only.

A file from anywhere: header and size are checked before anything is made, only binary little-endian numbers are read.
Colours that change with the direction of view (`f_rest_*`) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..files import replacing
from .rigged import Floats, RiggedSplats

_TYPES = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1", "uint8": "u1",
          "char": "i1", "int8": "i1", "short": "<i2", "int16": "<i2", "ushort": "<u2", "uint16": "<u2",
          "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4"}
_LONGEST_HEADER = 65536
MOST_SPLATS = 4_000_000
_FIRST_BAND = 0.28209479177387814       # of the spherical harmonics: the same from everywhere
_PLACES, _COLORS = ("x", "y", "z"), ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES, _TURNS = ("scale_0", "scale_1", "scale_2"), ("rot_0", "rot_1", "rot_2", "rot_3")
_BINDING = "binding_0"
_PLAIN_COLORS = ("red", "green", "blue")


def read_rigged_ply(path: Path, triangles: int) -> RiggedSplats:
    """The splats of a `.ply` that ride on a mesh of so many triangles. Raises EngineError in one sentence."""
    if not path.is_file():
        raise EngineError(f"There is no avatar file “{path}”.", "Check the path.")
    with path.open("rb") as file:
        layout, count = _read_header(file.read(_LONGEST_HEADER), path.name)
        names = layout.names or ()
        _check_names(names, path.name)
        start = layout.metadata["start"] if layout.metadata else 0
        if path.stat().st_size < start + count * layout.itemsize:
            raise EngineError(f"“{path.name}” breaks off: it says {count} splats and holds fewer.", "Fetch it again.",
                              code="bad_file")
        file.seek(start)
        table = np.fromfile(file, layout, count)

    def columns(wanted: tuple[str, ...]) -> NDArray[np.float32]:
        return np.stack([table[name] for name in wanted], 1).astype(np.float32)

    with np.errstate(over="ignore", invalid="ignore"):
        colors = 0.5 + _FIRST_BAND * columns(_COLORS) if _COLORS[0] in names else columns(_PLAIN_COLORS) / 255
        opacities = 1 / (1 + np.exp(-table["opacity"].astype(np.float32)))
        turns = columns(_TURNS)
        length = np.linalg.norm(turns, axis=1, keepdims=True)
        parts = {"places": columns(_PLACES), "sizes": np.exp(columns(_SCALES)), "turns": turns / length,
                 "colours": colors, "opacities": opacities[:, None]}
    for what, values in parts.items():
        broken = np.count_nonzero(~np.isfinite(values).all(1))
        if broken:
            raise EngineError(f"“{path.name}” has {broken} splats whose {what} are no numbers.",
                              "Export it again.", code="bad_file")
    faces = table[_BINDING].astype(np.float64)
    if not ((faces >= 0) & (faces < triangles) & (faces == np.floor(faces))).all():
        raise EngineError(f"“{path.name}” rides on triangles that the head, with {triangles}, doesn't have.",
                          "Use the head that it was made on.", code="bad_file")
    return RiggedSplats(faces.astype(np.int64), parts["places"], parts["turns"], parts["sizes"], opacities, colors)


def _read_header(data: bytes, name: str) -> tuple[np.dtype[Any], int]:
    """(a splat's layout, with where they start as its metadata; how many there are)."""
    end = data.find(b"end_header\n")
    if not data.startswith(b"ply") or end < 0:
        raise EngineError(f"“{name}” is no .ply file, or it is damaged.", "Choose a file of splats.", code="bad_file")
    fields: list[tuple[str, str]] = []
    count = -1
    for line in data[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and words[1:2] != ["binary_little_endian"]:
            raise EngineError(f"“{name}” is a .ply of another kind than binary little-endian.", "Export it as that.",
                              code="unsupported")
        if words[0] == "element":
            if count >= 0:      # what follows the splats is none of ours
                break
            if len(words) != 3 or words[1] != "vertex" or not words[2].isdigit():
                raise EngineError(f"“{name}” doesn't begin with splats.", "Choose a file of splats.", code="bad_file")
            count = int(words[2])
        elif words[0] == "property":
            if len(words) != 3 or words[1] not in _TYPES or words[2] in dict(fields):
                raise EngineError(f"“{name}” has a property that no splat has: “{line.strip()[:60]}”.",
                                  "Choose a file of splats.", code="bad_file")
            fields.append((words[2], _TYPES[words[1]]))
    if not 0 < count <= MOST_SPLATS or not fields:
        raise EngineError(f"“{name}” says it holds {max(count, 0)} splats; 1 to {MOST_SPLATS} can be read.",
                          code="bad_file")
    return np.dtype(fields, metadata={"start": end + len(b"end_header\n")}), count


def _check_names(names: tuple[str, ...], name: str) -> None:
    for wanted in (*_PLACES, "opacity", *_SCALES, *_TURNS):
        if wanted not in names:
            raise EngineError(f"“{name}” is no file of splats: it lacks the property “{wanted}”.",
                              "Choose a file of splats.", code="bad_file")
    if not set(_COLORS) <= set(names) and not set(_PLAIN_COLORS) <= set(names):
        raise EngineError(f"The splats of “{name}” have no colours (f_dc_0 to f_dc_2).", "Export them with colours.",
                          code="bad_file")
    if _BINDING not in names:
        raise EngineError(f"The splats of “{name}” ride on no head: there is no property “{_BINDING}”.",
                          "Choose a file in the manner of GaussianAvatars.", code="bad_file")


def write_rigged_ply(path: Path, splats: RiggedSplats, comment: str = "") -> None:
    """Writes splats so that `read_rigged_ply` and GaussianAvatars' viewer read them."""
    write_splats(path, splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
                 {_BINDING: splats.faces}, comment)


def write_splats(path: Path, means: Floats, quats: Floats, scales: Floats, opacities: Floats, colors: Floats,
                 more: Mapping[str, NDArray[Any]], comment: str = "") -> None:
    """Writes N Gaussians as a `.ply`, whole or not at all; `more` are further properties (N,) by name."""
    likely = np.clip(opacities, 1e-6, 1 - 1e-6)
    parts: list[tuple[tuple[str, ...], NDArray[Any]]] = [
        (_PLACES, means), (("nx", "ny", "nz"), np.zeros_like(means)), (_COLORS, (colors - 0.5) / _FIRST_BAND),
        (("opacity",), np.log(likely / (1 - likely))[:, None]), (_SCALES, np.log(np.maximum(scales, 1e-12))),
        (_TURNS, quats), *(((name,), values[:, None]) for name, values in more.items()),
    ]
    names = [name for part, _ in parts for name in part]
    table = np.concatenate([values.astype("<f4") for _, values in parts], 1)
    header = ["ply", "format binary_little_endian 1.0", *([f"comment {comment}"] if comment else []),
              f"element vertex {len(means)}", *(f"property float {name}" for name in names), "end_header", ""]
    with replacing(path) as file:
        file.write("\n".join(header).encode("ascii", "replace"))
        file.write(table.tobytes())
