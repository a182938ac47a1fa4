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
from engine.flame.landmarks import contour_rows, jaw_contour, landmarks70, landmarks105
from engine.flame.lips import lip_curves
from engine.flame.model import FlameModel
from engine.flame.skinning import motion_vertices, rotation_matrices, skin

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "flame.npz"


@pytest.fixture(scope="module")
def groups() -> dict[str, dict[str, np.ndarray]]:
    return synthetic_flame(3)


@pytest.fixture(scope="module")
def flat(groups: dict) -> dict[str, np.ndarray]:
    return {name: value for group in groups.values() for name, value in group.items()}


@pytest.fixture(scope="module")
def npz(flat: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flame") / "flame.npz"
    np.savez(path, **flat)
    return path


@pytest.fixture(scope="module")
def model(npz: Path) -> FlameModel:
    return read_flame(npz)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def posed(model: FlameModel, golden: dict) -> np.ndarray:
    """Vertices (8,5023,3) of the golden poses, eyes turned."""
    return golden_vertices(model, golden, range(8), eyes=True)


def golden_vertices(model: FlameModel, golden: dict, rows: range, eyes: bool = False, root: bool = True,
                    shapes: int = 300, expressions: int = 100) -> np.ndarray:
    pose = golden["pose"]
    return np.concatenate([
        skin(model, golden["expression"][[row], :expressions], root=pose[[row], :3] if root else None,
             jaw=pose[[row], 3:], eyes=golden["eye_pose"][[row]] if eyes else None, shape=golden["shape"][row, :shapes])
        for row in rows
    ])


def test_vertices_equal_the_published_implementation(posed: np.ndarray, golden: dict) -> None:
    assert np.abs(posed - golden["vertices"]).max() < 1e-6


@pytest.mark.parametrize(("name", "rows", "scale", "options"), [
    ("noeye", range(8), 1.0, {}),
    ("scale5", range(2), 5.0, {"eyes": True}),
    ("pose3_rows3to5", range(3, 5), 1.0, {"root": False}),     # three values of pose are the jaw's
    ("100shape_50exp_rows3to5", range(3, 5), 1.0, {"shapes": 100, "expressions": 50}),
])
def test_variants_equal_the_published_implementation(model: FlameModel, golden: dict, name: str, rows: range,
                                                     scale: float, options: dict) -> None:
    vertices = np.float32(scale) * golden_vertices(model, golden, rows, **options)[:, :: int(golden["sub_step"])]
    assert np.abs(vertices - golden[f"vertices_{name}_sub"]).max() < 1e-6


def test_landmarks_equal_the_published_implementation(model: FlameModel, golden: dict, posed: np.ndarray) -> None:
    assert np.abs(landmarks70(model, posed) - golden["landmarks70"]).max() < 1e-6
    assert np.abs(landmarks105(model, posed) - golden["landmarks105"]).max() < 1e-6


def test_jaw_contour_follows_the_heads_yaw(model: FlameModel, posed: np.ndarray, flat: dict) -> None:
    degrees = np.array([0.0, 0.6, 7.4, -0.6, -7.4, 39.2, 80.0, -39.2, -80.0])
    yaw = np.radians(degrees)[:, None] * [0, 1, 0]
    rows = contour_rows(yaw)
    assert rows.tolist() == [0, 1, 7, 40, 46, 39, 39, 78, 78]
    assert np.array_equal(contour_rows(yaw * 0.25, yaw * 0.75), rows), "the neck turns the head as well"
    nod = np.radians(30.0) * np.array([[1, 0, 0], [0, 0, 1]])
    assert not contour_rows(nod).any(), "a head that nods or leans has not turned"
    points = jaw_contour(model, posed, yaw[:8])
    assert points.shape == (8, 17, 3)
    for frame, row, place in ((2, 7, 0), (4, 46, 16)):
        corners = posed[frame, flat["f"][flat["dynamic_lmk_faces_idx"][row, place]]]
        expected = flat["dynamic_lmk_bary_coords"][row, place] @ corners
        assert np.allclose(points[frame, place], expected, atol=1e-7)


def test_published_pt_file_gives_the_same_head(groups: dict, npz: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "FLAME_with_eye.pt"
    torch.save({group: {name: torch.from_numpy(value) for name, value in arrays.items()}
                for group, arrays in groups.items()}, path)
    ours, theirs = read_flame(npz), read_flame(path)
    for name in ("v_template", "faces", "shapedirs", "expressiondirs", "posedirs", "J_regressor", "lbs_weights"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    for name in ("landmarks", "mediapipe_landmarks", "jaw_contour"):
        table, other = getattr(ours, name), getattr(theirs, name)
        assert np.array_equal(table.faces, other.faces) and np.array_equal(table.barycentric, other.barycentric), name
    assert len(theirs.sha256) == 64


def test_rotation_of_nothing_is_the_identity() -> None:
    assert np.array_equal(rotation_matrices(np.zeros((2, 3))), np.stack([np.eye(3)] * 2))
    quarter = rotation_matrices(np.array([0, 0, np.pi / 2]))
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-7)


def test_chosen_vertices_are_those_of_the_whole_head(model: FlameModel) -> None:
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


TABLES = [
    ("full_lmk_faces_idx_with_eye", "full_lmk_bary_coords_with_eye"),
    ("lmk_face_idx", "lmk_b_coords"),
    ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"),
]


@pytest.fixture(scope="module")
def little(flat: dict) -> dict[str, np.ndarray]:
    """The head's first 300 vertices, quick to write."""
    faces = flat["f"][(flat["f"] < 300).all(1)]
    cut = {name: flat[name][:300] for name in ("v_template", "shapedirs", "posedirs", "weights")}
    tables = {name: flat[name] % len(faces) for name, _ in TABLES}
    return {**flat, **cut, **tables, "f": faces, "J_regressor": flat["J_regressor"][:, :300]}


@pytest.mark.parametrize(("faces", "weights"), TABLES)
@pytest.mark.parametrize("wrong", ["beyond", "negative", "huge", "short", "flat", "words", "weights", "nan", "inf",
                                   "half", "other half", "empty", "number", "objects"])
def test_wrong_landmark_tables_get_a_sentence(faces: str, weights: str, wrong: str, little: dict,
                                              tmp_path: Path) -> None:
    broken = dict(little)
    index, share = little[faces], little[weights]
    match wrong:
        case "beyond" | "negative" | "huge":
            bad = index.astype(np.float64)
            bad.flat[3] = {"beyond": len(little["f"]), "negative": -1, "huge": 1e300}[wrong]
            broken[faces] = bad if wrong == "huge" else bad.astype(np.int64)
        case "short":
            broken[faces], broken[weights] = index[..., :9], share[..., :9, :]
        case "flat":
            broken[weights] = share.ravel()
        case "words":
            broken[faces] = np.full(index.shape, "face")
        case "weights":
            broken[weights] = share[..., :2]
        case "nan" | "inf":
            broken[weights] = np.full(share.shape, np.nan if wrong == "nan" else 1e300)
        case "half":
            del broken[faces]
        case "other half":
            del broken[weights]
        case "empty":
            broken[faces] = index[:0]
        case "number":
            broken[faces] = np.int64(3)
        case "objects":
            broken[faces] = np.array([Hostile()], object)
    path = tmp_path / "head.npz"
    np.savez(path, **broken)
    with pytest.raises(EngineError) as caught:
        read_flame(path)
    assert str(caught.value).startswith("“head.npz” is") and "\n" not in str(caught.value)


def test_a_head_without_landmark_tables_loads(little: dict, tmp_path: Path) -> None:
    path = tmp_path / "head.npz"
    np.savez(path, **{name: value for name, value in little.items() if "lmk" not in name})
    bare = read_flame(path)
    vertices = bare.v_template[None]
    for ask in (lambda: landmarks70(bare, vertices), lambda: landmarks105(bare, vertices),
                lambda: jaw_contour(bare, vertices, np.zeros((1, 3))), lambda: lip_curves(bare, np.zeros((1, 106)))):
        with pytest.raises(EngineError, match="“head.npz” has no"):
            ask()


def test_names_that_are_no_lists_do_not_stop_a_head(little: dict, tmp_path: Path) -> None:
    path = tmp_path / "head.npz"
    np.savez(path, **little, material_names=np.array("skin"), face_material=np.full(len(little["f"]), "x"),
             expression_names=np.array("smile"))
    head = read_flame(path)
    assert head.face_material is None and len(head.expression_names) == 100
