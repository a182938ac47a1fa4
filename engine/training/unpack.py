# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a packed default model apart into the files that training goes on from.

    python -m engine.training.unpack --out build/from_shipped [--model FILE]

Writes OUT/encoder.npz (for `train_mel_encoder --start` and `make_default_model --encoder`), OUT/codec.pt and
OUT/generator.pt (`--start`). So whoever has the shipped file needs none of the folders that it was made in. Packed
again they give the same bytes. Needs torch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ..mel_encoder import MelEncoder, save_encoder
from .default_sizes import MODEL_FILE
from .train_codec import UNUSED_STD

ENCODER, CODEC, GENERATOR = "encoder.npz", "codec.pt", "generator.pt"
_PLACES = {"audio_encoder.": "encoder", "basic_vae.": "codec", "style_encoder.": "style_encoder"}


def parts_of(model: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, int]]:
    """Tensors of encoder, codec, style_encoder and generator under their own names, and the encoder's sizes."""
    parts: dict[str, dict[str, torch.Tensor]] = {name: {} for name in (*_PLACES.values(), "generator")}
    with np.load(model, allow_pickle=False) as arrays:
        sizes = json.loads(str(arrays["config"]))["MEL"]
        for name in arrays.files:
            array = arrays[name]
            if name == "config":
                continue
            tensor = torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array)
            prefix = next((prefix for prefix in _PLACES if name.startswith(prefix)), "")
            parts[_PLACES.get(prefix, "generator")][name.removeprefix(prefix)] = tensor
    for part in ("codec", "style_encoder"):  # half precision has no 0.05, by which unused channels are known
        std = parts[part]["motion_std"]
        parts[part]["motion_std"] = torch.where((std - UNUSED_STD).abs() < 1e-4, torch.tensor(UNUSED_STD), std)
    return parts, sizes


def unpack(model: Path, out: Path) -> None:
    """Write the three files of a packed model into a folder."""
    parts, sizes = parts_of(model)
    out.mkdir(parents=True, exist_ok=True)
    encoder = MelEncoder(sizes)
    encoder.load_state_dict(parts["encoder"])
    save_encoder(encoder, out / ENCODER)
    torch.save({"codec": parts["codec"]}, out / CODEC)
    torch.save({name: parts[name] for name in ("generator", "style_encoder", "encoder")}, out / GENERATOR)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL_FILE)
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    given = parser.parse_args()
    unpack(given.model, given.out)


if __name__ == "__main__":
    main()
