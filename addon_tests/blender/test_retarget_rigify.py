# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigify's generated face speaks: its controls are moved by what they are measured to do to the skin."""

from __future__ import annotations

import bpy
import numpy as np
from characters import TO_BLENDER, default_head, speaking
from retarget_targets import source_face
from rigify_face import generate, skin

from artalk_blender.animation.takes import Provenance, new_take, remove_take
from artalk_blender.motion.process import ProcessSettings
from artalk_blender.ops.retarget_landmarks import target_mesh
from artalk_blender.retarget.player import retarget_of_take, retarget_take_on
from artalk_blender.retarget.targets import target_of
from artalk_blender.retarget.work import landmarks_of, set_landmarks


def openings(thing: bpy.types.Object, frames: range) -> np.ndarray:
    """(T,) metres between the middles of the inner lips, as Blender shows them."""
    lips = source_face().lips
    result = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        shown = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
        upper, lower = (np.mean([shown[int(index)].co for index in part], 0) for part in (lips.upper, lips.lower))
        result.append((upper - lower) @ TO_BLENDER[:, 1])
    return np.array(result)


def test_a_rigify_face_speaks(scene, extension):
    motion = speaking(30)
    motion[:, 100:103] = 0.0
    new_take(default_head(), motion, 1, 25.0, Provenance("line"), ProcessSettings(smooth=False, clamp=False))
    rig = generate()
    face = skin(rig)
    rest = {bone.name: bone.matrix_basis.copy() for bone in rig.pose.bones}
    scene.artalk_retarget.target = rig
    assert target_mesh(bpy.context) == face, "landmarks can be clicked on the skin, though it has no keys"
    set_landmarks(face, dict.fromkeys(("chin", "nose_tip"), (0.0, 0.0, 1.0)))
    assert set(landmarks_of(target_of(rig))) == {"chin", "nose_tip"}
    set_landmarks(face, {})
    assert bpy.ops.artalk.retarget() == {"FINISHED"}
    action = retarget_take_on(rig)
    report = retarget_of_take(action).report
    assert any("Rigify" in note for note in report["notes"])
    frames = range(1, 31, 3)
    opened = openings(face, frames)
    asked = source_face().positions(motion[::3])
    lips = source_face().lips
    asked = (asked[:, lips.upper] - asked[:, lips.lower]).mean(1)[:, 1]
    assert np.corrcoef(opened, asked)[0, 1] > 0.95
    assert 0.75 < opened.max() / (face["height"] * asked.max()) < 1.25
    assert report["lips_mm"][0] < 4.0
    remove_take(action)
    assert all(np.abs(np.array(bone.matrix_basis) - np.array(rest[bone.name])).max() < 1e-6 for bone in rig.pose.bones)
