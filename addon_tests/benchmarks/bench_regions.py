# SPDX-License-Identifier: GPL-3.0-or-later
"""What gains of 0 leave of each region where channels have no names, beside the least that is possible. numpy alone.

    python addon_tests/benchmarks/bench_regions.py

The default head told as if its channels had no names, under the default model's motion; and two bases of principal
components as FLAME's are, under random coefficients. Every number is weighted RMS motion in % of what the region moved
before: of the region at gain 0 what is left, of the others what is changed.

"core" counts only vertices that belong to a region by 95 % and more: where regions fade into each other, the same
vertices should go on with one and rest with the other. "least" is the least of the cheeks' motion that any change of
the coefficients leaves while the lips change in RMS by no more than they do now, the brows by whatever they like: the
minimum of a convex problem, found by its multiplier, so no other weighting or solver leaves less.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import numpy as np
from real_motion import default_head, demo_motion
from test_motion_regions import principal_components

from artalk_blender.head.regions import region_weights
from artalk_blender.motion.regions import CHEEKS, EXPRESSIONS, LIPS, REGIONS, gain_operators, region_grams
from engine.smoothing import smooth_motion

CORE = 0.95
IDENTITY = np.eye(EXPRESSIONS)


def moved(gram: np.ndarray, spread: np.ndarray, change: np.ndarray) -> float:
    """Percent: RMS motion that `change` (100,100) makes of coefficients of second moment `spread`, of their own."""
    return 100.0 * float(np.sqrt(max(np.trace(change @ spread @ change.T @ gram), 0.0) / np.trace(spread @ gram)))


def least(gram: np.ndarray, spread: np.ndarray, most: float) -> np.ndarray:
    """(100,100) that maps coefficients to those with the stillest cheeks of which lips change by `most` % at most."""
    low, high = -6.0, 6.0
    size = np.trace(gram, axis1=1, axis2=2)
    ridge = 1e-10 * IDENTITY
    for _ in range(60):
        middle = 0.5 * (low + high)
        lips, cheeks = 10.0**middle * gram[LIPS] / size[LIPS], gram[CHEEKS] / size[CHEEKS]
        kept = np.linalg.solve(lips + cheeks + ridge, lips + ridge)
        low, high = (middle, high) if moved(gram[LIPS], spread, IDENTITY - kept) > most else (low, middle)
    return kept


def report(title: str, directions: np.ndarray, coefficients: np.ndarray) -> None:
    """Prints one basis' table; directions (V,3,100), coefficients (T,100)."""
    weights = region_weights(default_head())
    gram = region_grams(directions, weights)
    core = region_grams(directions, (weights >= CORE).astype(np.float64)).astype(np.float64)
    spread = coefficients.astype(np.float64).T @ coefficients / len(coefficients)
    operators, gram = gain_operators(gram).astype(np.float64), gram.astype(np.float64)
    print(f"\n{title}\n{'at gain 0':14s}" + "".join(f"{name:>10s}{'core':>8s}" for name in REGIONS))
    rows = {name: IDENTITY - operators[index] for index, name in enumerate(REGIONS)}
    most = moved(gram[LIPS], spread, operators[CHEEKS])
    rows["cheeks, least"] = least(gram, spread, most)
    for name, kept in rows.items():
        own = REGIONS.index(name.split(",")[0])
        texts = []
        for index in range(len(REGIONS)):
            change = kept if index == own else IDENTITY - kept
            texts.append(f"{moved(gram[index], spread, change):10.1f}{moved(core[index], spread, change):8.1f}")
        print(f"{name:14s}" + "".join(texts))


def main() -> None:
    """Print the tables."""
    random = np.random.default_rng(0).normal(size=(400, EXPRESSIONS))
    report("Default head, nameless, the default model's motion", default_head().expressiondirs,
           smooth_motion(demo_motion())[:, :EXPRESSIONS])
    report("Principal components of its faces", principal_components(1, 0.0), random)
    report("Principal components of its faces and smooth random fields", principal_components(1, 0.0003), random)


if __name__ == "__main__":
    main()
