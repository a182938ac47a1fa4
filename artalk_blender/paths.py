# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine lies (its assets: engine/assets.py). No `bpy` module use at import."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parent


# inside this package once it is zipped, beside it in a checkout
_INSIDE = PACKAGE_FOLDER / "engine"
ENGINE_FOLDER = _INSIDE if _INSIDE.is_dir() else PACKAGE_FOLDER.parent / "engine"


def mount_engine() -> None:
    """Makes `<this package>.engine` importable without a change to `sys.path`.

    In the zip it already is; in a checkout the folder beside is loaded under that name.
    """
    name = f"{__package__}.engine"
    if name in sys.modules or _INSIDE.is_dir():
        return
    spec = importlib.util.spec_from_file_location(
        name, ENGINE_FOLDER / "__init__.py", submodule_search_locations=[str(ENGINE_FOLDER)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no engine in {ENGINE_FOLDER}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    sys.modules[__package__].engine = module
