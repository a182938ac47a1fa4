# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound and lips together, for ten minutes at 29.97 frames a second; rotations in every mode."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from artalk_blender.engine.assets import DEFAULT_HEAD
from artalk_blender.engine.flame.file import read_flame
from conftest import write_wav
from mathutils import Euler, Quaternion

from artalk_blender.animation.channels import continuous_axis_angle, continuous_euler
from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.mouth import mouth_of
from artalk_blender.animation.take_data import curves_of
from artalk_blender.animation.takes import Provenance, new_take, raw_motion, retune
from artalk_blender.audio.samples import read_sound
from artalk_blender.audio.strip import add_sound_strip, read_strip, scene_rate
from artalk_blender.head.build import build_head
from artalk_blender.motion.process import ProcessSettings, axis_angle_to_quaternions
from artalk_blender.motion.resample import closures
from artalk_blender.motion.rotations import euler_to_quaternions, quaternions_to_axis_angle, turn_between
from artalk_blender.motion.timing import Keying

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)
RATE = 8000
JAW = ("OBJECT", 'pose.bones["jaw"].rotation_quaternion', 1)


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """Ten minutes of sound with a click every 6.28 s, on a motion frame, and their times."""
    times = np.arange(3.2, 599.0, 6.28)
    samples = np.zeros(600 * RATE, np.float32)
    for time in times:
        samples[round(time * RATE):][:20] = 0.9
    return write_wav(tmp_path_factory.mktemp("clicks") / "clicks.wav", samples, RATE), times


def first_of_each(samples, rate):
    """Seconds at which a click begins in (N,) samples."""
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    return loud[np.concatenate([[True], np.diff(loud) > rate])] / rate


@pytest.mark.parametrize("mode", ["exact", "whole"])
def test_sound_and_lips_are_within_40_ms_for_ten_minutes(scene, head, clicks, tmp_path, mode):
    """What Blender lets hear (its mixdown) against what it shows (the keyed jaw, on whole frames)."""
    path, times = clicks
    scene.render.fps, scene.render.fps_base = 30, 1.001
    strip = add_sound_strip(scene, path, 101)
    if hasattr(strip, "left_handle"):
        strip.left_handle += 37
    else:
        strip.frame_offset_start = 37
    audio = read_strip(strip, scene)
    heard_in_motion = first_of_each(audio.samples, 16000)
    motion = np.zeros((len(audio.samples) // 640, 106), np.float32)
    for time in heard_in_motion:  # the jaw opens most at the motion frame nearest to the click
        motion[round(time * 25) - 2 : round(time * 25) + 3, 103] = [0.1, 0.2, 0.3, 0.2, 0.1]
    action = new_take(head, motion, audio.start_frame, scene_rate(scene), Provenance(), AS_IT_IS, Keying(mode),
                      times=audio.times)
    scene.frame_start, scene.frame_end = 1, 101 + round(600 * 30 / 1.001)
    mixed = tmp_path / "mix.wav"
    bpy.ops.sound.mixdown(filepath=str(mixed), container="WAV", codec="PCM", format="S16")
    played = first_of_each(read_sound(mixed), 16000)
    assert len(played) == len(times) == len(heard_in_motion)
    jaw = find_curve(action, JAW)
    late = []
    for time in played:
        near = round(1 + time * 30 / 1.001) + np.arange(-6, 7)
        late.append((near[np.argmax([jaw.evaluate(frame) for frame in near])] - 1) * 1.001 / 30 - time)
    assert np.abs(late).max() <= 0.040
    assert abs(np.polyfit(played, late, 1)[0] * 600) < 0.004  # and it does not drift


@pytest.mark.parametrize("order", ["XYZ", "ZXY", "YZX"])
def test_euler_users_get_clean_euler_curves(scene, head, motion, order):
    for name in ("root", "jaw"):
        head.armature.pose.bones[name].rotation_mode = order
    turning = motion.copy()
    turning[:, 101] = np.linspace(-3.0, 8.0, len(motion))  # round and round
    action = new_take(head, turning, 1.0, 25.0, Provenance(), AS_IT_IS)
    paths = {path for kind, path, _ in curves_of(action) if kind == "OBJECT"}
    assert 'pose.bones["root"].rotation_euler' in paths
    assert not any("quaternion" in path for path in paths)
    for row in (0, 20, 59):
        scene.frame_set(1 + row)
        for name, channels in (("root", slice(100, 103)), ("jaw", slice(103, 106))):
            shown = head.armature.pose.bones[name].matrix_basis.to_quaternion()
            expected = Quaternion(axis_angle_to_quaternions(turning[row : row + 1, channels])[0])
            assert shown.rotation_difference(expected).angle < 2e-3
    curve = [find_curve(action, ("OBJECT", 'pose.bones["jaw"].rotation_euler', axis)) for axis in range(3)]
    keys = np.array([[key.co[1] for key in one.keyframe_points] for one in curve])
    assert np.abs(np.diff(keys, axis=1)).max() < 0.5
    assert retune(action, AS_IT_IS) == action


def test_axis_angle_curves_neither_flip_nor_jump(scene, head, motion):
    head.armature.pose.bones["jaw"].rotation_mode = "AXIS_ANGLE"
    swinging = motion.copy()
    swinging[:, 103:106] = 0
    swinging[:, 103] = 0.3 * np.sin(np.arange(60) / 5)
    swinging[30, 103] = 0.0
    action = new_take(head, swinging, 1.0, 25.0, Provenance(), AS_IT_IS)
    for row in range(0, 60, 7):
        scene.frame_set(1 + row)
        shown = head.armature.pose.bones["jaw"].matrix_basis.to_quaternion()
        assert 2 * shown.x == pytest.approx(2 * np.sin(swinging[row, 103] / 2), abs=1e-5)
    axis = find_curve(action, ("OBJECT", 'pose.bones["jaw"].rotation_axis_angle', 1))
    assert len(axis.keyframe_points) == 1  # the axis stands still; the angle goes below zero


def test_a_changed_rotation_mode_is_followed_by_retuning(scene, head, motion):
    action = new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    head.armature.pose.bones["jaw"].rotation_mode = "XYZ"
    assert retune(action, AS_IT_IS) == action
    assert find_curve(action, JAW) is None
    scene.frame_set(21)
    turn = head.armature.pose.bones["jaw"].matrix_basis.to_quaternion()
    assert turn.rotation_difference(Quaternion(axis_angle_to_quaternions(motion[20:21, 103:])[0])).angle < 2e-3


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_rotations_are_those_of_blender(order):
    angles = np.random.default_rng(3).uniform(-1.4, 1.4, (50, 3))
    ours = euler_to_quaternions(angles, order)
    theirs = np.array([Euler(one, order).to_quaternion() for one in angles.tolist()])
    assert np.abs(turn_between(theirs, ours)).max() < 1e-6
    back = euler_to_quaternions(continuous_euler(ours, order), order)
    assert np.abs(turn_between(back, ours)).max() < 1e-6
    turned = continuous_axis_angle(quaternions_to_axis_angle(ours))
    assert np.abs(turned[:, :1] * turned[:, 1:] - quaternions_to_axis_angle(ours)).max() < 1e-6


@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (24, 1.001), (30, 1.0), (60, 1.0)])
def test_closures_of_the_lips_survive_whole_frames(scene, fps, base):
    """Random speech-like motion on the default head: every closure is shown on a frame half a frame away at most."""
    head = build_head(read_flame(DEFAULT_HEAD), bpy.context)
    scene.render.fps, scene.render.fps_base = fps, base
    rate = fps / base
    random = np.random.default_rng(4)
    motion = np.zeros((250, 106), np.float32)
    motion[:, 103] = np.clip(0.15 + 0.15 * np.convolve(random.normal(size=254), np.ones(5) / 2, "valid"), 0.0, None)
    mouth = mouth_of(head)
    aperture = mouth.aperture(motion)
    closed = closures(aperture)
    alone = closed[(aperture[np.maximum(closed - 1, 0)] > 2e-3) & (aperture[np.minimum(closed + 1, 249)] > 2e-3)]
    assert len(alone) >= 5
    action = new_take(head, motion, 3.3, rate, Provenance(), AS_IT_IS, Keying("whole"))
    jaw = find_curve(action, JAW)
    frames = 3.3 + alone * rate / 25
    inside = (frames > 4) & (frames < 3.3 + 248 * rate / 25)
    for frame, row in zip(frames[inside], alone[inside], strict=True):
        nearest = np.floor(frame) + np.array([0, 1])
        shown = np.zeros((2, 106), np.float32)
        shown[:, 103] = [2 * np.arcsin(jaw.evaluate(one)) for one in nearest]
        assert mouth.aperture(shown).min() <= aperture[row] + 2e-5
    assert np.array_equal(raw_motion(action), motion)


def test_the_mouth_is_measured_as_the_engine_measures_it(scene):
    from artalk_blender.engine.flame.skinning import skin

    model = read_flame(DEFAULT_HEAD)
    head = build_head(model, bpy.context)
    random = np.random.default_rng(6)
    jaw = random.uniform(-0.1, 0.3, (20, 3))
    motion = np.concatenate([random.uniform(0, 0.4, (20, 100)), np.zeros((20, 3)), jaw], 1)
    lips = head.lip_vertices
    vertices = np.array(lips["upper"] + lips["lower"])
    expected = skin(model, motion[:, :100], jaw=motion[:, 103:], vertices=vertices)
    assert np.abs(mouth_of(head).points.positions(motion) - expected).max() < 1e-6
