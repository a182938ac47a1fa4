# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m engine.training.head --out FILE` writes the default head, and its texture beside it as a .png."""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

from .assemble import make_head
from .build import arrays, texture, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.head", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets/default_head.npz"))
    args = parser.parse_args()
    picture = args.out.with_suffix(".png")
    start = time.perf_counter()
    head = make_head()
    write(args.out, arrays(head))
    picture.write_bytes(texture(head))
    seconds = time.perf_counter() - start
    for path in (args.out, picture):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path}: {path.stat().st_size} bytes, sha256 {digest}")
    print(f"{seconds:.1f} s")


if __name__ == "__main__":
    main()
