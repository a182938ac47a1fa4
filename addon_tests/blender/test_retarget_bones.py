# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns on bones that lie in any way, in any rotation mode, on top of a body's animation."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from characters import TO_BLENDER, armature, default_head, mesh_object, speaking
from mathutils import Matrix, Quaternion, Vector

from artalk_blender.animation.take_data import raw_motion
from artalk_blender.animation.takes import Provenance, new_take, remove_take
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.retarget.work import make_retarget

PLAIN = ProcessSettings(smooth=False, clamp=False)
# a neck of two bones and a head that lean and roll; eyes and shoulders tell the sides
BONES = {
    "spine": ("", (0, 0, 0), (0, 0.02, 1.2), 0.3),
    "upper_arm.L": ("spine", (0.2, 0, 1.3), (0.5, 0, 1.3), 0.0),
    "upper_arm.R": ("spine", (-0.2, 0, 1.3), (-0.5, 0, 1.3), 0.0),
    "neck": ("spine", (0, 0.02, 1.4), (0, 0.0, 1.45), 1.0),
    "neck.001": ("neck", (0, 0.0, 1.45), (0, -0.01, 1.5), -2.0),
    "head": ("neck.001", (0, -0.01, 1.5), (0, 0.01, 1.7), 0.7),
    "jaw": ("head", (0, -0.02, 1.52), (0, -0.1, 1.48), 0.4),
    "eye.L": ("head", (0.03, -0.08, 1.6), (0.03, -0.11, 1.6), 0.2),
    "eye.R": ("head", (-0.03, -0.08, 1.6), (-0.03, -0.11, 1.6), -0.2),
}


@pytest.fixture
def source(scene):
    return new_take(default_head(), speaking(30), 1, 25.0, Provenance("line"), PLAIN)


def put(take, target: str):
    made = make_retarget(take.name, target, (), "auto", "auto", ())
    made.wants_error = False
    return made, new_take(made, raw_motion(take), 1, 25.0, Provenance("line"), PLAIN)


def turn_of(rig, bone: str, frame: int) -> np.ndarray:
    """(3,3) from rest to pose, in the armature's axes."""
    bpy.context.scene.frame_set(frame)
    posed = rig.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones[bone].matrix.to_3x3()
    return np.array(posed) @ np.array(rig.data.bones[bone].matrix_local.to_3x3()).T


def wanted(vector: np.ndarray) -> np.ndarray:
    turn = Quaternion(Vector(vector).normalized(), float(np.linalg.norm(vector))).to_matrix()
    return TO_BLENDER @ np.array(turn) @ TO_BLENDER.T


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_head_neck_and_jaw_turn_as_the_source_does(source, mode):
    rig = armature("Body", BONES)
    rig.rotation_euler = (0.0, 0.0, 1.1)
    for bone in rig.pose.bones:
        bone.rotation_mode = mode
    put(source, "Body")
    motion = speaking(30)
    for frame in (6, 20):
        # the chain shares the turn; small angles about different axes add up to the third order
        np.testing.assert_allclose(turn_of(rig, "head", frame), wanted(motion[frame - 1, 100:103]), atol=2e-3)
        jaw = turn_of(rig, "head", frame).T @ turn_of(rig, "jaw", frame)
        np.testing.assert_allclose(jaw, wanted(motion[frame - 1, 103:106]), atol=2e-3)
    assert np.abs(turn_of(rig, "spine", 20) - np.eye(3)).max() < 1e-6


def test_a_bodys_animation_goes_on_beneath(source):
    rig = armature("Body", BONES)
    for bone in rig.pose.bones:
        bone.rotation_mode = "QUATERNION"
    walk = rig.pose.bones["head"]
    for frame, angle in ((1, 0.0), (30, 0.6)):
        walk.matrix_basis = Matrix.Rotation(angle, 4, "Y")
        walk.keyframe_insert("rotation_quaternion", frame=frame)
        rig.location.x = frame / 30
        rig.keyframe_insert("location", frame=frame)
    body, slot = rig.animation_data.action, rig.animation_data.action_slot
    alone = {frame: turn_of(rig, "head", frame) for frame in (1, 15, 30)}
    _, action = put(source, "Body")
    for frame in (15, 30):
        ours = turn_of(rig, "neck.001", frame)  # what the neck adds goes over to the head
        both = turn_of(rig, "head", frame)
        assert np.abs(both - alone[frame]).max() > 0.01, "the take is heard"
        assert np.abs(both - ours).max() > 0.1, "and the body too"
    bpy.context.scene.frame_set(30)
    assert rig.matrix_world.translation.x == pytest.approx(1.0)
    remove_take(action)
    data = rig.animation_data
    assert (data.action, data.action_slot, data.action_blend_type) == (body, slot, "REPLACE")
    assert not len(data.nla_tracks) and not body.use_fake_user
    for frame, turn in alone.items():
        np.testing.assert_allclose(turn_of(rig, "head", frame), turn, atol=1e-5)


def test_a_jaw_bone_turns_aside_and_keys_that_do_so_do_not_as_well(source):
    rig = armature("Body", BONES)
    names = ("jawLeft", "jawRight", "mouthPucker", "mouthFunnel")
    face = mesh_object("Skin", np.eye(3), np.array([[0, 1, 2]]), {name: np.zeros((3, 3)) for name in names})
    face.parent = rig
    table = make_retarget(source.name, "Body", (), "names", "auto", ()).table
    rows = {row.target: row for row in table.rows}
    assert rows["jaw"].source == "jaw" and not rows["jaw"].mute
    assert rows["jawLeft"].source == "key:jawLeft" and rows["mouthPucker"].source == "mouthPucker"
