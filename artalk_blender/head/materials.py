# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's surface: UVs where its file has them, and materials that look right in Workbench too.

Materials are plain colours, for Workbench and, as Principled BSDF, for everything else. A picture of the same name
beside the head's file (`default_head.png`) goes over them by the UVs; it is packed, so that a .blend looks the same
on a machine without it.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..engine.flame.model import FlameModel
from ..errors import ArtalkError
from .names import look_of
from .topology import eyeballs

_PNG = b"\x89PNG\r\n\x1a\n"
_PICTURE_LIMIT = 64 << 20  # bytes
_WET = ("sclera", "iris", "pupil")
_IRIS, _PUPIL = np.cos(np.radians(27.0)), np.cos(np.radians(11.0))


def face_materials(model: FlameModel, faces: NDArray[np.integer]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """(names, index per face (F,)) from the file, or, where it has none, skin and the eyeballs that are found."""
    if model.face_material is not None and len(model.face_material) == len(faces):
        return model.material_names, model.face_material.astype(np.int32)
    names = ("skin", "eye_white", "eye_iris", "eye_pupil")
    index = np.zeros(len(faces), np.int32)
    for inside in eyeballs(model).values():
        in_eye = inside[faces].all(1)
        middle = 0.5 * (model.v_template[inside].min(0) + model.v_template[inside].max(0))
        direction = model.v_template[faces[in_eye]].mean(1) - middle
        forward = direction[:, 2] / np.maximum(np.linalg.norm(direction, axis=1), 1e-9)
        index[in_eye] = 1 + (forward > _IRIS).astype(np.int32) + (forward > _PUPIL)
    return (names, index) if index.any() else (names[:1], index)


def read_uvs(model: FlameModel) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """The file's UV points (N,2) and each triangle's corners in them (F,3), or None where it has none.

    Raises ArtalkError where they do not fit the mesh.
    """
    if "vt" not in model.extras or "ft" not in model.extras:
        return None
    points, corners = model.extras["vt"], model.extras["ft"]
    file = model.path.name if model.path else "head"
    if (points.ndim != 2 or points.shape[1] < 2 or points.dtype.kind not in "fiu" or not np.isfinite(points).all()
            or corners.shape != model.faces.shape or corners.dtype.kind not in "fiu"
            or corners.min() < 0 or corners.max() >= len(points)):
        raise ArtalkError(f"The UVs in “{file}” do not fit its mesh.", "Fetch or export it again.")
    return points[:, :2].astype(np.float32), corners.astype(np.int64)


def add_uvs(data: Any, model: FlameModel, faces: NDArray[np.integer], points: NDArray[np.float32],
            corners: NDArray[np.int64]) -> None:
    """A UV map of the points (N,2) at the triangles' corners (F,3), on a mesh of triangles or of quads."""
    layer = data.uv_layers.new(name="UVMap")
    loops = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", loops)
    if model.quads is None:
        chosen = corners.ravel()
    else:
        # a quad's corners take their UVs from the triangles that lie in it
        sizes = np.empty(len(data.polygons), np.int32)
        data.polygons.foreach_get("loop_total", sizes)
        chosen = _quad_uvs(model.faces, corners, faces, loops, np.repeat(np.arange(len(sizes)), sizes))
    layer.uv.foreach_set("vector", points[chosen].ravel())


def _quad_uvs(triangles: NDArray[np.int64], corners: NDArray[np.int64], quads: NDArray[np.integer],
              loops: NDArray[np.int32], owner: NDArray[np.integer]) -> NDArray[np.int64]:
    """(L,) UV index per loop, which is vertex `loops` of quad `owner`; a vertex of no such triangle takes any of its.

    Three vertices of a quad name its triangles: no two faces of a mesh share three.
    """
    by_vertex = np.zeros(int(max(triangles.max(), loops.max())) + 1, np.int64)
    by_vertex[triangles.ravel()] = corners.ravel()
    at: dict[frozenset[int], int] = {frozenset(face): row for row, face in enumerate(triangles.tolist())}
    in_quad: list[dict[int, int]] = []
    for a, b, c, d in quads.tolist():
        found: dict[int, int] = {}
        for trio in ((a, b, c), (a, c, d), (a, b, d), (b, c, d)):
            row = at.get(frozenset(trio))
            if row is not None:
                found.update(zip(triangles[row].tolist(), corners[row].tolist(), strict=True))
        in_quad.append(found)
    return np.array([in_quad[face].get(vertex, by_vertex[vertex])
                     for face, vertex in zip(owner.tolist(), loops.tolist(), strict=True)])


def read_picture(model: FlameModel) -> Any | None:
    """A new image, packed, of the picture beside the head's file, or None where there is none that can be shown."""
    path = model.path.with_suffix(".png") if model.path and "vt" in model.extras else None
    if path is None or not path.is_file() or path.stat().st_size > _PICTURE_LIMIT:
        return None
    data = path.read_bytes()
    # packed from memory: loaded from the file, it would keep where the extension lies
    image = bpy.data.images.new(path.stem, 1, 1)
    image.pack(data=data, data_len=len(data))
    image.source = "FILE"
    if not data.startswith(_PNG) or 0 in image.size:
        bpy.data.images.remove(image)
        return None
    return image


def _paint(name: str, shader: Any) -> None:
    """What a painted head has besides its colours: wet eyes, matt hair, skin that light gets into."""
    if any(word in name for word in _WET):
        shader.inputs["Roughness"].default_value = 0.08
    elif "hair" in name:
        shader.inputs["Roughness"].default_value = 0.9
    elif not any(word in name for word in ("teeth", "mouth")):
        shader.inputs["Subsurface Weight"].default_value = 0.12
        shader.inputs["Subsurface Scale"].default_value = 0.006


def make_material(name: str, picture: Any | None = None) -> Any:
    """A new material `name` (Blender numbers it where the name is taken), painted with the picture if there is one."""
    look = look_of(name)
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*look.colour, 1.0)
    material.roughness = look.roughness
    material.metallic = 0.0
    tree = compat.node_tree(material)
    shader = next((node for node in tree.nodes if node.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        return material
    shader.inputs["Base Color"].default_value = (*look.colour, 1.0)
    shader.inputs["Roughness"].default_value = look.roughness
    if picture is not None:
        _paint(name, shader)
        node = tree.nodes.new("ShaderNodeTexImage")
        node.image = picture
        # without mipmaps: at a triangle's edge EEVEE may take one so small that hair and lips are mixed into the skin
        node.interpolation = "Cubic"
        node.location = (shader.location.x - 320.0, shader.location.y)
        tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
        tree.nodes.active = node  # what Workbench shows
    return material
