# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a model over a folder of recordings, writes lip curves and, given labels and a metric, prints its table.

    python -m engine.training.evaluate --clips DIR --out CURVES_DIR [--model FILE] [--head FILE] [--labels DIR]

The real pipeline: read, resample, generate, smooth, measure on the head; what `engine generate` and `engine
lips` do, without starting a process for every clip. Each recording NAME.wav becomes CURVES_DIR/NAME.npz with
aperture, width (m), jaw (rad), fps.

Labels and metric lie outside this project: DIR holds `labels.json` (`clips`: id, file, duration_s, phones, silences)
and `lip_metrics.py`, a module with collect, summarise and speech_envelope. Blinks, and how the head and the brows
follow the sound, are measured here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..audio_file import read_audio
from ..blinks import CHANNELS as BLINK
from ..files import read_style
from ..flame.file import read_flame
from ..flame.lips import lip_curves
from ..model import load_model
from ..pipeline import CHUNK_FRAMES, FPS, Pipeline
from .default_sizes import HEAD_FILE
from .teacher import BROW_INNER, HEAD, LipGains

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")


def motions(folder: Path, model: Path | None, style: Path | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Name and smoothed motion (T,106) of every recording of a folder."""
    pipeline = Pipeline(load_model(model, device="cpu"))
    manner = None if style is None else read_style(style)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SOUNDS:
            samples = read_audio(path)
            yield path.stem, pipeline.generate(samples, manner)


def analytic_curves(motion: np.ndarray) -> dict[str, np.ndarray]:
    """Curves of a motion (T,106) by the teacher's linear gains, for when there is no head file yet."""
    width = 0.05 + motion @ np.bincount((19, 20, 23, 29), (-0.004, -0.012, 0.008, 0.010), 106)
    return {"aperture": np.maximum(LipGains().aperture(motion), 0), "width": width, "jaw": motion[:, 103]}


def write_curves(folder: Path, out: Path, model: Path | None, head: Path | None, style: Path | None = None) -> float:
    """Curves of all recordings into ``out``; returns minutes of sound."""
    out.mkdir(parents=True, exist_ok=True)
    flame = read_flame(head) if head is not None and head.exists() else None
    frames = 0
    for name, motion in motions(folder, model, style):
        if flame is None:
            curves = analytic_curves(motion)
        else:
            measured = lip_curves(flame, motion)
            curves = {"aperture": measured.aperture, "width": measured.width, "jaw": measured.jaw}
        np.savez(out / f"{name}.npz", fps=float(FPS), motion=motion, **curves)
        frames += len(motion)
    return frames / FPS / 60


_COLUMNS = {
    "closure_rate": "closure", "closure_net": "net", "closure_auc": "AUC", "closure_time_ms": "time",
    "closure_time_mad_ms": "MAD", "open_lag_ms": "lag", "vowel_rho": "rho", "vowel_d": "d", "open_r0": "r0",
    "open_r0_partial": "partial", "sil_aperture": "silence", "width_d_spread_minus_round": "width d",
    "smooth_speed95": "speed95", "smooth_jerk_rms": "jerk", "n_flat_clips": "flat", "n_bilabial": "bilabials",
}  # fmt: skip


def metric_module(folder: Path) -> ModuleType:
    """The lip-sync metric `lip_metrics.py` of a folder."""
    spec = importlib.util.spec_from_file_location("lip_metrics", folder / "lip_metrics.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"there is no lip_metrics.py in {folder}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clip_events(labels: Path, clips: Path, out: Path, metric: ModuleType) -> list[tuple[dict[str, Any], Any]]:
    """Label and the metric's events of every clip that has curves."""
    events = []
    for label in json.loads((labels / "labels.json").read_text(encoding="utf-8"))["clips"]:
        curves, sound = out / f"{label['id']}.npz", clips / Path(label["file"]).name
        if curves.exists() and sound.exists():
            with np.load(curves, allow_pickle=False) as data:
                parts = {name: data[name] for name in ("aperture", "width", "jaw")}
            samples = read_audio(sound)
            envelope = metric.speech_envelope(samples, 16000, int(label["duration_s"] * metric.FS))
            event = metric.collect(label, parts["aperture"], float(FPS), parts["width"], parts["jaw"], env=envelope)
            events.append((label, event))
    return events


def table(labels: Path, clips: Path, out: Path, metric_folder: Path | None = None) -> list[str]:
    """The metric's rows: all clips, English, other languages, men and women. The metric lies beside the labels, or
    in a folder of its own.
    """
    metric = metric_module(metric_folder or labels)
    events = clip_events(labels, clips, out, metric)
    groups = {
        "all": events,
        "English": [pair for pair in events if pair[0].get("lang") == "en"],
        "other languages": [pair for pair in events if pair[0].get("lang") != "en"],
        "men": [pair for pair in events if pair[0].get("sex") == "M"],
        "women": [pair for pair in events if pair[0].get("sex") == "F"],
    }
    lines = [f"{'':16s}" + "".join(f"{name:>10s}" for name in _COLUMNS.values())]
    for name, chosen in groups.items():
        if chosen:
            score = metric.summarise([event for _label, event in chosen])
            values = (score.get(key, float("nan")) for key in _COLUMNS)
            lines.append(
                f"{name:16s}" + "".join(f"{value:10.3f}" if value % 1 else f"{value:10.0f}" for value in values)
            )
    return lines


def expression(motion: np.ndarray, aperture: np.ndarray) -> dict[str, float]:
    """Blinks in a motion (T,106), how far its head moves (degrees rms), and the correlation of nods and brows with
    the mouth's opening, blurred alike (about two syllables).
    """
    lids = motion[:, BLINK].mean(1)
    blinks = int(((lids[1:] > 0.5) & (lids[:-1] <= 0.5)).sum())

    def follows(track: np.ndarray) -> float:
        pair = [gaussian_filter1d(values - gaussian_filter1d(values, 20.0), 3.0) for values in (track, aperture)]
        return float(np.corrcoef(*pair)[0, 1]) if min(pair[0].std(), pair[1].std()) > 1e-9 else 0.0

    return {
        "blinks": blinks, "half": int(((lids[1:-1] > 0.25) & (lids[1:-1] < 0.75) & (lids[1:-1] >= lids[:-2])
                                       & (lids[1:-1] > lids[2:])).sum()),
        "head": float(np.degrees(np.sqrt(np.square(motion[:, HEAD] - motion[:, HEAD].mean(0)).sum(1).mean()))),
        "nods": follows(motion[:, HEAD.start]), "brows": follows(motion[:, BROW_INNER]),
    }  # fmt: skip


def seam_ratio(motions_made: list[np.ndarray]) -> float:
    """Mean square jerk across the seams of chunks over that elsewhere, as a ratio of roots; channels weigh alike."""
    jerks = [np.diff(motion.astype(np.float64), 3, axis=0) for motion in motions_made if len(motion) > CHUNK_FRAMES + 4]
    if not jerks:
        return float("nan")
    scale = np.sqrt(np.mean(np.concatenate(jerks) ** 2, axis=0))
    used = scale > 1e-6
    seams, others = [], []
    for jerk in jerks:
        size = np.mean((jerk[:, used] / scale[used]) ** 2, axis=1)
        across = np.isin(np.arange(len(size)) % CHUNK_FRAMES, (97, 98, 99))
        seams.append(size[across])
        others.append(size[~across])
    return float(np.sqrt(np.concatenate(seams).mean() / np.concatenate(others).mean()))


def expression_line(out: Path) -> str:
    """Blinks a minute and the rest of `expression`, and the seams, over all curves of a folder."""
    rows, minutes, made = [], 0.0, []
    for path in sorted(out.glob("*.npz")):
        with np.load(path, allow_pickle=False) as data:
            rows.append(expression(data["motion"], data["aperture"]))
            made.append(data["motion"])
            minutes += len(data["motion"]) / FPS / 60
    total = {name: float(np.sum([row[name] for row in rows])) for name in ("blinks", "half")}
    mean = {name: float(np.mean([row[name] for row in rows])) for name in ("head", "nods", "brows")}
    return (
        f"blinks a minute {total['blinks'] / minutes:.1f}, half closed {total['half'] / minutes:.1f}; head "
        f"{mean['head']:.2f} degrees rms; nods follow the opening {mean['nods']:.2f}, brows {mean['brows']:.2f}; "
        f"jerk at seams over elsewhere {seam_ratio(made):.2f}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the curves")
    parser.add_argument("--model", type=Path, default=None, help="left out: the default model")
    parser.add_argument("--head", type=Path, default=HEAD_FILE)
    parser.add_argument("--labels", type=Path, default=None, help="folder with labels.json and lip_metrics.py")
    parser.add_argument("--style", type=Path, default=None, help="a style motion")
    given = parser.parse_args()
    minutes = write_curves(given.clips, given.out, given.model, given.head, given.style)
    print(f"{minutes:.1f} minutes of sound, curves in {given.out}")
    print(expression_line(given.out))
    if given.labels is not None:
        print("\n".join(table(given.labels, given.clips, given.out)))


if __name__ == "__main__":
    main()
