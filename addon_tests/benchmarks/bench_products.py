# SPDX-License-Identifier: GPL-3.0-or-later
"""Which library multiplies faster here: MKL or oneDNN, by rows; float32, bfloat16, and int8 for comparison. CPU.

    python addon_tests/benchmarks/bench_products.py [--threads N]

The choice in engine/products.py follows from what this prints. The sizes are the published network's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.nn import functional as F

from engine.bench import machine_name
from engine.device import set_threads

SHAPES = ((1, 768, 3072), (5, 768, 3072), (25, 768, 3072), (50, 768, 3072), (100, 768, 3072), (181, 1024, 4608),
          (199, 1024, 4096), (199, 4096, 1024), (796, 1024, 3072))


def speed(work: Callable[[], object], rows: int, wide: int, high: int) -> float:
    """Gflop/s of the fastest of 20 runs."""
    work()
    spent = []
    for _ in range(20):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return 2e-9 * rows * wide * high / min(spent)


def ways(rows: int, wide: int, high: int) -> dict[str, Callable[[], object]]:
    """Each way to multiply (rows,wide) by (high,wide)."""
    x, weight, bias = torch.randn(rows, wide), torch.randn(high, wide), torch.randn(high)
    half_x, half, half_bias = x.bfloat16(), weight.bfloat16(), bias.bfloat16()
    packed = torch.ops.mkldnn._reorder_linear_weight(half, 200)
    whole = torch.ops.onednn.qlinear_prepack(torch.randint(-127, 128, (high, wide), dtype=torch.int8), [rows, wide])
    ones, zeros = torch.ones(high), torch.zeros(high, dtype=torch.int32)
    bytes_x = torch.randint(0, 256, (rows, wide), dtype=torch.uint8)
    one_dnn = torch.ops.mkldnn._linear_pointwise
    return {
        "fp32 MKL": lambda: F.linear(x, weight, bias),
        "fp32 oneDNN": lambda: one_dnn(x, weight, bias, "none", [], ""),
        "bf16": lambda: F.linear(half_x, half, half_bias),
        "bf16 packed": lambda: one_dnn(half_x, packed, half_bias, "none", [], ""),
        "int8": lambda: torch.ops.onednn.qlinear_pointwise(
            bytes_x, 1.0, 128, whole, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""),
    }


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    else:
        set_threads()
    print(f"{machine_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}; Gflop/s\n")
    names = list(ways(*SHAPES[0]))
    print(f"{'rows x in x out':>20s}" + "".join(f"{name:>14s}" for name in names) + f"{'oneDNN / MKL':>14s}")
    for shape in SHAPES:
        found = [speed(work, *shape) for work in ways(*shape).values()]
        print(f"{' x '.join(map(str, shape)):>20s}" + "".join(f"{one:14.1f}" for one in found)
              + f"{found[1] / found[0]:13.2f}x", flush=True)


if __name__ == "__main__":
    main()
