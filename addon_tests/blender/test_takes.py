# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: slots, keys at their time, provenance, raw motion kept, nothing of the artist's touched."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from artalk_blender.animation.takes import MOTION_KEY, TAKE_KEY, Provenance, is_take, new_take, raw_motion
from artalk_blender.compat import ensure_channelbag
from artalk_blender.motion.process import ProcessSettings, axis_angle_to_quaternions, process_motion

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)


def curve(action, slot_type, path, index=0):
    slot = next(slot for slot in action.slots if slot.target_id_type == slot_type)
    return ensure_channelbag(action, slot).fcurves.find(path, index=index)


@pytest.mark.parametrize("fps", [25.0, 24.0, 30 / 1.001])
def test_keys_evaluate_to_the_motion_at_their_time(scene, head, motion, fps):
    action = new_take(head, motion, 7.0, fps, Provenance("line"), AS_IT_IS)
    frames = 7.0 + np.arange(len(motion)) * fps / 25
    quaternions = axis_angle_to_quaternions(motion[:, 103:106])
    jaw = [curve(action, "OBJECT", 'pose.bones["jaw"].rotation_quaternion', i) for i in range(4)]
    for channel in (0, 7, 99):
        name = bpy.utils.escape_identifier(head.expression_keys[channel])
        expression = curve(action, "KEY", f'key_blocks["{name}"].value')
        assert len(expression.keyframe_points) == len(motion)
        assert [expression.evaluate(frame) for frame in frames] == pytest.approx(motion[:, channel], abs=2e-5)
    for component, quaternion in zip(jaw, quaternions.T, strict=True):
        assert [component.evaluate(frame) for frame in frames] == pytest.approx(quaternion, abs=2e-5)


def test_curves_never_overshoot_between_keys(scene, head, motion):
    action = new_take(head, motion, 1.0, 60.0, Provenance(), AS_IT_IS)
    values = curve(action, "KEY", 'key_blocks["shape_3"].value')
    between = [values.evaluate(frame) for frame in np.arange(1.0, 140.0, 0.25)]
    assert max(between) <= motion[:, 3].max() + 1e-6
    assert min(between) >= motion[:, 3].min() - 1e-6


def test_a_quick_movement_keeps_its_height_between_keys(scene, head):
    """A 5 Hz syllable at 60 fps: straight lines would lose up to a fifth of it."""
    time = np.arange(50) / 25
    motion = np.zeros((50, 106), np.float32)
    motion[:, 0] = np.sin(2 * np.pi * 5 * time + 0.3)
    action = new_take(head, motion, 0.0, 60.0, Provenance(), AS_IT_IS)
    values = curve(action, "KEY", 'key_blocks["shape_0"].value')
    frames = np.arange(5, 110, 0.5)
    error = np.array([values.evaluate(f) for f in frames]) - np.sin(2 * np.pi * 5 * frames / 60 + 0.3)
    line = np.interp(frames / 60, time, motion[:, 0]) - np.sin(2 * np.pi * 5 * frames / 60 + 0.3)
    assert np.sqrt((error**2).mean()) < np.sqrt((line**2).mean())


def test_one_action_with_a_slot_for_the_face_and_one_for_the_bones(scene, head, motion):
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"))
    assert sorted(slot.target_id_type for slot in action.slots) == ["KEY", "OBJECT"]
    assert head.shape_keys.animation_data.action == action
    assert head.armature.animation_data.action == action
    assert head.shape_keys.animation_data.action_slot.target_id_type == "KEY"
    assert head.armature.animation_data.action_slot.target_id_type == "OBJECT"


def test_constant_channels_get_a_single_key(scene, head):
    motion = np.zeros((20, 106), np.float32)
    motion[:, 1] = 0.5
    action = new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    assert len(curve(action, "KEY", 'key_blocks["shape_0"].value').keyframe_points) == 1
    assert curve(action, "KEY", 'key_blocks["shape_1"].value').evaluate(12) == 0.5


def test_raw_motion_and_provenance_are_kept(scene, head, motion):
    provenance = Provenance("line", "//line.wav", "ab" * 32, "default", "cd" * 32, settings={"device": "cpu"})
    settings = ProcessSettings(head_gain=0.5)
    action = new_take(head, motion, 3.0, 24.0, provenance, settings)
    assert is_take(action)
    assert np.array_equal(raw_motion(action), motion)
    kept = action[TAKE_KEY].to_dict()
    assert (kept["audio_sha256"], kept["model_name"], kept["start_frame"]) == ("ab" * 32, "default", 3.0)
    assert kept["settings"] == {**settings.as_dict(), "device": "cpu"}
    assert isinstance(action[MOTION_KEY], bytes)
    first = axis_angle_to_quaternions(process_motion(motion, settings)[:, 100:103])[0]
    root = [curve(action, "OBJECT", 'pose.bones["root"].rotation_quaternion', i).evaluate(3.0) for i in range(4)]
    assert root == pytest.approx(first, abs=1e-6)


def test_a_new_take_leaves_earlier_actions_alone(scene, head, motion, tmp_path):
    own = bpy.data.actions.new("By hand")
    slot = own.slots.new(id_type="KEY", name="mine")
    by_hand = ensure_channelbag(own, slot).fcurves.new('key_blocks["shape_0"].value')
    by_hand.keyframe_points.add(1)
    by_hand.keyframe_points[0].co = (5, 0.75)
    data = head.shape_keys.animation_data_create()
    data.action, data.action_slot = own, slot
    first = new_take(head, motion, 1.0, 25.0, Provenance("a"))
    second = new_take(head, motion[:30], 1.0, 25.0, Provenance("a"))
    assert first != second
    assert len(curve(first, "KEY", 'key_blocks["shape_1"].value').keyframe_points) == len(motion)
    assert [tuple(key.co) for key in by_hand.keyframe_points] == [(5, 0.75)]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert {"By hand", "ARTalk a", "ARTalk a.001"} == {action.name for action in bpy.data.actions}


def test_quaternion_signs_are_continuous(motion):
    turning = np.zeros((200, 3))
    turning[:, 1] = np.linspace(-4.0, 9.0, 200)
    quaternions = axis_angle_to_quaternions(turning)
    assert np.linalg.norm(quaternions, axis=1) == pytest.approx(np.ones(200))
    assert ((quaternions[1:] * quaternions[:-1]).sum(1) > 0.9).all()


def test_empty_motion_is_a_take_without_movement(scene, head):
    action = new_take(head, np.zeros((0, 106), np.float32), 1.0, 25.0, Provenance())
    assert len(raw_motion(action)) == 0
