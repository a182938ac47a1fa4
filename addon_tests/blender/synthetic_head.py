# SPDX-License-Identifier: GPL-3.0-or-later
"""A small FLAME-shaped head with nothing zero in it: every joint moves, every corrective acts. numpy only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_JOINTS = np.array([[0.0, -0.11, -0.02], [0.0, -0.06, -0.01], [0.0, -0.02, 0.02],
                    [0.032, 0.02, 0.078], [-0.032, 0.02, 0.078]])


def _sphere(around: int, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Open tube with sphere-like profile: (around*rings, 3) vertices, quads."""
    latitude = np.pi * (np.arange(rings) + 0.5) / rings
    longitude = 2 * np.pi * np.arange(around) / around
    vertices = np.stack([np.sin(latitude)[:, None] * np.sin(longitude), np.cos(latitude)[:, None] + 0 * longitude,
                         np.sin(latitude)[:, None] * np.cos(longitude)], -1).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    right = (column + 1) % around
    quads = np.stack([row * around + column, (row + 1) * around + column,
                      (row + 1) * around + right, row * around + right], -1).reshape(-1, 4)
    return vertices, quads


def make_head(path: Path, seed: int = 0, quads: bool = True) -> Path:
    """Writes the head as `.npz` with FLAME's array names."""
    random = np.random.default_rng(seed)
    skin, skin_quads = _sphere(28, 20)
    eye, eye_quads = _sphere(12, 10)
    skin, eye = skin * (0.075, 0.125, 0.095), eye * 0.012
    count, eye_count = len(skin), len(eye)
    vertices = np.concatenate([skin, eye + _JOINTS[3], eye + _JOINTS[4]])
    faces = np.concatenate([skin_quads, eye_quads + count, eye_quads + count + eye_count])
    total = len(vertices)

    def field(directions: int, amplitude: float) -> np.ndarray:
        wave = np.sin(vertices @ random.uniform(-30, 30, (3, directions)) + random.uniform(0, 6.28, directions))
        return wave[:, None, :] * random.normal(size=(3, directions)) * amplitude

    weights = np.zeros((total, 5))
    lower = np.clip((-0.05 - skin[:, 1]) / 0.06, 0, 1)
    jaw = np.clip(-skin[:, 1] / 0.05, 0, 1) * np.clip(skin[:, 2] / 0.05, 0, 1) * (1 - lower)
    weights[:count, 0], weights[:count, 2], weights[:count, 1] = lower, jaw, 1 - lower - jaw
    weights[count:count + eye_count, 3] = 1.0
    weights[count + eye_count:, 4] = 1.0
    nearness = 1.0 / (1e-4 + ((vertices[None] - _JOINTS[:, None]) ** 2).sum(-1)) ** 3
    arrays = {
        "f": np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]).astype(np.int32),
        "v_template": vertices.astype(np.float32),
        "shapedirs": np.concatenate([field(300, 0.001), field(100, 0.002)], 2).astype(np.float32),
        "posedirs": field(36, 0.002).astype(np.float32),
        "J_regressor": (nearness / nearness.sum(1, keepdims=True)).astype(np.float32),
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "weights": weights.astype(np.float32),
        "expression_names": np.array([f'shape "{i}"' if i == 7 else f"shape_{i}" for i in range(100)]),
    }
    if quads:
        arrays["f_quads"] = faces.astype(np.int32)
    np.savez(path, **arrays)
    return path


def make_motion(frames: int, seed: int = 1) -> np.ndarray:
    """(T,106) lively random motion: expressions beyond 1, head and jaw turning about all axes."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 25.0
    wave = np.sin(2 * np.pi * random.uniform(0.3, 3.0, 106) * time + random.uniform(0, 6.28, 106))
    scale = np.concatenate([np.full(100, 0.8), np.full(3, 0.5), [0.4, 0.1, 0.1]])
    return (wave * scale).astype(np.float32)
