# SPDX-License-Identifier: GPL-3.0-or-later
"""What an encoder alone would do with the lips: curves of a folder of wav files, for a lip-sync metric to
judge.

`python -m engine.training.evaluate_hearing ENCODER.npz WAVS OUT` writes OUT/NAME.npz (aperture, width, fps)
for each file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

from ..mel import SAMPLE_RATE, log_mel
from ..mel_encoder import MelEncoder, load_encoder
from .lip_targets import Decoding, decode


def posteriors(encoder: MelEncoder, samples: np.ndarray) -> np.ndarray:
    """Phone posteriors (T, 36) at 50 fps of samples (N,) float32 at 16 kHz."""
    with torch.inference_mode():
        mel = torch.from_numpy(log_mel(samples))[None]
        return encoder.heads(encoder(mel)).phones.softmax(dim=-1)[0].numpy()


def read_wav(path: Path) -> np.ndarray:
    """Samples (N,) float32 of a 16 kHz 16-bit mono wav file."""
    rate, samples = wavfile.read(path)
    if rate != SAMPLE_RATE or samples.dtype != np.int16 or samples.ndim != 1:
        raise SystemExit(f"{path.name}: only 16 kHz mono 16-bit wav files are read here")
    return samples.astype(np.float32) / 32768.0


def main() -> None:
    """Write the curves."""
    parser = argparse.ArgumentParser(description="Lip curves heard by an encoder.")
    parser.add_argument(
        "encoder", type=Path, nargs="+", help="one npz, or several whose posteriors are averaged"
    )
    parser.add_argument("wavs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gate", type=float, default=Decoding().gate)
    parser.add_argument("--adaptive", type=float, default=Decoding().adaptive)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoders = [load_encoder(path) for path in options.encoder]
    options.out.mkdir(parents=True, exist_ok=True)
    settings = Decoding(gate=options.gate, adaptive=options.adaptive)
    for path in sorted(options.wavs.glob("*.wav")):
        samples = read_wav(path)
        heard = np.mean([posteriors(encoder, samples) for encoder in encoders], axis=0)
        curves = decode(heard, settings)
        np.savez(
            options.out / f"{path.stem}.npz", aperture=curves.aperture, width=curves.width, fps=np.array(25.0)
        )


if __name__ == "__main__":
    main()
