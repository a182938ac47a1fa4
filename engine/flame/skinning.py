# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's skinning in numpy: (shape, expression, pose) -> vertices.

Source: Li et al. 2017, "Learning a model of facial shape and expression from 4D scans"; conventions of the
published ARTalk code (joints regressed from the shaped mesh, pose correctives added before skinning).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import FlameModel

Floats = NDArray[np.float64]
_FRAMES_AT_ONCE = 64  # keeps the working set near 10 MB for a 5023-vertex head


def rotation_matrices(axis_angle: NDArray[np.floating[Any]]) -> Floats:
    """(..., 3) axis-angle in radians -> (..., 3, 3) rotation matrices (Rodrigues); zero gives the identity."""
    vector = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(vector + 1e-8, axis=-1, keepdims=True)  # the published guard against a zero norm
    x, y, z = np.moveaxis(vector / angle, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    sine, cosine = np.sin(angle)[..., None], np.cos(angle)[..., None]
    return np.eye(3) + sine * cross + (1.0 - cosine) * (cross @ cross)


def skin(
    model: FlameModel,
    expression: NDArray[np.floating[Any]],
    root: NDArray[np.floating[Any]] | None = None,
    neck: NDArray[np.floating[Any]] | None = None,
    jaw: NDArray[np.floating[Any]] | None = None,
    eyes: NDArray[np.floating[Any]] | None = None,
    shape: NDArray[np.floating[Any]] | None = None,
    vertices: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Vertices (T,V,3) in metres for T frames.

    expression (T,100); root, neck, jaw (T,3) and eyes (T,6: left, right) axis-angle in radians, zero when left out;
    shape (300,) identity. Fewer expression or shape coefficients are FLAME's first ones, the others zero.
    `vertices` limits the result to some vertex indices (joints still use them all).
    """
    expression = np.atleast_2d(np.asarray(expression, np.float64))
    return Rest.of(model, shape, vertices, expression.shape[1]).posed(expression, root, neck, jaw, eyes)


def motion_vertices(
    model: FlameModel,
    motion: NDArray[np.floating[Any]],
    shape: NDArray[np.floating[Any]] | None = None,
    vertices: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Vertices (T,V,3) of a motion (T,106); neck and eyes rest, as in ARTalk."""
    return skin(model, motion[:, :100], root=motion[:, 100:103], jaw=motion[:, 103:106], shape=shape, vertices=vertices)


class Rest:
    """A head prepared once for skinning many frames (float64 throughout, so that parity tests measure others)."""

    def __init__(self, neutral: Floats, expression_dirs: Floats, pose_dirs: Floats, joints: Floats,
                 joint_dirs: Floats, weights: Floats, parents: NDArray[np.int64]) -> None:
        self.neutral = neutral
        self.expression_dirs = expression_dirs
        self.pose_dirs = pose_dirs
        self.joints = joints
        self.joint_dirs = joint_dirs
        self.weights = weights
        self.parents = parents

    @classmethod
    def of(cls, model: FlameModel, shape: NDArray[np.floating[Any]] | None = None,
           vertices: NDArray[np.int64] | None = None, coefficients: int = 100) -> Rest:
        """For a shape (300,), some vertices (all where left out), so many expression coefficients."""
        neutral = model.v_template.astype(np.float64)
        if shape is not None:
            shape = np.asarray(shape, np.float64).ravel()
            neutral = neutral + model.shapedirs[:, :, : len(shape)] @ shape
        chosen = slice(None) if vertices is None else vertices
        directions = model.expressiondirs[:, :, :coefficients]
        return cls(
            neutral[chosen], directions[chosen].reshape(-1, coefficients).astype(np.float64),
            model.posedirs[chosen].reshape(-1, 36).astype(np.float64), model.J_regressor @ neutral,
            np.einsum("jv,vck->jck", model.J_regressor.astype(np.float64), directions),
            model.lbs_weights[chosen].astype(np.float64), model.parents,
        )

    def posed(self, expression: NDArray[np.floating[Any]], root: NDArray[np.floating[Any]] | None = None,
              neck: NDArray[np.floating[Any]] | None = None, jaw: NDArray[np.floating[Any]] | None = None,
              eyes: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float32]:
        """Vertices (T,V,3) as `skin` has them."""
        expression = np.asarray(expression, np.float64)
        frames = len(expression)

        def pose(value: NDArray[np.floating[Any]] | None, width: int) -> Floats:
            return np.zeros((frames, width)) if value is None else np.asarray(value, np.float64).reshape(frames, width)

        axis_angle = np.concatenate([pose(root, 3), pose(neck, 3), pose(jaw, 3), pose(eyes, 6)], 1)
        axis_angle = axis_angle.reshape(frames, 5, 3)
        parts = [self.frames(expression[i : i + _FRAMES_AT_ONCE], axis_angle[i : i + _FRAMES_AT_ONCE])
                 for i in range(0, frames, _FRAMES_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.neutral), 3), np.float32)

    def frames(self, expression: Floats, axis_angle: Floats) -> NDArray[np.float32]:
        """(t,100) and (t,5,3) -> (t,V,3)."""
        count = len(expression)
        rotation = rotation_matrices(axis_angle)
        joints = self.joints + np.einsum("jck,tk->tjc", self.joint_dirs, expression)
        corrective = (rotation[:, 1:] - np.eye(3)).reshape(count, 36)
        posed = self.neutral + (expression @ self.expression_dirs.T + corrective @ self.pose_dirs.T).reshape(
            count, -1, 3
        )
        turn = [rotation[:, 0]]
        shift = [joints[:, 0]]
        for joint in range(1, 5):
            parent = int(self.parents[joint])
            offset = joints[:, joint] - joints[:, parent]
            turn.append(turn[parent] @ rotation[:, joint])
            shift.append(shift[parent] + (turn[parent] @ offset[..., None])[..., 0])
        turns = np.stack(turn, 1)
        shifts = np.stack(shift, 1) - (turns @ joints[..., None])[..., 0]
        blended_turn = np.einsum("vj,tjab->tvab", self.weights, turns, optimize=True)
        blended_shift = np.einsum("vj,tja->tva", self.weights, shifts, optimize=True)
        return ((blended_turn @ posed[..., None])[..., 0] + blended_shift).astype(np.float32)
