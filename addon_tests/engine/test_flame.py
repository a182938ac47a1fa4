# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME files and skinning: golden vertices, lips, and files that are wrong in every way."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from seeded_weights import synthetic_flame

from engine.assets import DEFAULT_HEAD
from engine.errors import EngineError
from engine.flame.file import read_flame
from engine.flame.lips import lip_curves
from engine.flame.skinning import motion_vertices, rotation_matrices, skin

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "flame.npz"


@pytest.fixture(scope="module")
def groups() -> dict[str, dict[str, np.ndarray]]:
    return synthetic_flame(3)


@pytest.fixture(scope="module")
def flat(groups: dict) -> dict[str, np.ndarray]:
    return {**groups["flame_model"], **groups["lmk_embeddings"]}


@pytest.fixture(scope="module")
def npz(flat: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flame") / "flame.npz"
    np.savez(path, **flat)
    return path


def test_vertices_equal_the_published_implementation(npz: Path) -> None:
    model = read_flame(npz)
    golden = np.load(GOLDEN)
    for row in range(8):
        pose, eyes = golden["pose"][row : row + 1], golden["eye_pose"][row : row + 1]
        vertices = skin(model, golden["expression"][row : row + 1], root=pose[:, :3], jaw=pose[:, 3:], eyes=eyes,
                        shape=golden["shape"][row])
        assert np.abs(vertices[0] - golden["vertices"][row]).max() < 1e-6


def test_published_pt_file_gives_the_same_head(groups: dict, npz: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "FLAME_with_eye.pt"
    torch.save({group: {name: torch.from_numpy(value) for name, value in arrays.items()}
                for group, arrays in groups.items()}, path)
    ours, theirs = read_flame(npz), read_flame(path)
    for name in ("v_template", "faces", "shapedirs", "expressiondirs", "posedirs", "J_regressor", "lbs_weights"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert theirs.landmarks is not None and len(theirs.sha256) == 64


def test_rotation_of_nothing_is_the_identity() -> None:
    assert np.array_equal(rotation_matrices(np.zeros((2, 3))), np.stack([np.eye(3)] * 2))
    quarter = rotation_matrices(np.array([0, 0, np.pi / 2]))
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-7)


def test_chosen_vertices_are_those_of_the_whole_head(npz: Path) -> None:
    model = read_flame(npz)
    motion = np.random.default_rng(1).normal(0, 0.2, (70, 106)).astype(np.float32)
    chosen = np.array([5, 77, 4000])
    assert np.allclose(motion_vertices(model, motion)[:, chosen], motion_vertices(model, motion, vertices=chosen),
                       atol=1e-7)


def test_default_head_opens_and_closes() -> None:
    model = read_flame(DEFAULT_HEAD)
    motion = np.zeros((3, 106), np.float32)
    motion[1, 103] = 0.2
    motion[2, 103] = 0.1
    motion[2, model.expression_names.index("mouthClose")] = 0.1 / 0.26
    motion[2, 100:103] = 0.3  # a turned head measures the same
    curves = lip_curves(model, motion)
    assert curves.aperture[0] < 2e-4 and curves.aperture[2] < 4e-4
    assert curves.aperture[1] > 0.008
    assert 0.03 < curves.width[0] < 0.08
    assert np.array_equal(curves.jaw, motion[:, 103])


def write_zip(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), data)
    return path


class Hostile:
    def __reduce__(self) -> tuple:
        return (print, ("executed",))


@pytest.mark.parametrize("name", ["missing.npz", "empty.npz", "text.npz", "cut.npz", "short.npz", "nan.npz",
                                  "faces.npz", "photo.jpg", "text.pt", "hostile.pt", "object.npz"])
def test_wrong_files_get_a_sentence(name: str, flat: dict, npz: Path, tmp_path: Path,
                                    capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    broken = dict(flat)
    match name:
        case "empty.npz":
            path.write_bytes(b"")
        case "text.npz" | "photo.jpg" | "text.pt":
            path.write_text("hello" * 100)
        case "cut.npz":
            path.write_bytes(npz.read_bytes()[:100_000])
        case "short.npz":
            broken["shapedirs"] = broken["shapedirs"][:, :, :100]
            np.savez(path, **broken)
        case "nan.npz":
            broken["v_template"] = np.full_like(broken["v_template"], np.nan)
            np.savez(path, **broken)
        case "faces.npz":
            broken["f"] = broken["f"] + 5000
            np.savez(path, **broken)
        case "hostile.pt":
            write_zip(path, x__data_pkl=pickle.dumps({"flame_model": Hostile()}))
        case "object.npz":
            np.savez(path, **{**broken, "f": np.array([Hostile()], object)})
    with pytest.raises(EngineError) as caught:
        read_flame(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert "executed" not in capfd.readouterr().out
