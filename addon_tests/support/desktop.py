# SPDX-License-Identifier: GPL-3.0-or-later
"""A desktop Blender with windows, for tests and pictures: found on the PATH, kept away from the user's own settings.

`Desktop.run` starts one scenario of `desktop_scenarios.py` in it. Where there is no display, Xvfb gives it a virtual
screen, and pictures are what that screen holds; elsewhere Blender takes them itself. Standard library, numpy, Pillow.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("desktop_driver.py")
DEMO = ROOT / "assets" / "demo_speech.wav"
SIZE = (1600, 1000)
LIMIT = 900.0  # seconds for a scenario, on a busy machine without a graphics card
_GONE = 5.0  # seconds that a worker may take to notice that Blender has ended
_FRAMEBUFFER = "Xvfb_screen0"


def find_desktop() -> tuple[str, str]:
    """The command of a Blender that can open a window here, and "", or "" and why there is none."""
    blender = shutil.which(os.environ.get("BLENDER", "blender"))
    if blender is None:
        return "", ("There is no `blender` on the PATH, so nothing is tried in a desktop Blender: install Blender 4.5 "
                    "or later, or set BLENDER to its path.")
    if sys.platform.startswith("linux") and not has_screen() and not all(map(shutil.which, ("xvfb-run", "xauth"))):
        return "", ("There is no display, so nothing is tried in a desktop Blender: start this in a graphical session, "
                    "or install xvfb and xauth.")
    return blender, ""


def has_screen() -> bool:
    """Whether windows can be opened without a virtual screen."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@dataclass
class Outcome:
    """What came of a scenario."""

    status: int
    output: str
    facts: dict[str, Any]
    pictures: dict[str, Path]
    left: list[str] = field(default_factory=list)  # command lines of workers that have outlived Blender


class Desktop:
    """An isolated Blender: its settings and extensions lie in `folder`."""

    def __init__(self, blender: str, folder: Path) -> None:
        self.blender, self.folder = blender, folder
        self.user = folder / "user"
        self.user.mkdir(parents=True, exist_ok=True)

    def install(self, archive: Path) -> str:
        """Installs the extension from its zip, as `Install from Disk` does; returns what Blender says."""
        command = [self.blender, "--factory-startup", "--command", "extension", "install-file", "--repo",
                   "user_default", "--enable", str(archive)]
        result = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=LIMIT)
        if result.returncode:
            raise RuntimeError(result.stdout + result.stderr)
        return result.stdout

    def run(self, scenario: str, *arguments: str | Path, limit: float = LIMIT) -> Outcome:
        """One scenario from the start of Blender to its end."""
        out = self.folder / scenario
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        width, height = SIZE
        command = [self.blender, "--enable-event-simulate", "--window-geometry", "0", "0", str(width), str(height),
                   "--python-exit-code", "1", "--python", str(DRIVER), "--", scenario, str(out), *map(str, arguments)]
        virtual = not has_screen()
        if virtual:
            screen = f"-screen 0 {width}x{height}x24 -nolisten tcp -fbdir {out}"
            command = ["xvfb-run", "-a", "-s", screen, *command]
        variables = {"ARTALK_FRAMEBUFFER": str(out / _FRAMEBUFFER)} if virtual else {}
        status, output = self._wait(command, variables, limit)
        notes = out / "facts.json"
        facts = json.loads(notes.read_text()) if notes.is_file() else {}
        return Outcome(status, output, facts, develop(out, facts), self._workers())

    def _wait(self, command: list[str], variables: dict[str, str], limit: float) -> tuple[int, str]:
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, env=self._environment(variables), stdout=said, stderr=said,
                                       start_new_session=os.name == "posix")
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                if os.name == "posix":
                    os.killpg(process.pid, 9)  # xvfb-run's children too: a session of our own
                process.kill()
                status = process.wait()
            said.seek(0)
            return status, said.read()

    def _environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BLENDER_"))}
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**kept, "BLENDER_USER_RESOURCES": str(self.user), "TMPDIR": str(temporary), **(extra or {})}

    def _workers(self) -> list[str]:
        """Command lines of this Blender's workers that are still there."""
        until = time.monotonic() + _GONE
        while (left := workers(str(self.user))) and time.monotonic() < until:
            time.sleep(0.1)
        return left


def workers(folder: str) -> list[str]:
    """Command lines of workers whose extension lies in `folder`; none where this can't be asked."""
    if Path("/proc/self/cmdline").exists():
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    elif shutil.which("ps"):
        lines = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True).stdout.splitlines()
    else:
        return []
    return [line for line in lines if folder in line and "bootstrap.py" in line]


def develop(out: Path, facts: dict[str, Any]) -> dict[str, Path]:
    """Turns what the driver has taken into PNG files, cut where it said; returns them by name."""
    pictures = {}
    for name, (left, top, right, bottom) in facts.get("pictures", {}).items():
        raw, path = out / f"{name}.xwd", out / f"{name}.png"
        if raw.is_file():
            image = Image.fromarray(read_xwd(raw.read_bytes()))
            raw.unlink()
        elif path.is_file():
            image = Image.open(path).convert("RGB")
        else:
            continue
        image.crop((left, top, right, bottom)).save(path, optimize=True)
        pictures[name] = path
    return pictures


def read_xwd(data: bytes) -> np.ndarray:
    """(height, width, 3) uint8 of an X window dump with 32 bits a pixel, which is what Xvfb's -fbdir writes."""
    header = np.frombuffer(data, ">u4", 25)
    size, width, height, order, bits, stride, colors = (int(header[k]) for k in (0, 4, 5, 7, 11, 12, 19))
    if bits != 32:
        raise ValueError(f"{bits} bits a pixel")
    rows = np.frombuffer(data, np.uint8, height * stride, size + 12 * colors).reshape(height, stride)
    pixels = rows[:, : 4 * width].reshape(height, width, 4)
    return np.ascontiguousarray(pixels[:, :, 1:] if order else pixels[:, :, 2::-1])


def long_speech(path: Path, seconds: float) -> Path:
    """The demo speech again and again, as long as asked for."""
    with wave.open(str(DEMO)) as source:
        settings, frames = source.getparams(), source.readframes(source.getnframes())
    with wave.open(str(path), "wb") as target:
        target.setparams(settings)
        for _ in range(round(seconds * settings.framerate / settings.nframes + 0.5)):
            target.writeframes(frames)
    return path
