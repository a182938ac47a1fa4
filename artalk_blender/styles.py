# SPDX-License-Identifier: GPL-3.0-or-later
"""The manner in which a line is spoken: two seconds of motion that the model takes as an example.

Styles come with the extension, lie beside a published model, are captured from any animated head of the file, which
keeps them, or are files. A style is named by where it comes from: "preset:calm", "model:natural_0.pt", "captured:Ann".
A take keeps the style that it was made in, so that it can be made again where the style has gone: with the file that it
was in, the model that it lay beside, another version of the extension.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .animation.take_data import kept_styles, takes
from .engine.assets import styles as presets
from .engine.files import read_style
from .engine.pipeline import MOTION_SIZE, STYLE_FRAMES, check_style
from .errors import ArtalkError

DEFAULT, FILE = "default", "file"
STYLES_KEY = "artalk_styles"  # on the scene: dict of name -> (50,106) float32, flat
_PRESET, _MODEL, _CAPTURED, _TAKE = "preset:", "model:", "captured:", "take:"
_SUFFIXES = {".pt", ".pth", ".npy", ".npz"}
_FOLDERS = ("", "style_motion", "assets/style_motion")
_SMALL = 1 << 20  # bytes: larger files beside a model are no styles
_DESCRIPTIONS = {
    "neutral": "As one reads aloud", "lively": "Open mouth, brows and head at work", "calm": "Small and slow",
    "happy": "Smiling", "angry": "Brows down, mouth tense",
}

Floats = NDArray[np.float32]
Item = tuple[str, str, str]


FIRST = ((DEFAULT, "Default", "The model's own manner"),)


def number_of(identifier: str) -> int:
    """What stands for a style in a .blend: the same, whatever other styles there are; 0 is the default."""
    return 0 if identifier == DEFAULT else zlib.crc32(identifier.encode()) & 0x7FFFFFFF


def items(scene: Any, model: str) -> list[Item]:
    """Every style that can be chosen, as (identifier, name, description); the default first, a file last."""
    result = [*FIRST]
    result += [(_PRESET + name, name.capitalize(), _DESCRIPTIONS.get(name, "A style that comes with ARTalk"))
               for name, _ in presets()]
    result += [(_MODEL + path.name, path.stem.replace("_", " ").capitalize(), f"“{path.name}”, beside the model")
               for path in _beside(model)]
    result += [(_CAPTURED + name, name, "Captured from a head of this file") for name in captured(scene)]
    there = {identifier for identifier, _, _ in result}
    result += [(identifier, name, "Kept by a take that was made in it") for identifier, (name, _) in _of_takes().items()
               if identifier not in there]
    return [*result, (FILE, "File", "A .npy, .npz or .pt file with two seconds of motion")]


def motion_of(identifier: str, scene: Any, model: str, file: str) -> Floats | None:
    """The style's motion (50,106), None for the default. Raises ArtalkError where it is not there any more."""
    if identifier in (DEFAULT, ""):
        return None
    if identifier == FILE:
        if not file:
            raise ArtalkError("No style file is chosen.", "Choose one under Style, or another style.")
        return read_style(file)
    if identifier.startswith(_CAPTURED) and identifier.removeprefix(_CAPTURED) in captured(scene):
        return _stored(scene, identifier.removeprefix(_CAPTURED))
    found = {_PRESET + name: path for name, path in presets()} | {_MODEL + path.name: path for path in _beside(model)}
    if identifier not in found:
        kept = _of_takes().get(identifier)
        if kept is not None:
            return check_style(kept[1])
        if identifier.startswith(_CAPTURED):
            return _stored(scene, identifier.removeprefix(_CAPTURED))
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
    if not settings.style:
        raise ArtalkError("The chosen style is not there any more.", "Choose another one under Style.")
    file = bpy.path.abspath(settings.style_file)
    motion = motion_of(settings.style, scene, model, file)
    return Style(name_of(settings.style, file), motion, float(settings.style_strength))


def name_of(identifier: str, file: str) -> str:
    """What a take notes of its style; empty for the default."""
    if identifier in (DEFAULT, ""):
        return ""
    return Path(file).name if identifier == FILE else identifier.removeprefix(_TAKE)


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


def _of_takes() -> dict[str, tuple[str, Floats]]:
    """Styles that takes of the file keep: identifier -> name for people, motion (50,106)."""
    found: dict[str, tuple[str, Floats]] = {}
    for take in takes():
        for name, motion in kept_styles(take).items():
            source, _, own = name.partition(":")
            known = f"{source}:" in (_PRESET, _MODEL, _CAPTURED)
            if motion.shape == (STYLE_FRAMES, MOTION_SIZE):
                found.setdefault(name if known else _TAKE + name, (own if known else name, motion))
    return found


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
