# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the picture of the retargeting page from a .blend that `talk` made: one take on three heads, side by side.

    python addon_tests/tools/retarget_picture.py out/talk.blend docs/retarget.png

Above with the mouth wide open, below with the lips shut just before: a cartoon head with five visemes and a blink, the
default head, an ARKit face of other proportions in another mesh.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from readme_picture import DEFAULT_HEAD, ROOT, lip_curves, open_talk, read_flame, render, save_sheet

sys.path[:0] = [str(ROOT / "addon_tests" / folder) for folder in ("support", "blender")]
from characters import remeshed, viseme_head  # noqa: E402
from real_motion import default_head  # noqa: E402
from retarget_targets import Place, finer_mesh  # noqa: E402

from artalk_blender.head.materials import make_material  # noqa: E402
from artalk_blender.retarget.work import retargeting  # noqa: E402
from artalk_blender.runner import finish  # noqa: E402

_TOUCHING = 1e-5  # metres


class Cartoon(Place):
    """A big, round head with big eyes, a small nose and little chin."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, np.float64)
        moved = points * [1.06, 0.96, 1.0]
        for centre, radius, scale in (
            ((-0.032, 0.0, 0.080), 0.022, (0.45, 0.55, 0.15)),  # its right eye
            ((0.032, 0.0, 0.080), 0.022, (0.45, 0.55, 0.15)),  # its left eye
            ((0.0, -0.030, 0.110), 0.020, (-0.15, -0.20, -0.35)),  # nose
            ((0.0, -0.105, 0.070), 0.040, (-0.20, -0.10, -0.10)),  # jaw
            ((0.0, 0.070, 0.0), 0.070, (0.18, 0.12, 0.15)),  # skull
        ):
            away = points - np.array(centre)
            near = np.exp(-0.5 * (away**2).sum(-1) / radius**2)
            moved += near[..., None] * away * np.array(scale)
        return moved


def paint(thing: bpy.types.Object, colours: dict[str, tuple[float, float, float]]) -> None:
    """The default head's materials on its finer mesh, in plain colours."""
    model = default_head()
    quad_of = {}
    for index, quad in enumerate(model.quads.tolist()):
        for left_out in range(4):
            quad_of[frozenset(quad[:left_out] + quad[left_out + 1:])] = index
    kinds = [int(model.face_material[quad_of[frozenset(face)]]) for face in model.faces.tolist()]
    for name in model.material_names:
        material = make_material(name)
        if name in colours:
            material.diffuse_color = (*colours[name], 1.0)
        thing.data.materials.append(material)
    thing.data.polygons.foreach_set("material_index", np.repeat(kinds, 4))
    thing.data.shade_smooth()


def open_and_shut(motion: np.ndarray) -> tuple[int, int]:
    """Model frames: the mouth at its widest, and the last one before in which the lips touch."""
    aperture = lip_curves(read_flame(DEFAULT_HEAD), motion).aperture
    opened = int(aperture.argmax())
    return opened, int(np.flatnonzero(aperture[:opened] <= aperture.min() + _TOUCHING)[-1])


def main() -> None:
    source, target = (Path(argument).resolve() for argument in sys.argv[-2:])
    scene, take, motion = open_talk(source)
    opened, shut = open_and_shut(motion)
    own = next(thing for thing in bpy.data.objects if thing.type == "MESH" and thing.name != "Backdrop")
    cartoon = viseme_head("Cartoon", Cartoon(), finer_mesh)
    paint(cartoon, {"skin": (0.80, 0.52, 0.38), "hair": (0.45, 0.12, 0.03), "brows": (0.30, 0.08, 0.02),
                    "lips": (0.62, 0.22, 0.17)})
    other = remeshed("Face", place=Place(0.95, None, (0.0, -0.008, 0.0), 0.8), remesh=finer_mesh)
    paint(other, {"skin": (0.30, 0.17, 0.11), "hair": (0.02, 0.02, 0.02), "brows": (0.02, 0.02, 0.02),
                  "lips": (0.22, 0.09, 0.07), "iris": (0.07, 0.03, 0.01)})
    heads = (cartoon, own, other)
    for thing in (cartoon, other):
        print(thing.name, "plays", finish(retargeting(take.name, thing.name)))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for frame in (shut, opened):  # the lowest row first
            tiles = []
            for head in heads:
                for thing in heads:
                    thing.hide_render = thing is not head
                tiles.append(render(scene, frame, Path(folder)))
            rows.append(np.concatenate(tiles, 1))
    save_sheet(np.concatenate(rows), target)


if __name__ == "__main__":
    main()
