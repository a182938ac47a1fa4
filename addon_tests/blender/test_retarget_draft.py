# SPDX-License-Identifier: GPL-3.0-or-later
"""A slider that moves on a long take by geometry: drafts from the last solution, and the whole solution at rest."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import bpy
import numpy as np
import pytest
from characters import default_head, speaking
from test_retarget_geometry import PLAIN, retarget, studio_face

from artalk_blender import live_tuning
from artalk_blender.animation.take_data import TAKE_KEY, curves_of, settings_of
from artalk_blender.animation.takes import Provenance, new_take, retune
from artalk_blender.retarget import draft, faces
from artalk_blender.retarget.player import is_draft, retarget_of_take
from artalk_blender.retarget.transfer import Transfer
from artalk_blender.retarget.work import change_table

CLOSE = 0.15  # mm at the lips that a draft may be off
SEEN = 0.3  # mm that a moved slider changes at least


@pytest.fixture
def face(scene, extension, monkeypatch):
    """A target of its own keys that plays a take; every take counts as a long one."""
    new_take(default_head(), speaking(80), 1, 25.0, Provenance("line"), PLAIN)
    draft.forget()
    found = studio_face()
    retarget(found)
    bpy.context.view_layer.objects.active = found
    live_tuning.show_playing()
    monkeypatch.setattr(live_tuning, "_SHORT", 0)
    yield found
    live_tuning._stop()


@pytest.fixture
def held(monkeypatch):
    """Whether Blender's own thread was held up, for each time that a take was solved."""
    found, weights = [], Transfer.weights

    def watched(*arguments, **named):
        found.append(threading.current_thread() is threading.main_thread())
        return weights(*arguments, **named)

    monkeypatch.setattr(Transfer, "weights", watched)
    return found


def take_of(face: bpy.types.Object) -> bpy.types.Action:
    return face.data.shape_keys.animation_data.action


def keys(action: bpy.types.Action) -> dict[tuple[str, str, int], np.ndarray]:
    """Place -> (T,2) frames and values of every curve of ours."""
    result = {}
    for bag in action.layers[0].strips[0].channelbags:
        for curve in bag.fcurves:
            points = np.empty((len(curve.keyframe_points), 2), np.float32)
            curve.keyframe_points.foreach_get("co", points.ravel())
            result[bag.slot.identifier, curve.data_path, curve.array_index] = points
    assert len(result) == len(curves_of(action))
    return result


def solved_from_nothing(action: bpy.types.Action) -> dict[tuple[str, str, int], np.ndarray]:
    """The same take's keys by the plain way: nothing remembered, all rounds."""
    draft.forget()
    return keys(retune(action, *settings_of(action)))


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[place], other[place]) for place in one)


def at_the_lips(action: bpy.types.Action, curves) -> np.ndarray:
    """(T,P,3) mm, of the source's size."""
    made = retarget_of_take(action)
    transfer = faces.transfer_for(made.target, made.table, made.source.found(), made.source.head)
    count = max(map(len, curves.values()))  # what stands still has one key
    values = {path: np.broadcast_to(points[:, 1], count) for (_, path, _), points in curves.items()}
    x = np.stack([values[f'key_blocks["{name}"].value'] for name in transfer.target.names], 1)
    return transfer.system.reached(x.astype(np.float64), transfer.system.shown)


def move(name: str, value: float) -> None:
    """A slider is moved, and the timer rings for the first time."""
    setattr(bpy.context.scene.artalk, name, value)  # without an interface this alone applies nothing
    live_tuning._moved.add(name)
    live_tuning._tick()


def wait_for(timer) -> None:
    """Rings until what goes on is done."""
    for _ in range(1000):
        if timer() is None:
            return
        time.sleep(0.01)
    raise AssertionError("it never rests")


def wait_for_rest() -> None:
    wait_for(live_tuning._tick_at_rest)


def off(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=2).max())


def test_a_moved_slider_is_drafted_and_solved_whole_when_it_rests(face, held):
    action = take_of(face)
    before = at_the_lips(action, keys(action))
    assert not is_draft(action)
    for value in (0.9, 0.8, 0.7):
        move("lips", value)
        assert take_of(face) == action and is_draft(action)
        assert bpy.app.timers.is_registered(live_tuning._tick_at_rest)
    drafted = keys(action)
    held.clear()
    wait_for_rest()
    assert held == [False]
    assert not is_draft(action) and settings_of(action)[0].lips == pytest.approx(0.7)
    rested, whole = keys(action), solved_from_nothing(action)
    assert same(rested, whole) and not same(drafted, whole)
    assert off(at_the_lips(action, drafted), at_the_lips(action, whole)) < CLOSE
    assert off(before, at_the_lips(action, whole)) > SEEN


def test_a_slider_that_moves_on_stops_what_was_being_solved(face, monkeypatch):
    action, weights, stopped = take_of(face), Transfer.weights, threading.Event()

    def slow(*arguments, stop=None, **named):
        assert stop is None or stop.wait(10.0)
        stopped.set()
        return weights(*arguments, stop=stop, **named)

    with monkeypatch.context() as patch:
        move("lips", 0.8)
        patch.setattr(Transfer, "weights", slow)
        live_tuning._tick_at_rest()
        old = live_tuning._settler
        assert old is not None and not old.ended
        live_tuning._later()
        assert old.ended and live_tuning._settler is None and is_draft(action) and stopped.wait(10.0)
    move("lips", 0.7)
    wait_for_rest()
    assert settings_of(action)[0].lips == pytest.approx(0.7)
    assert same(keys(action), solved_from_nothing(action))


def test_what_stays_is_never_a_draft(face, tmp_path):
    action = take_of(face)
    move("lips", 0.8)
    assert is_draft(action)
    assert bpy.ops.artalk.retune_take() == {"FINISHED"}, "Apply to Take"
    assert take_of(face) == action and not is_draft(action)
    applied = keys(action)
    assert same(applied, solved_from_nothing(action))
    move("lips", 0.6)
    assert is_draft(action)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert not is_draft(action) and not same(keys(action), applied)


def test_with_nothing_to_start_from_it_is_solved_whole_beside_blender(face, held):
    """As after a file was opened: heads laid onto each other, solved, and only then keyed."""
    action = take_of(face)
    before = keys(action)
    draft.forget()
    faces._transfers.clear()
    move("lips", 0.7)
    assert same(keys(action), before) and bpy.app.timers.is_registered(live_tuning._tick_ahead)
    held.clear()
    wait_for(live_tuning._tick_ahead)
    assert held == [False] and not is_draft(action)
    assert settings_of(action)[0].lips == pytest.approx(0.7)
    assert same(keys(action), solved_from_nothing(action)) and not same(keys(action), before)


def test_who_selects_another_face_meanwhile_does_not_have_that_tuned(face, monkeypatch):
    action, weights, goes_on = take_of(face), Transfer.weights, threading.Event()
    before = settings_of(action)[0].lips
    draft.forget()
    move("lips", 0.5)
    monkeypatch.setattr(Transfer, "weights", lambda *some, **named: goes_on.wait(10.0) and weights(*some, **named))
    assert live_tuning._tick_ahead() is not None
    bpy.context.view_layer.objects.active = bpy.data.objects[retarget_of_take(action).source.head]
    own = live_tuning.playing_take(live_tuning.find_player(bpy.context))
    assert own != action
    kept = settings_of(own)[0]
    goes_on.set()
    wait_for(live_tuning._tick_ahead)
    assert settings_of(own)[0] == kept and settings_of(action)[0].lips == before


def test_a_take_that_is_no_longer_selected_when_it_begins_is_left_alone(face):
    action = take_of(face)
    before = keys(action)
    draft.forget()
    move("lips", 0.7)
    bpy.context.scene.artalk.live = False
    assert live_tuning._tick_ahead() is None
    assert same(keys(action), before) and live_tuning._settler is None


def test_a_draft_that_was_edited_by_hand_stays(face):
    action = take_of(face)
    move("lips", 0.8)
    curve = action.layers[0].strips[0].channelbags[0].fcurves[0]
    curve.keyframe_points[3].co.y += 0.1
    edited = keys(action)
    assert not live_tuning.settle()
    assert same(keys(action), edited)


def test_a_row_that_follows_a_name_is_made_up_for_by_the_solved_ones(face):
    action = take_of(face)
    made = retarget_of_take(action)
    row = next(row for row in made.table.rows if row.target == "sculpt 00")
    free = keys(action)
    table = made.table.with_row(replace(row, source="jawOpen", gain=0.6))
    change_table(action, table)
    aware = keys(action)
    jaw = next(place for place in aware if "sculpt 00" in place[1])
    others = [place for place in aware if "sculpt" in place[1] and place != jaw]
    assert np.abs(aware[jaw] - free[jaw]).max() > 0.1 and any(not np.array_equal(aware[place], free[place])
                                                              for place in others)
    move("lips", 0.8)
    assert is_draft(action)
    wait_for_rest()
    assert same(keys(action), solved_from_nothing(action))
    draft.forget()
    move("lips", 0.7)
    wait_for(live_tuning._tick_ahead)
    solved = draft._last[action[TAKE_KEY]["id"]]
    assert solved.whole and solved.held is not None
    assert same(keys(action), solved_from_nothing(action))


def test_a_row_of_the_table_asks_for_no_new_solution(face):
    action = take_of(face)
    known = draft._last[action[TAKE_KEY]["id"]]
    row = next(row for row in action.artalk_rows if row.target == "sculpt 00")
    row.gain = 0.5
    assert draft._last[action[TAKE_KEY]["id"]] is known
    assert same(keys(action), solved_from_nothing(action))
