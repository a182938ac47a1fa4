# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the shipped head, model and demo speech lie: inside the extension's zip, or beside engine/ in a checkout."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "assets"
DEFAULT_HEAD = FOLDER / "default_head.npz"
DEFAULT_MODEL = FOLDER / "default_model.npz"
DEMO_SPEECH = FOLDER / "demo_speech.wav"

_STYLE = "style_{}.npy"
_STYLES_IN_ORDER = ("neutral", "lively", "calm", "happy", "angry")


def styles() -> list[tuple[str, Path]]:
    """(name, file) of the styles that ship, neutral first; `files.read_style` reads one as a motion (50,106)."""
    listed = ((name, FOLDER / _STYLE.format(name)) for name in _STYLES_IN_ORDER)
    return [(name, path) for name, path in listed if path.is_file()]
