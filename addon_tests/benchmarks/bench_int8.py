# SPDX-License-Identifier: GPL-3.0-or-later
"""What int8 would do to the lips: the shipped model with every product of its fast path rounded to 8 bits.

    python addon_tests/benchmarks/bench_int8.py [--model FILE]

Weights are rounded per output, inputs per row, to 255 steps: the finest that int8 products allow. Only the rounding is
done, not the speed; above 0.2 mm rms at the lips a precision is not offered, and that is why int8 is not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine import fast_encoder, products
from engine.assets import DEFAULT_HEAD, DEFAULT_MODEL, DEMO_SPEECH
from engine.audio_file import read_audio
from engine.flame.file import read_flame
from engine.pipeline import frame_count
from engine.precision import difference, network_chunks
from engine.weights import load_network


def rounded(x: Tensor) -> Tensor:
    """x (...,I) with every row on 255 steps of its own."""
    step = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127
    return torch.round(x / step) * step


def half(x: Tensor | None) -> Tensor | None:
    """The same in bfloat16."""
    return None if x is None else x.bfloat16()


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    samples, head = np.resize(read_audio(DEMO_SPEECH), round(options.seconds * 16000)), read_flame(DEFAULT_HEAD)
    plain = load_network(options.model)
    exact = products.product
    ways = {
        "fp32": exact,
        "all in bf16": lambda x, weight, bias: F.linear(x.bfloat16(), weight.bfloat16(), half(bias)).float(),
        "weights in int8": lambda x, weight, bias: F.linear(x, rounded(weight), bias),
        "all in int8": lambda x, weight, bias: F.linear(rounded(x), rounded(weight), bias),
    }
    print(f"{options.model.name}, {len(samples) / 16000:.1f} s of speech, unlike the plain path in fp32\n")
    for name, product in ways.items():
        network = load_network(options.model)
        products.product = fast_encoder.product = product
        found = difference(network_chunks(plain, samples, plain=True), network_chunks(network, samples),
                           frame_count(len(samples)), head)
        print(f"{name:18s}{100 * found.bits:8.3f} % of the bits{found.lip_millimetres:10.4f} mm rms at the lips")
        products.product = fast_encoder.product = exact


if __name__ == "__main__":
    main()
