# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the shipped head, model and demo speech lie: inside the extension's zip, or beside engine/ in a checkout."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "assets"
DEFAULT_HEAD = FOLDER / "default_head.npz"
DEFAULT_MODEL = FOLDER / "default_model.npz"
DEMO_SPEECH = FOLDER / "demo_speech.wav"
