# SPDX-License-Identifier: GPL-3.0-or-later
"""Retuning, removing, renaming takes: only what is ours changes, and what was there before comes back."""

from __future__ import annotations

from contextlib import suppress

import bpy
import numpy as np
import pytest

from artalk_blender.animation import fcurves
from artalk_blender.animation.fcurves import find_curve
from artalk_blender.animation.takes import (
    MOTION_KEY,
    TAKE_KEY,
    Provenance,
    curves_of,
    duplicate_take,
    is_edited,
    new_take,
    play_take,
    raw_motion,
    remove_take,
    rename_take,
    retune,
    settings_of,
    simplify_take,
)
from artalk_blender.errors import EngineError
from artalk_blender.head.build import build_head, find_head, head_of
from artalk_blender.motion.process import ProcessSettings, process_motion
from artalk_blender.motion.timing import Keying

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)
FACE = ("KEY", 'key_blocks["shape_3"].value', 0)


def values(action, place=FACE):
    keys = find_curve(action, place).keyframe_points
    result = np.empty(2 * len(keys), np.float32)
    keys.foreach_get("co", result)
    return result.reshape(-1, 2)[:, 1]


def curve_facts(curve):
    keys = [(tuple(k.co), tuple(k.handle_left), tuple(k.handle_right), k.interpolation, k.handle_left_type)
            for k in curve.keyframe_points]
    return curve.data_path, curve.array_index, curve.mute, curve.extrapolation, keys, [m.type for m in curve.modifiers]


def snapshot():
    """Everything animated in the file that is not a take: Actions, what plays where, NLA, drivers, key values."""
    facts = {}
    for action in bpy.data.actions:
        if TAKE_KEY not in action:
            bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
            facts["action", action.name] = (action.use_fake_user, [slot.identifier for slot in action.slots],
                                            [curve_facts(curve) for bag in bags for curve in bag.fcurves])
    for owner in (*bpy.data.objects, *bpy.data.shape_keys):
        data = owner.animation_data
        if data is not None:
            facts["data", owner.name] = (
                data.action.name if data.action else None, data.action_slot.identifier if data.action_slot else None,
                data.use_nla, data.action_blend_type, data.action_influence,
                [(track.name, track.mute, track.is_solo, [
                    (strip.name, strip.action.name, strip.frame_start, strip.frame_end, strip.blend_type)
                    for strip in track.strips]) for track in data.nla_tracks],
                [(d.data_path, d.driver.expression, [curve_facts(d)]) for d in data.drivers])
    for key in bpy.data.shape_keys:
        facts["keys", key.name] = [(block.name, round(block.value, 6), block.mute) for block in key.key_blocks]
    for thing in bpy.data.objects:
        if thing.type == "ARMATURE":
            facts["pose", thing.name] = [
                (bone.name, bone.rotation_mode, *np.round([*bone.rotation_quaternion, *bone.location], 6))
                for bone in thing.pose.bones]
    return facts


def artist_action(owner, kind, path, name):
    """An Action by hand that plays on a data-block."""
    action = bpy.data.actions.new(name)
    slot = action.slots.new(id_type=kind, name="mine")
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    curve = strip.channelbag(slot, ensure=True).fcurves.new(path, index=0)
    curve.keyframe_points.insert(1, 0.25)
    curve.keyframe_points.insert(20, 0.5)
    data = owner.animation_data or owner.animation_data_create()
    data.action, data.action_slot = action, slot
    return action


@pytest.fixture
def busy_head(scene, head):
    """A head on which an artist has worked: Actions on face and bones, an NLA track, a driver, a key of their own."""
    other = bpy.data.actions.new("In the NLA")
    slot = other.slots.new(id_type="KEY", name="nla")
    strip = other.layers.new("Layer").strips.new(type="KEYFRAME")
    strip.channelbag(slot, ensure=True).fcurves.new('key_blocks["shape_50"].value').keyframe_points.insert(1, 0.1)
    data = head.shape_keys.animation_data
    track = data.nla_tracks.new()
    track.name = "Mine"
    track.strips.new("Mine", 1, other).action_slot = slot
    own = head.mesh.shape_key_add(name="Scar", from_mix=False)
    own.value = 0.4
    own.driver_add("value").driver.expression = "frame / 100"
    artist_action(head.shape_keys, "KEY", 'key_blocks["shape_0"].value', "Face by hand")
    artist_action(head.armature, "OBJECT", "location", "Body by hand")
    head.shape_keys.key_blocks["shape_9"].value = 0.125  # posed without a key
    scene.frame_set(3)
    return head


def test_making_and_removing_a_take_changes_nothing_else(scene, busy_head, motion):
    before = snapshot()
    action = new_take(busy_head, motion, 1.0, 25.0, Provenance("line"))
    scene.frame_set(17)
    during = snapshot()
    kept = [key for key in before if key[0] in ("action",)]
    assert [during[key][1:] for key in kept] == [before[key][1:] for key in kept]
    assert busy_head.shape_keys.animation_data.action == action
    assert during["data", busy_head.shape_keys.name][5:] == before["data", busy_head.shape_keys.name][5:]
    remove_take(action)
    scene.frame_set(3)
    assert snapshot() == before


def test_removing_puts_the_values_of_an_unanimated_head_back(scene, head, motion):
    head.shape_keys.key_blocks["shape_5"].value = 0.3
    head.armature.pose.bones["jaw"].rotation_quaternion = (0.8, 0.6, 0.0, 0.0)
    scene.frame_set(1)  # driven correctives follow the jaw
    before = snapshot()
    first = new_take(head, motion, 1.0, 25.0, Provenance("a"))
    scene.frame_set(20)
    second = new_take(head, motion, 1.0, 25.0, Provenance("b"))
    scene.frame_set(30)
    remove_take(first)
    remove_take(second)
    scene.frame_set(1)
    head = find_head(bpy.context)
    assert head.shape_keys.animation_data.action is None
    after = snapshot()
    assert [after[key] for key in before if key[0] in ("keys", "pose")] == [
        before[key] for key in before if key[0] in ("keys", "pose")]


def test_removing_brings_back_the_take_before(scene, head, motion):
    first = new_take(head, motion, 1.0, 25.0, Provenance("a"))
    second = new_take(head, motion, 1.0, 25.0, Provenance("b"))
    rename_take(first, "Best of all")
    remove_take(second)
    assert head.shape_keys.animation_data.action == first
    assert head.armature.animation_data.action_slot.target_id_type == "OBJECT"
    with pytest.raises(EngineError, match="no take"):
        remove_take(bpy.data.actions.new("Other"))


def test_one_undo_takes_a_whole_take_back(scene, busy_head, motion):
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    before = snapshot()
    new_take(busy_head, motion, 1.0, 25.0, Provenance("line"))
    bpy.ops.ed.undo_push(message="take")
    bpy.ops.ed.undo()
    bpy.context.scene.frame_set(3)
    assert snapshot() == before
    assert not [action for action in bpy.data.actions if TAKE_KEY in action]
    bpy.ops.ed.redo()
    take = next(action for action in bpy.data.actions if TAKE_KEY in action)
    assert np.array_equal(raw_motion(take), motion) and not is_edited(take)


@pytest.mark.parametrize("settings", [ProcessSettings(smooth=True, head_gain=0.25), ProcessSettings(head_gain=0.0)])
def test_retune_is_the_same_as_a_new_take_with_those_settings(scene, head, motion, settings):
    action = new_take(head, motion, 7.0, 24.0, Provenance("line"), AS_IT_IS)
    count = len(bpy.data.actions)
    assert retune(action, settings) == action and len(bpy.data.actions) == count
    fresh = new_take(head, motion, 7.0, 24.0, Provenance("line"), settings)
    assert curves_of(action) == curves_of(fresh)
    assert all(curve_facts(find_curve(action, place)) == curve_facts(find_curve(fresh, place))
               for place in curves_of(fresh))
    assert settings_of(action)[0] == settings and not is_edited(action)


def test_retune_shows_at_once(scene, head, motion):
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    scene.frame_set(11)
    retune(action, ProcessSettings(smooth=True))
    expected = process_motion(motion, ProcessSettings(smooth=True))[10, 3]
    bpy.context.view_layer.update()
    scene.frame_set(11)
    assert head.shape_keys.key_blocks["shape_3"].value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("edit", ["move", "delete", "handle", "constant", "add", "remove"])
def test_keys_edited_by_hand_are_never_lost(scene, head, motion, edit):
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    curve = find_curve(action, FACE)
    if edit == "move":
        curve.keyframe_points[10].co_ui[1] += 0.5
    elif edit == "delete":
        curve.keyframe_points.remove(curve.keyframe_points[4])
    elif edit == "handle":
        curve.keyframe_points[10].handle_left_type = "FREE"
        curve.keyframe_points[10].handle_left[1] += 0.1
    elif edit == "constant":
        curve.keyframe_points[10].interpolation = "CONSTANT"
    elif edit == "add":
        curve.keyframe_points.insert(3.3, 1.0)
    else:
        fcurves.remove_curves(action, [FACE])
    by_hand = [curve_facts(find_curve(action, place)) for place in curves_of(action) if find_curve(action, place)]
    assert is_edited(action)
    result = retune(action, ProcessSettings(head_gain=0.5))
    assert result != action and not is_edited(result)
    assert [curve_facts(find_curve(action, place)) for place in curves_of(action)
            if find_curve(action, place)] == by_hand
    assert head.shape_keys.animation_data.action == result
    assert values(result) == pytest.approx(process_motion(motion, ProcessSettings())[:, 3], abs=1e-6)
    remove_take(result)
    assert head.shape_keys.animation_data.action == action


def test_the_artists_own_curves_in_a_take_stay(scene, head, motion):
    """Keys on an eye, put by hand into the take's Action, belong to the artist."""
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    eye = head.armature.pose.bones["eye_left"]
    eye.rotation_quaternion = (0.8, 0.6, 0.0, 0.0)
    eye.keyframe_insert("rotation_quaternion", frame=4)
    place = ("OBJECT", 'pose.bones["eye_left"].rotation_quaternion', 1)
    find_curve(action, FACE).modifiers.new("NOISE")
    before = curve_facts(find_curve(action, place))
    assert not is_edited(action)
    assert retune(action, ProcessSettings(head_gain=0.5), Keying(head="off")) == action
    assert curve_facts(find_curve(action, place)) == before
    assert [modifier.type for modifier in find_curve(action, FACE).modifiers] == ["NOISE"]


def test_a_take_is_retuned_in_another_file_without_the_model(scene, head, model, motion, tmp_path):
    loud = np.linspace(0, 1, len(motion)).astype(np.float32)
    new_take(head, motion, 5.0, 24.0, Provenance("line", strip={"start": 1.0, "end": 3.0, "offset": 0.5}), AS_IT_IS,
             loudness=loud).name = "Keep me"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    other = build_head(model, bpy.context, "Someone else")
    with bpy.data.libraries.load(str(tmp_path / "a.blend")) as (there, here):
        here.actions = [name for name in there.actions if name == "Keep me"]
    action = bpy.data.actions["Keep me"]
    assert action[TAKE_KEY]["strip"].to_dict() == {"start": 1.0, "end": 3.0, "offset": 0.5}
    assert retune(action, ProcessSettings(head_gain=0.5)) == action
    play_take(action, other)
    bpy.context.scene.frame_set(5)
    assert other.shape_keys.key_blocks["shape_3"].value == pytest.approx(
        process_motion(motion, ProcessSettings())[0, 3], abs=1e-5)


def test_a_copy_is_a_take_of_its_own(scene, head, motion):
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    copy = duplicate_take(action, "Softer")
    assert copy.name == "Softer" and copy[TAKE_KEY]["id"] != action[TAKE_KEY]["id"]
    retune(copy, ProcessSettings(head_gain=0.0), head=head)
    assert not is_edited(action) and settings_of(action)[0] == AS_IT_IS
    assert head.shape_keys.animation_data.action == action
    play_take(copy, head)
    remove_take(action)
    assert head.shape_keys.animation_data.action == copy
    remove_take(copy)
    assert head.shape_keys.animation_data.action is None
    with pytest.raises(EngineError, match="name"):
        rename_take(new_take(head, motion, 1.0, 25.0, Provenance()), "  ")


@pytest.mark.parametrize(("target", "turning", "still"), [
    ("root", "root", "neck"), ("neck", "neck", "root"), ("off", None, "root")])
def test_the_head_turns_with_the_bone_that_was_chosen(scene, head, motion, target, turning, still):
    action = new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    scene.frame_set(20)
    retune(action, AS_IT_IS, Keying(head=target))
    scene.frame_set(20)
    bones = head.armature.pose.bones
    assert tuple(bones[still].rotation_quaternion) == pytest.approx((1, 0, 0, 0), abs=1e-6)
    if turning:
        angle = np.linalg.norm(motion[19, 100:103])
        assert bones[turning].rotation_quaternion.angle == pytest.approx(angle, abs=1e-4)
    assert bones["jaw"].rotation_quaternion.angle > 0.01


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_shared_rotation_adds_up_to_the_whole(scene, head, motion, share):
    from mathutils import Quaternion

    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS, Keying(head="shared", neck_share=share))
    scene.frame_set(20)
    bones = head.armature.pose.bones
    whole = bones["root"].rotation_quaternion @ bones["neck"].rotation_quaternion
    turn = motion[19, 100:103].astype(float)
    expected = Quaternion(turn / np.linalg.norm(turn), np.linalg.norm(turn))
    assert whole.rotation_difference(expected).angle < 1e-3
    assert bones["neck"].rotation_quaternion.angle == pytest.approx(share * np.linalg.norm(turn), abs=1e-3)


@pytest.mark.parametrize("kind", ["KEY", "OBJECT"])
def test_tweak_mode_and_solo_tracks_are_a_sentence(scene, head, motion, kind):
    owner = head.shape_keys if kind == "KEY" else head.armature
    path = 'key_blocks["shape_0"].value' if kind == "KEY" else "location"
    action = artist_action(owner, kind, path, "Mine")
    data = owner.animation_data
    data.action = None
    track = data.nla_tracks.new()
    track.strips.new("Mine", 1, action).action_slot = action.slots[0]
    track.mute = True
    take = new_take(head, motion, 1.0, 25.0, Provenance())
    remove_take(take)
    track.mute = False
    track.is_solo = True
    before = snapshot()
    with pytest.raises(EngineError, match="solo"):
        new_take(head, motion, 1.0, 25.0, Provenance())
    track.is_solo = False
    data.nla_tracks.active = track
    track.strips[0].select = True
    data.use_tweak_mode = True
    if data.use_tweak_mode:
        with pytest.raises(EngineError, match="tweak"):
            new_take(head, motion, 1.0, 25.0, Provenance())
        data.use_tweak_mode = False
    track.is_solo = True
    assert snapshot() == before


@pytest.fixture
def library(scene, head, tmp_path):
    """A .blend whose collection “Face” holds a head."""
    collection = bpy.data.collections.new("Face")
    scene.collection.children.link(collection)
    for thing in (head.armature, head.mesh):
        collection.objects.link(thing)
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(path), link=True) as (_, here):
        here.collections = ["Face"]
    return bpy.data.collections["Face"]


def test_a_linked_head_is_a_sentence(library, motion):
    bpy.context.scene.collection.children.link(library)
    head = next(filter(None, map(head_of, library.objects)))
    with pytest.raises(EngineError, match="linked"):
        new_take(head, motion, 1.0, 25.0, Provenance())
    assert not bpy.data.actions


def test_an_overridden_head_speaks(library, motion):
    scene = bpy.context.scene
    scene.collection.children.link(library)
    override = library.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    head = next(filter(None, map(head_of, override.all_objects)))
    assert head.armature.override_library is not None
    action = new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    scene.frame_set(12)
    bpy.context.view_layer.update()
    shown = head.shape_keys.key_blocks["shape_3"].value
    assert shown == pytest.approx(motion[11, 3], abs=1e-5)
    assert head.armature.pose.bones["jaw"].rotation_quaternion.angle > 0.01
    remove_take(action)
    assert head.shape_keys.animation_data.action is None


@pytest.mark.parametrize("damage", [
    {"before": "{"}, {"curves": "[1, 2]"}, {"before": 3, "curves": "null", "digest": 7}, {"times": "never"},
    {"settings": {"intensity": -5.0}}, {"keying": {"mode": "sideways"}},
    {"times": {"seconds": [1, 0], "frames": [0, 1]}},
])
def test_a_damaged_take_is_a_sentence_or_works(scene, head, motion, damage):
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    for key, value in damage.items():
        action[TAKE_KEY][key] = value
    for change in (lambda: retune(action, AS_IT_IS), lambda: simplify_take(action), lambda: settings_of(action)):
        with suppress(EngineError):
            change()
    remove_take(action)
    assert action not in list(bpy.data.actions)


def test_a_take_that_lost_its_motion_is_a_sentence(scene, head, motion):
    action = new_take(head, motion, 1.0, 25.0, Provenance("line"), AS_IT_IS)
    for broken in (b"123", np.full(106, np.nan, "<f4").tobytes(), "text"):
        del action[MOTION_KEY]  # else Blender cuts the new bytes off at the first zero
        action[MOTION_KEY] = broken
        with pytest.raises(EngineError, match="lost its motion"):
            retune(action, AS_IT_IS)
