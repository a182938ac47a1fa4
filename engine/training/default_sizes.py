# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of the default model: the published architecture, small enough for 8 MB in half precision."""

from __future__ import annotations

from pathlib import Path

from ..config import NetworkConfig
from .teacher import LipGains, head_gains

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
MODEL_FILE = ROOT / "assets" / "default_model.npz"
HEAD_FILE = ROOT / "assets" / "default_head.npz"


def default_config(mel: dict[str, int] | None = None) -> NetworkConfig:
    """The default model's sizes; ``mel`` are the sizes of the trained audio encoder."""
    mel = mel or {"BANDS": 80, "WIDTH": 192, "BLOCKS": 6, "KERNEL": 9, "EXPANSION": 2, "STEM_KERNEL": 5}
    return NetworkConfig(
        depth=4,
        prev_ratio=1,
        width=160,
        heads=4,
        code_dim=32,
        audio_encoder="mel",
        cond_dim=mel["WIDTH"],
        vae_width=128,
        vae_depth=3,
        vae_heads=4,
        style_width=64,
        style_depth=2,
        style_heads=4,
        style_hidden=128,
        mel=mel,
    )


def lip_gains() -> LipGains:
    """Gains of the default head where it exists, else the analytic ones."""
    return head_gains(HEAD_FILE) if HEAD_FILE.exists() else LipGains()
