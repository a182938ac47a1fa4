# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a head in a scene of its own, to be posed and evaluated without a trace in the artist's scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..engine.rotations import from_matrices, to_axis_angle
from .handle import Head
from .joints import are_live, follow, joints_of
from .names import BONES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """One frame of a head: `expression` (100,), `turns` (5,3) axis-angle of each bone against its parent, radians."""

    expression: Floats
    turns: Floats


@dataclass(frozen=True)
class Stage:
    """The scene and the copy in it."""

    scene: Any
    head: Head

    def update(self) -> None:
        """Evaluates what was set on the copy."""
        self.scene.view_layers[0].update()

    def go_to(self, frame: float) -> None:
        whole = int(np.floor(frame))
        self.scene.frame_set(whole, subframe=float(frame) - whole)

    def evaluated(self, thing: Any) -> Any:
        return thing.evaluated_get(self.scene.view_layers[0].depsgraph)

    def vertices(self) -> NDArray[np.float32]:
        """(V,3) of the evaluated mesh in its own coordinates, metres."""
        vertices = self.evaluated(self.head.mesh).data.vertices
        points = np.empty((len(vertices), 3), np.float32)
        vertices.foreach_get("co", points.ravel())
        return points

    def pose(self) -> Pose:
        """The pose as evaluated: what plays, drives or constrains it does not matter."""
        keys = self.evaluated(self.head.shape_keys).key_blocks
        expression = [0.0 if keys[name].mute else keys[name].value for name in self.head.expression_keys]
        bones = self.evaluated(self.head.armature).pose.bones
        turned = {name: np.array(bones[name].matrix.to_3x3().normalized()) for name in BONES}
        local = []
        for name in BONES:
            parent = bones[name].parent
            local.append((turned[parent.name].T if parent and parent.name in turned else np.eye(3)) @ turned[name])
        return Pose(np.array(expression), to_axis_angle(from_matrices(np.stack(local))))


@contextmanager
def staged(head: Head, animated: bool) -> Iterator[Stage]:
    """A copy of the head, with what it has of ours alone: no other modifiers. It is gone afterwards.

    `animated` keeps what plays on it; else it stands as it is posed now, to be posed otherwise.
    """
    armature, mesh = head.armature.copy(), head.mesh.copy()
    mesh.data = head.mesh.data.copy()
    joints = joints_of(head.armature).copy() if joints_of(head.armature) is not None and are_live(head) else None
    scene = bpy.data.scenes.new("ARTalk check")
    try:
        copy = Head(armature, mesh)
        mesh.parent = armature
        for modifier in list(mesh.modifiers):
            if modifier.type == "ARMATURE" and modifier.object == head.armature:
                modifier.object, modifier.show_viewport = armature, True
            else:
                mesh.modifiers.remove(modifier)
        mesh.show_only_shape_key = False
        _follow(copy, head.armature)
        if joints is not None:
            joints.data = joints.data.copy()
            follow(copy, joints)
        if not animated:
            _silence(copy)
        for thing in (armature, mesh):
            thing.hide_viewport = False  # what is hidden is not evaluated
            scene.collection.objects.link(thing)
        stage = Stage(scene, copy)
        stage.update()
        yield stage
    finally:
        bpy.data.scenes.remove(scene)
        bpy.data.objects.remove(armature)
        for thing in (mesh, joints) if joints is not None else (mesh,):
            data = thing.data
            bpy.data.objects.remove(thing)
            bpy.data.meshes.remove(data)


def _follow(copy: Head, original: Any) -> None:
    """Lets the copy's drivers read the copied bones."""
    for owner in (copy.shape_keys, copy.armature):
        for curve in owner.animation_data.drivers if owner.animation_data else ():
            for variable in curve.driver.variables:
                for target in variable.targets:
                    if target.id == original:
                        target.id = copy.armature


def _silence(copy: Head) -> None:
    """Takes Actions and NLA tracks off the copy; values stay as they are, drivers of ours go on."""
    for owner in (copy.shape_keys, copy.armature):
        data = owner.animation_data
        if data is None:
            continue
        data.use_tweak_mode = False
        data.action = None
        for track in list(data.nla_tracks):
            data.nla_tracks.remove(track)
