# SPDX-License-Identifier: GPL-3.0-or-later
"""GAGAvatar's camera: from the head's rotation, and the planes before and behind the head in the photo. numpy only.

Source: Chu and Harada 2024, "Generalizable and Animatable Gaussian Head Avatar", as published. A pose (3,4) is R and T
of `view = x R + T` with x a row; +x left, +y up, +z forward there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FOCAL = 12.0            # half the picture's side is 1
PLANE_SIDE = 296        # points along a side of a plane


def axis_angle_matrix(vector: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(..., 3) axis-angle in radians -> (..., 3, 3); exact at zero, unlike FLAME's, whose guard is felt there."""
    x, y, z = np.moveaxis(np.asarray(vector, np.float64), -1, 0)
    angle = np.sqrt(x * x + y * y + z * z)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    first, second = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi)) ** 2 / 2
    return np.eye(3) + first[..., None, None] * cross + second[..., None, None] * (cross @ cross)


def head_poses(rotation: NDArray[np.floating[Any]], photo: Floats) -> Floats:
    """Head rotations (T,3), axis-angle in radians, and the photo's pose (3,4) -> poses (T,3,4).

    The head stands still and the camera goes round the world's origin. The photo's place is kept. The published
    program turns two signs in the caller's own array here, so motions that it saves afterwards are mirrored.
    """
    turned = axis_angle_matrix(np.asarray(rotation, np.float64) * (-1.0, 1.0, -1.0)) @ np.diag((-1.0, 1.0, -1.0))
    poses = np.empty((len(turned), 3, 4), np.float32)
    poses[:, :, :3] = turned.transpose(0, 2, 1)
    poses[:, :, 3] = photo[:, 3]
    return poses


def view_matrix(pose: Floats) -> Floats:
    """A pose (3,4) as the rasteriser's world to camera (4,4): +x right, +y down, +z forward, columns."""
    view = np.eye(4, dtype=np.float32)
    view[:3, :3] = pose[:, :3].T
    view[:3, 3] = pose[:, 3]
    view[:2] *= -1
    return view


def intrinsics(size: int) -> Floats:
    """(3,3) of a square picture, pixels."""
    focal, middle = FOCAL * size / 2, size / 2
    return np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1]], np.float32)


def photo_plane(pose: Floats) -> tuple[Floats, Floats]:
    """The photo's pose (3,4) -> points (87616,3) of a plane through the origin, row by row, and its direction (3,)."""
    rotation, place = pose[:, :3].astype(np.float32), pose[:, 3].astype(np.float32)
    steps = np.linspace(1, -1, PLANE_SIDE, dtype=np.float32) / np.float32(FOCAL)
    x, y = np.meshgrid(steps, steps, indexing="xy")
    rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ rotation.T
    origin = -rotation @ place      # not turned back, as in the published program
    direction = rotation[:, 2]
    return origin + np.abs(origin @ direction) * rays, direction


def direction_code(direction: Floats) -> Floats:
    """A direction (3,) as the 27 values that the network takes: sines and cosines of 1, 2, 4 and 8 times it, itself."""
    angles = (direction[:, None] * np.array([1, 2, 4, 8], np.float32)).ravel()
    return np.concatenate([np.sin(angles), np.sin(angles + np.float32(np.pi / 2)), direction]).astype(np.float32)
