# SPDX-License-Identifier: GPL-3.0-or-later
"""Styles from everywhere: presets, beside a model, captured from a head, files; what is not there is a sentence."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from artalk_blender import styles
from artalk_blender.animation.nla import playing_take
from artalk_blender.animation.take_data import STYLES_KEY, TAKE_KEY, kept_styles, noted, raw_motion, takes
from artalk_blender.animation.takes import Provenance, new_take
from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.errors import EngineError
from artalk_blender.head.handle import find_head
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.regeneration import RANGES


def test_presets_are_listed_and_read(scene):
    listed = styles.items(scene, "")
    assert [name for name, _, _ in listed] == [
        "default", "preset:neutral", "preset:lively", "preset:calm", "preset:happy", "preset:angry", "file"]
    for identifier, _, _ in listed[1:-1]:
        assert styles.motion_of(identifier, scene, "", "").shape == (50, 106)
    assert styles.motion_of("default", scene, "", "") is None


def test_files_beside_a_model_are_listed(scene, tmp_path, motion):
    (tmp_path / "style_motion").mkdir()
    np.save(tmp_path / "style_motion" / "natural_0.npy", motion[:50])
    (tmp_path / "config.json").write_text("{}")
    np.save(tmp_path / "huge.npy", np.zeros(1 << 18))
    assert [name for name, _, _ in styles.items(scene, str(tmp_path))].count("model:natural_0.npy") == 1
    assert "model:huge.npy" not in [name for name, _, _ in styles.items(scene, str(tmp_path))]
    assert np.array_equal(styles.motion_of("model:natural_0.npy", scene, str(tmp_path), ""), motion[:50])


def test_a_captured_style_is_the_heads_motion_and_stays_in_the_file(scene, extension, head, motion, tmp_path):
    scene.render.fps = 25
    new_take(head, motion, 11, 25.0, Provenance(), ProcessSettings(smooth=False, clamp=False))
    scene.frame_set(13)
    assert bpy.ops.artalk.capture_style(name="Ann") == {"FINISHED"}
    assert scene.artalk.style == "captured:Ann"
    found = styles.motion_of("captured:Ann", scene, "", "")
    assert np.abs(found - motion[2:52]).max() < 1e-4
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "styles.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "styles.blend"))
    assert np.array_equal(styles.motion_of(bpy.context.scene.artalk.style, bpy.context.scene, "", ""), found)


def test_a_style_changes_the_motion_and_is_noted(scene, extension, head, speech):
    add_sound_strip(scene, speech, 1)
    made = {}
    for style, strength in (("default", 1.1), ("preset:lively", 1.1), ("preset:lively", 0.0)):
        scene.artalk.style, scene.artalk.style_strength = style, strength
        assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
        take = playing_take(find_head(bpy.context))
        made[style, strength] = raw_motion(take)
        assert take[TAKE_KEY]["style"] == ("" if style == "default" else style)
    assert np.abs(made["preset:lively", 1.1] - made["default", 1.1]).max() > 0.01
    assert np.abs(made["preset:lively", 0.0] - made["default", 1.1]).max() < 1e-4


@pytest.mark.parametrize(("identifier", "file", "sentence"), [
    ("file", "", "No style file is chosen"), ("file", "/nowhere/style.npy", "There is no style file"),
    ("captured:Bob", "", "is not in this file"), ("preset:sleepy", "", "“sleepy” is not there"),
])
def test_what_is_not_there_is_a_sentence(scene, identifier, file, sentence):
    with pytest.raises(EngineError, match=sentence):
        styles.motion_of(identifier, scene, "", file)


def test_damaged_styles_are_a_sentence(scene):
    scene[styles.STYLES_KEY] = {"short": [1.0, 2.0]}
    with pytest.raises(EngineError, match="is not in this file"):
        styles.motion_of("captured:short", scene, "", "")


def made(scene, style, **settings):
    """The raw motion and the take of a line that is generated in a style."""
    scene.artalk.style = style
    for name, value in settings.items():
        setattr(scene.artalk, name, value)
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    take = playing_take(find_head(bpy.context))
    return raw_motion(take), take


def test_a_take_keeps_its_style_and_is_made_again_when_the_style_has_gone(scene, extension, head, speech, motion,
                                                                          tmp_path):
    add_sound_strip(scene, speech, 1)
    styles.keep(scene, "Ann", 3.0 * motion[:50])
    first, take = made(scene, "captured:Ann", style_strength=1.5)
    plain, _ = made(scene, "default")
    assert np.abs(first - plain).max() > 0.01
    assert take[TAKE_KEY]["style"] == "captured:Ann" and take[TAKE_KEY]["style_strength"] == 1.5
    scene.artalk.style = "captured:Ann"
    path = str(tmp_path / "old.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    scene = bpy.context.scene
    del scene[styles.STYLES_KEY]
    assert scene.artalk.style == "captured:Ann" and "captured:Ann" in [name for name, _, _ in styles.items(scene, "")]
    again, other = made(scene, "captured:Ann")
    assert np.array_equal(again, first)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 5, 25
    assert bpy.ops.artalk.regenerate_range(in_place=True) == {"FINISHED"}
    assert noted(other, RANGES, [])[0]["style"] == "captured:Ann"
    for action in takes():  # with the last of them the style has gone, and that is said
        bpy.data.actions.remove(action)
    with pytest.raises(EngineError, match="style"):
        styles.chosen(scene, "")


def test_a_range_in_another_style_keeps_both_styles(scene, extension, head, speech):
    add_sound_strip(scene, speech, 1)
    made(scene, "preset:lively")
    scene.artalk.style = "preset:calm"
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 5, 25
    assert bpy.ops.artalk.regenerate_range() == {"FINISHED"}
    take = playing_take(find_head(bpy.context))
    assert set(kept_styles(take)) == {"preset:lively", "preset:calm"}
    assert np.array_equal(kept_styles(take)["preset:calm"], styles.motion_of("preset:calm", scene, "", ""))


def test_a_style_of_a_file_that_is_gone_is_offered_by_its_take(scene, extension, head, speech, motion, tmp_path):
    add_sound_strip(scene, speech, 1)
    np.save(tmp_path / "ann.npy", motion[:50])
    first, take = made(scene, "file", style_file=str(tmp_path / "ann.npy"))
    assert scene.artalk.style == "file"  # whatever else the list offers now
    (tmp_path / "ann.npy").unlink()
    assert ("take:ann.npy", "ann.npy") in [item[:2] for item in styles.items(scene, "")]
    again, _ = made(scene, "take:ann.npy")
    assert np.array_equal(again, first)
    take[STYLES_KEY]["ann.npy"] = b"damaged"
    assert kept_styles(take) == {}
