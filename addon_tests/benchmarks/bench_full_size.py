# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the engine's bench on a model of the published size with seeded weights, made in a temporary folder (2 GB).

    python addon_tests/benchmarks/bench_full_size.py [--file FILE] [--precisions fp32 bf16] [-- bench's own options]

`--file` makes the checkpoint there and keeps it for the next time. Loading is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADING = """
import sys, time
started = time.perf_counter()
import torch
from engine.bench import peak_megabytes
from engine.model import load_model
imported, before = time.perf_counter(), peak_megabytes()
model = load_model(sys.argv[1], device="cpu")
size = model.path.stat().st_size / 2**20
peak = peak_megabytes()
print(f"import torch                       {imported - started:12.3f} s")
print(f"load                               {time.perf_counter() - imported:12.3f} s, from a warm disk")
print(f"size of the file                   {size:12.0f} MB")
print(f"peak memory while loading          {peak:12.0f} MB, of which Python and torch {before:.0f}")
print(f"peak memory over size              {peak / size:12.2f} x (at most 1.25 is wanted)")
"""


def make(path: Path) -> None:
    """Write the seeded checkpoint, unless it is there."""
    if path.is_file():
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "addon_tests" / "support")]
    import torch
    from seeded_network import seeded_tensors

    partial = path.with_name(path.name + ".part")
    torch.save(seeded_tensors("artalk_wav2vec"), partial)
    partial.replace(path)


def run(path: Path, precisions: list[str], rest: list[str]) -> None:
    """Loading, then the bench in each precision."""
    print("Loading\n", flush=True)
    subprocess.run([sys.executable, "-c", LOADING, str(path)], cwd=ROOT, check=True)
    for precision in precisions:
        print(f"\nIn {precision}\n", flush=True)
        command = [sys.executable, "-m", "engine", "bench", "--model", str(path), "--precision", precision, *rest]
        subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Parse, make, run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"])
    own, rest = parser.parse_known_args()
    rest = [option for option in rest if option != "--"]
    if own.file:
        make(own.file)
        run(own.file.resolve(), own.precisions, rest)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "ARTalk_wav2vec.pt")
        run(Path(folder) / "ARTalk_wav2vec.pt", own.precisions, rest)


if __name__ == "__main__":
    main()
