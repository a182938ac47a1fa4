# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of an avatar and the sound of the scene -> an MP4, made by another Blender while this one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import compat
from ..audio.beside import blender_command
from ..audio.strip import scene_rate
from ..engine.files import check_writable
from ..engine.gaussian.exr import read_exr_texts
from ..engine.gaussian.png import read_png_texts
from ..errors import ArtalkError, EngineError
from ..runner import Work
from ..worker.job import Job
from ..worker.launch import clean_environment
from .frames import FrameFolder
from .mp4_words import add_words
from .sequencer import sound_file_of

_SCRIPT = Path(__file__).with_name("film.py")
_BEGINNING = 1 << 16  # bytes of a frame in which its words stand
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


@dataclass(frozen=True)
class Plan:
    """What film.py is told: files as paths, `size` (width, height) in pixels, `background` linear, `sound` a .blend."""

    fps: int
    fps_base: float
    size: tuple[int, int]
    frames: tuple[str, ...]
    background: tuple[float, float, float]
    sound: str
    part: str
    progress: str
    error: str


def make_movie(job: Job, context: Any, frames: FrameFolder, path: Path,
               background: tuple[float, float, float]) -> Work[str]:
    """Writes the film, whole or not at all; returns in a sentence what was made. Its metadata say what the frames' do.

    Raises ArtalkError for what can't be done; being stopped leaves nothing behind.
    """
    check_writable(path)
    scene, sequencer = context.scene, compat.sequencer_scene(context)
    if abs(scene_rate(sequencer) - scene_rate(scene)) > 1e-6:
        raise ArtalkError("The Sequencer's scene has another frame rate than the avatar's.", "Give both the same.")
    numbers = range(frames.first, frames.last + 1)
    with tempfile.TemporaryDirectory(prefix="artalk-film-", ignore_cleanup_errors=True) as name, _part(path) as part:
        folder = Path(name)
        sound = sound_file_of(sequencer, frames.first, frames.last, folder)
        plan = Plan(scene.render.fps, scene.render.fps_base, frames.size,
                    tuple(str(frames.path(frames.nearest(number))) for number in numbers), background,
                    str(sound or ""), str(part), str(folder / "progress"), str(folder / "error"))
        del scene, sequencer
        (folder / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
        yield from _encoded(job, plan, folder / "plan.json", len(numbers))
        add_words(part, *_words(frames))
        os.replace(part, path)
    silent = "" if sound is not None else " There is no sound in these frames."
    return f"“{path.name}” holds frames {frames.first} to {frames.last}.{silent}"


def _words(frames: FrameFolder) -> tuple[str, str]:
    """Description and comment for the film, from those of its first frame."""
    said: dict[str, str] = {}
    with suppress(OSError, EngineError), frames.path(frames.first).open("rb") as file:
        said = (read_exr_texts if frames.suffix == ".exr" else read_png_texts)(file.read(_BEGINNING))
    description = said.get("Description") or "Synthetic: computed from speech and an avatar, no recording of a person."
    details: dict[str, Any] = {}
    with suppress(ValueError):
        details = json.loads(said.get("Comment", "{}"))
    kept = {name: value for name, value in details.items() if name not in ("frame", "digest", "outside")}
    numbers = {"first_frame": frames.first, "last_frame": frames.last}
    return description, json.dumps({**kept, "synthetic": True, **numbers}, ensure_ascii=False)


def _encoded(job: Job, plan: Plan, file: Path, total: int) -> Work[None]:
    """Waits for the other Blender; ends it where the work is stopped."""
    try:
        process = subprocess.Popen([*blender_command(_SCRIPT), "--", str(file)], env=clean_environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   creationflags=_NO_WINDOW)
    except OSError as error:
        raise ArtalkError(f"Blender could not be started once more: {error.strerror}.",
                          "Use the Blender from blender.org.") from None
    try:
        while process.poll() is None:
            with suppress(OSError):
                done = Path(plan.progress).stat().st_size
                job.show(f"Encoding: {done} of {total}", done / total)
            yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    done = Path(plan.progress).stat().st_size if Path(plan.progress).is_file() else 0
    wrong = Path(plan.error).read_text(encoding="utf-8") if Path(plan.error).is_file() else ""
    part = Path(plan.part)
    if wrong or done < total or not part.is_file() or not part.stat().st_size:
        raise ArtalkError(f"The movie could not be made ({wrong or f'{done} of {total} frames were written'}).",
                          "Look whether the disk is full, and whether all frames are there.")


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """Where the film grows, beside its place; gone afterwards."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".part{path.suffix}", dir=path.parent)
    os.close(handle)
    part = Path(name)
    part.unlink()  # Blender makes it, with the permissions that files have here
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink()

