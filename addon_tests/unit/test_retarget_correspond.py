# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting's geometry: landmarks and their mistakes, closest points, lips, warps, a source's moves as features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from real_motion import default_head, demo_motion
from retarget_targets import ELSEWHERE, Place, another_mesh, dual_mesh, made, rotation, source_face

from artalk_blender.errors import ArtalkError
from artalk_blender.retarget.align import align, fit_similarity
from artalk_blender.retarget.contact import Mouth, find_seam
from artalk_blender.retarget.correspond import mouth_of, source_opening, take_samples
from artalk_blender.retarget.face import FEWEST_LANDMARKS, LANDMARKS, SourceFace, flame_landmarks
from artalk_blender.retarget.features import fields, numbers, times
from artalk_blender.retarget.guess import POSTURES, guess_landmarks
from artalk_blender.retarget.regions import mirrored_pairs
from artalk_blender.retarget.surface import Surface, closest_on_triangles, nearest, vertex_normals, welded_pieces
from artalk_blender.retarget.warp import Layer, Warp, fit_layer
from engine.flame.skinning import skin

LYING = "lying as Blender's axes have it"


def test_source_moves_as_flame_skins() -> None:
    model, motion = default_head(), demo_motion()[::20]
    shape = np.random.default_rng(0).normal(0.0, 1.0, 300)
    source = SourceFace.from_model(model, shape)
    expected = skin(model, motion[:, :100], jaw=motion[:, 103:106], shape=shape)
    assert np.abs(source.positions(motion) - expected).max() < 1e-6


def test_features_are_the_moves() -> None:
    source = source_face()
    motion = np.array(demo_motion()[::15], np.float64)
    motion[:, 103:106] += np.random.default_rng(0).normal(0.0, 0.2, (len(motion), 3))  # all nine entries of the turn
    vertices = np.arange(0, len(source.neutral), 97)
    expected = source.positions(motion, vertices) - source.neutral[vertices]
    rows = fields(source, vertices).reshape(numbers(motion).shape[1], -1)
    found = times(motion, rows)[0].reshape(expected.shape)
    assert np.abs(found - expected).max() < 1e-6 and np.abs(expected).max() > 5e-3


def test_landmarks_of_a_head_without_a_table_lie_near_the_table_s() -> None:
    model = default_head()
    known, guessed = flame_landmarks(model), flame_landmarks(replace(model, landmarks=None))
    assert len(guessed) >= FEWEST_LANDMARKS and known.keys() == LANDMARKS.keys()
    for name, point in guessed.items():
        assert np.linalg.norm(point - known[name]) < 8e-3, name


def test_similarity_is_found_again() -> None:
    random = np.random.default_rng(0)
    points, turn = random.normal(size=(8, 3)), rotation((1.0, -0.4, 2.0), 2.1)
    fit = fit_similarity(points, 0.7 * points @ turn.T + [1.0, -2.0, 3.0])
    assert np.allclose(fit.turn, turn) and np.isclose(fit.scale, 0.7) and np.allclose(fit.shift, [1.0, -2.0, 3.0])


def mirrored(landmarks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: landmarks[name.replace("left", "?").replace("right", "left").replace("?", "right")]
            for name in landmarks}


def test_crossed_clicks_are_put_right() -> None:
    target = made(ELSEWHERE, remesh=None).face
    straight = align(source_face().landmarks, target, target.landmarks)
    crossed = align(source_face().landmarks, target, mirrored(target.landmarks))
    assert not straight.notes and "crossed" in crossed.notes[0]
    assert np.allclose(crossed.similarity.turn, straight.similarity.turn)
    one = {**target.landmarks, "mouth_left": target.landmarks["mouth_right"],
           "mouth_right": target.landmarks["mouth_left"]}
    found = align(source_face().landmarks, target, one)
    assert "corner of the mouth” were crossed" in found.notes[0]
    assert np.allclose(found.similarity.turn, straight.similarity.turn)


def test_a_stray_click_is_left_out_and_told() -> None:
    target = made(ELSEWHERE, remesh=None).face
    clicked = {**target.landmarks, "chin": target.landmarks["chin"] + [0.12, 0.0, 0.0]}
    found = align(source_face().landmarks, target, clicked)
    assert "chin" in found.notes[0] and "chin" not in found.landmarks
    assert np.allclose(found.similarity.turn, align(source_face().landmarks, target, target.landmarks).similarity.turn,
                       atol=0.05)


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda marks: dict(list(marks.items())[:2]), "2 landmarks"),
    (lambda marks: {name: point + 5.0 for name, point in marks.items()}, "far from the target's mesh"),
    (lambda marks: {name: np.array([0.01 * row, 0.0, 0.0]) for row, name in enumerate(marks)}, "on one line"),
    (lambda marks: {**marks, "chin": np.full(3, np.nan)}, "has no place"),
    (lambda marks: dict(zip(marks, np.random.default_rng(3).permutation(list(marks.values())))), "fit no face"),
])  # fmt: skip
def test_wrong_clicks_get_a_sentence(spoil, says: str) -> None:
    target = made(ELSEWHERE, remesh=None).face
    with pytest.raises(ArtalkError, match=says) as caught:
        align(source_face().landmarks, target, spoil(target.landmarks))
    assert caught.value.remedy


def test_closest_places_against_all_triangles() -> None:
    source = source_face()
    part = source.triangles[::7]
    random = np.random.default_rng(0)
    points = source.neutral[random.integers(0, len(source.neutral), 40)] + random.normal(0.0, 4e-3, (40, 3))
    surface = Surface(source.neutral, part, np.zeros(len(source.neutral)))
    _, away = surface.closest(points, np.zeros((40, 3)), np.zeros(40), 1e-9, tries=12)
    every = np.array([closest_on_triangles(np.repeat(point[None], len(part), 0), source.neutral[part])[1].min()
                      for point in points])
    assert np.mean(np.abs(away - every) < 1e-9) > 0.8  # scattered triangles: one may lie farther than its corners
    assert (away >= every - 1e-12).all()


def test_nearest_is_brute_force() -> None:
    random = np.random.default_rng(0)
    queries, data = random.normal(size=(30, 4)) + 100.0, random.normal(size=(200, 4)) + 100.0
    index, squares = nearest(queries, data, 3)
    expected = ((queries[:, None] - data) ** 2).sum(2)
    assert (index == expected.argsort(1)[:, :3]).all() and np.allclose(squares, np.sort(expected, 1)[:, :3])


def test_split_seams_do_not_part_a_mesh() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [5, 5, 5.0]])
    label = welded_pieces(points, np.array([[0, 1, 2], [3, 5, 4]]))
    assert label[0] == label[5] and label[6] != label[0]


def test_warp_gradient_is_its_slope() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 3))
    layer = fit_layer(points, random.normal(0.0, 0.2, (50, 3)), np.ones(50), 1.5, 0.02)
    step = 1e-5
    for axis in range(3):
        shift = np.eye(3)[axis] * step
        slope = (layer.move(points + shift) - layer.move(points - shift)) / (2 * step)
        assert np.abs(layer.gradient(points)[:, :, axis] - slope).max() < 1e-6
    warp = Warp(points, 2.0 * np.eye(3), np.zeros(3), 0.0)
    warp.add(Layer(layer.centres, 1.5, layer.weights))
    normal = vertex_normals(points, random.integers(0, 50, (40, 3)))
    assert np.allclose(np.linalg.norm(warp.normals(normal), axis=1)[np.any(normal, 1)], 1.0)


@pytest.mark.parametrize("remesh", [dual_mesh, another_mesh])
@pytest.mark.parametrize("opened", [0.0, 0.12, 0.2])
def test_the_seam_ends_at_the_corners_of_the_mouth(remesh, opened: float) -> None:
    """A coarse mesh has vertices beside the corners that lie near and follow the jaw by different amounts: its skin."""
    target = made(Place(), remesh=remesh).face
    mouth = mouth_of(target.landmarks, np.array([0.0, 1.0, 0.0]))
    opening = target.deltas[target.names.index("jawOpen")].astype(np.float64)
    points = target.neutral + opened * opening
    seam = find_seam(points, target.triangles, opening, mouth, np.ones(len(points), bool))
    assert seam is not None
    for lip in (seam.upper, seam.lower):
        place = mouth.place(lip.of(points))
        assert np.abs(place[:, 0]).max() < 0.5 and (place[:, 2] > -0.1).all()
        assert np.abs(place[:, 0] + place[::-1, 0]).max() < 0.12, "as far to the left as to the right"


@pytest.mark.parametrize("remesh", [None, another_mesh])
def test_the_seam_of_the_lips(remesh) -> None:
    target = made(Place(), remesh=remesh).face
    mouth = mouth_of(target.landmarks, np.array([0.0, 1.0, 0.0]))
    opening = target.deltas[target.names.index("jawOpen")].astype(np.float64)
    seam = find_seam(target.neutral, target.triangles, opening, mouth, np.ones(len(target.neutral), bool))
    assert seam is not None
    middle = seam.upper.of(target.neutral)
    assert (np.diff(middle[:, 0]) > 0.0).all() and np.ptp(middle[:, 0]) > 0.7 * mouth.width
    gap = (seam.upper.of(opening) - seam.lower.of(opening))[:, 1] + seam.rest[:, 1]
    assert np.abs(seam.rest[3:-3, 1]).max() < 3e-4 and gap[5:-5].min() > 15e-3
    assert find_seam(target.neutral, target.triangles, 0.0 * opening, mouth, np.ones(len(target.neutral), bool)) is None


def test_source_and_target_measure_the_same_seam() -> None:
    source = source_face()
    mouth = mouth_of(source.landmarks, np.array([0.0, 1.0, 0.0]))
    seen = np.zeros(len(source.neutral), bool)
    seen[take_samples(source).vertices] = True
    seam = find_seam(source.neutral, source.triangles, source_opening(source), mouth, seen)
    assert seam is not None and np.abs(seam.rest[:, 1]).max() < 5e-4
    assert isinstance(mouth, Mouth) and 0.04 < mouth.width < 0.06


def test_samples_leave_out_what_nobody_sees() -> None:
    source, model = source_face(), default_head()
    inside = {name: index for index, name in enumerate(model.material_names)}
    samples = take_samples(source)
    hidden = np.zeros(len(source.neutral), bool)
    for quads, material in zip(model.quads, model.face_material):
        hidden[quads] |= material in (inside["teeth"], inside["tongue"], inside["sclera"])
    assert not hidden[samples.vertices].any() and samples.lips.sum() > 100 and 500 < len(samples.vertices) < 2500


@pytest.mark.parametrize(("name", "turn"), [("", np.eye(3)), ("", rotation((0.3, 1.0, 0.1), 0.4)),
                                            (LYING, POSTURES[LYING])])
def test_landmarks_are_guessed(name: str, turn: np.ndarray) -> None:
    place = Place(100.0, turn, (3.0, 160.0, -2.0), 0.7)
    found = guess_landmarks(source_face(), made(place, marks=False).face)
    assert found is not None
    own, other, posture = found
    assert posture == name and own.keys() == other.keys() and len(own) >= FEWEST_LANDMARKS
    for mark, point in own.items():
        assert np.linalg.norm(place(point) - other[mark]) / 100.0 < 9e-3, mark


def test_mirrored_sliders_by_name_and_by_what_they_move() -> None:
    target = made(Place(), remesh=None).face
    rows = take_samples(source_face()).vertices
    moves, places = target.deltas[:, rows].astype(np.float64), target.neutral[rows]
    expected = {frozenset((index, target.names.index(name.replace("Left", "Right"))))
                for index, name in enumerate(target.names) if name.endswith("Left")}
    by_name = {frozenset(pair) for pair in mirrored_pairs(target.names, moves, places, np.eye(3))}
    assert expected <= by_name
    blind = tuple(f"key {index}" for index in range(len(target.names)))
    by_move = {frozenset(pair) for pair in mirrored_pairs(blind, moves, places, np.eye(3))}
    assert len(by_move & expected) >= 0.8 * len(expected) and len(by_move - expected) <= 2
