# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators as a script or a render farm calls them: no window, the same code, blocking."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from artalk_blender.animation.takes import TAKE_KEY, raw_motion
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.head.build import find_head
from artalk_blender.ops.generate import disabled_reason


def test_add_head_and_generate_motion(extension, scene, head_file, speech):
    scene.render.fps, scene.render.fps_base = 24, 1.0
    assert bpy.ops.artalk.add_head(filepath=str(head_file)) == {"FINISHED"}
    strip = add_sound_strip(scene, speech, 13)
    scene.artalk.head_gain = 0.0
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    head = find_head(bpy.context)
    action = head.armature.animation_data.action
    kept = action[TAKE_KEY].to_dict()
    assert kept["start_frame"] == 13 and kept["scene_fps"] == 24 and kept["settings"]["head_gain"] == 0.0
    assert kept["audio_name"] == "speech" and kept["model_name"] == "default"
    assert len(raw_motion(action)) == pytest.approx(37.5, abs=1.5)
    assert np.allclose(head.armature.pose.bones["root"].rotation_quaternion, (1, 0, 0, 0))
    assert strip.name == "speech"
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    assert len([a for a in bpy.data.actions if TAKE_KEY in a]) == 2


def test_why_a_button_is_grey(extension, scene, head_file, speech):
    assert "head" in disabled_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.generate_motion()
    bpy.ops.artalk.add_head(filepath=str(head_file))
    assert "sound strip" in disabled_reason(bpy.context)
    add_sound_strip(scene, speech, 1)
    assert disabled_reason(bpy.context) == ""


def test_errors_are_reported_and_change_nothing(extension, scene, head_file, speech, tmp_path):
    damaged = tmp_path / "head.npz"
    damaged.write_bytes(b"nothing")
    objects = len(bpy.data.objects)
    with pytest.raises(RuntimeError, match=r"no readable .npz file"):
        bpy.ops.artalk.add_head(filepath=str(damaged))
    assert len(bpy.data.objects) == objects
    bpy.ops.artalk.add_head(filepath=str(head_file))
    add_sound_strip(scene, speech, 1)
    speech.write_bytes(b"nothing any more")
    with pytest.raises(RuntimeError, match="is not an audio file"):
        bpy.ops.artalk.generate_motion()
    assert not bpy.data.actions
