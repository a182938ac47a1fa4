# SPDX-License-Identifier: GPL-3.0-or-later
"""Speak Text in Blender: a strip at the playhead, a file beside the .blend or packed, nothing where it fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import bpy
import pytest

from artalk_blender import registration
from artalk_blender.audio import speech
from artalk_blender.audio.speech import Engine
from artalk_blender.audio.strip import find_sound_strip, read_strip
from artalk_blender.ops import speak
from artalk_blender.runner import Runner, Stopped

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@pytest.fixture(autouse=True)
def registered(extension, scene):
    ours = speak not in registration.MODULES
    if ours:
        speak.register()
    yield
    if ours:
        speak.unregister()


@pytest.fixture
def saved(scene, tmp_path: Path) -> Path:
    """The folder of a saved file."""
    folder = tmp_path / "project"
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "film.blend"))
    return folder


def test_a_text_becomes_a_strip_beside_the_file(saved: Path):
    scene = bpy.context.scene
    scene.frame_set(42)
    assert bpy.ops.artalk.speak_text(words="Hello, I am happy.", voice="en-us") == {"FINISHED"}
    strip = scene.sequence_editor.active_strip
    assert strip == find_sound_strip(bpy.context) and strip.sound.filepath == "//hello_i_am_happy.wav"
    assert sorted(os.listdir(saved)) == ["film.blend", "hello_i_am_happy.wav"]
    audio = read_strip(strip, scene)
    assert audio.start_frame == 42 and 0.5 < len(audio.samples) / 16000 < 4.0 and abs(audio.samples).max() > 0.05
    scene.frame_set(60)
    bpy.ops.artalk.speak_text(words="Hello, I am happy.", speed=2.0)
    second = scene.sequence_editor.active_strip
    assert second.sound.filepath == "//hello_i_am_happy_2.wav" and second.channel == strip.channel + 1
    assert len(read_strip(second, scene).samples) < 0.7 * len(audio.samples)


def test_in_a_file_that_is_not_saved_it_is_packed(scene):
    assert not bpy.data.filepath
    assert bpy.ops.artalk.speak_text(words="Not saved yet.") == {"FINISHED"}
    strip = scene.sequence_editor.active_strip
    path = Path(strip.sound.filepath)
    assert path.is_absolute() and strip.sound.packed_file is not None
    path.unlink()
    assert len(read_strip(strip, scene).samples) > 8000


def test_a_text_block_is_spoken(saved: Path):
    bpy.data.texts.new("line").write("Purple balloons\nand apple pies.")
    assert bpy.ops.artalk.speak_text(text_block="line") == {"FINISHED"}
    assert (saved / "purple_balloons_and_apple_pies.wav").is_file()
    with pytest.raises(RuntimeError, match="no text block “other”"):
        bpy.ops.artalk.speak_text(text_block="other")


@pytest.mark.parametrize(("text", "said"), [
    ("", "no text to speak"), (" \x01\n", "no text to speak"), ("x " * 500_000, "1000000 characters|999999 characters"),
    ("...!?", "Nothing of the text"),
])
def test_what_cannot_be_spoken_is_a_sentence_and_leaves_nothing(saved: Path, text: str, said: str):
    with pytest.raises(RuntimeError, match=said):
        bpy.ops.artalk.speak_text(words=text)
    assert os.listdir(saved) == ["film.blend"] and not bpy.data.sounds
    assert bpy.context.scene.sequence_editor is None or not len(bpy.context.scene.sequence_editor.strips)


def test_a_wrong_voice_is_a_sentence(saved: Path):
    with pytest.raises(RuntimeError, match="no voice “Gandalf”"):
        bpy.ops.artalk.speak_text(words="hello", voice="Gandalf")


@pytest.mark.parametrize("text", ["--help", "<b>bold</b> & more", "😀", "-w /tmp/x.wav hello", "ein Grüß Gott"])
def test_odd_texts(saved: Path, text: str):
    assert bpy.ops.artalk.speak_text(words=text, voice="en-us") == {"FINISHED"}
    assert len(os.listdir(saved)) == 2


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(saved: Path):
    saved.chmod(0o500)
    try:
        with pytest.raises(RuntimeError, match="can't be written"):
            bpy.ops.artalk.speak_text(words="hello")
    finally:
        saved.chmod(0o700)


def test_a_folder_that_is_gone_is_a_sentence(saved: Path):
    shutil.rmtree(saved)
    with pytest.raises(RuntimeError, match="can't be written"):
        bpy.ops.artalk.speak_text(words="hello")
    assert not bpy.data.sounds


def test_esc_ends_the_engine(tmp_path: Path):
    engine = Engine("espeak", "eSpeak NG", shutil.which("espeak-ng"))
    runner = Runner(speak._speak(engine, "word " * 3900, "", 1.0, tmp_path / "long.wav"))
    assert not runner.advance(0.01)
    (pid,) = [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_child(int(name), "espeak-ng")]
    runner.stop()
    with pytest.raises(Stopped):
        runner.advance(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _is_child(pid: int, name: str) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().split()
    except OSError:
        return False
    return fields[1] == f"({name})" and int(fields[3]) == os.getpid()


def test_the_reason_and_the_voices(monkeypatch: pytest.MonkeyPatch):
    assert speak.disabled_reason(bpy.context) == ""
    assert "English (America) (en-us)" in speak.search_voices(None, bpy.context, "america")
    monkeypatch.setattr(speech, "installed", list)
    assert "install eSpeak NG" in speak.disabled_reason(bpy.context)
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.speak_text(words="hello")
