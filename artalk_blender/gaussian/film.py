# SPDX-License-Identifier: GPL-3.0-or-later
"""Encodes frames and sound to an MP4 in another Blender, so that this one stays free and nobody's settings change.

    ... --python film.py -- PLAN.json          or by a Python that has bpy

What the plan holds: `Plan` in movie.py. One byte is written to `progress` for every frame; a sentence to `error` where
it can't be done.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy

_PACKAGE = "artalk_film"  # what the extension's own modules are called here
_ON_TOP = 3


def _ours(name: str) -> Any:
    """A module of the extension, which is not installed in this Blender."""
    if _PACKAGE not in sys.modules:
        folder = Path(__file__).resolve().parents[1]
        spec = importlib.util.spec_from_file_location(_PACKAGE, folder / "__init__.py",
                                                      submodule_search_locations=[str(folder)])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{_PACKAGE}.{name}")


def encode(plan: dict[str, Any]) -> None:
    """Lays colour, frames and sound over one another in this Blender's scene, and renders that."""
    scene = bpy.context.scene
    render = scene.render
    render.fps, render.fps_base = plan["fps"], plan["fps_base"]
    # H.264 wants even sides
    render.resolution_x, render.resolution_y = (side + side % 2 for side in plan["size"])
    render.resolution_percentage, render.dither_intensity = 100, 0.0
    render.use_sequencer, render.use_compositing = True, False
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, len(plan["frames"])
    editor = scene.sequence_editor_create()
    _ours("compat").new_color_strip(editor, "Background", _ON_TOP - 1, 1, len(plan["frames"]), plan["background"])
    first, *rest = plan["frames"]
    strip = editor.strips.new_image("Avatar", first, _ON_TOP, 1, fit_method="ORIGINAL")
    for path in rest:
        strip.elements.append(Path(path).name)
    strip.blend_type = "ALPHA_OVER"
    _ours("render").choose_mp4(scene, "film.mp4", 48000)
    if plan["sound"]:
        editor.strips.new_sound("Sound", _mixed(plan), 1, 1)
    render.filepath = plan["part"]
    with open(plan["progress"], "ab", buffering=0) as progress:
        bpy.app.handlers.render_write.append(lambda *_: progress.write(b"."))
        bpy.ops.render.render(animation=True)


def _mixed(plan: dict[str, Any]) -> str:
    """What sounds in the artist's scene over the frames, as a WAV file."""
    with bpy.data.libraries.load(plan["sound"]) as (there, wanted):
        wanted.scenes = there.scenes
    path = Path(plan["sound"]).with_suffix(".wav")
    _ours("audio.mixer").mix_down(wanted.scenes[0], path)
    return str(path)


def main(path: str) -> None:
    plan = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        encode(plan)
    except Exception as error:  # noqa: BLE001  the other side tells people
        Path(plan["error"]).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1])
    os._exit(0)  # all is written; 4.5 may wait for ever at exit for a thread of its own that has played sound
