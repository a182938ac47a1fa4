# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text that the sources hold, to find out whether what documents and dictionaries quote is still there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@lru_cache
def constants(*folders: str) -> frozenset[str]:
    """Texts of the Python files in these folders; those with values have {} for each. Dictionaries are left out."""
    found = set()
    for folder in folders or ("artalk_blender", "engine"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "german.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                elif isinstance(node, ast.JoinedStr):
                    found.add("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
    return frozenset(found)


def is_said(text: str) -> bool:
    """Whether the sources say this, with whatever values in it."""
    return text in constants() or any(pattern.fullmatch(text) for pattern in _patterns())


@lru_cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Of the texts with values, those that have words enough of their own to be told by."""
    return tuple(re.compile(re.escape(text).replace(r"\{\}", ".+"), re.DOTALL) for text in constants()
                 if "{}" in text and len(text.replace("{}", "")) > 5)
