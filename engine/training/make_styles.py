# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the named styles, assets/style_NAME.npy: two seconds of the teacher's motion (50,106) in each manner.

    python -m engine.training.make_styles

Of many moments of talk in a manner the one is taken whose code, by the default model's own style encoder, lies nearest
to the mean of all: the most typical one. Run it again after another model has been made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..model import load_model
from ..portable.network import PortableNetwork
from .default_sizes import MODEL_FILE, lip_gains
from .phone_strings import random_phones
from .styles import NAMED, Style
from .teacher import LipGains, motion_from_phones
from .train_generator import STYLE_FRAMES

SECONDS = 24.0


def windows(style: Style, gains: LipGains, talks: int) -> np.ndarray:
    """(many, 50, 106) float32: moments full of talk in a style, from so many talks."""
    cut: list[np.ndarray] = []
    for seed in range(talks):
        phones = random_phones(np.random.default_rng(500 + seed), SECONDS)
        motion = motion_from_phones(phones, SECONDS, seed=500 + seed, style=style, gains=gains)
        starts = range(0, len(motion) - STYLE_FRAMES, 10)
        jaw = np.array([motion[start : start + STYLE_FRAMES, 103].mean() for start in starts])
        cut += [motion[starts[k] : starts[k] + STYLE_FRAMES] for k in np.argsort(-jaw)[: len(starts) // 3]]
    return np.stack(cut)


def most_typical(moments: np.ndarray, network: PortableNetwork) -> np.ndarray:
    """Of moments (N,50,106) the one whose style code is nearest to the mean code."""
    codes = np.stack([network.style_encoder(moment) for moment in moments]).reshape(len(moments), -1)
    return np.asarray(moments[int(np.square(codes - codes.mean(0)).sum(1).argmin())])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL_FILE)
    parser.add_argument("--out", type=Path, default=MODEL_FILE.parent)
    parser.add_argument("--talks", type=int, default=12, help="of 24 s each, from which the moments are cut")
    given = parser.parse_args()
    network = load_model(given.model, device="cpu").network
    assert isinstance(network, PortableNetwork)
    gains = lip_gains()
    for name, style in NAMED.items():
        chosen = most_typical(windows(style, gains, given.talks), network)
        np.save(given.out / f"style_{name}.npy", chosen.astype(np.float32))
        print(f"style_{name}.npy")


if __name__ == "__main__":
    main()
