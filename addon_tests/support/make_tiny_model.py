# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes addon_tests/data/tiny_model.npz and tiny_model_golden.npz: random weights, and what torch makes of them.

    python addon_tests/support/make_tiny_model.py

The tests compare the numpy network with them where there is no torch. Nothing in the files is learned.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "addon_tests" / "data"
CONFIG = {
    "T_DEPTH": 2, "PREV_RATIO": 2, "WIDTH": 48, "HEADS": 4, "CODE_DIM": 16, "AUDIO_ENCODER": "mel",
    "VAE": {"HIDDEN": 32, "DEPTH": 2, "HEADS": 4}, "MEL": {"WIDTH": 32, "BLOCKS": 2, "KERNEL": 7},
    "STYLE": {"WIDTH": 32, "DEPTH": 1, "HEADS": 4, "HIDDEN": 64, "ROWS": 64},
}
AUDIO_SEED, SECONDS, STYLE_SEED = 14, 6.5, 21


def main() -> None:
    """Write both files."""
    sys.path.insert(0, str(ROOT))
    from seeded_weights import synthetic_audio, synthetic_motion

    from engine.config import NetworkConfig
    from engine.network import Network
    from engine.weights import load_network, save_npz

    torch.manual_seed(11)
    network = Network(NetworkConfig.from_dict(CONFIG)).requires_grad_(False)
    for part in (network.basic_vae, network.style_encoder):
        part.set_statistics(torch.linspace(-0.1, 0.1, 106), torch.linspace(0.05, 0.2, 106))
    torch.nn.init.normal_(network.basic_vae.decoder.out_mapping.weight, std=0.1)
    network.logits_head.weight.mul_(3.0)
    save_npz(network, DATA / "tiny_model.npz", np.float16)
    network = load_network(DATA / "tiny_model.npz")
    golden: dict[str, np.ndarray] = {}
    samples = synthetic_audio(AUDIO_SEED, SECONDS)
    for name, style in (("default", None), ("style", synthetic_motion(STYLE_SEED, 50))):
        steps = list(network.steps(samples, style, plain=True))
        bits = np.concatenate([step.prediction.bits.numpy() for step in steps])
        golden[f"{name}_bits"] = np.packbits(bits, axis=-1)
        golden[f"{name}_motion"] = np.concatenate([step.motion[0].numpy() for step in steps])
        logits = np.concatenate([step.prediction.logits.numpy() for step in steps])
        print(name, "smallest margin", np.abs(logits[..., 1] - logits[..., 0]).min(), "motion deviation",
              golden[f"{name}_motion"].std(axis=0).mean())
    np.savez_compressed(DATA / "tiny_model_golden.npz", **golden)


if __name__ == "__main__":
    main()
