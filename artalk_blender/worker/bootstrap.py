# SPDX-License-Identifier: GPL-3.0-or-later
"""First file of the child process: `python -I bootstrap.py ENGINE_FOLDER ARGUMENTS...`. Standard library only.

Isolated mode knows no package that is not installed, and no folder should go onto the path only for this: the
engine is loaded from its folder by name.
"""

import importlib
import importlib.util
import os
import sys


def main() -> int:
    folder = sys.argv[1]
    spec = importlib.util.spec_from_file_location(
        "engine", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no engine in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["engine"] = module
    spec.loader.exec_module(module)
    return int(importlib.import_module("engine.__main__").main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
