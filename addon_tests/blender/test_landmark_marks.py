# SPDX-License-Identifier: GPL-3.0-or-later
"""Clicked landmarks: where the mesh shows them, and what is drawn of them. The clicks are test_desktop.py's."""

from __future__ import annotations

import gc

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from artalk_blender.german import TEXTS
from artalk_blender.retarget.face import LANDMARKS
from artalk_blender.retarget.places import Spot, hit
from artalk_blender.ui.landmark_marks import LABELS, Marks, discs
from artalk_blender.ui.overlay import in_lines

BEFORE, ALONG = Vector((0.0, -5.0, 0.0)), Vector((0.0, 1.0, 0.0))
MOVED = Matrix(((1.0, 0.0, 0.3, 0.1), (0.0, 1.0, 0.0, -0.2), (0.2, 0.0, 1.5, 0.0), (0.0, 0.0, 0.0, 1.0)))


@pytest.fixture
def sheet(scene) -> bpy.types.Object:
    """Faces of 5, 4 and 3 corners side by side at y = 0, with a key that moves all of it by `MOVED`."""
    points = [(-1, 0, 0), (-1, 0, 1), (0, 0, 1), (0, 0, 0.5), (0, 0, 0), (1, 0, 0.1), (1, 0, 1), (2, 0, 0.5)]
    data = bpy.data.meshes.new("Sheet")
    data.from_pydata(points, [], [(0, 1, 2, 3, 4), (4, 3, 6, 5), (5, 6, 7)])
    thing = bpy.data.objects.new("Sheet", data)
    scene.collection.objects.link(thing)
    thing.shape_key_add(name="Basis")
    key = thing.shape_key_add(name="moved", from_mix=False)
    key.value = 0.0
    for place, point in zip(points, key.points, strict=True):
        point.co = MOVED @ Vector(place)
    thing.location, thing.scale = (0.5, 0.2, -0.3), (2.0, 1.0, 1.0)
    bpy.context.view_layer.update()
    return thing


def shown(thing: bpy.types.Object, spot: Spot) -> Vector:
    return spot.shown_by(thing.evaluated_get(bpy.context.evaluated_depsgraph_get()))


def play(thing: bpy.types.Object, value: float) -> None:
    thing.data.shape_keys.key_blocks["moved"].value = value
    bpy.context.view_layer.update()


@pytest.mark.parametrize(("x", "z"), [(-0.7, 0.2), (0.4, 0.4), (1.3, 0.6)])
def test_a_clicked_place_goes_where_its_polygon_goes(sheet, x: float, z: float):
    place = Vector((x, 0.0, z))
    spot = hit(bpy.context, sheet, sheet.matrix_world @ place + BEFORE, ALONG)
    assert (Vector(spot.rest) - place).length < 1e-5
    assert (shown(sheet, spot) - sheet.matrix_world @ place).length < 1e-5
    play(sheet, 1.0)
    assert (shown(sheet, spot) - sheet.matrix_world @ MOVED @ place).length < 1e-5
    again = hit(bpy.context, sheet, sheet.matrix_world @ MOVED @ place + BEFORE, ALONG)
    assert (Vector(again.rest) - place).length < 1e-5, "at rest, whatever plays"
    sheet.location.z += 0.7
    bpy.context.view_layer.update()
    assert (shown(sheet, again) - sheet.matrix_world @ MOVED @ place).length < 1e-5


def test_a_place_on_a_subdivided_mesh_follows_until_it_is_another_mesh(sheet):
    modifier = sheet.modifiers.new("Finer", "SUBSURF")
    modifier.subdivision_type, modifier.levels = "SIMPLE", 1
    bpy.context.view_layer.update()
    place = Vector((0.4, 0.0, 0.4))
    spot = hit(bpy.context, sheet, sheet.matrix_world @ place + BEFORE, ALONG)
    assert spot.count > len(sheet.data.vertices)
    play(sheet, 1.0)
    assert (shown(sheet, spot) - sheet.matrix_world @ MOVED @ place).length < 1e-4
    modifier.levels = 2
    bpy.context.view_layer.update()
    assert (shown(sheet, spot) - sheet.matrix_world @ place).length < 1e-4


def test_dots_are_round_light_inside_and_dark_outside():
    places = np.array([[10.0, 20.0], [300.0, 5.0]])
    points, colors, triangles = discs(places, 2.0)
    away = np.linalg.norm(points.reshape(2, -1, 2) - places[:, None], axis=2)
    assert away.min() == 0.0 and 8.0 < away.max() < 14.0
    light = colors[:, :3].mean(1).reshape(2, -1)
    assert (light[away < 6.0] > 0.5).all() and (light[away > 9.0] < 0.2).all()
    assert (colors[:, 3].reshape(2, -1) == (away < away.max() - 1e-3)).all(), "the edge fades"
    p, q, r = (points[triangles[:, k]] for k in range(3))
    (x, y), (u, v) = (q - p).T, (r - p).T
    area = np.abs(x * v - y * u).sum() / 2
    assert area == pytest.approx(2 * np.pi * away.max() ** 2, rel=0.02), "no hole, nothing twice"


def test_a_sentence_takes_as_many_lines_as_it_needs():
    assert in_lines("click the chin", 9, len) == ["click the", "chin"]
    assert in_lines("click the chin", 99, len) == ["click the chin"]
    assert in_lines("unbreakable a b", 3, len) == ["unbreakable", "a b"] and in_lines("", 9, len) == []


def test_every_landmark_has_a_name_to_be_seen_in_every_language():
    assert list(LABELS) == list(LANDMARKS)
    assert {text for text, _, _ in LABELS.values()} | set(LANDMARKS.values()) <= set(TEXTS)


def test_a_handler_is_there_while_it_is_open_and_closing_twice_does_no_harm(scene):
    one, other = Marks("Face"), Marks("Face")
    one.open()
    other.open()
    assert one.is_open and other.is_open
    one.close()
    assert other.is_open and not one.is_open
    other.close()
    other.close()
    assert not other.is_open


def test_in_background_there_is_nothing_to_click_and_nothing_to_draw(extension, sheet):
    bpy.context.scene.artalk_retarget.target = sheet
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        assert bpy.ops.artalk.retarget_landmarks("INVOKE_DEFAULT") != {"RUNNING_MODAL"}
    assert not [one for one in gc.get_objects() if type(one) is Marks and one.is_open]
