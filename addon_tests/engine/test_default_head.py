# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped default head: sizes, symmetry, closed lips and lids, weights; its program still makes it."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.flame.file import read_flame
from engine.flame.lips import lip_curves
from engine.flame.skinning import skin
from engine.training.head.assemble import make_head
from engine.training.head.paint import CATCH, Pixels, locate, paint, paint_eye
from engine.training.head.raster import png, rasterise
from engine.training.head.sdf import EYE, EYE_RADIUS
from engine.training.head.surface import BROW
from engine.training.head.unwrap import unwrap

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
    assert PATH.with_suffix(".png").stat().st_size < 1_500_000


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
    assert length.min() > 0.15 and length.max() < 26


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


def test_the_inner_lid_edge_has_no_step(arrays, made):
    """Seen from the front it follows the margin at a share that changes little from point to point."""
    v, middle = arrays["v_template"].astype(float) * 1000, EYE[:2]
    margin, inner = made.tables["eye"][0], made.tables["lid_inner"][0]
    share = np.linalg.norm(v[inner, :2] - middle, axis=1) / np.linalg.norm(v[margin, :2] - middle, axis=1)
    assert np.abs(share - np.roll(share, 1)).max() < 0.07


def test_the_ear_has_its_folds(arrays, made):
    """From the rim inwards behind the ear's middle: helix, scapha, antihelix, concha."""
    x = arrays["v_template"][:, 0].astype(float) * 1000
    _, helix, _, scapha, antihelix, concha = x[made.tables["ear_rings"][:, 5:11]]
    assert (helix - scapha > 4).all() and (antihelix - scapha > 3).all() and (antihelix - concha > 6).all()


def test_people_differ(arrays, made):
    """Two random faces, size and place taken out, differ by some 3 mm."""
    v = arrays["v_template"].astype(float) * 1000
    face = made.tables["skin"][v[made.tables["skin"], 2] > 40]
    size = np.sqrt(((v[face] - v[face].mean(0)) ** 2).sum())
    rng = np.random.default_rng(1)
    people = v[face] + np.einsum("vck,pk->pvc", arrays["shapedirs"][face, :, :300] * 1000.0, rng.normal(size=(8, 300)))
    people -= people.mean(1, keepdims=True)
    people *= size / np.sqrt((people**2).sum((1, 2), keepdims=True))
    between = [np.sqrt(((a - b) ** 2).sum(1).mean()) for k, a in enumerate(people) for b in people[:k]]
    assert 2.9 < np.mean(between) < 5 and min(between) > 1.5


def test_people_look_calm(arrays, made):
    """Over all people, brows tilt by some 1 mm between their ends, and the corners of the mouth hang by 0.3 mm."""
    up = arrays["shapedirs"][:, 1, :300].astype(float) * 1000
    brow, lips = made.tables["eye"][6:9, BROW], made.tables["mouth"][:5]
    tilt = up[brow[:, :3]].mean((0, 1)) - up[brow[:, -3:]].mean((0, 1))
    droop = up[lips[:, 14:19]].mean((0, 1)) - up[lips[:, [0, 32]]].mean((0, 1))
    assert 0.3 < np.linalg.norm(tilt) < 1.2
    assert 0.1 < np.linalg.norm(droop) < 0.45


def test_both_eyes_reflect_one_window():
    """On the same side of either pupil, and nowhere behind."""
    place = np.add(EYE, [[CATCH[0], CATCH[1], 13.0], [-CATCH[0], CATCH[1], 13.0], [CATCH[0], CATCH[1], -13.0]])
    for side in (1.0, -1.0):
        blank = np.zeros(len(place))
        colour = paint_eye(Pixels(place, side * place[:, 0], blank, blank, blank, blank, blank)).min(1)
        left, right = colour[:2] if side > 0 else colour[[1, 0]]
        assert left > 0.9 > 0.6 > right and colour[2] < 0.9


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


def test_the_neck_is_cut_level_in_every_identity(head, made):
    rim = np.concatenate([made.tables["neck"], made.mirror[made.tables["neck"]]])
    rng = np.random.default_rng(4)
    for _ in range(8):
        v = posed(head, shape=rng.standard_normal(300).astype(np.float32))
        assert np.ptp(v[rim, 1]) < 0.5


def test_the_tongue_comes_out_over_the_lower_lip(head, made):
    lip, tongue = made.tables["mouth"][:5, 17:], made.tables["tongue"]
    for jaw in (0.0, 0.13, 0.26):
        v = posed(head, {"tongueOut": 1.0}, jaw=jaw)
        top, bottom = v[made.tables["mouth"][0, 0]], v[made.tables["mouth"][0, 32]]
        assert v[tongue, 2].max() > bottom[2] + 10
        outside = v[tongue[:8, 0]]
        outside = outside[np.abs(outside[:, 2] - bottom[2]).argmin()]  # the middle of the back, above the lip
        assert bottom[1] < outside[1] < top[1]
        assert v[lip, 1].max() < top[1] + 0.5


def test_teeth_stay_behind_the_skin(head, made):
    """Also where lips are rounded over an open jaw, and the corners are drawn to where the arch is wide."""
    skin_quads = np.isin(made.quads, made.tables["skin"]).all(1)
    corner = made.tables["mouth"][4, 16]
    for values in ({"mouthPucker": 1.0}, {"mouthFunnel": 1.0}, {"mouthPucker": 0.6, "mouthFunnel": 0.6}):
        for jaw in (0.0, 0.13, 0.26):
            v = posed(head, values, jaw=jaw)
            cheek = v[made.quads[skin_quads]].mean(1)
            for name in ("teeth_upper", "teeth_lower"):
                teeth = v[made.tables[name]].reshape(-1, 3)
                teeth = teeth[teeth[:, 0] > v[corner, 0] + 1.5]  # outside the mouth
                near = np.linalg.norm(cheek[None, :, :2] - teeth[:, None, :2], axis=2)
                front = np.where(near < 3.5, cheek[None, :, 2], -np.inf).max(1)
                assert (front > teeth[:, 2]).all(), (values, jaw, name)


def test_uvs_lie_flat_in_the_square(arrays, made):
    uv, corners = arrays["vt"].astype(float), arrays["ft"]
    assert corners.shape == arrays["f"].shape
    assert uv.min() > 0 and uv.max() < 1
    a, b, c = uv[corners].swapaxes(0, 1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    assert (area <= 0).sum() <= 4
    # each point belongs to one vertex, and only those on the seam have two
    owner = np.full(len(uv), -1)
    owner[corners.ravel()] = arrays["f"].ravel()
    assert (owner[corners] == arrays["f"]).all()
    twice = np.flatnonzero(np.bincount(owner) > 1)
    assert len(owner) == 5023 + len(twice)
    assert np.abs(arrays["v_template"][twice, 0]).max() == 0
    wanted, _ = unwrap(made)
    np.testing.assert_allclose(uv, wanted, atol=1e-4)


def test_no_two_faces_share_a_pixel(made):
    uv, corners = unwrap(made)
    pixels, _, weight = rasterise(uv, corners[:, [0, 1, 2]], 256)
    assert (weight > -1e-5).all() and len(pixels) == len(np.unique(pixels))
    q = uv[corners]
    d, e = q[:, 2] - q[:, 0], q[:, 3] - q[:, 1]
    area = 0.5 * np.abs(d[:, 0] * e[:, 1] - d[:, 1] * e[:, 0]).sum()
    pixels, _ = locate(made, uv, corners, 256)
    assert abs(len(pixels) / 256**2 - area) < 0.02  # nothing lies on anything else


def test_the_painting_is_written_as_a_png(made):
    small = paint(made, *unwrap(made), size=96)
    assert decoded(png(small)).tolist() == small.tolist()
    assert small.min() < 30 < 200 < small.max()


def decoded(data):
    """The pixels (H,W,3) of an 8-bit RGB PNG, by the standard's own words."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, size = 8, b"", (0, 0)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        part = data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + part) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        if kind == b"IHDR":
            size = struct.unpack(">II", part[:8])
            assert part[8:] == bytes([8, 2, 0, 0, 0])
        body += part if kind == b"IDAT" else b""
        at += 12 + length
    width, height = size
    raw = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + 3 * width)
    out = np.zeros((height, width + 1, 3), np.int32)
    above = np.zeros((width + 1, 3), np.int32)
    for row in range(height):
        kind, line = raw[row, 0], raw[row, 1:].reshape(width, 3).astype(np.int32)
        here = out[row]
        if kind == 2:
            here[1:] = (line + above[1:]) & 255
        elif kind == 1:
            here[1:] = np.cumsum(line, 0) & 255
        else:
            for x in range(1, width + 1):
                left, up, corner = here[x - 1], above[x], above[x - 1]
                guess = left + up - corner
                far = np.abs(guess - [left, up, corner])
                paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], up, corner))
                here[x] = (line[x - 1] + (0, 0, 0, (left + up) // 2, paeth)[kind]) & 255
        above = here
    return out[:, 1:].astype(np.uint8)
