# SPDX-License-Identifier: GPL-3.0-or-later
"""Decodes a sound file in another Blender, without windows: while this one's library decodes, no Python runs in it.

Also the script that runs there: `... --python decoder.py -- SOUND OUT.npy`, or by a Python that has bpy. Exit status 0
where OUT.npy holds the samples (N,C) float32 and its name's end, before the suffix, is the rate.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_PATIENCE = 600.0  # seconds
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def decode_beside(path: Path, blender: str, environment: dict[str, str]) -> tuple[Any, int] | None:
    """(samples (N,C) float32, rate); None where it could not be done so. `blender` "" is this Python's own bpy."""
    import numpy as np

    script = str(Path(__file__).resolve())
    start = [blender, "-b", "--factory-startup", "-noaudio", "--python-exit-code", "3", "--python", script, "--"]
    with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as folder:
        try:
            command = start if blender else [sys.executable, script, "--"]
            ended = subprocess.run([*command, str(path.resolve()), folder], env=environment, timeout=_PATIENCE,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   creationflags=_NO_WINDOW, check=False)
            found = next(Path(folder).glob("samples-*.npy"), None)
            if ended.returncode != 0 or found is None:
                return None
            return np.load(found, allow_pickle=False), int(found.stem.partition("-")[2])
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


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
