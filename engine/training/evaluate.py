# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a model over a folder of recordings and writes lip curves for a lip-sync metric.

    python -m engine.training.evaluate --clips DIR --out CURVES_DIR [--model FILE] [--head FILE]

The real pipeline: read, resample, generate, smooth, measure on the head; what `engine generate` and `engine
lips` do, without starting a process for every clip. Each recording NAME.wav becomes CURVES_DIR/NAME.npz with
aperture, width (m), jaw (rad), fps.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..audio_file import read_audio
from ..flame.file import read_flame
from ..flame.lips import lip_curves
from ..model import load_model
from ..pipeline import FPS, Pipeline
from .default_sizes import HEAD_FILE
from .teacher import LipGains

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")


def motions(folder: Path, model: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    """Name and smoothed motion (T,106) of every recording of a folder."""
    pipeline = Pipeline(load_model(model, device="cpu"))
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SOUNDS:
            samples = read_audio(path)
            yield path.stem, pipeline.generate(samples)


def analytic_curves(motion: np.ndarray) -> dict[str, np.ndarray]:
    """Curves of a motion (T,106) by the teacher's linear gains, for when there is no head file yet."""
    width = 0.05 + motion @ np.bincount((19, 20, 23, 29), (-0.004, -0.012, 0.008, 0.010), 106)
    return {"aperture": np.maximum(LipGains().aperture(motion), 0), "width": width, "jaw": motion[:, 103]}


def write_curves(folder: Path, out: Path, model: Path | None, head: Path | None) -> float:
    """Curves of all recordings into ``out``; returns minutes of sound."""
    out.mkdir(parents=True, exist_ok=True)
    flame = read_flame(head) if head is not None and head.exists() else None
    frames = 0
    for name, motion in motions(folder, model):
        if flame is None:
            curves = analytic_curves(motion)
        else:
            measured = lip_curves(flame, motion)
            curves = {"aperture": measured.aperture, "width": measured.width, "jaw": measured.jaw}
        np.savez(out / f"{name}.npz", fps=float(FPS), motion=motion, **curves)
        frames += len(motion)
    return frames / FPS / 60


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the curves")
    parser.add_argument("--model", type=Path, default=None, help="left out: the default model")
    parser.add_argument("--head", type=Path, default=HEAD_FILE)
    given = parser.parse_args()
    minutes = write_curves(given.clips, given.out, given.model, given.head)
    print(f"{minutes:.1f} minutes of sound, curves in {given.out}")


if __name__ == "__main__":
    main()
