# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered frames of an avatar as an image strip in the Sequencer: a channel of its own, nothing of the artist's moved.

Colours are as rendered under every view transform that can be undone: PNG frames are read in the colour space that
undoes it. OpenEXR frames are light and can't be; where it matters, they are copied to PNG first (`display_frames`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy

from .. import compat
from ..audio.strip import scene_rate
from ..engine.files import replacing
from ..engine.gaussian.exr import read_exr
from ..engine.gaussian.png import png_bytes
from ..errors import ArtalkError
from ..runner import Work
from .compositor import beside_file, inverse_space
from .frame_reader import to_display
from .frames import FrameFolder

STRIP_NAME = "ARTalk Avatar"
STRIP_KEY = "artalk_avatar_strip"   # on our strip
DISPLAY_FOLDER = "display"          # beside OpenEXR frames, their copies for the screen
_LAST_CHANNEL = 128
_KEPT = ("blend_type", "blend_alpha", "mute", "lock")
_KEPT_PLACE = ("offset_x", "offset_y", "scale_x", "scale_y", "rotation")


def needs_display_frames(scene: Any, frames: FrameFolder) -> bool:
    """Whether frames have to be copied to PNG to look as rendered in the scene's Sequencer."""
    return frames.suffix == ".exr" and scene.view_settings.view_transform != "Standard" and bool(
        inverse_space(scene.view_settings.view_transform))


def display_frames(frames: FrameFolder, show: Callable[[int], None]) -> Work[FrameFolder]:
    """Copies of OpenEXR frames as PNG, sRGB with straight alpha, in a folder beside them; those that are there and
    newer stay. `show` is told how many are done. Raises EngineError for a full disk or a damaged frame."""
    folder = frames.folder / DISPLAY_FOLDER
    with suppress(FileExistsError):
        folder.mkdir()
    copies = replace(frames, folder=folder, suffix=".png")
    for done, number in enumerate(frames.numbers):
        show(done)
        yield partial(_copy, frames.path(number), copies.path(number))
    return copies


def _copy(source: Path, target: Path) -> None:
    try:
        if target.is_file() and target.stat().st_mtime_ns > source.stat().st_mtime_ns:
            return
        data = source.read_bytes()
    except OSError as error:
        raise ArtalkError(f"“{source.name}” can't be read: {error.strerror}.", "Render the avatar again.") from None
    pixels, texts = read_exr(data)
    with replacing(target) as file:
        file.write(png_bytes(to_display(pixels), {key: text for key, text in texts.items() if key != "type"}))


@dataclass(frozen=True)
class Placed:
    """Where the strip lies, and whether a render of the scene was its 3D picture before and is the Sequencer's now."""

    channel: int
    takes_over: bool


def add_to_sequencer(scene: Any, frames: FrameFolder, rate: float) -> Placed:
    """Puts the frames over their scene frames, in the lowest channel above everything, or has the strip that is there
    show them; `rate` is that of the scene whose frames they are. Raises ArtalkError where the Sequencer has another.
    """
    if abs(scene_rate(scene) - rate) > 1e-6:
        raise ArtalkError(f"The Sequencer's scene has {scene_rate(scene):g} frames a second, the avatar's {rate:g}.",
                          "Give both the same.")
    editor = scene.sequence_editor or scene.sequence_editor_create()
    pictures = any(strip.type != "SOUND" and not strip.mute for strip in editor.strips)
    old = our_strip(scene)
    kept = _kept(old) if old is not None else {}
    channel = old.channel if old is not None else 1 + max((strip.channel for strip in editor.strips), default=0)
    if channel > _LAST_CHANNEL:
        raise ArtalkError("The Sequencer has no free channel.", "Free one.")
    if old is not None:
        editor.strips.remove(old)
    strip = editor.strips.new_image(STRIP_NAME, str(frames.path(frames.first)), channel, frames.first,
                                    fit_method="ORIGINAL")
    for number in range(frames.first + 1, frames.last + 1):
        strip.elements.append(frames.path(frames.nearest(number)).name)
    strip.directory = beside_file(frames.folder) + "/"
    strip[STRIP_KEY] = 1
    strip.alpha_mode = "PREMUL" if frames.suffix == ".exr" else "STRAIGHT"
    strip.blend_type = "ALPHA_OVER"
    space = inverse_space(scene.view_settings.view_transform)
    with suppress(TypeError):  # colours are managed in a way of the artist's own
        strip.colorspace_settings.name = space if space and frames.suffix == ".png" else frames.color_space
    for name, value in kept.items():
        setattr(strip.transform if name in _KEPT_PLACE else strip, name, value)
    return Placed(strip.channel, not pictures and scene.render.use_sequencer)


def remove_from_sequencer(scene: Any) -> bool:
    """Takes our strip away, and no other; returns whether there was one."""
    strip = our_strip(scene)
    if strip is None:
        return False
    scene.sequence_editor.strips.remove(strip)
    return True


def our_strip(scene: Any) -> Any:
    """The strip that we made in a scene's Sequencer, or None."""
    editor = scene.sequence_editor
    return next((strip for strip in editor.strips if STRIP_KEY in strip), None) if editor is not None else None


def _kept(strip: Any) -> dict[str, Any]:
    """What the artist may have set on our strip."""
    return {**{name: getattr(strip, name) for name in _KEPT},
            **{name: getattr(strip.transform, name) for name in _KEPT_PLACE}}


def sound_file_of(scene: Any, first: int, last: int, folder: Path) -> Path | None:
    """Writes a .blend with what sounds in the scene from `first` to `last`, for another Blender to mix; None where
    nothing does."""
    editor = scene.sequence_editor
    spans = [compat.strip_span(strip) for strip in (editor.strips_all if editor is not None else ())
             if strip.type == "SOUND" and not strip.mute]
    if not any(span.start <= last and span.end > first for span in spans):
        return None
    copy, path = scene.copy(), folder / "sound.blend"
    try:
        copy.name = "ARTalk Film"
        copy.background_set = copy.camera = copy.world = None
        for linked in (copy.collection.children, copy.collection.objects):
            for thing in list(linked):
                linked.unlink(thing)
        copy.frame_start, copy.frame_end = max(0, first), last
        bpy.data.libraries.write(str(path), {copy}, path_remap="ABSOLUTE", fake_user=True)
    finally:
        bpy.data.scenes.remove(copy)
    return path
