# SPDX-License-Identifier: GPL-3.0-or-later
"""A take notices what becomes of its strip, and follows it where it can."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from conftest import voice, write_wav

from artalk_blender import compat
from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.follow import follow_strip, state_of
from artalk_blender.animation.nla import playing_take
from artalk_blender.animation.take_data import curves_of, is_edited, raw_motion, times_of
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.errors import ArtalkError
from artalk_blender.head.handle import find_head


@pytest.fixture
def take(scene, extension, head, tmp_path):
    scene.render.fps = 30
    add_sound_strip(scene, write_wav(tmp_path / "line.wav", voice(4.0)), 11)
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    found = playing_take(find_head(bpy.context))
    assert state_of(found, scene) == ("same", "")
    return found


def strip_of(scene):
    return scene.sequence_editor.strips[0]


def trim(strip, start, end):
    """Takes so many frames off a strip's start and end."""
    if hasattr(strip, "left_handle_offset"):
        strip.left_handle_offset, strip.right_handle_offset = start, end
    else:
        strip.frame_offset_start, strip.frame_offset_end = start, end


def move(strip, frames):
    if hasattr(strip, "content_start"):
        strip.content_start += frames
    else:
        strip.frame_start += frames


def first_keys(action):
    return [find_curve(action, place).keyframe_points[0].co[0] for place in curves_of(action)]


def test_a_moved_strip_takes_its_keys_along(scene, take):
    keys = first_keys(take)
    move(strip_of(scene), 37)
    assert state_of(take, scene) == ("moved", "Its strip “line” was moved")
    assert bpy.ops.artalk.follow_strip() == {"FINISHED"}
    assert np.allclose(first_keys(take), np.array(keys) + 37)
    assert state_of(take, scene)[0] == "same"
    assert not is_edited(take)
    assert times_of(take).frames[0] == 48


def test_edits_by_hand_go_along(scene, take):
    curve = find_curve(take, curves_of(take)[0])
    curve.keyframe_points[0].co[1] = 0.7
    move(strip_of(scene), -5)
    follow_strip(take, scene)
    assert curve.keyframe_points[0].co[1] == pytest.approx(0.7)
    assert is_edited(take)


def test_a_trimmed_strip_keeps_what_is_heard(scene, take):
    raw, at = raw_motion(take), times_of(take)
    trim(strip_of(scene), 31, 20)
    assert state_of(take, scene)[0] == "trimmed"
    follow_strip(take, scene)
    now = raw_motion(take)
    first = int(31 / 30 * 25)
    assert np.array_equal(now, raw[first : first + len(now)])
    assert times_of(take).frames_at(np.zeros(1)) == pytest.approx(at.frames_at(np.array([first / 25])))
    span = compat.strip_span(strip_of(scene))
    last = times_of(take).frames_at(np.array([(len(now) - 1) / 25]))[0]
    assert span.end - 2 * 30 / 25 <= last <= span.end
    assert state_of(take, scene)[0] == "same"


def test_a_strip_shown_further_asks_for_the_model(scene, take):
    trim(strip_of(scene), 31, 20)
    follow_strip(take, scene)
    trim(strip_of(scene), 0, 0)
    before = first_keys(take)
    with pytest.raises(ArtalkError, match="more be heard"):
        follow_strip(take, scene)
    assert first_keys(take) == before


def test_what_can_not_be_followed_is_a_sentence(scene, take, tmp_path):
    strip_of(scene).sound = bpy.data.sounds.load(str(write_wav(tmp_path / "other.wav", voice(3.0))))
    assert state_of(take, scene)[0] == "other"
    with pytest.raises(ArtalkError, match="another sound"):
        follow_strip(take, scene)
    scene.sequence_editor.strips.remove(strip_of(scene))
    assert state_of(take, scene)[0] == "gone"
    with pytest.raises(ArtalkError, match="is gone"):
        follow_strip(take, scene)


def test_several_lines_follow_together_only(scene, extension, head, tmp_path):
    for index, start in enumerate((1, 101)):
        add_sound_strip(scene, write_wav(tmp_path / f"line{index}.wav", voice(2.0)), start).select = True
    scene.render.fps = 25
    scene.artalk.selected_strips = True
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    take = playing_take(find_head(bpy.context))
    assert len(raw_motion(take)) == 150
    keys = first_keys(take)
    for strip in scene.sequence_editor.strips:
        move(strip, 9)
    follow_strip(take, scene)
    assert np.allclose(first_keys(take), np.array(keys) + 9)
    move(scene.sequence_editor.strips[1], 9)
    assert state_of(take, scene)[0] == "moved"
    with pytest.raises(ArtalkError, match="different distances"):
        follow_strip(take, scene)
