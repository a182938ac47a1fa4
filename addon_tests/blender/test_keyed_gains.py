# SPDX-License-Identifier: GPL-3.0-or-later
"""Gains that change in time, keyed on the scene's settings."""

from __future__ import annotations

import bpy
import numpy as np

from artalk_blender.animation.fcurves import find_curve, key_path
from artalk_blender.animation.take_data import curves_of
from artalk_blender.animation.takes import Provenance, new_take, retune
from artalk_blender.motion.process import ProcessSettings

AS_IT_IS = ProcessSettings(smooth=False, clamp=False)


def values(action, place):
    curve = find_curve(action, place)
    return np.array([curve.evaluate(frame) for frame in range(11, 71)])


def test_a_keyed_intensity_fades_the_motion(scene, extension, head, motion):
    scene.render.fps = 25
    take = new_take(head, motion, 11, 25.0, Provenance(), AS_IT_IS)
    place = next(place for place in curves_of(take) if place[1] == key_path("shape_0"))
    before = values(take, place)
    for frame, intensity in ((11, 1.0), (70, 0.0)):
        scene.artalk.intensity = intensity
        scene.artalk.keyframe_insert("intensity", frame=frame)
    for curve in scene.animation_data.action.layers[0].strips[0].channelbags[0].fcurves:
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    retune(take, AS_IT_IS)
    assert np.allclose(values(take, place), before * np.linspace(1.0, 0.0, 60), atol=1e-5)
    scene.animation_data.action = None
    retune(take, AS_IT_IS)
    assert np.allclose(values(take, place), before, atol=1e-6)


def test_every_gain_may_be_keyed(scene, extension, head, motion):
    take = new_take(head, motion, 11, 25.0, Provenance(), AS_IT_IS)
    for name in ("intensity", "lips", "cheeks", "brows", "head_gain", "jaw_gain"):
        setattr(scene.artalk, name, 0.5)
        scene.artalk.keyframe_insert(name, frame=11)
    retune(take, AS_IT_IS)
    keyed = [values(take, place) for place in curves_of(take)]
    scene.animation_data.action = None
    retune(take, ProcessSettings(smooth=False, clamp=False, intensity=0.5, lips=0.5, cheeks=0.5, brows=0.5,
                                 head_gain=0.5, jaw_gain=0.5))
    assert np.allclose(keyed, [values(take, place) for place in curves_of(take)], atol=1e-6)
    assert bpy.context.scene == scene
