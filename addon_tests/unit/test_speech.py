# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to speech: what is run on each system, what becomes of odd texts, and eSpeak NG for real. No Blender."""

from __future__ import annotations

import os
import shutil
import time
import wave
from pathlib import Path

import pytest

from artalk_blender.audio import speech
from artalk_blender.audio.speech import MOST_CHARACTERS, Engine, Speaking, Voice, clean_text, file_name, find_engines
from artalk_blender.errors import ArtalkError

ESPEAK = shutil.which("espeak-ng")
needs_espeak = pytest.mark.skipif(ESPEAK is None, reason="espeak-ng is not installed")
OUT = Path("out.wav")


def speak(text: str, out: Path, voice: str = "", speed: float = 1.0) -> float:
    """Seconds of what eSpeak NG made of a text."""
    speaking = Speaking(Engine("espeak", "eSpeak NG", str(ESPEAK)), text, voice, speed, out)
    try:
        while not speaking.ended():
            time.sleep(0.005)
    finally:
        speaking.close()
    with wave.open(str(out)) as file:
        return file.getnframes() / file.getframerate()


def test_engines_are_found_by_system(tmp_path: Path):
    there = {"espeak-ng": "/bin/espeak-ng", "say": "/usr/bin/say", "powershell": r"C:\ps.exe"}
    for platform, kinds in (("linux", ["espeak"]), ("darwin", ["say", "espeak"]), ("win32", ["windows", "espeak"])):
        assert [engine.kind for engine in find_engines(platform, there.get)] == kinds
    assert find_engines("linux", lambda _name: None) == []
    piper = tmp_path / "piper"
    piper.touch()
    assert find_engines("linux", {"piper": str(piper)}.get) == [], "a program of that name without voices is another"
    (tmp_path / "en_US-lessac-medium.onnx").touch()
    (tmp_path / "en_US-lessac-medium.onnx.json").touch()
    (tmp_path / "other.onnx").touch()
    (engine,) = find_engines("linux", {"piper": str(piper)}.get)
    (voice,) = engine.voices()
    assert voice.label == "en_US-lessac-medium (en-US)" and voice.key.endswith("lessac-medium.onnx")


def test_commands_hold_the_text_nowhere():
    text = "--version; rm -rf $(HOME) `id` \"'\n"
    for kind in ("espeak", "say", "piper", "windows"):
        command = Engine(kind, kind, "engine").command(text, "voice", 2.0, OUT)
        assert not any("rm -rf" in part for part in (*command.arguments, *command.environment.values()))
        assert command.text.split() == text.split()
    assert Engine("espeak", "", "e").command("a", "en-us", 1.0, OUT).arguments == (
        "e", "--stdin", "-b", "1", "-v", "en-us", "-s", "175", "-w", "out.wav")
    assert Engine("say", "", "say").command("a", "Alex", 1.0, OUT).arguments == (
        "say", "-v", "Alex", "-r", "175", "-o", "out.wav", "--file-format=WAVE", "--data-format=LEI16@22050", "-f", "-")
    assert Engine("piper", "", "p").command("a\nb", "v.onnx", 2.0, OUT).arguments == (
        "p", "--model", "v.onnx", "--length_scale", "0.500", "--output_file", "out.wav")
    command = Engine("windows", "", "powershell").command("a", "Zira'; exit", 2.0, OUT)
    assert command.environment == {"ARTALK_VOICE": "Zira'; exit", "ARTALK_RATE": "6", "ARTALK_OUT": "out.wav"}
    assert "Zira" not in " ".join(command.arguments)
    assert Engine("windows", "", "powershell").command("a", "", 9.0, OUT).environment["ARTALK_RATE"] == "6"


def test_lists_of_voices_are_read():
    listing = ("Pty Language Age/Gender VoiceName          File                 Other Languages\n"
               " 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)\n"
               " 5  en              --/M      en1                mb/mb-en1\n"
               " 5  yue             --/M      Cantonese          sit/yue              (zh-yue 5)\n"
               " 5  yue             --/M      Cantonese_(Latin)  sit/yue-Latn         (zh-yue 5)\nrubbish\n")
    assert [voice.label for voice in speech.espeak_voices(listing)] == ["English (America) (en-us)", "Cantonese (yue)"]
    listing = ("Alex                en_US    # Most people recognize me by my voice.\n"
               "Bad News            en_US    # The light you see\nEddy (German (Germany)) de_DE    # Hallo!\n\n")
    assert speech.say_voices(listing) == [Voice("say", "Alex", "Alex", "en-US"), Voice("say", "Bad News", "Bad News",
                                          "en-US"), Voice("say", "Eddy (German (Germany))", "Eddy (German (Germany))",
                                                          "de-DE")]
    assert speech.windows_voices("Microsoft Zira Desktop\ten-US\r\n\r\nError\r\n") == [
        Voice("windows", "Microsoft Zira Desktop", "Microsoft Zira Desktop", "en-US")]


@pytest.mark.parametrize(("text", "expected"), [
    ("  hello\r\nthere\t \x00\x07you ", "hello\n\nthere    you\n"),
    ("half a \ud83d character", "half a  character\n"),
    ("\ufeffsoft\u00adhyphen\u202e", "softhyphen\n"),
    ("می\u200cخواهم", "می\u200cخواهم\n"),
    ("[[h@l'oU]] [[[", "[ [h@l'oU]] [ [ [\n"),
    ("-v", "-v\n"),
])
def test_text_is_cleaned(text: str, expected: str):
    assert clean_text(text) == expected and clean_text(expected) == expected


def test_no_text_and_too_much_are_sentences():
    for text in ("", " \n\t", "\x00\x01", "\ud83d", "\u200b\u200d"):
        with pytest.raises(ArtalkError, match="no text to speak"):
            clean_text(text)
    assert len(clean_text("a" * MOST_CHARACTERS)) == MOST_CHARACTERS + 1
    started = time.perf_counter()
    with pytest.raises(ArtalkError, match="1000000 characters"):
        clean_text("word " * 199_999 + "words")
    assert time.perf_counter() - started < 10.0


def test_files_get_names_of_their_own():
    assert file_name("Hello, I am <b>happy</b>!", lambda name: False) == "hello_i_am_b_happy_b.wav"
    assert file_name("../../etc/passwd", lambda name: False) == "etc_passwd.wav"
    assert file_name("…!", lambda name: False) == "speech.wav" == file_name("NUL", lambda name: False)
    assert file_name("Grün 你好", lambda name: False) == "grün_你好.wav"
    assert file_name("a", lambda name: name in ("a.wav", "a_2.wav")) == "a_3.wav"
    assert len(file_name("w" * 5000, lambda name: False)) == 36


@needs_espeak
def test_espeak_speaks(tmp_path: Path):
    usual = speak("Hello, I am happy to meet you.", tmp_path / "usual.wav")
    assert 1.0 < usual < 4.0
    assert speak("Hello, I am happy to meet you.", tmp_path / "fast.wav", speed=2.0) < 0.7 * usual
    assert speak("Bonjour tout le monde.", tmp_path / "french.wav", "fr-fr") > 0.5
    engine = Engine("espeak", "eSpeak NG", str(ESPEAK))
    voices = engine.voices()
    assert len(voices) > 50 and len({voice.key for voice in voices}) == len(voices)


@needs_espeak
@pytest.mark.parametrize("text", [
    "--help", "-v nonsense -w /tmp/elsewhere.wav", "<speak><audio src='file:///etc/passwd'/></speak>", "😀 👩‍👩‍👧",
    "$(touch x) `id` ; | & > <", "a\x00b\x1b[31m", "مرحبا بالعالم", "你好", "%s %n {0} \\n", "word " * 300,
])
def test_espeak_takes_odd_texts(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert speak(text, tmp_path / "odd.wav", "en-us") > 0.1
    assert os.listdir(tmp_path) == ["odd.wav"]


@needs_espeak
def test_a_voice_that_is_not_there_is_a_sentence(tmp_path: Path):
    with pytest.raises(ArtalkError, match="eSpeak NG could not speak: .*voice does not exist"):
        speak("hello", tmp_path / "none.wav", "xx-nobody")
    with pytest.raises(ArtalkError, match="can't be started"):
        Speaking(Engine("espeak", "eSpeak NG", str(tmp_path / "gone")), "hello", "", 1.0, tmp_path / "none.wav")
    for wish in ("nobody", "../../../etc/passwd", "-w"):
        with pytest.raises(ArtalkError, match="There is no voice"):
            speech.choose(wish)


@needs_espeak
def test_voices_are_chosen_by_label_name_and_language():
    for wish, key in (("English (America) (en-us)", "en-us"), ("english (america)", "en-us"), ("en-US", "en-us"),
                      ("de", "de"), ("pt-br", "pt-br"), (" ", "")):
        engine, voice = speech.choose(wish)
        assert engine.kind != "espeak" or voice == key
    assert speech.missing_reason() == ""


@needs_espeak
def test_an_engine_is_ended_where_it_is(tmp_path: Path):
    speaking = Speaking(Engine("espeak", "eSpeak NG", str(ESPEAK)), "word " * 3900, "", 1.0, tmp_path / "long.wav")
    assert not speaking.ended()
    os.kill(speaking.process_id, 0)
    speaking.close()
    with pytest.raises(ProcessLookupError):
        os.kill(speaking.process_id, 0)
    speaking.close()


@needs_espeak
def test_an_engine_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speech, "_PATIENCE", -1.0)
    speaking = Speaking(Engine("espeak", "eSpeak NG", str(ESPEAK)), "word " * 3900, "", 1.0, tmp_path / "long.wav")
    with pytest.raises(ArtalkError, match="has not ended"):
        speaking.ended()
    with pytest.raises(ProcessLookupError):
        os.kill(speaking.process_id, 0)


def test_without_an_engine_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speech, "installed", list)
    assert "install eSpeak NG" in speech.missing_reason()
    with pytest.raises(ArtalkError, match="Install eSpeak NG"):
        speech.choose("")
