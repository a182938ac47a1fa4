# SPDX-License-Identifier: GPL-3.0-or-later
"""The manner in which a line is spoken: two seconds of motion that the model takes as an example.

Styles come with the extension, lie beside a published model, are captured from any animated head of the file, which
keeps them, or are files. A style is named by where it comes from: "preset:calm", "model:natural_0.pt", "captured:Ann".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .engine.assets import styles as presets
from .engine.files import read_style
from .engine.pipeline import MOTION_SIZE, STYLE_FRAMES, check_style
from .errors import ArtalkError

DEFAULT, FILE = "default", "file"
STYLES_KEY = "artalk_styles"  # on the scene: dict of name -> (50,106) float32, flat
_PRESET, _MODEL, _CAPTURED = "preset:", "model:", "captured:"
_SUFFIXES = {".pt", ".pth", ".npy", ".npz"}
_FOLDERS = ("", "style_motion", "assets/style_motion")
_SMALL = 1 << 20  # bytes: larger files beside a model are no styles
_DESCRIPTIONS = {
    "neutral": "As one reads aloud", "lively": "Open mouth, brows and head at work", "calm": "Small and slow",
    "happy": "Smiling", "angry": "Brows down, mouth tense",
}

Floats = NDArray[np.float32]
Item = tuple[str, str, str]


def items(scene: Any, model: str) -> list[Item]:
    """Every style that can be chosen, as (identifier, name, description); the default first, a file last."""
    result = [(DEFAULT, "Default", "The model's own manner")]
    result += [(_PRESET + name, name.capitalize(), _DESCRIPTIONS.get(name, "A style that comes with ARTalk"))
               for name, _ in presets()]
    result += [(_MODEL + path.name, path.stem.replace("_", " ").capitalize(), f"“{path.name}”, beside the model")
               for path in _beside(model)]
    result += [(_CAPTURED + name, name, "Captured from a head of this file") for name in captured(scene)]
    return [*result, (FILE, "File", "A .npy, .npz or .pt file with two seconds of motion")]


def motion_of(identifier: str, scene: Any, model: str, file: str) -> Floats | None:
    """The style's motion (50,106), None for the default. Raises ArtalkError where it is not there any more."""
    if identifier in (DEFAULT, ""):
        return None
    if identifier == FILE:
        if not file:
            raise ArtalkError("No style file is chosen.", "Choose one under Style, or another style.")
        return read_style(file)
    if identifier.startswith(_CAPTURED):
        return _stored(scene, identifier.removeprefix(_CAPTURED))
    found = {_PRESET + name: path for name, path in presets()} | {_MODEL + path.name: path for path in _beside(model)}
    if identifier not in found:
        raise ArtalkError(f"The style “{identifier.partition(':')[2]}” is not there.", "Choose another one.")
    return read_style(found[identifier])


@dataclass(frozen=True)
class Style:
    """What is sent to the model, and the name that a take notes; `motion` (50,106) or None, the model's own manner."""

    name: str
    motion: Floats | None
    strength: float


def chosen(scene: Any, model: str) -> Style:
    """The style that the scene's settings name. Raises ArtalkError where it is not there any more."""
    settings = scene.artalk
    file = bpy.path.abspath(settings.style_file)
    motion = motion_of(settings.style, scene, model, file)
    return Style(name_of(settings.style, file), motion, float(settings.style_strength))


def name_of(identifier: str, file: str) -> str:
    """What a take notes of its style; empty for the default."""
    if identifier in (DEFAULT, ""):
        return ""
    return Path(file).name if identifier == FILE else identifier


def captured(scene: Any) -> list[str]:
    """Names of the styles that a scene keeps."""
    return sorted(scene.get(STYLES_KEY, {}).keys())


def keep(scene: Any, name: str, motion: NDArray[np.floating[Any]]) -> str:
    """Keeps a style (50,106) with the scene, and so with the file; returns its identifier."""
    name = name.strip() or "Style"
    values = check_style(motion).ravel().tolist()
    stored = scene.get(STYLES_KEY)
    if stored is None:
        scene[STYLES_KEY] = {}
        stored = scene[STYLES_KEY]
    stored.pop(name, None)  # an array in the place of one of another length corrupts Blender's memory
    stored[name] = values
    return _CAPTURED + name


def _stored(scene: Any, name: str) -> Floats:
    values = np.array(scene.get(STYLES_KEY, {}).get(name, ()), np.float32).ravel()
    if values.size != STYLE_FRAMES * MOTION_SIZE:
        raise ArtalkError(f"The style “{name}” is not in this file.", "Capture it again, or choose another one.")
    return check_style(values.reshape(STYLE_FRAMES, MOTION_SIZE))


def _beside(model: str) -> list[Path]:
    """Style files in a published model's folder and where the publication keeps them."""
    if not model:
        return []
    folder = Path(model) if Path(model).is_dir() else Path(model).parent
    found = {}
    for part in _FOLDERS:
        try:
            for path in sorted((folder / part).iterdir()):
                if path.suffix.lower() in _SUFFIXES and path.is_file() and path.stat().st_size < _SMALL:
                    found.setdefault(path.name, path)
        except OSError:
            continue
    return list(found.values())
