#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks boundaries, manifest and assets, then writes the extension's zip to dist/. Standard library only.

    python build_addon.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SIZE_LIMIT = 40 << 20
_TIME = (1980, 1, 1, 0, 0, 0)  # a fixed date, so that the same sources give the same bytes
_NEEDED_KEYS = ("schema_version", "id", "version", "name", "tagline", "maintainer", "type", "blender_version_min",
                "license")


class BuildError(Exception):
    """What is wrong with the sources, in a sentence."""


def members() -> Iterator[tuple[str, Path]]:
    """(name in the zip, source file) of everything that ships."""
    for path in sorted((ROOT / "artalk_blender").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT / "artalk_blender").as_posix(), path
    for path in sorted((ROOT / "engine").rglob("*.py")):
        if "training" not in path.relative_to(ROOT).parts:
            yield path.relative_to(ROOT).as_posix(), path
    for path in sorted((ROOT / "assets").iterdir()):
        yield f"assets/{path.name}", path
    yield "LICENSE", ROOT / "LICENSE"


def check_boundaries() -> None:
    """No torch in the extension, no Blender in the engine (the tests look closer)."""
    for folder, forbidden in (("artalk_blender", {"torch", "transformers"}), ("engine", {"bpy", "aud", "gpu"})):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for name in names:
                    if name.split(".")[0] in forbidden:
                        raise BuildError(f"{path.relative_to(ROOT)} imports {name}, which {folder}/ must not.")


def check_manifest() -> str:
    """The manifest's version; every key that Blender needs must be there and the licence be ours."""
    manifest = tomllib.loads((ROOT / "artalk_blender" / "blender_manifest.toml").read_text(encoding="utf-8"))
    for key in _NEEDED_KEYS:
        if not manifest.get(key):
            raise BuildError(f"blender_manifest.toml lacks `{key}`.")
    if manifest["license"] != ["SPDX:GPL-3.0-or-later"]:
        raise BuildError("blender_manifest.toml must state SPDX:GPL-3.0-or-later.")
    return str(manifest["version"])


def check_assets() -> None:
    """Every file in assets/ is listed in its manifest with size, sha256, licence and source, and nothing else is."""
    folder = ROOT / "assets"
    listed = {entry["name"]: entry for entry in json.loads((folder / "manifest.json").read_text())["files"]}
    there = {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name in sorted(there ^ set(listed)):
        state = "not listed in assets/manifest.json." if name in there else "missing."
        raise BuildError(f"assets/{name} is {state}")
    for name, entry in listed.items():
        data = (folder / name).read_bytes()
        if (len(data), hashlib.sha256(data).hexdigest()) != (entry["bytes"], entry["sha256"]):
            raise BuildError(f"assets/{name} differs from its manifest: run `build_addon.py --update-assets`.")
        if not entry.get("licence") or not entry.get("source"):
            raise BuildError(f"assets/manifest.json says no licence or source for {name}.")


def update_assets() -> None:
    """Writes the present sizes and sha256 of the listed assets into assets/manifest.json."""
    path = ROOT / "assets" / "manifest.json"
    content = json.loads(path.read_text())
    for entry in content["files"]:
        data = (ROOT / "assets" / entry["name"]).read_bytes()
        entry["bytes"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def build(out: Path) -> Path:
    """Writes the zip and returns its path. Raises BuildError when something is not as it must be."""
    check_boundaries()
    check_assets()
    version = check_manifest()
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"artalk_blender-{version}.zip"
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in members():
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, path.read_bytes())
    if partial.stat().st_size > SIZE_LIMIT:
        raise BuildError(f"The zip has {partial.stat().st_size >> 20} MB, over the limit of {SIZE_LIMIT >> 20} MB.")
    partial.replace(target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the extension's zip.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--update-assets", action="store_true", help="write the assets' present hashes first")
    options = parser.parse_args()
    try:
        if options.update_assets:
            update_assets()
        target = build(options.out)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{target} {target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
