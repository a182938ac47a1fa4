# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion out of an animated head and in from files: round trips, whatever plays it, nothing else touched."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from artalk_blender.engine.files import read_motion, write_motion
from artalk_blender.engine.motion_files import read_motion_file
from artalk_blender.engine.rotations import chained, to_quaternions
from flame_pickles import chumpy, flame_dict, python2

from artalk_blender.animation.read_head import animated_range, is_plain, read_head, read_in_steps
from artalk_blender.animation.takes import MOTION_KEY, TAKE_KEY, Provenance, is_take, new_take, raw_motion
from artalk_blender.errors import EngineError
from artalk_blender.head.build import find_head, head_of
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.motion.timing import Keying

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)
EXACT = 1e-5


def turn_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest angle between rotations (T,3), radians."""
    cosine = np.abs((to_quaternions(one) * to_quaternions(other)).sum(1))
    return float(2 * np.sqrt(2 * np.maximum(1 - cosine, 0)).max() / 2)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("fps", [25.0, 24.0, 30 / 1.001, 60.0])
def test_a_take_comes_back_as_it_was(scene, head, motion, fps, direct):
    new_take(head, motion, 7.0, fps, Provenance(), AS_IT_IS)
    last = 7.0 + (len(motion) - 1) * fps / 25
    found = read_head(head, scene, 7.0, last, fps, direct)
    assert found.motion.shape == (60, 106) and found.direct == direct
    assert np.abs(found.motion - motion).max() < EXACT
    assert not found.neck_moves and not found.eyes_move and np.array_equal(found.joined(), found.motion)
    assert animated_range(head) == pytest.approx((7.0, last), abs=1e-3)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZXY", "AXIS_ANGLE"])
@pytest.mark.parametrize("target", ["root", "neck", "shared"])
def test_any_rotation_mode_and_head_target(scene, head, motion, target, mode, direct):
    for bone in head.armature.pose.bones:
        bone.rotation_mode = mode
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS, Keying(head=target))
    found = read_head(head, scene, 1.0, 60.0, 25.0, direct)
    assert np.abs(found.joined() - motion).max() < EXACT
    assert found.neck_moves == (target != "root")
    if target == "shared":
        assert np.abs(found.neck - motion[:, 100:103] / 2).max() < EXACT
    if target == "neck":
        assert np.abs(found.motion[:, 100:103]).max() < EXACT


def test_a_turn_beyond_half_a_circle_is_one_turn(scene, head):
    motion = np.zeros((100, 106), np.float32)
    motion[:, 101] = np.linspace(-1.0, 5.0, 100)
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    for direct in (True, False):
        assert np.abs(read_head(head, scene, 1.0, 100.0, 25.0, direct).motion - motion).max() < EXACT


def hand_animate(head, bones=("root", "neck", "jaw", "eye_left", "eye_right")):
    """As an artist does it: keys by the dozen, in three rotation modes."""
    random = np.random.default_rng(5)
    for number, name in enumerate(bones):
        bone = head.armature.pose.bones[name]
        bone.rotation_mode = ("QUATERNION", "YZX", "AXIS_ANGLE")[number % 3]
        for frame in (3, 11, 24, 40):
            if bone.rotation_mode == "QUATERNION":
                bone.rotation_quaternion = (2.0, *random.normal(0, 0.4, 3))  # nobody keeps them normal
                bone.keyframe_insert("rotation_quaternion", frame=frame)
            elif bone.rotation_mode == "AXIS_ANGLE":
                bone.rotation_axis_angle = (random.normal(0, 0.5), *random.normal(0, 1.0, 3))
                bone.keyframe_insert("rotation_axis_angle", frame=frame)
            else:
                bone.rotation_euler = random.normal(0, 0.4, 3)
                bone.keyframe_insert("rotation_euler", frame=frame)
    for name in head.expression_keys[::9]:
        key = head.shape_keys.key_blocks[name]
        for frame in (3, 20, 40):
            key.value = random.normal(0, 2)
            key.keyframe_insert("value", frame=frame)


def both(head, scene, first, last, fps=24.0):
    """The motion read both ways, which must agree."""
    evaluated, curves = (read_head(head, scene, first, last, fps, direct) for direct in (False, True))
    assert np.abs(evaluated.motion[:, :100] - curves.motion[:, :100]).max() < EXACT
    assert turn_apart(evaluated.motion[:, 100:103], curves.motion[:, 100:103]) < 1e-4
    for name in ("neck", "eyes"):
        assert np.abs(getattr(evaluated, name) - getattr(curves, name)).max() < 5e-5
    return evaluated


def test_curves_and_evaluation_agree_on_what_a_hand_made(scene, head):
    hand_animate(head)
    assert is_plain(head, scene) and animated_range(head) == (3, 40)
    found = both(head, scene, 3, 40)
    assert found.neck_moves and found.eyes_move and len(found.motion) == 39
    head.shape_keys.key_blocks[head.expression_keys[9]].mute = True
    head.shape_keys.key_blocks[head.expression_keys[18]].slider_max = 0.25
    again = both(head, scene, 3, 40)
    assert not again.motion[:, 9].any() and again.motion[:, 18].max() <= 0.25 and found.motion[:, 9].any()


def test_unkeyed_values_count_and_stay(scene, head, motion):
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    scene.frame_set(20, subframe=0.25)
    jaw, key = head.armature.pose.bones["jaw"], head.shape_keys.key_blocks[head.expression_keys[2]]
    head.armature.pose.bones["eye_left"].rotation_quaternion = (0.9, 0.1, 0.3, 0)
    jaw.rotation_quaternion, key.value = (1, 0, 0, 0), 4.0  # unkeyed changes on keyed properties
    before = (len(bpy.data.scenes), scene.frame_current, scene.frame_subframe, list(head.armature.users_scene),
              bpy.context.view_layer.objects.active, len(bpy.data.actions), len(bpy.data.objects))
    for direct in (True, False):
        found = read_head(head, scene, 1.0, 60.0, 25.0, direct)
        assert np.abs(found.motion - motion).max() < EXACT
        assert found.eyes_move and np.abs(found.eyes[:, 3:]).max() < 1e-6
    assert tuple(jaw.rotation_quaternion) == (1, 0, 0, 0) and key.value == 4.0
    assert before == (len(bpy.data.scenes), scene.frame_current, scene.frame_subframe, list(head.armature.users_scene),
                      bpy.context.view_layer.objects.active, len(bpy.data.actions), len(bpy.data.objects))


def test_nla_strips_are_read_as_they_play(scene, head, motion):
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    for owner in (head.armature, head.shape_keys):
        data = owner.animation_data
        slot = data.action_slot
        strip = data.nla_tracks.new().strips.new("strip", 11, data.action)
        strip.action_slot = slot
        data.action = None
    assert not is_plain(head, scene) and animated_range(head) == pytest.approx((11.0, 70.0))
    found = read_head(head, scene, 11.0, 70.0, 25.0)
    assert not found.direct and np.abs(found.motion - motion).max() < EXACT


def test_drivers_and_constraints_are_read_as_they_act(scene, head, motion):
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    assert is_plain(head, scene)
    key = head.shape_keys.key_blocks[head.expression_keys[5]]
    key.driver_remove("value")
    driver = key.driver_add("value").driver
    driver.type, driver.expression = "SCRIPTED", "frame / 100"
    assert not is_plain(head, scene)
    found = read_head(head, scene, 1.0, 60.0, 25.0)
    assert not found.direct and found.motion[:, 5] == pytest.approx(np.arange(1, 61) / 100)
    key.driver_remove("value")
    limit = head.armature.pose.bones["jaw"].constraints.new("LIMIT_ROTATION")
    limit.use_limit_x = limit.use_limit_y = limit.use_limit_z = True
    limit.owner_space = "LOCAL"
    assert not is_plain(head, scene)
    found = read_head(head, scene, 1.0, 60.0, 25.0)
    assert np.abs(found.motion[:, 103:]).max() < EXACT, "held shut"
    assert np.abs(found.motion[:, 100:103] - motion[:, 100:103]).max() < EXACT


def test_a_turned_and_hidden_head_says_the_same(scene, head, motion):
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    head.armature.rotation_euler = (0.3, 1.0, 2.0)
    head.armature.scale = (2, 2, 2)
    head.mesh.hide_viewport = head.armature.hide_viewport = True
    assert np.abs(read_head(head, scene, 1.0, 60.0, 25.0, False).motion - motion).max() < EXACT
    assert head.mesh.hide_viewport and head.armature.hide_viewport


@pytest.mark.parametrize("override", [False, True])
def test_a_linked_head_is_read_as_it_plays(scene, head, motion, tmp_path, override):
    new_take(head, motion, 1.0, 25.0, Provenance(), AS_IT_IS)
    names = [head.armature.name, head.mesh.name]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "lib.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "lib.blend"), link=True) as (_, into):
        into.objects = names
    linked = list(into.objects)
    for thing in linked:
        bpy.context.scene.collection.objects.link(thing)
    if override:
        linked = [linked[1].override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)]
        linked = [thing for thing in bpy.data.objects if thing.override_library]
    there = next(found for found in map(head_of, linked) if found)
    assert bool(there.armature.library) != override and bool(there.armature.override_library) == override
    for direct in (True, False):
        found = read_head(there, bpy.context.scene, 1.0, 60.0, 25.0, direct)
        assert np.abs(found.motion - motion).max() < EXACT


def test_ranges_that_make_no_sense_get_a_sentence(scene, head):
    for first, last, sentence in ((5, 4, "ends before"), (1, float("inf"), "ends before"), (1, 1e8, "30 hours")):
        with pytest.raises(EngineError, match=sentence):
            read_head(head, scene, first, last, 25.0)
    assert animated_range(head) is None
    assert len(read_head(head, scene, 3, 3, 25.0).motion) == 1


def seen(scene, head):
    """What an artist could see of the file's data."""
    return (sorted(one.name for one in bpy.data.scenes), sorted(one.name for one in bpy.data.objects),
            head.armature.hide_viewport, [one.name for one in head.armature.users_scene], scene.frame_current,
            [key.value for key in head.shape_keys.key_blocks])


@pytest.mark.parametrize("direct", [True, False])
def test_reading_in_steps_can_be_broken_off_anywhere(scene, head, motion, direct):
    new_take(head, np.tile(motion, (12, 1)), 1.0, 25.0, Provenance(), AS_IT_IS)
    head.armature.hide_viewport = True
    before = seen(scene, head)
    for count in (0, 1, 3):
        steps = read_in_steps(head, scene, 1.0, 720.0, 25.0, direct)
        done = [next(steps) for _ in range(count)]
        assert done == sorted(done) and all(0 < part <= 1 for part in done)
        steps.close()
        assert seen(scene, head) == before
    assert len(list(read_in_steps(head, scene, 1.0, 720.0, 25.0, direct))) >= 4
    assert seen(scene, head) == before


@pytest.mark.parametrize("direct", [True, False])
def test_a_head_that_goes_while_it_is_read_is_a_sentence(scene, head, motion, direct):
    new_take(head, np.tile(motion, (12, 1)), 1.0, 25.0, Provenance(), AS_IT_IS)
    steps = read_in_steps(head, scene, 1.0, 720.0, 25.0, direct)
    next(steps)
    bpy.data.objects.remove(head.armature)
    with pytest.raises(EngineError, match="changed while it was read"):
        list(steps)
    assert len(bpy.data.scenes) == 1 and not [one for one in bpy.data.objects if "Export" in one.name]


def test_reading_goes_on_after_an_undo_in_between_or_says_so(scene, head, motion):
    """An undo takes our scene away and makes all references stale: no crash, nothing left."""
    new_take(head, np.tile(motion, (12, 1)), 1.0, 25.0, Provenance(), AS_IT_IS)
    bpy.context.preferences.edit.use_global_undo = True
    for message in ("one", "two"):
        bpy.ops.ed.undo_push(message=message)
    steps = read_in_steps(head, scene, 1.0, 720.0, 25.0, False)
    next(steps)
    bpy.ops.ed.undo()
    with pytest.raises(EngineError, match="changed while it was read"):
        list(steps)
    assert len(bpy.data.scenes) == 1 and not [one for one in bpy.data.objects if "Export" in one.name]


@pytest.mark.parametrize("fps", [24, 25])
def test_a_file_becomes_a_take_and_a_take_a_file(extension, scene, head_file, motion, tmp_path, fps):
    scene.render.fps = fps
    bpy.ops.artalk.add_head(filepath=str(head_file))
    write_motion(tmp_path / "line 3.npz", motion, "default ab")
    assert bpy.ops.artalk.import_motion(filepath=str(tmp_path / "line 3.npz"), start_frame=4) == {"FINISHED"}
    take = bpy.context.object.animation_data.action
    assert is_take(take) and take.name == "ARTalk line 3" and np.array_equal(raw_motion(take), motion)
    kept = take[TAKE_KEY].to_dict()
    source = kept["settings"]["file"]
    assert source["sha256"] == read_motion_file(tmp_path / "line 3.npz").sha256 == kept["model_sha256"]
    assert source["path"] == str(tmp_path / "line 3.npz") and not source["mirrored"] and source["fps"] == 25
    assert kept["start_frame"] == 4 and kept["settings"]["smooth"] is False
    assert bpy.ops.artalk.export_motion(filepath=str(tmp_path / "out.npz")) == {"FINISHED"}
    out = read_motion(tmp_path / "out.npz")
    assert np.abs(out.motion - motion).max() < EXACT and out.fps == 25
    assert out.model == f"file {source['sha256']}"


def test_a_table_with_neck_eyes_and_another_rate(extension, scene, head_file, motion, tmp_path):
    bpy.ops.artalk.add_head(filepath=str(head_file))
    neck = np.linspace(0, 0.4, 60)[:, None] * [0.1, 1.0, 0.2]
    table = {"expr": motion[:, :100], "rotation": motion[:, 100:103], "jaw_pose": motion[:, 103:], "neck_pose": neck}
    np.savez(tmp_path / "flame.npz", **table, fps=25, eyes_pose=np.full((60, 6), 0.1))
    bpy.ops.artalk.import_motion(filepath=str(tmp_path / "flame.npz"))
    take = bpy.context.object.animation_data.action
    assert turn_apart(raw_motion(take)[:, 100:103], chained(motion[:, 100:103], neck)) < 1e-6
    assert "eyes are left out" in take[TAKE_KEY]["settings"]["file"]["notes"]
    bpy.ops.artalk.import_motion(filepath=str(tmp_path / "flame.npz"), join_neck=False)
    assert np.array_equal(raw_motion(bpy.context.object.animation_data.action), motion)
    np.savez(tmp_path / "fast.npz", **table, fps=50)
    bpy.ops.artalk.import_motion(filepath=str(tmp_path / "fast.npz"), join_neck=False)
    assert np.abs(raw_motion(bpy.context.object.animation_data.action) - motion[::2]).max() < 1e-5


def test_the_mirrored_head_by_switch(extension, scene, head_file, motion, tmp_path):
    bpy.ops.artalk.add_head(filepath=str(head_file))
    np.save(tmp_path / "m.npy", motion)
    for mirrored, signs in (("AUTO", (1, 1, 1)), ("NO", (1, 1, 1)), ("YES", (-1, 1, -1))):
        bpy.ops.artalk.import_motion(filepath=str(tmp_path / "m.npy"), mirrored=mirrored)
        take = bpy.context.object.animation_data.action
        assert np.array_equal(raw_motion(take)[:, 100:103], motion[:, 100:103] * np.float32(signs))
        assert take[TAKE_KEY]["settings"]["file"]["mirrored"] == (mirrored == "YES")


def test_export_of_neck_and_eyes_beside_the_motion(extension, scene, head_file, tmp_path):
    bpy.ops.artalk.add_head(filepath=str(head_file))
    head = find_head(bpy.context)
    hand_animate(head)
    scene.frame_start, scene.frame_end = 1, 49
    assert bpy.ops.artalk.export_motion(filepath=str(tmp_path / "a.npz"), join_neck=False, span="SCENE") == {"FINISHED"}
    found = read_motion_file(tmp_path / "a.npz")
    wanted = read_head(head, scene, 1, 49, 24.0)
    assert np.array_equal(found.motion, wanted.motion) and np.array_equal(found.neck, wanted.neck)
    assert np.array_equal(found.eyes, wanted.eyes) and len(found.motion) == 51
    bpy.ops.artalk.export_motion(filepath=str(tmp_path / "b.npz"), span="SCENE")
    joined = read_motion_file(tmp_path / "b.npz")
    assert joined.neck is None and np.array_equal(joined.motion, wanted.joined())
    assert turn_apart(found.with_neck_in_head()[:, 100:103], joined.motion[:, 100:103]) < 1e-6


def test_a_file_that_is_there_is_not_overwritten_behind_ones_back(extension, scene, head_file, motion, tmp_path):
    bpy.ops.artalk.add_head(filepath=str(head_file))
    np.save(tmp_path / "m.npy", motion)
    bpy.ops.artalk.import_motion(filepath=str(tmp_path / "m.npy"))
    path = tmp_path / "out.npz"
    path.write_bytes(b"precious")
    with pytest.raises(RuntimeError, match="is there already"):
        bpy.ops.artalk.export_motion(filepath=str(path))
    assert path.read_bytes() == b"precious"
    assert bpy.ops.artalk.export_motion(filepath=str(path), check_existing=False) == {"FINISHED"}
    assert len(read_motion(path).motion) == 60 and sorted(tmp_path.iterdir()) == [tmp_path / "m.npy", path]
    with pytest.raises(RuntimeError, match="There is no folder"):
        bpy.ops.artalk.export_motion(filepath=str(tmp_path / "nowhere" / "out.npz"))


def test_errors_are_reported_and_change_nothing(extension, scene, head_file, tmp_path):
    for name in ("import_motion", "export_motion"):
        with pytest.raises(RuntimeError, match="Select a head"):
            getattr(bpy.ops.artalk, name)(filepath=str(tmp_path / "x.npz"))
    bpy.ops.artalk.add_head(filepath=str(head_file))
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"no readable .npz file"):
        bpy.ops.artalk.import_motion(filepath=str(tmp_path / "x.npz"))
    with pytest.raises(RuntimeError, match="Nothing plays on the head"):
        bpy.ops.artalk.export_motion(filepath=str(tmp_path / "y.npz"))
    assert not bpy.data.actions and not (tmp_path / "y.npz").exists()
    assert bpy.ops.artalk.export_motion(filepath=str(tmp_path / "y.npz"), span="SCENE") == {"FINISHED"}
    assert not read_motion(tmp_path / "y.npz").motion.any()


def test_one_undo_takes_an_imported_motion_back(extension, scene, head_file, motion, tmp_path):
    bpy.ops.artalk.add_head(filepath=str(head_file))
    np.save(tmp_path / "m.npy", motion)
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.artalk.import_motion(filepath=str(tmp_path / "m.npy"))
    assert len(bpy.data.actions) == 1
    bpy.ops.ed.undo_push(message="import")
    bpy.ops.ed.undo()
    assert not bpy.data.actions and find_head(bpy.context) is not None


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_published_pickle_becomes_a_head(extension, scene, head_file, tmp_path, protocol):
    """Python 2's chumpy and scipy objects, read in Blender's Python: the same mesh as from the plain arrays."""
    with np.load(head_file) as file, chumpy() as classes:
        (tmp_path / "generic_model.pkl").write_bytes(python2(flame_dict(dict(file), classes), protocol))
    meshes = []
    for path in (tmp_path / "generic_model.pkl", head_file):
        assert bpy.ops.artalk.add_head(filepath=str(path)) == {"FINISHED"}
        head = find_head(bpy.context)
        values = np.empty((len(head.shape_keys.key_blocks), 3 * len(head.mesh.data.vertices)), np.float32)
        for row, key in zip(values, head.shape_keys.key_blocks, strict=True):
            key.points.foreach_get("co", row)
        meshes.append((values, np.array([bone.head_local for bone in head.armature.data.bones])))
    assert np.array_equal(meshes[0][0], meshes[1][0]) and np.array_equal(meshes[0][1], meshes[1][1])
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(RuntimeError, match="asks to run `os.system`"):
        bpy.ops.artalk.add_head(filepath=str(tmp_path / "evil.pkl"))


def test_the_file_menus_offer_both(extension, scene):
    for menu in (bpy.types.TOPBAR_MT_file_import, bpy.types.TOPBAR_MT_file_export):
        assert [f for f in menu._dyn_ui_initialize() if "artalk_blender" in f.__module__]


def test_a_take_of_an_imported_file_can_be_read_after_reopening(extension, scene, head_file, motion, tmp_path):
    bpy.ops.artalk.add_head(filepath=str(head_file))
    np.save(tmp_path / "m.npy", motion)
    bpy.ops.artalk.import_motion(filepath=str(tmp_path / "m.npy"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    take = next(action for action in bpy.data.actions if MOTION_KEY in action)
    assert np.array_equal(raw_motion(take), motion)
    assert bpy.ops.artalk.export_motion(filepath=str(tmp_path / "again.npz")) == {"FINISHED"}
    assert np.abs(read_motion(tmp_path / "again.npz").motion - motion).max() < EXACT
