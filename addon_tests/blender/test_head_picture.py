# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture beside a head's file: shown by its materials, packed, gone without harm."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame

from artalk_blender.errors import ArtalkError
from artalk_blender.head.build import build_head
from artalk_blender.head.source import load_model
from engine.training.head.assemble import make_head
from engine.training.head.paint import paint
from engine.training.head.unwrap import unwrap


@pytest.fixture
def copied(tmp_path):
    """The default head's two files elsewhere."""
    for path in (DEFAULT_HEAD, DEFAULT_HEAD.with_suffix(".png")):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / DEFAULT_HEAD.name


def pictures(head):
    """The image that each of the head's materials paints with, or None."""
    found = []
    for material in head.mesh.data.materials:
        colour = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED").inputs["Base Color"]
        found.append(colour.links[0].from_node.image if colour.is_linked else None)
    return found


def test_every_material_of_the_default_head_is_painted(scene):
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    images = pictures(head)
    assert len(set(images)) == 1 and images[0] is not None
    assert tuple(images[0].size) == (1536, 1536)
    assert images[0].packed_file is not None and images[0].colorspace_settings.name == "sRGB"
    for material in head.mesh.data.materials:
        assert material.node_tree.nodes.active.image == images[0]  # what Workbench shows
        assert material.node_tree.nodes.active.interpolation == "Cubic"  # no specks in EEVEE
    assert [layer.name for layer in head.mesh.data.uv_layers] == ["UVMap"]


def test_the_program_still_paints_it(scene):
    """A small painting has the shipped one's colours, averaged over 12 x 12 pixels."""
    made = make_head()
    small = paint(made, *unwrap(made), size=128)[::-1] / 255
    image = pictures(build_head(read_flame(DEFAULT_HEAD), bpy.context))[0]
    pixels = np.empty(1536 * 1536 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    large = pixels.reshape(128, 12, 128, 12, 4)[..., :3].mean((1, 3))
    assert np.abs(small - large).mean() < 0.03


def test_a_saved_head_keeps_its_looks_without_extension_and_file(scene, copied, tmp_path):
    build_head(read_flame(copied), bpy.context)
    blend = tmp_path / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    assert str(tmp_path).encode() not in _packed_path(bpy.data.images["default_head"])
    copied.with_suffix(".png").unlink()
    code = f"""
import bpy
bpy.ops.wm.open_mainfile(filepath={str(blend)!r})
image = bpy.data.images["default_head"]
assert tuple(image.size) == (1536, 1536), tuple(image.size)
middle = image.pixels[4 * (768 * 1536 + 768):][:3]
assert min(middle) > 0.05, middle
print("shown")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "shown" in run.stdout, run.stdout + run.stderr


def _packed_path(image):
    return (image.filepath_raw + "".join(file.filepath for file in image.packed_files)).encode()


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n", b"GIF89a no picture", "half"])
def test_without_a_picture_that_can_be_shown_the_head_has_its_plain_colours(scene, copied, content):
    picture = copied.with_suffix(".png")
    if content is None:
        picture.unlink()
    else:
        picture.write_bytes(picture.read_bytes()[:40] if content == "half" else content)
    head = build_head(read_flame(copied), bpy.context)
    assert set(pictures(head)) == {None}
    assert not bpy.data.images
    colours = {tuple(m.diffuse_color) for m in head.mesh.data.materials}
    assert len(colours) > 5


def test_a_picture_without_uvs_is_left_alone(scene, copied, tmp_path):
    path = Path(tmp_path / "bare.npz")
    with np.load(copied) as file:
        np.savez(path, **{name: file[name] for name in file.files if name not in ("vt", "ft")})
    shutil.copy(copied.with_suffix(".png"), path.with_suffix(".png"))
    assert set(pictures(build_head(read_flame(path), bpy.context))) == {None}


def test_a_head_of_an_older_default_says_so(scene):
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    about = head.armature["artalk_head"].to_dict()
    about["sha256"] = "0" * 64
    head.armature["artalk_head"] = about
    with pytest.raises(ArtalkError, match="default head of another version") as caught:
        load_model(head)
    assert "Find Head File" in caught.value.remedy
