# SPDX-License-Identifier: GPL-3.0-or-later
"""An avatar with no download: splats grown on a head's mesh, coloured by its texture. numpy only.

Every triangle gets splats in proportion to its area, more where there is much to see, spread evenly (R2 sequence,
Martin Roberts 2018), lying flat, as large as the gaps between them. Light is painted in: a splat has one colour.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..flame.file import read_flame
from ..flame.model import FlameModel
from .png import read_png
from .rigged import RiggedSplats, triangle_frames

Floats = NDArray[np.float32]

_FINE = {"lips": 3.0, "iris": 6.0, "pupil": 6.0, "sclera": 3.0, "brows": 3.0, "lashes": 3.0, "teeth": 2.0,
         "nostrils": 3.0, "mouth": 0.7, "hair": 0.7}     # how much denser than skin
_LIGHT = np.array([0.3, 0.55, 0.78])                    # from where it comes, over the camera's shoulder
_WIDTH, _FLATNESS, _OPACITY = 0.95, 0.1, 0.96            # of the gap, so that nothing shows through; of the width
_STEP = np.array([0.7548776662466927, 0.5698402909980532])     # R2: powers of the plastic number's inverse


def grow(head: FlameModel, texture: NDArray[np.uint8] | None, count: int = 75_000) -> RiggedSplats:
    """About `count` splats on a head, at least one for each triangle.

    `texture` (H,W,3) is sRGB over the head's UVs; None: all of one grey.
    """
    triangles = head.faces
    _, frames, size = triangle_frames(head.v_template, triangles)
    corners = head.v_template[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    wanted = area * _density(head)
    wanted *= count / wanted.sum()
    # whole numbers whose running sum keeps to the wanted one
    ends = np.floor(np.cumsum(wanted) + 0.5).astype(np.int64)
    number = np.diff(ends, prepend=0)
    number[(number == 0) & (area > 0)] = 1
    number[area <= 1e-12] = 0
    faces = np.repeat(np.arange(len(triangles)), number)
    weights = _spread(faces, number)
    places = np.einsum("nk,nkc->nc", weights, corners[faces])
    inside = np.einsum("nij,ni->nj", frames[faces], places - corners[faces].mean(1)) / size[faces, None]
    gap = np.sqrt(area[faces] / number[faces]) / size[faces] * _WIDTH
    scales = np.stack([gap, gap * _FLATNESS, gap], 1)
    colors = _colors(head, texture, faces, weights, frames[:, :, 1])
    turns = np.zeros((len(faces), 4), np.float32)
    turns[:, 0] = 1
    return RiggedSplats(faces, inside.astype(np.float32), turns, scales.astype(np.float32),
                        np.full(len(faces), _OPACITY, np.float32), colors)


def grow_from_file(path: Path, count: int = 75_000) -> tuple[FlameModel, RiggedSplats]:
    """A head file, and the splats on it; coloured where a picture of the file's name lies beside it."""
    head = read_flame(path)
    picture = path.with_suffix(".png")
    texture = read_png(picture.read_bytes())[0][:, :, :3] if picture.is_file() else None
    return head, grow(head, texture, count)


def _density(head: FlameModel) -> NDArray[np.float64]:
    """How many splats a triangle wants for its area, skin being 1."""
    if head.face_material is None or head.quads is None:
        return np.ones(len(head.faces))
    by_material = np.array([_FINE.get(name, 1.0) for name in head.material_names])
    quads = by_material[head.face_material]
    # a quad is two triangles unless it repeats its last index
    return np.repeat(quads, np.where(head.quads[:, 2] == head.quads[:, 3], 1, 2))[: len(head.faces)]


def _spread(faces: NDArray[np.int64], number: NDArray[np.int64]) -> Floats:
    """Where in their triangles splats lie: weights (N,3) of the corners."""
    within = np.arange(len(faces)) - np.repeat(np.cumsum(number) - number, number)
    point = (0.5 + (within[:, None] + 1) * _STEP + (faces[:, None] * 0.618)) % 1.0
    single = number[faces] == 1
    folded = point.sum(1) > 1
    point[folded] = 1 - point[folded]
    point[single] = 1 / 3
    return np.concatenate([1 - point.sum(1, keepdims=True), point], 1).astype(np.float32)


def _colors(head: FlameModel, texture: NDArray[np.uint8] | None, faces: NDArray[np.int64], weights: Floats,
            normals: Floats) -> Floats:
    """sRGB (N,3): the texture's at each splat, lit from the front."""
    if texture is None or "vt" not in head.extras or "ft" not in head.extras:
        base = np.full((len(faces), 3), 0.35)
    else:
        uv = np.einsum("nk,nkc->nc", weights, np.asarray(head.extras["vt"], np.float64)[head.extras["ft"][faces]])
        height, width = texture.shape[:2]
        column = np.clip((uv[:, 0] * width).astype(int), 1, width - 2)
        row = np.clip(((1 - uv[:, 1]) * height).astype(int), 1, height - 2)
        around = [texture[row + dy, column + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        base = _linear(np.mean(around, axis=0) / 255)
    corner = np.zeros_like(head.v_template)
    for at in range(3):
        np.add.at(corner, head.faces[:, at], normals)
    smooth = np.einsum("nk,nkc->nc", weights, corner[head.faces[faces]])
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)
    towards = np.clip(0.5 + 0.5 * smooth @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)     # light that wraps round
    return _srgb(base * (0.35 + 0.8 * towards**1.5)[:, None]).astype(np.float32)


def _linear(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _srgb(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
