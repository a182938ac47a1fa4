# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m engine.training.head --out FILE` writes the default head."""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

from .build import arrays, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.head", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets/default_head.npz"))
    args = parser.parse_args()
    start = time.perf_counter()
    write(args.out, arrays())
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    seconds = time.perf_counter() - start
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, sha256 {digest[:16]}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
