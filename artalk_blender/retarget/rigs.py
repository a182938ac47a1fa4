# SPDX-License-Identifier: GPL-3.0-or-later
"""Rig presets: mapping tables as JSON, found again by the rig they were made for.

A preset of one's own carries the fingerprint of its rig; those that ship tell by which names they know theirs.
Files come from anywhere: sizes and kinds are checked before anything is believed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ArtalkError
from ..paths import PACKAGE_FOLDER
from .mapping import Table

KIND, VERSION = "artalk rig preset", 1
SHIPPED = PACKAGE_FOLDER / "retarget" / "presets"
_MOST_BYTES = 4 << 20
_KNOWN = 0.75  # of a shipped preset's names: with so many it knows the rig


@dataclass(frozen=True)
class Preset:
    """A table with its name; fingerprint of the rig, or the names of keys and bones by which it is known."""

    name: str
    table: Table
    fingerprint: str = ""
    knows: tuple[str, ...] = ()
    path: Path | None = None


def read_preset(path: Path) -> Preset:
    """Raises ArtalkError, one sentence, for a file that is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ArtalkError(f"“{path.name}” is too large for a rig preset.", "Choose one that Save Preset wrote.",
                              "bad_file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtalkError(f"“{path}” could not be read: {error.strerror}.", "Choose another file.",
                          "bad_file") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ArtalkError(f"“{path.name}” is no rig preset.", "Choose one that Save Preset wrote.", "bad_file")
    if not isinstance(found.get("version"), int) or not 1 <= found["version"] <= VERSION:
        raise ArtalkError(f"“{path.name}” was written by another version.", "Save it again with that version's help.",
                          "bad_file")
    knows = found.get("knows", [])
    knows = knows[:500] if isinstance(knows, list) else []
    return Preset(str(found.get("name", path.stem))[:100], Table.from_dict(found.get("table")),
                  str(found.get("fingerprint", ""))[:64], tuple(str(name)[:200] for name in knows), path)


def write_preset(path: Path, preset: Preset) -> None:
    """Raises ArtalkError where the file can't be written."""
    data: dict[str, Any] = {"kind": KIND, "version": VERSION, "name": preset.name, "fingerprint": preset.fingerprint,
                            "knows": list(preset.knows), "table": preset.table.as_dict()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ArtalkError(f"“{path}” could not be written: {error.strerror}.", "Choose another folder.") from None


def find_preset(fingerprint: str, names: Iterable[str], folders: Iterable[Path]) -> Preset | None:
    """The preset that was saved for this very rig, else a shipped one that knows enough of its names.

    `folders` of one's own are searched first; a damaged file there is passed over.
    """
    there = set(names)
    best: tuple[float, Preset | None] = (0.0, None)
    for folder in (*folders, SHIPPED):
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            try:
                preset = read_preset(path)
            except ArtalkError:
                continue
            if preset.fingerprint and preset.fingerprint == fingerprint:
                return preset
            if preset.knows and not preset.fingerprint:
                share = sum(name in there for name in preset.knows) / len(preset.knows)
                if share >= _KNOWN and share > best[0]:
                    best = share, preset
    return best[1]


def fitted(preset: Preset, keys: dict[str, tuple[float, float]], bones: Iterable[str]) -> tuple[Table, list[str]]:
    """The preset's rows that the rig has, within its sliders' limits; sentences on those it has not."""
    there, rows, lost = set(bones), [], []
    for row in preset.table.rows:
        if row.kind == "key" and row.target in keys:
            low, high = keys[row.target]
            rows.append(replace(row, low=max(row.low, low), high=min(row.high, high))
                        if max(row.low, low) <= min(row.high, high) else row)
        elif row.kind != "key" and row.target in there:
            rows.append(row)
        else:
            lost.append(row.target)
    notes = [f"The preset “{preset.name}” speaks of {len(lost)} channels that this rig has not: "
             f"{', '.join(sorted(set(lost))[:5])}."] if lost else []
    return replace(preset.table, rows=tuple(rows)), notes


def file_name(name: str) -> str:
    """A file's name for a preset's."""
    return (re.sub(r"[^\w\- ]", "_", name).strip() or "rig")[:80] + ".json"
