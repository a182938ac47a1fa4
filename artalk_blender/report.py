# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person can paste into a bug report: versions, the last problem, the engine's log; no paths of theirs."""

from __future__ import annotations

import os
import platform
import re
import sys
import traceback
from pathlib import Path

from . import compat
from .engine import __version__

_problem = ""


def note_problem(error: BaseException) -> None:
    """Remembers what went wrong last, for `support_text`."""
    global _problem
    _problem = "".join(traceback.format_exception(error))


def support_text(log: str, facts: dict[str, str]) -> str:
    """All of it, paths masked. `log` is the engine's, `facts` are lines of their own."""
    lines = [
        f"ARTalk for Blender {__version__}, Blender {compat.VERSION_TEXT}, Python {platform.python_version()}",
        f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} processors",
        *(f"{name}: {value}" for name, value in facts.items()),
        "", "Last problem:", _problem or "none", "", "Engine's log:", log or "empty",
    ]
    return mask_paths("\n".join(lines))


def mask_paths(text: str) -> str:
    """Folders become “…”: what a file is called helps, where a person keeps it is theirs."""
    home = str(Path.home())
    text = text.replace(str(Path(__file__).resolve().parent), "<extension>")
    for root in sorted({sys.prefix, sys.base_prefix}, key=len, reverse=True):
        text = text.replace(root, "<python>")
    if len(home) > 1:
        text = text.replace(home, "~")
    # (?<!...) keeps what was masked above, URLs and fractions
    text = re.sub(r"(?<![\w>~./\\:])/(?:[^/\s“”\"':,;]+(?: [^/\s“”\"':,;]+)*/)+", "…/", text)
    text = re.sub(r"~/(?:[^/\s“”\"':,;]+(?: [^/\s“”\"':,;]+)*/)+", "…/", text)
    return re.sub(r"\b[A-Za-z]:\\(?:[^\\\s“”\"':,;]+(?: [^\\\s“”\"':,;]+)*\\)+", "…\\\\", text)
