# SPDX-License-Identifier: GPL-3.0-or-later
"""How far what Blender shows is from what FLAME's own skinning gives, in metres. The scene stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..engine.flame.model import EXPRESSION_COUNT, FlameModel
from ..engine.flame.skinning import skin
from .handle import Head
from .identity import built_identity
from .joints import CONSTRAINT
from .names import BONES
from .pose import pose_head
from .source import load_model
from .stage import Pose, Stage, staged

TOLERANCE = 1e-5  # metres
_TURN = 0.3  # radians: spread of the random poses
_EXPRESSION = 0.7


def random_poses(count: int, seed: int = 0) -> list[Pose]:
    """Lively ones: all expressions at once, every bone turned."""
    random = np.random.default_rng(seed)
    return [Pose(random.normal(0.0, _EXPRESSION, EXPRESSION_COUNT), random.normal(0.0, _TURN, (len(BONES), 3)))
            for _ in range(count)]


def measure_parity(head: Head, context: Any, count: int = 50, seed: int = 0) -> float:
    """Largest distance of a vertex from FLAME's over `count` random poses of the head, with its present identity.

    Raises ArtalkError where the head's file is not found.
    """
    model = load_model(head)
    context.view_layer.update()
    with staged(head, animated=False) as stage:
        _neutralise(stage)
        distances = []
        for pose in random_poses(count, seed):
            pose_head(stage.head, pose)
            stage.update()
            distances.append(_distance(stage, model, head, pose))
    return max(distances, default=0.0)


def measure_pose(head: Head, context: Any) -> float:
    """The same for the pose that the head has now, whoever gave it."""
    model = load_model(head)
    context.view_layer.update()
    with staged(head, animated=False) as stage:
        return _distance(stage, model, head, stage.pose())


def measure_frames(head: Head, frames: Iterable[float]) -> float:
    """The same over what the head's animation plays at scene frames, fractional ones too."""
    model = load_model(head)
    with staged(head, animated=True) as stage:
        distances = []
        for frame in frames:
            stage.go_to(frame)
            distances.append(_distance(stage, model, head, stage.pose()))
    return max(distances, default=0.0)


def _neutralise(stage: Stage) -> None:
    """Leaves on the copy what is ours, so that only that is measured."""
    ours = set(stage.head.expression_keys)
    for key in stage.head.shape_keys.key_blocks[1:]:
        if key.name in ours or key.name.startswith("pose_"):
            key.mute = False
        else:
            key.mute = True
    for bone in stage.head.armature.pose.bones:
        for constraint in list(bone.constraints):
            if constraint.name != CONSTRAINT:
                bone.constraints.remove(constraint)
        bone.scale = (1.0, 1.0, 1.0)


def _distance(stage: Stage, model: FlameModel, head: Head, pose: Pose) -> float:
    root, neck, jaw = pose.turns[:3]
    expected = skin(model, pose.expression[None], root=root, neck=neck, jaw=jaw, eyes=pose.turns[3:].ravel(),
                    shape=built_identity(head))[0]
    found = stage.vertices()
    if len(found) != len(expected):
        return float("inf")
    return float(np.linalg.norm(found.astype(np.float64) - expected, axis=1).max())
