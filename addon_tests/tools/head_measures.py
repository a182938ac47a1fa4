# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what docs/HEAD.md says about the default head, measured on a file. numpy and scipy, no Blender.

Run: python addon_tests/tools/head_measures.py [HEAD.npz]
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from engine.flame.file import read_flame  # noqa: E402
from engine.flame.lips import lip_curves  # noqa: E402
from engine.flame.model import FlameModel  # noqa: E402
from engine.flame.skinning import skin  # noqa: E402
from engine.training.head.assemble import Head, make_head  # noqa: E402
from engine.training.head.sdf import EYE, EYE_RADIUS  # noqa: E402
from engine.training.head.unwrap import folded  # noqa: E402

OPEN = 0.26  # radians of the jaw at jawOpen 1
CLOSED = [
    "mouthPucker", "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPress", "mouthLeft", "mouthRight", "jawForward", "jawLeft",
    "jawRight", "cheekPuff", "cheekSquint", "noseSneer",
]


def channels(model: FlameModel, values: dict[str, float]) -> np.ndarray:
    """(1,100); a pair's name stands for both sides."""
    out = np.zeros((1, 100), np.float32)
    for name, value in values.items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in model.expression_names:
                out[0, model.expression_names.index(full)] = value
    return out


def posed(model: FlameModel, values: dict[str, float], jaw: float = 0.0) -> np.ndarray:
    """Vertices (V,3), mm."""
    return np.asarray(skin(model, channels(model, values), jaw=np.float32([[jaw, 0, 0]]))[0], float) * 1000


def gaps(model: FlameModel, made: Head) -> None:
    ring = made.tables["mouth"][0]
    high, low = ring[:16], ring[:16:-1]

    def gap(values: dict[str, float], jaw: float = 0.0) -> float:
        v = posed(model, values, jaw)
        return float(np.linalg.norm(v[high] - v[low], axis=1).max())

    print(f"lips' gap at rest {gap({}):.3f} mm, worst in closed shapes "
          f"{max(gap({name: 1.0}) for name in CLOSED):.3f} mm")
    for limit in (0.5, 1.0):
        worst = max(gap({"mouthClose": v}, v * OPEN) for v in np.linspace(0, limit, 11))
        print(f"lips' gap with mouthClose v and jaw 0.26 v, v to {limit}: {worst:.3f} mm")
    crossing = min(
        float((v[high, 1] - v[low, 1]).min())
        for extra in ({}, {"mouthPucker": 1.0}, {"mouthFunnel": 1.0}, {"mouthSmile": 1.0}, {"mouthStretch": 1.0})
        for v in (posed(model, extra, np.radians(angle)) for angle in range(0, 21, 4)))
    print(f"lips crossing, jaw 0 to 20 degrees: {max(0.0, -crossing):.3f} mm")


def lids(model: FlameModel, made: Head) -> None:
    ring, inner = made.tables["eye"][0], made.tables["lid_inner"][0]
    margin, edge, gap = np.inf, np.inf, 0.0
    for value in np.linspace(0, 1, 9):
        v = posed(model, {"eyeBlink": float(value)})
        margin = min(margin, np.linalg.norm(v[ring] - EYE, axis=1).min() - EYE_RADIUS)
        edge = min(edge, np.linalg.norm(v[inner] - EYE, axis=1).min() - EYE_RADIUS)
        gap = np.linalg.norm(v[ring[1:16]] - v[ring[31:16:-1]], axis=1).max()
    print(f"lids' gap at blink 1: {gap:.3f} mm; clearance of margin {margin:.2f}, of the inner edge {edge:.2f} mm")


def mouth(model: FlameModel) -> None:
    for name, jaw in (("mouthFunnel", 0.0), ("mouthLowerDown", 0.0), ("mouthUpperUp", 0.0), ("tongueOut", 0.0),
                      ("rest", OPEN), ("rest", 0.0), ("mouthPucker", 0.0), ("mouthSmile", 0.0), ("mouthStretch", 0.0)):
        motion = np.zeros((1, 106), np.float32)
        motion[:, :100] = channels(model, {name: 1.0})
        motion[0, 103] = jaw
        curves = lip_curves(model, motion)
        print(f"{name}, jaw {jaw}: aperture {curves.aperture[0] * 1000:.1f} mm, width {curves.width[0] * 1000:.1f} mm")


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "assets" / "default_head.npz"
    model, made = read_flame(path), make_head()
    v, quads = model.v_template.astype(float) * 1000, model.quads
    assert quads is not None
    edges = Counter(tuple(sorted(e)) for k in range(4) for e in quads[:, [k, (k + 1) % 4]].tolist())
    length = np.array([np.linalg.norm(v[a] - v[b]) for a, b in edges])
    picture = path.with_suffix(".png")
    print(f"{len(v)} vertices, {len(quads)} quads; file {path.stat().st_size / 1e6:.2f} MB, texture "
          f"{picture.stat().st_size / 1e6 if picture.is_file() else 0:.2f} MB")
    print(f"mirror error {np.abs(v[made.mirror] - v * [-1, 1, 1]).max():.3f} mm; edges {length.min():.2f} to "
          f"{length.max():.1f} mm, in more than two faces {sum(n > 2 for n in edges.values())}")
    uv, corners = model.extras["vt"].astype(float), model.extras["ft"]
    both = np.column_stack([corners[::2], corners[1::2, 2]])
    print(f"UV points {len(uv)}, folded quads {int(folded(uv, both).sum())}")
    gaps(model, made)
    lids(model, made)
    mouth(model)


if __name__ == "__main__":
    main()
