# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to speech by what is installed: eSpeak NG, Piper, macOS's and Windows's own. No `bpy` module use, no network.

The text reaches an engine as a file on its standard input, never as an argument and never through a shell; voices are
taken from the engine's own list only.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ..errors import ArtalkError

MOST_CHARACTERS = 20_000  # about 20 minutes
SPEEDS = (0.5, 2.0)
_WORDS_PER_MINUTE = 175
_PATIENCE = 300.0  # seconds for one text
_LISTING_PATIENCE = 10.0
_JOINERS = "\u200c\u200d"  # Persian and Indian scripts are spelled with them
_FORGET = 10.0  # seconds after which it is looked again what is installed

# Windows: everything that varies comes through the environment and standard input
_WINDOWS_SPEAK = (
    "$ErrorActionPreference = 'Stop'; Add-Type -AssemblyName System.Speech; "
    "$s = New-Object System.Speech.Synthesis.SpeechSynthesizer; "
    "if ($env:ARTALK_VOICE) { $s.SelectVoice($env:ARTALK_VOICE) }; $s.Rate = [int]$env:ARTALK_RATE; "
    "$s.SetOutputToWaveFile($env:ARTALK_OUT); "
    "$r = New-Object System.IO.StreamReader([Console]::OpenStandardInput(), [System.Text.Encoding]::UTF8); "
    "$s.Speak($r.ReadToEnd()); $s.Dispose()"
)
_WINDOWS_VOICES = (
    "[Console]::OutputEncoding = [System.Text.Encoding]::UTF8; Add-Type -AssemblyName System.Speech; "
    "(New-Object System.Speech.Synthesis.SpeechSynthesizer).GetInstalledVoices() | "
    "ForEach-Object { $_.VoiceInfo.Name + \"`t\" + $_.VoiceInfo.Culture.Name }"
)


@dataclass(frozen=True)
class Voice:
    """One voice: the engine's kind, what the engine calls it, its name and language for people."""

    engine: str
    key: str
    name: str
    language: str

    @property
    def label(self) -> str:
        return f"{self.name} ({self.language})" if self.language else self.name


@dataclass(frozen=True)
class Command:
    """What to run: arguments, what the environment has beside ours, and the text as the engine needs it."""

    arguments: tuple[str, ...]
    text: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """A speech engine that is installed: its kind, its name for people and its executable."""

    kind: str
    name: str
    executable: str

    def command(self, text: str, voice: str, speed: float, out: Path) -> Command:
        """Text to a WAV file. `voice` is a key of the engine's own, or empty; speed 1 is as people speak."""
        speed = min(max(speed, SPEEDS[0]), SPEEDS[1])
        words = str(round(_WORDS_PER_MINUTE * speed))
        if self.kind == "espeak":
            chosen = ("-v", voice) if voice else ()
            return Command((self.executable, "--stdin", "-b", "1", *chosen, "-s", words, "-w", str(out)), text)
        if self.kind == "say":
            chosen = ("-v", voice) if voice else ()
            return Command((self.executable, *chosen, "-r", words, "-o", str(out), "--file-format=WAVE",
                            "--data-format=LEI16@22050", "-f", "-"), text)
        if self.kind == "piper":  # speaks line by line
            return Command((self.executable, "--model", voice, "--length_scale", f"{1 / speed:.3f}", "--output_file",
                            str(out)), " ".join(text.split()))
        rate = round(10 * math.log(speed) / math.log(3.0))  # from -10, a third as fast, to 10, three times
        return Command((self.executable, "-NoProfile", "-NonInteractive", "-Command", _WINDOWS_SPEAK), text,
                       {"ARTALK_VOICE": voice, "ARTALK_RATE": str(rate), "ARTALK_OUT": str(out)})

    def voices(self) -> list[Voice]:
        """All it has; none where it does not say."""
        if self.kind == "piper":
            return [Voice("piper", str(path), path.stem, path.stem.split("-")[0].replace("_", "-"))
                    for path in _piper_models(self.executable)]
        arguments = {"espeak": ("--voices",), "say": ("-v", "?")}.get(
            self.kind, ("-NoProfile", "-NonInteractive", "-Command", _WINDOWS_VOICES))
        listing = _run(self.executable, *arguments)
        return {"espeak": espeak_voices, "say": say_voices}.get(self.kind, windows_voices)(listing)


def espeak_voices(listing: str) -> list[Voice]:
    """Of `espeak-ng --voices`; those that need another program's data are left out."""
    voices: dict[str, Voice] = {}
    for line in listing.splitlines()[1:]:
        columns = line.split()
        if len(columns) >= 5 and not columns[4].startswith("mb/"):
            voices.setdefault(columns[1], Voice("espeak", columns[1], columns[3].replace("_", " "), columns[1]))
    return list(voices.values())


def say_voices(listing: str) -> list[Voice]:
    """Of `say -v ?`: “Alex                en_US    # Most people recognize me by my voice.”"""
    found = (re.match(r"(.+?)\s+([a-z]{2,3}[_-]\w+)\s+#", line) for line in listing.splitlines())
    return [Voice("say", match[1], match[1], match[2].replace("_", "-")) for match in found if match]


def windows_voices(listing: str) -> list[Voice]:
    """Of our own listing: name, tabulator, language."""
    rows = (line.strip().split("\t") for line in listing.splitlines())
    return [Voice("windows", row[0], row[0], row[1]) for row in rows if len(row) == 2 and row[0]]


def find_engines(platform: str = sys.platform, which: Callable[[str], str | None] = shutil.which) -> list[Engine]:
    """What can speak here, the most natural voice first."""
    found = []
    piper = which("piper")
    if piper and _piper_models(piper):  # a mouse's settings have a program of that name, too
        found.append(Engine("piper", "Piper", piper))
    if platform == "darwin" and (say := which("say")):
        found.append(Engine("say", "macOS", say))
    if platform == "win32" and (shell := which("powershell")):
        found.append(Engine("windows", "Windows", shell))
    beside = r"C:\Program Files\eSpeak NG\espeak-ng.exe"
    espeak = which("espeak-ng") or (beside if platform == "win32" and Path(beside).is_file() else None)
    if espeak:
        found.append(Engine("espeak", "eSpeak NG", espeak))
    return found


def installed() -> list[Engine]:
    """The same, looked up every ten seconds at most; panels ask whenever they are drawn."""
    return _installed(int(time.monotonic() / _FORGET))


@lru_cache(maxsize=1)
def _installed(_moment: int) -> list[Engine]:
    return find_engines()


def missing_reason() -> str:
    """Why no text can be spoken, in one sentence; empty when it can."""
    return "" if installed() else "No speech engine was found; install eSpeak NG (espeak-ng), or Piper with a voice"


@lru_cache(maxsize=8)
def voices_of(engine: Engine) -> tuple[Voice, ...]:
    """An engine's voices, asked once."""
    return tuple(engine.voices())


def all_voices() -> list[Voice]:
    return [voice for engine in installed() for voice in voices_of(engine)]


def choose(wish: str) -> tuple[Engine, str]:
    """The engine and its voice that a label, a name, a key or a language means; the first engine's own where empty.

    Raises ArtalkError where there is none.
    """
    engines = installed()
    if not engines:
        raise ArtalkError("No speech engine was found.", "Install eSpeak NG (espeak-ng), or Piper with a voice.")
    wish = wish.strip()
    if not wish:
        first = engines[0]
        return first, voices_of(first)[0].key if first.kind == "piper" else ""
    voices = all_voices()
    for matches in (lambda voice: wish in (voice.label, voice.key),
                    lambda voice: wish.casefold() in (voice.name.casefold(), voice.language.casefold()),
                    lambda voice: voice.language.casefold().startswith(wish.casefold())):
        for voice in filter(matches, voices):
            return next(engine for engine in engines if engine.kind == voice.engine), voice.key
    raise ArtalkError(f"There is no voice “{wish[:60]}”.", "Choose one of the list, or leave it empty.")


def clean_text(text: str) -> str:
    """The text without what no voice speaks: control characters, halves of characters, engines' own commands.

    Raises ArtalkError where nothing is left, or too much.
    """
    text = "".join(_cleaned(letter) for letter in text)
    # “[[” begins phonemes in eSpeak and commands in macOS
    text = re.sub(r"\[(?=\[)", "[ ", text).strip(" \n" + _JOINERS)
    if not text:
        raise ArtalkError("There is no text to speak.", "Type what is to be said.")
    if len(text) > MOST_CHARACTERS:
        raise ArtalkError(f"The text has {len(text)} characters; at most {MOST_CHARACTERS} are spoken at once.",
                          "Cut it into lines.")
    return text + "\n"


def _cleaned(letter: str) -> str:
    """A character as it is spoken."""
    kind = unicodedata.category(letter)
    if letter in "\r\n" or kind in ("Zl", "Zp"):
        return "\n"
    if letter in _JOINERS:
        return letter
    return {"Cc": " ", "Zs": " ", "Cf": "", "Cs": "", "Co": "", "Cn": ""}.get(kind, letter)


class Speaking:
    """An engine that speaks into a file; `close` ends it wherever it is."""

    def __init__(self, engine: Engine, text: str, voice: str, speed: float, out: Path) -> None:
        self._engine, self._out = engine, out
        self._folder = tempfile.TemporaryDirectory(prefix="artalk-", ignore_cleanup_errors=True)
        command = engine.command(clean_text(text), voice, speed, out)
        spoken, self._said = Path(self._folder.name) / "text.txt", Path(self._folder.name) / "said.txt"
        spoken.write_text(command.text, encoding="utf-8", newline="\n")
        try:
            with spoken.open("rb") as source, self._said.open("wb") as sink:
                self._process = subprocess.Popen(
                    command.arguments, stdin=source, stdout=sink, stderr=subprocess.STDOUT,
                    env=os.environ | command.environment, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        except OSError as error:
            self._folder.cleanup()
            raise ArtalkError(f"{engine.name} can't be started: {error.strerror}.", "Install it again.") from None
        self._until = time.monotonic() + _PATIENCE

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        """Whether the file is there. Raises ArtalkError where the engine failed, or takes too long."""
        status = self._process.poll()
        if status is None:
            if time.monotonic() > self._until:
                self.close()
                raise ArtalkError(f"{self._engine.name} has not ended after {_PATIENCE / 60:.0f} minutes.",
                                  "Cut the text into lines.")
            return False
        said = " ".join(self._said.read_text(encoding="utf-8", errors="replace").split()) if status else ""
        self.close()
        if status:
            raise ArtalkError(f"{self._engine.name} could not speak{': ' if said else ''}{said[:200]}.",
                              "Choose another voice.")
        if not self._out.is_file():
            raise ArtalkError("Nothing of the text can be spoken.", "Type words.")
        return True

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        self._folder.cleanup()


def file_name(text: str, taken: Callable[[str], bool]) -> str:
    """A name for a text's sound that is not taken: its first words, “hello_i_am.wav”."""
    words = re.findall(r"\w+", clean_text(text)[:200].casefold())
    stem = "_".join(words)[:32].strip("_") or "speech"
    if re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", stem):  # Windows keeps these for itself
        stem = "speech"
    return next(name for name in _numbered(stem) if not taken(name))


def _numbered(stem: str) -> Iterator[str]:
    yield f"{stem}.wav"
    number = 2
    while True:
        yield f"{stem}_{number}.wav"
        number += 1


def _piper_models(executable: str) -> list[Path]:
    """Voices of Piper: `.onnx` files with their `.json`, where its users keep them."""
    home = Path(executable).resolve().parent
    data = Path(os.environ.get("XDG_DATA_HOME", "") or Path.home() / ".local" / "share")
    folders = (home, home / "voices", home / "models", data / "piper", data / "piper-voices", data / "piper" / "voices")
    found: dict[str, Path] = {}
    for folder in folders:
        with suppress(OSError):
            for path in sorted(folder.glob("*.onnx")):
                if path.with_name(path.name + ".json").is_file():
                    found.setdefault(path.stem, path)
    return list(found.values())


def _run(*arguments: str) -> str:
    """What a short command says; nothing where it fails."""
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LISTING_PATIENCE,
                              creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0), check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
