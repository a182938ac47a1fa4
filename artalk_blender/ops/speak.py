# SPDX-License-Identifier: GPL-3.0-or-later
"""Speak Text: a sound strip of a text, by a speech engine that is installed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import __package__ as _extension
from .. import compat
from ..audio.samples import SAMPLE_RATE, read_sound
from ..audio.speech import SPEEDS, Engine, Speaking, all_voices, choose, clean_text, file_name, missing_reason
from ..audio.strip import add_sound_strip
from ..errors import ArtalkError
from ..language import said
from ..runner import Work
from ..worker.job import ModalJob, is_busy
from .reasoned import BUSY, Reasoned

_HEARD = 1e-3  # of full scale


def disabled_reason(context: bpy.types.Context) -> str:
    """Why no text can be spoken now, in one sentence; empty when it can."""
    if is_busy():
        return BUSY
    if compat.sequencer_scene(context).library is not None:
        return "The scene is linked from another file"
    return missing_reason()


def search_voices(_self: Any, _context: Any, typed: str) -> list[str]:
    """For the voice's field: those that have what was typed in their name; asked of the engines when first needed."""
    return [voice.label for voice in all_voices() if typed.casefold() in voice.label.casefold()]


class ARTALK_OT_speak_text(Reasoned, ModalJob, bpy.types.Operator):
    """Make a sound strip at the playhead that says this text, with a voice that is installed; Esc stops it"""

    bl_idname = "artalk.speak_text"
    bl_label = "Speak Text"
    bl_options = {"REGISTER", "UNDO"}

    words: bpy.props.StringProperty(name="Text", description="What is to be said")  # a job's `text` is its progress
    text_block: bpy.props.StringProperty(
        name="Text Block", description="A text of the Text Editor to be said, where Text is empty")
    voice: bpy.props.StringProperty(
        name="Voice", search=search_voices, search_options={"SUGGESTION"},
        description="Name or language of a voice; empty: the engine's own")
    speed: bpy.props.FloatProperty(
        name="Speed", default=1.0, min=SPEEDS[0], max=SPEEDS[1],
        description="How fast it is spoken: 1 as the voice does by itself")

    reason = staticmethod(disabled_reason)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.words and not self.text_block:
            return context.window_manager.invoke_props_dialog(self, width=400)
        return self.run(context, modal=not bpy.app.background)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.activate_init = True  # so that one can type at once
        for name in ("words", "voice", "speed"):
            self.layout.prop(self, name)

    def work(self) -> Work[None]:
        text = clean_text(self._wanted_text())
        engine, voice = choose(self.voice)
        scene_name, kept, speed = compat.sequencer_scene(bpy.context).name, _is_kept(), self.speed
        folder = _folder()
        self.show(f"{engine.name} is speaking")
        with tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True) as temporary:
            sound = Path(temporary) / "speech.wav"
            yield from _speak(engine, text, voice, speed, sound)
            seconds = yield partial(_check_spoken, sound)
            scene = bpy.data.scenes.get(scene_name)
            if scene is None:
                raise ArtalkError("The scene is gone.", "Speak again in another.")
            path = _keep(sound, folder, text)
        strip = add_sound_strip(scene, path, scene.frame_current)
        if kept:
            strip.sound.filepath = _relative(path)
        else:
            strip.sound.pack()
        scene.sequence_editor.active_strip = strip
        where = f"“{path.name}” lies beside the file" if kept else (
            f"“{path}” is packed into the file, as that is not saved yet")
        self.report({"INFO"}, said(f"Spoke {seconds:.1f} s; {where}."))

    def _wanted_text(self) -> str:
        if self.words or not self.text_block:
            return self.words
        block = bpy.data.texts.get(self.text_block)
        if block is None:
            raise ArtalkError(f"There is no text block “{self.text_block}”.", "Choose one of the Text Editor.")
        return block.as_string()


def _speak(engine: Engine, text: str, voice: str, speed: float, sound: Path) -> Work[None]:
    speaking = Speaking(engine, text, voice, speed, sound)
    try:
        while not speaking.ended():
            yield
    finally:
        speaking.close()


def _check_spoken(sound: Path) -> float:
    """Seconds of a spoken sound. Raises ArtalkError where nothing is heard in it."""
    samples = read_sound(sound, "the spoken text")
    if not len(samples) or np.abs(samples).max() < _HEARD:
        raise ArtalkError("Nothing of the text can be spoken.", "Type words, or choose a voice of its language.")
    return len(samples) / SAMPLE_RATE


def _is_kept() -> bool:
    """Whether what is open has been saved, so that files can lie beside it."""
    return bool(bpy.data.filepath)


def _folder() -> Path:
    """Where spoken sounds go: beside the .blend; else the extension's own folder, or a temporary one."""
    if _is_kept():
        return Path(bpy.data.filepath).parent
    with suppress(ValueError, OSError):  # in a checkout there is no extension
        return Path(bpy.utils.extension_path_user(_extension, path="speech", create=True))
    folder = Path(tempfile.gettempdir()) / "artalk_speech"
    folder.mkdir(exist_ok=True)
    return folder


def _keep(sound: Path, folder: Path, text: str) -> Path:
    """Moves a sound to where it stays, under a name of its own."""
    name = file_name(text, lambda name: (folder / name).exists())
    part = folder / f".{name}.part"
    try:
        shutil.copyfile(sound, part)
        os.replace(part, folder / name)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ArtalkError(f"The sound can't be written to “{folder}”: {error.strerror}.",
                          "Free some space, or save the file in another folder.") from None
    return folder / name


def _relative(path: Path) -> str:
    with suppress(ValueError):  # another drive
        return bpy.path.relpath(str(path))
    return str(path)


def register() -> None:
    bpy.utils.register_class(ARTALK_OT_speak_text)


def unregister() -> None:
    bpy.utils.unregister_class(ARTALK_OT_speak_text)
