# SPDX-License-Identifier: GPL-3.0-or-later
"""A slider that moves on a long simplified take: all keys are there at once, and taken out again when it rests."""

from __future__ import annotations

import threading

import bpy
import numpy as np
import pytest
from characters import default_head, remeshed
from retarget_measures import speech_motion
from test_retarget_draft import move, wait_for_rest
from test_retarget_geometry import PLAIN, retarget
from test_takes_simplified import keys

from artalk_blender import live_tuning
from artalk_blender.animation import simplify
from artalk_blender.animation.nla import playing_take
from artalk_blender.animation.take_data import ALL_KEYS, TAKE_KEY, curves_of, is_edited, settings_of
from artalk_blender.animation.takes import Bound, Provenance, duplicate_take, new_take, retune, simplify_take
from artalk_blender.retarget import draft
from artalk_blender.retarget.player import find_player


@pytest.fixture(params=["head", "target"])
def take(request, scene, extension, monkeypatch):
    """A simplified take that plays on the selected face; every take counts as a long one."""
    head = default_head()
    action, chosen = new_take(head, speech_motion()[:120], 1, 25.0, Provenance("line"), PLAIN), head.mesh
    if request.param == "target":
        chosen = remeshed()
        action = retarget(chosen)
    simplify_take(action, Bound(0.1, 0.1))
    bpy.context.view_layer.objects.active = chosen
    live_tuning.show_playing()
    monkeypatch.setattr(live_tuning, "_SHORT", 0)
    yield action
    live_tuning._stop()


def values(action: bpy.types.Action) -> np.ndarray:
    """(C,T) what its curves hold on each frame."""
    curves = [curve for bag in action.layers[0].strips[0].channelbags for curve in bag.fcurves]
    assert len(curves) == len(curves_of(action))
    return np.array([[curve.evaluate(frame) for frame in range(1, 121)] for curve in curves])


def test_keys_are_taken_out_when_the_slider_rests(take, monkeypatch):
    few, held, plan = keys(take), [], simplify._plan

    def watched(*arguments):
        held.append(threading.current_thread() is threading.main_thread())
        return plan(*arguments)

    monkeypatch.setattr(simplify, "_plan", watched)
    for value in (0.9, 0.7):
        move("lips", value)
        assert playing_take(find_player(bpy.context)) == take
        assert take[TAKE_KEY][ALL_KEYS] and keys(take) > 3 * few and settings_of(take)[0].lips == pytest.approx(value)
        assert bpy.app.timers.is_registered(live_tuning._tick_at_rest)
    dense = values(take)
    wait_for_rest()
    assert held == [False], "Blender is not held up meanwhile"
    assert ALL_KEYS not in take[TAKE_KEY] and not is_edited(take) and keys(take) < 1.5 * few
    plain = duplicate_take(take)
    draft.forget()
    retune(plain, *settings_of(take), find_player(bpy.context))
    assert np.allclose(values(plain), values(take), atol=1e-6), "what the plain way comes to"
    assert 0.0 < np.abs(values(take) - dense).max() < 0.2
    assert not live_tuning.settle()


def test_a_slider_that_moves_on_stops_it_and_saving_does_not_wait(take, tmp_path, monkeypatch):
    few, goes_on, plan = keys(take), threading.Event(), simplify._plan
    monkeypatch.setattr(simplify, "_plan", lambda *arguments: goes_on.wait(10.0) and plan(*arguments))
    move("lips", 0.8)
    live_tuning._tick_at_rest()
    old = live_tuning._settler
    assert old is not None and not old.ended
    live_tuning._later()
    goes_on.set()
    assert old.ended and live_tuning._settler is None and take[TAKE_KEY][ALL_KEYS]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert keys(take) > 3 * few, "a file may have all of them"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    again = playing_take(find_player(bpy.context))
    simplify_take(again, Bound(0.1, 0.1))
    assert ALL_KEYS not in again[TAKE_KEY] and keys(again) < 1.5 * few
    move("lips", 0.7)
    curve = again.layers[0].strips[0].channelbags[0].fcurves[0]
    curve.keyframe_points[3].co.y += 0.1
    edited = values(again)
    assert not live_tuning.settle() and np.array_equal(values(again), edited), "edited by hand it stays"


def test_apply_to_take_takes_them_out_at_once(take):
    few = keys(take)
    move("lips", 0.8)
    assert bpy.ops.artalk.retune_take() == {"FINISHED"}
    assert ALL_KEYS not in take[TAKE_KEY] and keys(take) < 1.5 * few
