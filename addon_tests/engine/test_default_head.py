# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped default head: sizes, symmetry, closed lips and lids, weights; its program still makes it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.flame.file import read_flame
from engine.flame.lips import lip_curves
from engine.flame.skinning import skin
from engine.training.head.assemble import make_head
from engine.training.head.sdf import EYE, EYE_RADIUS

PATH = Path(__file__).parents[2] / "assets" / "default_head.npz"
OPEN = 0.26  # radians of the jaw bone at jawOpen 1
CLOSED = [
    "mouthPucker",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLeft",
    "mouthRight",
    "jawForward",
    "jawLeft",
    "jawRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
]


@pytest.fixture(scope="module")
def arrays():
    with np.load(PATH, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def head():
    return read_flame(PATH)


@pytest.fixture(scope="module")
def made():
    """The neutral head as the program makes it now, with its index tables."""
    return make_head()


@pytest.fixture(scope="module")
def seal(made):
    """Pairs (16,2) of vertices of the left half that lie on each other, from the middle to the corner."""
    ring = made.tables["mouth"][0]
    return np.stack([ring[:16], ring[:16:-1]], 1)


def posed(head, values=None, jaw=0.0, shape=None):
    """Vertices (V,3) in millimetres."""
    expression = np.zeros((1, 100), np.float32)
    for name, value in (values or {}).items():
        expression[0, head.expression_names.index(name)] = value
    pose = np.zeros((1, 3), np.float32)
    pose[0, 0] = jaw
    return np.asarray(skin(head, expression, jaw=pose, shape=shape)[0], float) * 1000


def both(name, value=1.0):
    return {f"{name}Left": value, f"{name}Right": value}


def test_sizes_and_types(arrays):
    wanted = {
        "v_template": (5023, 3),
        "shapedirs": (5023, 3, 400),
        "posedirs": (5023, 3, 36),
        "weights": (5023, 5),
        "J_regressor": (5, 5023),
        "kintree_table": (2, 5),
        "full_lmk_faces_idx_with_eye": (1, 70),
        "full_lmk_bary_coords_with_eye": (1, 70, 3),
        "expression_names": (100,),
    }
    assert {name: arrays[name].shape for name in wanted} == wanted
    assert arrays["f"].shape == (2 * len(arrays["f_quads"]), 3)
    assert arrays["face_material"].shape == (len(arrays["f_quads"]),)
    assert arrays["kintree_table"].tolist() == [[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]
    assert arrays["expression_names"][[0, 17, 18, 51, 52, 99]].tolist() == [
        "eyeBlinkLeft",
        "jawOpen",
        "mouthClose",
        "tongueOut",
        "corrective_00",
        "corrective_47",
    ]
    for name, value in arrays.items():
        if value.dtype.kind == "f":
            assert np.isfinite(value).all(), name
    assert PATH.stat().st_size < 6_000_000


def test_weights_and_joints(arrays):
    for name, axis in (("weights", 1), ("J_regressor", 1)):
        assert arrays[name].min() >= 0
        np.testing.assert_allclose(arrays[name].sum(axis), 1, atol=1e-6)
    joints = arrays["J_regressor"] @ arrays["v_template"]
    np.testing.assert_allclose(joints[:3, 0], 0, atol=1e-7)
    np.testing.assert_allclose(joints[3], joints[4] * [-1, 1, 1], atol=1e-7)
    np.testing.assert_allclose(joints[3] * 1000, [31.5, 0, 70], atol=0.01)


def test_the_program_still_makes_it(arrays, made):
    np.testing.assert_allclose(arrays["v_template"] * 1000, made.points, atol=2e-3)
    assert np.array_equal(arrays["f_quads"], made.quads)


def test_mirror_is_exact(arrays, made):
    v, mirror = arrays["v_template"], made.mirror
    assert np.array_equal(mirror[mirror], np.arange(len(v)))
    np.testing.assert_array_equal(v[mirror], v * np.float32([-1, 1, 1]))
    w = arrays["weights"]
    np.testing.assert_allclose(w[mirror], w[:, [0, 1, 2, 4, 3]], atol=1e-7)
    names = arrays["expression_names"].tolist()
    dirs = arrays["shapedirs"][:, :, 300:].astype(float)
    for k, name in enumerate(names):
        twin = name.replace("Left", "@").replace("Right", "Left").replace("@", "Right")
        other = dirs[:, :, names.index(twin)]
        assert np.abs(dirs[mirror][:, :, k] * [-1, 1, 1] - other).max() < 2e-5, name


def test_mesh_is_manifold(arrays):
    edges, directed = Counter(), Counter()
    for quad in arrays["f_quads"].tolist():
        assert len(set(quad)) == 4
        for a, b in zip(quad, quad[1:] + quad[:1]):
            edges[(min(a, b), max(a, b))] += 1
            directed[(a, b)] += 1
    assert max(edges.values()) == 2 and max(directed.values()) == 1
    assert len(np.unique(arrays["f_quads"])) == 5023
    v = arrays["v_template"].astype(float) * 1000
    length = np.array([np.linalg.norm(v[a] - v[b]) for a, b in edges])
    assert length.min() > 0.15


def test_faces_look_outwards(arrays):
    v = arrays["v_template"].astype(float) * 1000
    quads = arrays["f_quads"][arrays["face_material"] == 0]
    p = v[quads]
    normal = np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1])
    smooth_part = np.abs(p.mean(1)[:, 0]) < 50  # leaves the ears out
    away = (normal * (p.mean(1) - [0, -20, 0])).sum(1)[smooth_part]
    assert (away < 0).mean() < 0.03


def test_lips_touch_at_rest_and_in_closed_shapes(head, seal):
    for name in (None, *CLOSED):
        v = posed(head, {name: 1.0} if name else {})
        assert np.linalg.norm(v[seal[:, 0]] - v[seal[:, 1]], axis=1).max() < 0.2, name


def test_mouth_close_undoes_the_jaw(head, seal):
    for value in np.linspace(0, 0.5, 11):
        v = posed(head, {"mouthClose": float(value)}, jaw=value * OPEN)
        assert np.linalg.norm(v[seal[:, 0]] - v[seal[:, 1]], axis=1).max() < 0.2, value
    v = posed(head, {"mouthClose": 1.0}, jaw=OPEN)
    assert np.linalg.norm(v[seal[:, 0]] - v[seal[:, 1]], axis=1).max() < 1.0


def test_jaw_opens_and_matches_its_linear_twin(head):
    motion = np.zeros((6, 106), np.float32)
    motion[:, 103] = np.linspace(0, OPEN, 6)
    aperture = lip_curves(head, motion).aperture * 1000
    assert aperture[0] < 1e-3
    assert (np.diff(aperture) > 2).all()
    assert 15 < aperture[-1] < 28
    np.testing.assert_allclose(posed(head, {"jawOpen": 1.0}), posed(head, jaw=OPEN), atol=0.05)


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"mouthPucker": 1.0},
        {"mouthFunnel": 1.0},
        both("mouthSmile"),
        both("mouthStretch"),
        {"mouthPucker": 0.5, "mouthFunnel": 0.5},
    ],
)
def test_lips_never_cross(head, seal, extra):
    for degrees in range(0, 21, 4):
        v = posed(head, extra, jaw=np.radians(degrees))
        assert (v[seal[:, 0], 1] - v[seal[:, 1], 1]).min() > -0.2, degrees


def test_opening_shapes_open(head):
    motion = np.zeros((4, 106), np.float32)
    for row, names in enumerate(
        (
            ["mouthFunnel"],
            ["mouthLowerDownLeft", "mouthLowerDownRight"],
            ["mouthUpperUpLeft", "mouthUpperUpRight"],
            ["mouthPucker"],
        )
    ):
        for name in names:
            motion[row, head.expression_names.index(name)] = 1
    curves = lip_curves(head, motion)
    assert (curves.aperture[:3] > 0.003).all()
    assert curves.width[3] < 0.65 * lip_curves(head, np.zeros((1, 106), np.float32)).width[0]


def test_lids_meet_and_stay_in_front_of_the_eye(head, made):
    ring, inner = made.tables["eye"][0], made.tables["lid_inner"][0]
    upper, lower = np.arange(1, 16), np.arange(31, 16, -1)
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        v = posed(head, both("eyeBlink", value))
        gap = np.linalg.norm(v[ring[upper]] - v[ring[lower]], axis=1)
        assert (np.linalg.norm(v[ring] - EYE, axis=1) > EYE_RADIUS + 0.2).all()
        assert (np.linalg.norm(v[inner] - EYE, axis=1) > EYE_RADIUS - 0.35).all()
    assert gap.max() < 0.3


def test_identities_keep_lips_and_sockets(head, made, seal):
    rng = np.random.default_rng(3)
    for _ in range(8):
        shape = rng.standard_normal(300).astype(np.float32)
        v = posed(head, shape=shape)
        assert np.linalg.norm(v[seal[:, 0]] - v[seal[:, 1]], axis=1).max() < 0.2
        joints = np.asarray(head.J_regressor, float) @ v
        ball = v[made.tables["eyeball"]]
        radius = np.linalg.norm(ball - joints[3], axis=1)
        assert np.abs(radius / radius.mean() - 1).max() < 0.06
        lids = np.linalg.norm(v[made.tables["lid_inner"][0]] - joints[3], axis=1)
        assert lids.min() > radius[-1] * 1.02
