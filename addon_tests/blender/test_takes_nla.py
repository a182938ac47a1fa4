# SPDX-License-Identifier: GPL-3.0-or-later
"""The sync offset of takes that play from the NLA: their strips come along, and no others."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from artalk_blender.animation.nla import push_take
from artalk_blender.animation.takes import Provenance, new_take, retune
from artalk_blender.head.build import find_head
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.ops.takes import playing_take

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)


def later(milliseconds):
    return ProcessSettings(smooth=False, clamp=False, offset_ms=milliseconds)


@pytest.fixture
def pushed(scene, head, motion):
    """A take of 60 frames at 25 fps, pushed down."""
    scene.render.fps, scene.render.fps_base = 25, 1.0
    action = new_take(head, motion, 11.0, 25.0, Provenance("line"), AS_IT_IS)
    push_take(action, head)
    return action


def lay(head, action, start, scale=1.0, track=None):
    """A strip of the take's face where an artist lays it, at another speed, cut at both ends."""
    track = track or head.shape_keys.animation_data.nla_tracks.new()
    strip = track.strips.new("by hand", start, action)
    strip.action_slot = next(slot for slot in action.slots if slot.target_id_type == "KEY")
    strip.action_frame_start, strip.action_frame_end = 21.0, 51.0
    strip.scale = scale
    return strip


def facts(strip):
    return (strip.frame_start, strip.frame_end, strip.action_frame_start, strip.action_frame_end, strip.scale,
            strip.repeat, strip.mute)


def moved(before, frames):
    return pytest.approx([value + frames for value in before[:4]] + list(before[4:]), abs=1e-3)


def shown(scene, head, frames):
    """(K,5) a shape key and the jaw at scene frames, which may be fractions."""
    result = []
    for frame in frames:
        scene.frame_set(int(np.floor(frame)), subframe=float(frame % 1))
        result.append([head.shape_keys.key_blocks["shape_3"].value,
                       *head.armature.pose.bones["jaw"].rotation_quaternion])
    return np.array(result)


@pytest.mark.parametrize("milliseconds", [120.0, -130.0, 6000.0])
def test_the_whole_of_a_pushed_take_comes_later(scene, head, pushed, milliseconds):
    frames, wanted = milliseconds / 40, shown(scene, head, np.arange(11, 71))
    strips = [owner.animation_data.nla_tracks[0].strips[0] for owner in (head.shape_keys, head.armature)]
    before = [facts(strip) for strip in strips]
    retune(pushed, later(milliseconds))
    assert [facts(strip) for strip in strips] == [moved(one, frames) for one in before]
    assert shown(scene, head, np.arange(11, 71) + frames) == pytest.approx(wanted, abs=3e-5)
    retune(pushed, ProcessSettings(smooth=True, offset_ms=milliseconds))
    assert [facts(strip) for strip in strips] == [moved(one, frames) for one in before], "nothing but the offset moves"
    retune(pushed, AS_IT_IS)
    assert [facts(strip) for strip in strips] == [moved(one, 0.0) for one in before]
    assert shown(scene, head, np.arange(11, 71)) == pytest.approx(wanted, abs=3e-5)


@pytest.mark.parametrize("milliseconds", [120.0, -130.0])
def test_strips_laid_by_hand_keep_their_place_speed_and_part(scene, head, pushed, milliseconds):
    strips = [lay(head, pushed, 100), lay(head, pushed, 200, 2.0), lay(head, pushed, 300, 0.5), lay(head, pushed, 400)]
    strips[0].repeat, strips[1].mute, strips[2].use_reverse = 2.0, True, True
    strips[3].id_data.animation_data.nla_tracks[-1].mute = True
    before = [facts(strip) for strip in strips]
    spans = np.arange(100, 160, 3.0), np.arange(300, 315, 1.0)
    wanted = [shown(scene, head, span) for span in spans]
    retune(pushed, later(milliseconds))
    assert [facts(strip) for strip in strips] == [moved(one, milliseconds / 40) for one in before]
    for span, values in zip(spans, wanted, strict=True):
        assert shown(scene, head, span + milliseconds / 40) == pytest.approx(values, abs=3e-5)


@pytest.mark.parametrize("milliseconds", [400.0, -400.0])
def test_what_is_not_the_takes_or_has_no_room_stays(scene, head, motion, pushed, milliseconds):
    other = new_take(head, motion, 1.0, 25.0, Provenance("other"), AS_IT_IS)
    tight = lay(head, pushed, 100)
    track = head.shape_keys.animation_data.nla_tracks[-1]
    walls = [lay(head, other, 135, track=track), lay(head, other, 35, track=track)]
    walls[1].frame_end_raw, walls[1].frame_start_raw = 97.0, 67.0
    locked = lay(head, pushed, 300)
    head.shape_keys.animation_data.nla_tracks[-1].lock = True
    before = [facts(strip) for strip in (tight, *walls, locked)]
    keys = other.frame_range[:]
    retune(pushed, later(milliseconds))
    assert [facts(strip) for strip in (tight, *walls, locked)] == before
    assert other.frame_range[:] == keys


def test_two_strips_side_by_side_move_together(scene, head, pushed):
    first = lay(head, pushed, 100)
    second = lay(head, pushed, 130, track=head.shape_keys.animation_data.nla_tracks[-1])
    for milliseconds, starts in ((80.0, (102, 132)), (-80.0, (98, 128))):
        retune(pushed, later(milliseconds))
        assert (first.frame_start, second.frame_start) == pytest.approx(starts, abs=1e-3)


def test_it_is_tuned_from_the_panel_and_undone(extension, scene, head, pushed):
    assert playing_take(find_head(bpy.context)) == pushed
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="pushed")
    scene.artalk.offset_ms = 400.0
    assert bpy.ops.artalk.retune_take() == {"FINISHED"}
    face = head.shape_keys.animation_data.nla_tracks[0].strips[0]
    assert face.frame_start == pytest.approx(21.0)
    bpy.ops.ed.undo_push(message="tuned")
    bpy.ops.ed.undo()
    face = find_head(bpy.context).shape_keys.animation_data.nla_tracks[0].strips[0]
    assert (face.frame_start, face.action_frame_start) == pytest.approx((11.0, 11.0))
