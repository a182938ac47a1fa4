# SPDX-License-Identifier: GPL-3.0-or-later
"""Splats that ride on a head: their frames, their files, the default avatar, and frames on disk. No torch needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.assets import DEFAULT_HEAD
from engine.errors import EngineError
from engine.files import MotionFile
from engine.flame.model import FlameModel
from engine.flame.skinning import motion_vertices, rotation_matrices
from engine.gaussian.grown import grow_from_file
from engine.gaussian.guard import known_flame
from engine.gaussian.ply import read_rigged_ply, write_rigged_ply
from engine.gaussian.png import png_bytes, read_png
from engine.gaussian.render import LoadedAvatar, load_avatar, parse_range, render_frames
from engine.gaussian.rigged import RiggedSplats, quaternion_product, quaternions, triangle_frames
from engine.gaussian.rigged_avatar import RiggedAvatar
from engine.gaussian.shot import Played, Shot

COUNT = 20_000


@pytest.fixture(scope="module")
def grown() -> tuple[FlameModel, RiggedSplats]:
    return grow_from_file(DEFAULT_HEAD, COUNT)


@pytest.fixture(scope="module")
def avatar(grown: tuple[FlameModel, RiggedSplats]) -> RiggedAvatar:
    return RiggedAvatar(*grown)


def matrices(quats: np.ndarray) -> np.ndarray:
    """Quaternions (N,4) as rotations, from the sandwich q v q*."""
    conjugate = quats * np.array([1, -1, -1, -1], np.float32)
    columns = []
    for axis in range(3):
        vector = np.zeros((len(quats), 4), np.float32)
        vector[:, 1 + axis] = 1
        columns.append(quaternion_product(quaternion_product(quats, vector), conjugate)[:, 1:])
    return np.stack(columns, -1)


def test_quaternions():
    rng = np.random.default_rng(1)
    turns = rotation_matrices(rng.normal(size=(500, 3)) * 2)
    turns[:4] = [np.eye(3), np.diag([1, -1, -1]), np.diag([-1, 1, -1]), np.diag([-1, -1, 1])]
    np.testing.assert_allclose(matrices(quaternions(turns)), turns, atol=2e-6)
    left, right = quaternions(turns[:250]), quaternions(turns[250:])
    np.testing.assert_allclose(matrices(quaternion_product(left, right)), turns[:250] @ turns[250:], atol=3e-6)


def test_triangle_frames():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 0]], np.float32)
    middle, frame, size = triangle_frames(vertices, np.array([[0, 1, 2], [0, 1, 1], [0, 3, 0]]))
    np.testing.assert_allclose(middle[0], [2 / 3, 1, 0], atol=1e-6)
    np.testing.assert_allclose(frame[0].T, [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-6)
    assert np.linalg.det(frame[0]) == pytest.approx(1)
    assert size[0] == pytest.approx(2.5) and size[2] == 0 and np.isfinite(frame).all(), "no area, no harm"


def test_splats_ride(grown: tuple[FlameModel, RiggedSplats]):
    """A turned, moved and grown head carries its splats as one body; a moving jaw carries those on it."""
    head, splats = grown
    turn = rotation_matrices(np.array([0.3, -0.5, 0.2]))
    rest = splats.posed(head.v_template, head.faces)
    moved = splats.posed((2 * head.v_template @ turn.T + [1, 2, 3]).astype(np.float32), head.faces)
    np.testing.assert_allclose(moved[0], 2 * rest[0] @ turn.T + [1, 2, 3], atol=1e-5)
    error = np.abs(matrices(moved[1]) - turn @ matrices(rest[1])).max((1, 2))
    assert np.percentile(error, 99) < 1e-4 and error.max() < 5e-3, "rounding turns slivers a little"
    np.testing.assert_allclose(moved[2], 2 * rest[2], rtol=1e-4)
    motion = np.zeros((1, 106), np.float32)
    motion[0, 103] = 0.2
    opened = motion_vertices(head, motion)[0]
    step = np.linalg.norm(splats.posed(opened, head.faces)[0] - rest[0], axis=1)
    own = np.linalg.norm(opened - head.v_template, axis=1)[head.faces[splats.faces]]
    assert (step <= own.max(1) + 1e-3).all() and step.max() > 0.01


def test_grown_splats(grown: tuple[FlameModel, RiggedSplats]):
    """They lie in their triangles, flat, all over the head, coloured as the texture; the same at every growing."""
    head, splats = grown
    assert COUNT <= len(splats) < 1.3 * COUNT and len(np.unique(splats.faces)) == len(head.faces)
    _, frame, _ = triangle_frames(head.v_template, head.faces)
    means, quats, scales = splats.posed(head.v_template, head.faces)
    normal = frame[splats.faces, :, 1]
    corner = head.v_template[head.faces[splats.faces, 0]]
    assert np.abs(np.einsum("ij,ij->i", means - corner, normal)).max() < 1e-5
    assert np.abs(np.einsum("ij,ij->i", matrices(quats)[:, :, 1], normal)).min() > 0.999
    assert (scales[:, 1] < 0.2 * scales[:, 0]).all()
    skin = splats.colors[(means[:, 1] > -0.09) & (means[:, 1] < 0.0) & (means[:, 2] > 0.08)]
    assert (skin[:, 0].mean() > skin[:, 1].mean() > skin[:, 2].mean()), "skin is red more than green more than blue"
    again = grow_from_file(DEFAULT_HEAD, COUNT)[1]
    np.testing.assert_array_equal(again.colors, splats.colors)
    np.testing.assert_array_equal(again.means, splats.means)


def test_ply_there_and_back(grown: tuple[FlameModel, RiggedSplats], tmp_path: Path):
    head, splats = grown
    path = tmp_path / "head.ply"
    write_rigged_ply(path, splats, "made by a test")
    back = read_rigged_ply(path, len(head.faces))
    np.testing.assert_array_equal(back.faces, splats.faces)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        np.testing.assert_allclose(getattr(back, name), getattr(splats, name), rtol=1e-4, atol=1e-5, err_msg=name)
    header = path.read_bytes().split(b"end_header")[0].decode()
    for name in ("x", "nx", "f_dc_0", "opacity", "scale_2", "rot_3", "binding_0"):
        assert f"property float {name}\n" in header


def small_ply(**changes: object) -> bytes:
    """A file of two splats, with properties put in another's place, left out (None) or given other values."""
    values = {**dict.fromkeys(("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
                               "rot_1", "rot_2", "rot_3", "binding_0"), 0.5), "rot_0": 1.0, "binding_0": 3.0}
    values |= {name: value for name, value in changes.items() if name in values}
    values = {name: value for name, value in values.items() if value is not None}
    head = str(changes.get("head", "ply\nformat binary_little_endian 1.0\nelement vertex 2\n"))
    names = "".join(f"property float {name}\n" for name in values)
    table = np.array([list(values.values())] * 2, "<f4").tobytes()
    return (head + names + str(changes.get("more", "")) + "end_header\n").encode() + table


def test_hostile_plys(tmp_path: Path):
    path = tmp_path / "a.ply"

    def sentence(data: bytes) -> str:
        path.write_bytes(data)
        with pytest.raises(EngineError) as caught:
            read_rigged_ply(path, 10)
        return str(caught.value)

    path.write_bytes(small_ply())
    assert len(read_rigged_ply(path, 10)) == 2
    path.write_bytes(small_ply(more="element face 0\nproperty list uchar int vertex_indices\n"))
    assert len(read_rigged_ply(path, 10)) == 2
    assert "no .ply" in sentence(b"") and "no .ply" in sentence(b"ply\nbroken")
    assert "breaks off" in sentence(small_ply()[:-1])
    header = "ply\nformat binary_little_endian 1.0\nelement vertex {}\n"
    assert "99999999999" in sentence(small_ply(head=header.format(99999999999)))
    assert "breaks off" in sentence(small_ply(head=header.format(3_900_000))), "nothing of that size is made"
    assert "0 splats" in sentence(small_ply(head=header.format(0)))
    assert "another kind" in sentence(small_ply(head="ply\nformat ascii 1.0\nelement vertex 2\n"))
    assert "begin with splats" in sentence(small_ply(head="ply\nelement face 2\n"))
    assert "no colours" in sentence(small_ply(f_dc_1=None))
    assert "ride on no head" in sentence(small_ply(binding_0=None))
    assert "lacks the property “scale_1”" in sentence(small_ply(scale_1=None))
    assert "no splat has" in sentence(small_ply(more="property list uchar int indices\n"))
    assert "no splat has" in sentence(small_ply(more="property float x\n"))
    for values in ({"x": np.nan}, {"scale_0": 1000.0}, {"f_dc_2": np.inf}, {"opacity": np.nan}, {"rot_0": np.nan}):
        assert "no numbers" in sentence(small_ply(**values))
    assert "no numbers" in sentence(small_ply(rot_0=0, rot_1=0, rot_2=0, rot_3=0)), "a turn of length nothing"
    for face in (-1, 10, 2.5, np.nan):
        assert "that the head, with 10, doesn't have" in sentence(small_ply(binding_0=face))
    with pytest.raises(EngineError, match="There is no avatar file"):
        read_rigged_ply(tmp_path / "none.ply", 10)


def test_png_there_and_back():
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (37, 23, 4), dtype=np.uint8)
    data = png_bytes(pixels, {"Comment": "künstlich", "Source": "synthetic"})
    back, texts = read_png(data)
    np.testing.assert_array_equal(back, pixels)
    assert texts == {"Comment": "künstlich", "Source": "synthetic"}
    for broken in (b"", data[:20], data[:-40], data.replace(b"IDAT", b"IDXT"), b"GIF89a"):
        with pytest.raises(EngineError, match="no 8-bit colour PNG"):
            read_png(broken)


def test_png_as_others_read_and_write_it():
    """All five filters of the specification, on the default head's texture."""
    image = pytest.importorskip("PIL.Image")
    path = DEFAULT_HEAD.with_suffix(".png")
    np.testing.assert_array_equal(read_png(path.read_bytes())[0], np.asarray(image.open(path).convert("RGB")))


def test_ranges():
    assert parse_range(None, 9) == (0, 9)
    assert (parse_range("2:5", 9), parse_range(":5", 9), parse_range("7:", 9)) == ((2, 5), (0, 5), (7, 9))
    for text in ("5", "a:b", "-1:3", "1:2:3", "²:³"):
        with pytest.raises(EngineError, match="no range of frames"):
            parse_range(text, 9)
    for text in ("5:5", "6:2", "0:10", "9:"):
        with pytest.raises(EngineError, match="it has 9"):
            parse_range(text, 9)


def test_frames_on_disk(avatar: RiggedAvatar, tmp_path: Path):
    """The face is where it should be, speaks, has nothing behind it, and its files say that it is synthetic."""
    motion = MotionFile(speaking(40), 25.0, "default 123", "0.1")
    loaded = LoadedAvatar("default", "abc", avatar, known_flame())
    before = motion.motion.copy()
    done: list[tuple[int, int]] = []
    written = render_frames(motion, loaded, tmp_path / "frames", 96, 3, 6, progress=lambda *at: done.append(at))
    assert [path.name for path in written] == ["00003.png", "00004.png", "00005.png"]
    assert done == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_array_equal(motion.motion, before)
    pixels, texts = read_png(written[0].read_bytes())
    assert pixels.shape == (96, 96, 4)
    assert pixels[48, 48, 3] > 250 and not pixels[:4, :4].any() and 0.15 < (pixels[:, :, 3] > 128).mean() < 0.6
    red, green, blue = pixels[55:60, 44:52, :3].reshape(-1, 3).mean(0)
    assert red > green > blue > 30, "a cheek"
    assert texts["Source"] == "synthetic" and "no recording" in texts["Description"]
    details = json.loads(texts["Comment"])
    assert details["synthetic"] is True and details["frame"] == 3 and details["motion_model"] == "default 123"
    alone = render_frames(motion, loaded, tmp_path / "frames", 96, 5, 6)
    np.testing.assert_array_equal(read_png(alone[0].read_bytes())[0], read_png(written[2].read_bytes())[0])
    mouth = [next(avatar.pictures(Played(still), Shot(96, 96), [0]))
             for still in (np.zeros((1, 106), np.float32), open_mouth())]
    where = np.abs(mouth[0] - mouth[1]).max(0) > 0.1
    assert where[55:80, 35:60].any() and not where[:40].any(), "only the lower face has moved"


def speaking(frames: int) -> np.ndarray:
    """A jaw that opens and closes twice a second under a head that turns."""
    motion = np.zeros((frames, 106), np.float32)
    motion[:, 103] = 0.1 - 0.1 * np.cos(np.arange(frames) * 0.5)
    motion[:, 101] = 0.1 * np.sin(np.arange(frames) * 0.1)
    return motion


def open_mouth() -> np.ndarray:
    motion = np.zeros((1, 106), np.float32)
    motion[0, 103] = 0.25
    return motion


def test_wrong_avatars_and_folders(avatar: RiggedAvatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(EngineError, match="There is no avatar"):
        load_avatar(str(tmp_path))
    with pytest.raises(EngineError, match="There is no avatar file"):
        load_avatar(str(tmp_path / "none.ply"))
    with pytest.raises(EngineError, match="no head file"):
        load_avatar("default", tmp_path / "none.npz")
    motion, loaded = MotionFile(np.zeros((5, 106), np.float32)), LoadedAvatar("default", "", avatar, known_flame())
    (tmp_path / "file").write_text("mine")
    for folder, words in ((tmp_path / "file", "is a file"), (tmp_path / "a" / "b", "There is no folder")):
        with pytest.raises(EngineError, match=words):
            render_frames(motion, loaded, folder, 64, 0, 1)
    for size in (8, 100_000):
        with pytest.raises(EngineError, match=f"Frames of {size} pixels"):
            render_frames(motion, loaded, tmp_path, size, 0, 1)

    class Full:
        """A disk that takes two files."""

        left = 2

        def __call__(self, *arguments: object) -> bytes:
            if not self.left:
                raise OSError(28, "No space left on device")
            self.left -= 1
            return png_bytes(*arguments)

    monkeypatch.setattr("engine.gaussian.render.file_bytes", Full())
    with pytest.raises(EngineError, match=r"00002.png” could not be written: No space left on device. The 2 frames"):
        render_frames(motion, loaded, tmp_path / "full", 32, 0, 5)
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["00000.png", "00001.png"]
