# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on takes, as a button, a script or a render farm calls them."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from artalk_blender.animation import nla
from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.take_data import LOUDNESS_KEY, SIMPLIFIED, TAKE_KEY, curves_of, loudness_of, settings_of
from artalk_blender.animation.takes import Provenance, new_take, raw_motion, remove_take, retune
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.head.build import build_head, find_head
from artalk_blender.motion.process import RANGES, ProcessSettings, process_motion
from artalk_blender.motion.timing import Keying
from artalk_blender.ops.takes import CLASSES, playing_take, take_reason
from artalk_blender.properties import keying, process_settings, show_settings

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)
FACE = ("KEY", 'key_blocks["shape_3"].value', 0)


@pytest.fixture
def take(extension, scene, head, motion):
    scene.render.fps, scene.render.fps_base = 25, 1.0
    return new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)


def test_every_setting_is_a_property_with_its_range_and_a_description(extension, scene):
    assert process_settings(scene) == ProcessSettings() and keying(scene) == Keying()
    properties = scene.artalk.bl_rna.properties
    for name in (*ProcessSettings.__dataclass_fields__, *Keying.__dataclass_fields__):
        assert len(properties[name].description) > 15 and not properties[name].description.endswith("."), name
    for name, (low, high) in RANGES.items():
        assert properties[name].hard_min == pytest.approx(low) and properties[name].hard_max <= high * 1.0001
    other = ProcessSettings(False, 0.125, 0.5, 1.5, 0.25, 2.0, 0.75, 1.25, -40.0, 0.5, 15.0, 7, False)
    show_settings(scene, other, Keying("whole", "shared", 0.25))
    assert process_settings(scene) == other and keying(scene) == Keying("whole", "shared", 0.25)


def test_retune_and_reset_follow_the_scene(take, scene, head, motion):
    scene.artalk.smooth = scene.artalk.clamp = False
    scene.artalk.intensity = 0.5
    scene.artalk.head = "off"
    assert bpy.ops.artalk.retune_take() == {"FINISHED"}
    assert settings_of(take) == (ProcessSettings(smooth=False, intensity=0.5, clamp=False), Keying(head="off"))
    assert find_curve(take, FACE).evaluate(11) == pytest.approx(0.5 * motion[10, 3], abs=1e-5)
    assert not any("root" in path for _, path, _ in curves_of(take))
    assert bpy.ops.artalk.reset_tuning() == {"FINISHED"}
    assert settings_of(take)[0] == ProcessSettings() == process_settings(scene)
    expected = process_motion(motion, ProcessSettings(), head.face_channels())[10, 3]
    assert find_curve(take, FACE).evaluate(11) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("milliseconds", [80.0, -120.0])
def test_the_sync_offset_moves_the_keys(take, scene, motion, milliseconds):
    scene.artalk.smooth = scene.artalk.clamp = False
    scene.artalk.offset_ms = milliseconds
    bpy.ops.artalk.retune_take()
    frames = 1 + np.arange(len(motion)) + milliseconds / 40
    assert [find_curve(take, FACE).evaluate(frame) for frame in frames] == pytest.approx(motion[:, 3], abs=2e-5)


def test_takes_are_switched_copied_renamed_and_removed(take, scene, head, motion):
    assert bpy.ops.artalk.duplicate_take(take=take.name) == {"FINISHED"}
    other = next(action for action in bpy.data.actions if action != take)
    assert playing_take(find_head(bpy.context)) == take
    retune(other, ProcessSettings(brows=0.5), head=head)
    assert bpy.ops.artalk.use_take(take=other.name) == {"FINISHED"}
    assert playing_take(find_head(bpy.context)) == other and scene.artalk.brows == 0.5
    assert bpy.ops.artalk.rename_take(name="Second") == {"FINISHED"} and other.name == "Second"
    with pytest.raises(RuntimeError, match="no take “Third”"):
        bpy.ops.artalk.use_take(take="Third")
    with pytest.raises(RuntimeError, match="needs a name"):
        bpy.ops.artalk.rename_take(name=" ")
    assert bpy.ops.artalk.remove_take() == {"FINISHED"}
    assert playing_take(find_head(bpy.context)) == take and len(bpy.data.actions) == 1
    assert bpy.ops.artalk.remove_take(take=take.name) == {"FINISHED"}
    assert "no take yet" in take_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.remove_take()


def test_an_action_that_is_no_take_is_a_sentence(take):
    bpy.data.actions.new("By hand").use_fake_user = True
    for name in ("remove_take", "retune_take", "use_take", "simplify_take", "reset_tuning", "push_take_to_nla"):
        with pytest.raises(RuntimeError, match="no take of ARTalk"):
            getattr(bpy.ops.artalk, name)(take="By hand")
    assert "By hand" in bpy.data.actions


def test_simplify_take(take):
    assert bpy.ops.artalk.simplify_take(millimetres=0.5, degrees=0.5) == {"FINISHED"}
    assert take[TAKE_KEY][SIMPLIFIED]["millimetres"] == pytest.approx(0.5)


@pytest.mark.parametrize("start", [1.0, 7.4])
def test_a_pushed_take_shows_the_same(extension, scene, head, motion, start):
    scene.render.fps, scene.render.fps_base = 24, 1.0
    action = new_take(head, motion, start, 24.0, Provenance("line"), AS_IT_IS)

    def shown():
        result = []
        for frame in np.arange(9.0, 55.0, 3.7):
            scene.frame_set(int(frame), subframe=float(frame % 1))
            result.append([*(key.value for key in head.shape_keys.key_blocks[1:]),
                           *head.armature.pose.bones["jaw"].rotation_quaternion])
        return np.array(result)

    before = shown()
    assert bpy.ops.artalk.push_take_to_nla() == {"FINISHED"}
    assert head.shape_keys.animation_data.action is None and head.armature.animation_data.action is None
    assert [len(owner.animation_data.nla_tracks) for owner in (head.shape_keys, head.armature)] == [1, 1]
    assert shown() == pytest.approx(before, abs=2e-5)
    assert retune(action, ProcessSettings(smooth=False, clamp=False, intensity=0.5)) == action
    assert shown()[:, 3] == pytest.approx(0.5 * before[:, 3], abs=2e-5)
    with pytest.raises(RuntimeError, match="does not play the take"):
        bpy.ops.artalk.push_take_to_nla()


def test_removing_a_pushed_take_removes_our_tracks_only(extension, scene, head, motion):
    own = bpy.data.actions.new("Own")
    slot = own.slots.new(id_type="KEY", name="own")
    bag = own.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
    bag.fcurves.new('key_blocks["shape_3"].value').keyframe_points.insert(1, 0.75)
    track = head.shape_keys.animation_data.nla_tracks.new()
    track.name = "Own"
    track.strips.new("Own", 1, own).action_slot = slot
    head.shape_keys.key_blocks["shape_4"].value = 0.25
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    strips = nla.push_take(action, head)
    assert all(strip.extrapolation == "HOLD_FORWARD" for strip in strips if strip.id_data == head.shape_keys)
    scene.frame_set(12)
    remove_take(action)
    scene.frame_set(12)
    assert [track.name for track in head.shape_keys.animation_data.nla_tracks] == ["Own"]
    assert not len(head.armature.animation_data.nla_tracks)
    values = [head.shape_keys.key_blocks[name].value for name in ("shape_3", "shape_4", "shape_5")]
    assert values == pytest.approx([0.75, 0.25, 0.0], abs=1e-6)


def test_generate_keeps_what_a_take_needs_later(extension, scene, head_file, speech):
    scene.render.fps, scene.render.fps_base = 30, 1.001
    bpy.ops.artalk.add_head(filepath=str(head_file))
    add_sound_strip(scene, speech, 31)
    scene.artalk.mode, scene.artalk.head, scene.artalk.silence_gate = "whole", "neck", 1.0
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    action = playing_take(find_head(bpy.context))
    kept = action[TAKE_KEY].to_dict()
    assert kept["strip"]["start"] == pytest.approx(31 * 1.001 / 30) and kept["strip"]["speed"] == 1.0
    assert len(loudness_of(action)) == len(raw_motion(action)) and isinstance(action[LOUDNESS_KEY], bytes)
    assert settings_of(action)[1] == Keying("whole", "neck", 0.5)
    frames = [key.co[0] for key in find_curve(action, ("OBJECT", 'pose.bones["neck"].rotation_quaternion', 1))
              .keyframe_points]
    assert all(frame == int(frame) for frame in frames)


def test_a_head_that_cannot_take_it_is_a_sentence_before_the_model_runs(extension, scene, head, speech):
    track = head.shape_keys.animation_data.nla_tracks.new()
    track.is_solo = True
    add_sound_strip(scene, speech, 1)
    with pytest.raises(RuntimeError, match="solo"):
        bpy.ops.artalk.generate_motion()
    assert not bpy.data.actions


def test_two_heads_keep_their_own_takes(take, scene, head, model, motion):
    other = build_head(model, bpy.context)
    new = new_take(other, motion, 1.0, 25.0, Provenance("two"), AS_IT_IS)
    bpy.context.view_layer.objects.active = head.mesh
    other.armature.select_set(False)
    assert playing_take(find_head(bpy.context)) == take
    bpy.ops.artalk.remove_take()
    assert other.shape_keys.animation_data.action == new and head.shape_keys.animation_data.action is None


def test_every_operator_can_be_undone():
    assert all({"REGISTER", "UNDO"} <= set(cls.bl_options) and cls.__doc__ for cls in CLASSES)
