# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions from other tools: the same motion under every name and shape, rates, the mirrored head, and wrong files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from engine import rotations
from engine.errors import EngineError
from engine.files import read_motion, write_motion
from engine.motion_files import ReadMotion, read_motion_file

FRAMES = 40


@pytest.fixture
def motion() -> np.ndarray:
    """(40,106) smooth, nothing zero."""
    random = np.random.default_rng(4)
    time = np.arange(FRAMES)[:, None] / 25
    return (0.4 * np.sin(time * random.uniform(1, 6, 106) + random.uniform(0, 6, 106))).astype(np.float32)


def table(motion: np.ndarray, **names: str) -> dict[str, np.ndarray]:
    return {names["expression"]: motion[:, :100], names["head"]: motion[:, 100:103], names["jaw"]: motion[:, 103:106]}


def read(path: Path, mirrored: bool | None = None, **arrays: object) -> ReadMotion:
    np.savez(path, **arrays)
    return read_motion_file(path, mirrored)


def test_rotations_agree_with_scipy() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(500, 3)) * random.uniform(0, 3, (500, 1))
    vectors[:4] = [[0, 0, 0], [np.pi, 0, 0], [0, 1e-9, 0], [0, 0, -np.pi + 1e-7]]
    ours, theirs = rotations.to_quaternions(vectors), Rotation.from_rotvec(vectors)
    assert np.abs((Rotation.from_quat(ours[:, [1, 2, 3, 0]]).inv() * theirs).magnitude()).max() < 1e-7
    again = rotations.from_matrices(theirs.as_matrix())
    assert np.abs(np.abs((again * ours).sum(1)) - 1).max() < 1e-12
    back = Rotation.from_rotvec(rotations.to_axis_angle(ours))
    assert np.abs((back.inv() * theirs).magnitude()).max() < 1e-7
    chained = Rotation.from_rotvec(rotations.chained(vectors[:250], vectors[250:]))
    assert np.abs((chained.inv() * theirs[:250] * theirs[250:]).magnitude()).max() < 1e-7
    places = np.linspace(0, 499, 1000)
    slerp = Slerp(np.arange(500), theirs)(places)
    found = Rotation.from_rotvec(rotations.slerp(vectors, places))
    assert np.abs((found.inv() * slerp).magnitude()).max() < 1e-6


def test_a_turn_that_goes_on_is_written_as_one() -> None:
    vectors = np.zeros((200, 3))
    vectors[:, 1] = np.linspace(-1.0, 9.0, 200)
    short = rotations.to_axis_angle(rotations.to_quaternions(vectors))
    assert np.abs(np.diff(short, axis=0)).max() > 3
    assert np.abs(rotations.continuous(short) - vectors).max() < 1e-9


def test_our_own_file(motion: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    write_motion(path, motion, "default abc")
    found = read_motion_file(path)
    assert np.array_equal(found.motion, motion) and found.motion.dtype == np.float32
    assert found.neck is None and found.eyes is None and found.shape is None and not found.notes
    assert (found.source_fps, found.mirrored, found.path, len(found.sha256)) == (25.0, False, path, 64)


@pytest.mark.parametrize("names", [
    {"expression": "expression", "head": "global_orient", "jaw": "jaw_pose"},
    {"expression": "expr", "head": "rotation", "jaw": "jaw_pose"},
    {"expression": "exp", "head": "globalpose", "jaw": "jawpose"},
    {"expression": "expressions", "head": "root_orient", "jaw": "pose_jaw"},
    {"expression": "Flame_Expression", "head": "Head_Pose", "jaw": "JAW"},
])
def test_the_names_that_tools_use(motion: np.ndarray, tmp_path: Path, names: dict) -> None:
    found = read(tmp_path / "m.npz", **table(motion, **names), fps=25)
    assert np.array_equal(found.motion, motion) and not found.notes


NECK = np.linspace(0, 0.3, FRAMES)[:, None] * [0.2, 1, 0.1]
EYES = np.linspace(-0.1, 0.2, FRAMES)[:, None] * [1, 0.5, 0, 0.9, 0.4, 0]


def poses(motion: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    head, jaw = motion[:, 100:103], motion[:, 103:106]
    five = np.concatenate([head, NECK, jaw, EYES], 1)
    body = np.full((FRAMES, 55, 3), 0.1)
    body[:, 22], body[:, 23:25] = jaw, EYES.reshape(-1, 2, 3)

    def matrices(vectors: np.ndarray) -> np.ndarray:
        return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(FRAMES, -1, 3, 3)

    return {
        "DECA": {"pose": np.concatenate([head, jaw], 1)},
        "five joints": {"full_pose": five},
        "five joints apart": {"pose": five.reshape(-1, 5, 3)},
        "five matrices": {"pose": matrices(five)},
        "head and jaw matrices": {"global_orient": matrices(head)[:, 0], "jaw_pose": matrices(jaw).reshape(-1, 9)},
        "pose and jaw": {"pose": head, "jaw": jaw},
        "SMPL-X": {"poses": body.reshape(-1, 165)},
        "eyes apart": {"rotation": head, "neck_pose": NECK, "jaw_pose": jaw[:, None], "leye_pose": EYES[:, :3],
                       "reye_pose": EYES[:, 3:]},
        "eyes together": {"rotation": head[None], "neck_pose": NECK, "jaw_pose": jaw, "eyes_pose": EYES},
    }


@pytest.mark.parametrize("kind", list(poses(np.zeros((FRAMES, 106)))))
def test_poses_of_every_shape(motion: np.ndarray, tmp_path: Path, kind: str) -> None:
    found = read(tmp_path / "m.npz", exp=motion[:, :100], fps=25.0, **poses(motion)[kind])
    whole_body = kind == "SMPL-X"
    wanted = motion.copy()
    if whole_body:
        wanted[:, 100:103] = 0
        assert any("body" in note for note in found.notes)
    assert np.abs(found.motion - wanted).max() < 1e-6
    if "five" in kind or "eyes" in kind or whole_body:
        assert np.abs(found.eyes - EYES).max() < 1e-6
    if "five" in kind or "eyes" in kind:
        assert np.abs(found.neck - NECK).max() < 1e-6
        joined = Rotation.from_rotvec(motion[:, 100:103]) * Rotation.from_rotvec(NECK)
        head = Rotation.from_rotvec(found.with_neck_in_head()[:, 100:103])
        assert np.abs((head.inv() * joined).magnitude()).max() < 1e-6
        assert np.array_equal(found.motion[:, :100], found.with_neck_in_head()[:, :100])


def test_fewer_components_and_a_shape(motion: np.ndarray, tmp_path: Path) -> None:
    found = read(tmp_path / "m.npz", expression=motion[:, :50], jaw_pose=motion[:, 103:], betas=np.arange(10.0),
                 translation=np.ones((FRAMES, 3)))
    assert np.array_equal(found.motion[:, :50], motion[:, :50]) and not found.motion[:, 50:103].any()
    assert found.shape.shape == (300,) and found.shape[:10].tolist() == list(range(10)) and not found.shape[10:].any()
    assert [note for note in found.notes if "frame rate" in note] and "Left out: translation." in found.notes


def test_shape_by_frame_is_one_persons(motion: np.ndarray, tmp_path: Path) -> None:
    still = np.repeat(np.arange(4.0)[None], FRAMES, 0)
    found = read(tmp_path / "m.npz", exp=motion[:, :50], jaw=motion[:, 103:], shape=still, fps=25)
    assert found.shape[:4].tolist() == [0, 1, 2, 3] and not found.notes
    found = read(tmp_path / "m.npz", exp=motion[:, :50], jaw=motion[:, 103:], fps=25,
                 shape=still + np.linspace(-1, 1, FRAMES)[:, None])
    assert found.shape[:4] == pytest.approx([0, 1, 2, 3]) and "mean" in found.notes[0]


@pytest.mark.parametrize("fps", [24.0, 30.0, 29.97, 60.0, 100.0])
def test_other_rates_are_resampled_to_25(tmp_path: Path, fps: float) -> None:
    """A motion known at every moment, sampled at `fps`: what comes back is that motion at 25."""
    def at(seconds: np.ndarray) -> np.ndarray:
        turn = Rotation.from_rotvec(seconds[:, None] * [0, 1.5, 0]) * Rotation.from_rotvec([0.4, 0, 0.1])
        wave = np.sin(seconds[:, None] * np.linspace(1, 3, 100))
        jaw = 0.2 * seconds[:, None] * [1.0, 0, 0]
        return np.concatenate([wave, turn.as_rotvec(), jaw], 1)

    count = round(3 * fps) + 1
    found = read(tmp_path / "m.npz", motion=at(np.arange(count) / fps), fps=fps)
    wanted = at(np.arange(len(found.motion)) / 25)
    assert len(found.motion) == int(np.floor((count - 1) / fps * 25 + 1e-6)) + 1 and found.source_fps == fps
    assert np.abs(found.motion[:, :100] - wanted[:, :100]).max() < 1.2 * 9 / 8 / fps**2  # of a straight line in a sine
    head = Rotation.from_rotvec(found.motion[:, 100:103].astype(float))
    assert np.abs((head.inv() * Rotation.from_rotvec(wanted[:, 100:103])).magnitude()).max() < 1e-5
    assert np.abs(found.motion[:, 103:] - wanted[:, 103:]).max() < 1e-5
    assert np.abs(np.diff(found.motion[:, 100:103], axis=0)).max() < 0.5, "no jumps where the angle passes pi"
    assert any("resampled" in note for note in found.notes)


def flipped(motion: np.ndarray) -> np.ndarray:
    return motion * np.where(np.isin(np.arange(106), (100, 102)), -1, 1).astype(np.float32)


@pytest.mark.parametrize(("name", "is_mirrored"), [
    ("hello_natural_0_12_jpg_motions.pt", True), ("a_b_happy_1_My_Face_PNG_motions.pt", True),
    ("hello_natural_0_mesh_motions.pt", False), ("renamed.pt", None),
])
@pytest.mark.parametrize("renamed", [False, True])
def test_the_mirrored_head_is_known_by_the_apps_name(motion: np.ndarray, tmp_path: Path, name: str,
                                                     is_mirrored: bool | None, renamed: bool) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / name
    torch.save(torch.from_numpy(motion), path)
    if renamed:
        path = path.rename(tmp_path / "line 7.pt")
    found = read_motion_file(path)
    assert np.array_equal(found.motion, flipped(motion) if is_mirrored else motion)
    assert found.mirrored == bool(is_mirrored)
    assert bool(found.notes) == (is_mirrored is None) and all("mirrored" in note for note in found.notes)


@pytest.mark.parametrize("name", ["a_12_jpg_motions.npz", "a_mesh_motions.npz"])
def test_the_switch_decides_and_only_the_apps_own_files_go_by_name(motion: np.ndarray, tmp_path: Path,
                                                                   name: str) -> None:
    assert np.array_equal(read(tmp_path / name, motion=motion).motion, motion)
    assert np.array_equal(read(tmp_path / name, True, motion=motion).motion, flipped(motion))
    assert np.array_equal(read(tmp_path / name, False, motion=motion).motion, motion)


@pytest.mark.parametrize("wrap", ["tensor", "batch", "half", "dict", "named", "table"])
def test_torch_files(motion: np.ndarray, tmp_path: Path, wrap: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(motion)
    torch.save({
        "tensor": tensor, "batch": tensor[None], "half": tensor.half(), "dict": {"anything": tensor, "fps": 25},
        "named": {"pred_motions": tensor, "style": torch.zeros(50, 106)},
        "table": {"expression": tensor[:, :100], "global_orient": tensor[:, 100:103], "jaw_pose": tensor[:, 103:]},
    }[wrap], tmp_path / "m.pt")
    found = read_motion_file(tmp_path / "m.pt", mirrored=False)
    assert np.abs(found.motion - motion).max() <= (2e-4 if wrap == "half" else 0)


def test_npy_and_pickle(motion: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", motion)
    assert np.array_equal(read_motion_file(tmp_path / "m.npy").motion, motion)
    content = {"expression": motion[:, :100], "jaw_pose": motion[:, 103:], "fps": 25, "camera": [1, None]}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(content))
    assert np.array_equal(read_motion_file(tmp_path / "m.pkl").motion[:, :100], motion[:, :100])


def wrong_tables() -> dict[str, tuple[dict[str, object], str]]:
    exp, three, six = np.zeros((8, 100)), np.zeros((8, 3)), np.zeros((8, 6))
    sixd = np.tile([1.0, 0, 0, 0, 1, 0], (8, 1))
    return {
        "nothing": ({}, "holds no FLAME motion"),
        "words": ({"expression": np.array(["a"])}, "holds no FLAME motion"),
        "another thing": ({"vertices": np.zeros((8, 5023, 3))}, "found: vertices"),
        "105": ({"motion": np.zeros((8, 105))}, r"instead of \(frames, 106\)"),
        "nan": ({"motion": np.full((8, 106), np.nan)}, "not numbers"),
        "infinite": ({"motion": np.full((8, 106), 1e300)}, "not numbers"),
        "nan in a table": ({"expression": np.full((8, 100), np.nan), "jaw_pose": three}, "not numbers"),
        "jaw 6D": ({"expression": exp, "jaw_pose": sixd}, "six numbers"),
        "jaw 6D zero": ({"expression": exp, "jaw_pose": six}, "six numbers"),
        "pose 6D": ({"expression": exp, "pose": sixd}, "six numbers"),
        "eyes 6D": ({"expression": exp, "eyes_pose": np.tile(sixd, 2)}, "six numbers"),
        "quaternions": ({"expression": exp, "rotation": np.tile([1.0, 0, 0, 0], (8, 1))}, "quaternions"),
        "no matrices": ({"expression": exp, "rotation": np.zeros((8, 3, 3))}, "rotation matrices"),
        "mirroring matrices": ({"expression": exp, "rotation": np.tile(-np.eye(3), (8, 1, 1))}, "rotation matrices"),
        "degrees": ({"expression": exp, "jaw_pose": three + [25.0, 0, 0]}, "degrees"),
        "three of a pose": ({"expression": exp, "pose": three}, "FLAME's five joints"),
        "four joints": ({"expression": exp, "pose": np.zeros((8, 12))}, "FLAME's five joints"),
        "seven numbers": ({"expression": exp, "pose": np.zeros((8, 7))}, "FLAME's five joints"),
        "lengths": ({"expression": exp, "jaw_pose": three[:5]}, "has 5 frames, where others have 8"),
        "components": ({"expression": np.ones((8, 101))}, "101 components"),
        "axes": ({"expression": np.zeros((8, 4, 100))}, r"not \(frames, components\)"),
        "rate": ({"motion": np.zeros((8, 106)), "fps": 0.01}, "1 to 1000"),
        "negative rate": ({"motion": np.zeros((8, 106)), "fps": -25}, "1 to 1000"),
        "infinite rate": ({"motion": np.zeros((8, 106)), "fps": np.inf}, "1 to 1000"),
        "objects": ({"motion": np.array([None, {}], object)}, "holds no FLAME motion"),
    }


@pytest.mark.parametrize("kind", list(wrong_tables()))
def test_what_leaves_its_meaning_open_is_refused(tmp_path: Path, kind: str) -> None:
    arrays, sentence = wrong_tables()[kind]
    with pytest.raises(EngineError, match=sentence) as caught:
        read(tmp_path / "m.npz", **arrays)
    text = str(caught.value)
    assert text.startswith("“m.npz”") and text.endswith(".") and "\n" not in text


class Run:
    def __reduce__(self) -> tuple:
        return os.system, ("echo executed",)


@pytest.mark.parametrize("name", ["missing.npz", "empty.npz", "text.npz", "text.npy", "text.pt", "text.pkl", "m.mp4",
                                  "run.pkl", "run.npy", "cut.npz", "folder.npz", "huge.npy"])
def test_wrong_files_get_a_sentence(motion: np.ndarray, tmp_path: Path, name: str,
                                    capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    match name.split(".")[0]:
        case "empty":
            path.write_bytes(b"")
        case "text" | "m":
            path.write_text("hello" * 100)
        case "run" if path.suffix == ".pkl":
            path.write_bytes(pickle.dumps({"motion": Run()}))
        case "run":
            np.save(path, np.array([Run()], object))
        case "cut":
            np.savez(path, motion=motion)
            path.write_bytes(path.read_bytes()[:-300])
        case "folder":
            path.mkdir()
        case "huge":
            np.save(path, motion)
            path.write_bytes(path.read_bytes().replace(b"(40, 106)", b"(4000000000000, 106)"))
    with pytest.raises(EngineError) as caught:
        read_motion_file(path)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert "executed" not in capfd.readouterr().out


def says_it_or_reads_it(path: Path) -> bool:
    """Whether the file was read; anything but a motion or a sentence fails the test."""
    try:
        found = read_motion_file(path)
    except EngineError as error:
        text = str(error)
    else:
        return found.motion.shape == (len(found.motion), 106) and bool(np.isfinite(found.motion).all())
    assert path.name in text and "\n" not in text
    return False


def test_damaged_files_never_do_more_than_complain(motion: np.ndarray, tmp_path: Path) -> None:
    random, read_whole = np.random.default_rng(7), 0
    np.savez(tmp_path / "m.npz", motion=motion[:3], fps=25)
    np.save(tmp_path / "m.npy", motion[:3])
    for name in ("m.npz", "m.npy"):
        data, path = (tmp_path / name).read_bytes(), tmp_path / f"broken {name}"
        for attempt in range(300):
            broken = bytearray(data)
            if attempt % 3 == 0:
                del broken[random.integers(len(data)):]
            elif attempt % 3 == 1:
                del broken[(at := random.integers(200)) : at + random.integers(1, 20)]
            else:
                for at in random.integers(200, size=3):
                    broken[at] = random.integers(256)
            path.write_bytes(broken)
            read_whole += says_it_or_reads_it(path)
    assert read_whole < 300


def test_tables_of_any_shape_never_do_more_than_complain(tmp_path: Path) -> None:
    random, read_whole = np.random.default_rng(8), 0
    names = ["expression", "exp", "pose", "poses", "jaw_pose", "global_orient", "neck_pose", "eyes_pose", "leye_pose",
             "shape", "fps", "translation", "motion"]
    sizes = [0, 1, 2, 3, 4, 5, 6, 9, 15, 50, 100, 106, 165]
    for _ in range(400):
        table = {}
        for name in random.choice(names, random.integers(1, 6), replace=False):
            shape = tuple(int(size) for size in random.choice(sizes, random.integers(0, 4)))
            values = random.normal(size=shape) * random.choice([0.1, 1, 100])
            table[name] = values.astype(random.choice(["f4", "f8", "i4", "?", "c8", "U3"]))
        np.savez(tmp_path / "t.npz", **table)
        read_whole += says_it_or_reads_it(tmp_path / "t.npz")
    assert 0 < read_whole < 300


def test_the_engines_own_reader_takes_what_is_written_with_neck_and_eyes(motion: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    write_motion(path, motion, "scene", neck=NECK, eyes=EYES)
    assert np.array_equal(read_motion(path).motion, motion)
    found = read_motion_file(path)
    assert np.array_equal(found.neck, NECK.astype(np.float32)) and np.array_equal(found.eyes, EYES.astype(np.float32))
    assert np.array_equal(found.motion, motion)
