# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a file with those whom a take is retargeted to, side by side: for a desktop scenario, or to try things on.

    python addon_tests/tools/cast.py cast.blend

A head with ARKit's keys in another mesh and of other proportions; a cartoon head with the keys A I U E O and Blink; a
FLAME head of another person; a face that Rigify has generated. The place of a speaking head, at the origin, is free.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "addon_tests" / "support"), str(ROOT / "addon_tests" / "blender")]

import bpy  # noqa: E402
import numpy as np  # noqa: E402
from artalk_blender.engine.assets import DEFAULT_HEAD  # noqa: E402
from artalk_blender.engine.flame.file import read_flame  # noqa: E402
from characters import remeshed, viseme_head  # noqa: E402
from mathutils import Vector  # noqa: E402
from retarget_targets import Place, finer_mesh  # noqa: E402
from rigify_face import generate, skin  # noqa: E402

from artalk_blender.head.build import build_head  # noqa: E402
from artalk_blender.head.identity import random_coefficients, set_identity  # noqa: E402

APART = 0.25  # metres


def plain(thing: bpy.types.Object, name: str, colour: tuple[float, float, float]) -> None:
    """Smooth, in one colour."""
    thing.data.shade_smooth()
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)
    thing.data.materials.append(material)


def main() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    person = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    set_identity(person, random_coefficients(4), bpy.context)
    person.armature.location.x = -APART
    person.armature.name = "Another Person"
    cartoon = viseme_head("Cartoon", Place(1.0, None, (-2 * APART, 0.0, 0.0), -0.8), finer_mesh)
    plain(cartoon, "Cartoon", (0.75, 0.62, 0.35))
    arkit = remeshed("ARKit Face", place=Place(1.0, None, (APART, 0.0, 0.0), 1.0), remesh=finer_mesh)
    plain(arkit, "Marble", (0.55, 0.62, 0.75))
    rig = generate()
    rig.name = "Rigify Face"
    face = skin(rig)
    plain(face, "Clay", (0.62, 0.42, 0.35))
    rig.scale = [1.0 / face["height"]] * 3
    bpy.context.view_layer.update()
    corners = [face.matrix_world @ Vector(corner) for corner in face.bound_box]
    top = max(corner.z for corner in corners)
    middle = 0.5 * (min(corner.y for corner in corners) + max(corner.y for corner in corners))
    rest = np.array([vertex.co for vertex in person.mesh.data.vertices])
    rig.location = (2 * APART, -middle, rest[:, 1].max() - top)
    bpy.ops.wm.save_as_mainfile(filepath=str(Path(sys.argv[-1]).resolve()))
    os._exit(0)  # Rigify keeps Blender's module from ending


if __name__ == "__main__":
    main()
