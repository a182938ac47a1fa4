# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that decodes a sound file in another Blender (`beside.py`).

`... --python decoder.py -- SOUND FOLDER`, or by a Python that has bpy. Exit status 0 where the folder holds
samples-RATE.npy, (N,C) float32.
"""

from __future__ import annotations

import sys
from pathlib import Path


def _main(sound: str, folder: str) -> None:
    import bpy  # noqa: F401 - brings aud
    import aud  # isort: skip
    import numpy as np

    opened = aud.Sound.file(sound)
    rate, _ = opened.specs
    if opened.length <= 0 or rate <= 0:
        raise SystemExit(1)
    np.save(Path(folder) / f"samples-{round(rate)}.npy", np.asarray(opened.data(), np.float32))


if __name__ == "__main__":
    _main(*sys.argv[sys.argv.index("--") + 1 :][:2])
