# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job without an interface: a speech file in, a talking head in a .blend (and an .mp4) out."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import compat
from .animation.take_data import keep_style
from .animation.takes import Provenance, new_take
from .audio.samples import SAMPLE_RATE, read_sound
from .audio.strip import add_sound_strip, scene_rate
from .engine.assets import DEFAULT_HEAD
from .engine.files import check_writable, read_style
from .engine.flame.file import read_flame
from .errors import ArtalkError
from .head.build import Head, build_head
from .motion.gate import loudness
from .motion.timing import last_frame
from .render import can_draw, choose_mp4, movie_sound_rate, render_movie, start_trial, use_cycles
from .scene import FIRST_FRAME, new_talk_file, set_the_stage
from .steps import Steps
from .worker.client import WorkerClient
from .worker.job import wait_for
from .worker.launch import choose_python, clean_environment, worker_command


@dataclass(frozen=True)
class TalkOptions:
    """What `talk` is asked for; empty means the default."""

    speech: Path
    out: Path
    video: Path | None = None
    head: Path | None = None
    model: Path | None = None
    style: Path | None = None
    fps: float = 25.0
    python: str = ""
    device: str = "auto"
    precision: str = "fp32"


def talk(options: TalkOptions, steps: Steps) -> None:
    """Does the whole job. Raises EngineError with one sentence for what a person can put right."""
    _check_outputs(options)
    with steps.step("speech") as step:
        samples = read_sound(options.speech)
        style = read_style(options.style) if options.style else None
        step.note(f"{len(samples) / SAMPLE_RATE:.2f} s of sound")
    trial = start_trial() if options.video else None
    client = WorkerClient(worker_command(choose_python(options.python)), clean_environment())
    try:
        # the worker loads its model while the head is built
        request = client.generate(samples, str(options.model or ""), style, options.device, options.precision)
        with steps.step("head") as step, steps.quiet():
            model = read_flame(options.head or DEFAULT_HEAD)
            scene = new_talk_file(options.fps)
            head = build_head(model, bpy.context)
            set_the_stage(scene, head)
            step.note(f"{model.vertex_count} vertices, {len(head.shape_keys.key_blocks) - 1} shape keys")
        with steps.step("motion") as step:
            wait_for(client, request, step.progress)
            step.note(f"{len(request.motion)} frames at 25 fps, {request.result.get('model', 'model')}"
                      f" on {request.result.get('device', 'cpu')}")
    finally:
        client.close()
    for text in request.warnings:
        steps.warn(text)
    with steps.step("keys") as step, steps.quiet():
        take = _key(options, scene, head, samples, request)
        keep_style(take, options.style.name if options.style else "", style)
        step.note(f"frames {scene.frame_start} to {scene.frame_end} at {scene_rate(scene):.5g} fps")
    with steps.step("blend") as step, steps.quiet():
        save_whole(options.out)
        step.note(str(options.out))
    if options.video:
        if not can_draw(trial):
            steps.warn("This machine has no OpenGL driver for Blender, so the video is rendered with Cycles, slowly.")
            use_cycles(scene)
        with steps.step("video") as step, steps.quiet():
            count = render_movie(scene, options.video, step.progress, steps.say)
            step.note(f"{options.video}, {count} frames")


def _check_outputs(options: TalkOptions) -> None:
    """Before any work: can the results be written at all?"""
    wanted = [(options.out, ".blend")] + ([(options.video, ".mp4")] if options.video else [])
    for path, suffix in wanted:
        if path.suffix.lower() != suffix:
            raise ArtalkError(f"“{path}” must end in {suffix}.", f"Name it “{path.stem or 'talk'}{suffix}”.")
        check_writable(path)


def _key(options: TalkOptions, scene: Any, head: Head, samples: np.ndarray, request: Any) -> Any:
    """Strip, frame range, take, which is returned; then the cursor on the first frame."""
    rate = scene_rate(scene)
    seconds = len(samples) / SAMPLE_RATE
    strip = add_sound_strip(scene, options.speech.resolve(), FIRST_FRAME)
    scene.frame_start = FIRST_FRAME
    scene.frame_end = last_frame(FIRST_FRAME, seconds, rate)
    sound_rate = round(strip.sound.samplerate)
    frames = scene.frame_end - FIRST_FRAME + 1
    if movie_sound_rate(sound_rate) != sound_rate:
        frames = max(1, floor(seconds * rate))  # not a frame past the sound's end: see movie_sound_rate
    compat.set_strip_length(strip, frames)
    strip.sound.pack()
    with suppress(ValueError):  # another drive: the absolute path stays, and the packed sound is used anyway
        strip.sound.filepath = bpy.path.relpath(str(options.speech.resolve()), start=str(options.out.resolve().parent))
    provenance = Provenance(
        audio_name=options.speech.stem, audio_path=strip.sound.filepath,
        audio_sha256=hashlib.sha256(options.speech.read_bytes()).hexdigest(),
        model_name=str(request.result.get("model", "")), model_sha256=str(request.result.get("sha256", "")),
        style=options.style.name if options.style else "",
        strip={"start": FIRST_FRAME / rate, "end": FIRST_FRAME / rate + seconds, "offset": 0.0, "speed": 1.0},
    )
    take = new_take(head, request.motion, FIRST_FRAME, rate, provenance, loudness=loudness(samples))
    choose_mp4(scene, (options.video or options.out.with_suffix(".mp4")).name, sound_rate)
    scene.frame_set(FIRST_FRAME)
    return take


def save_whole(path: Path) -> None:
    """Saves what is open to `path`, whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".part.blend", dir=path.parent)
    os.close(handle)
    part = Path(name)
    part.unlink()  # Blender makes it, with the permissions that files have here
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(part), copy=True, compress=True, check_existing=False)
        os.replace(part, path)
    except (RuntimeError, OSError) as error:
        raise ArtalkError(f"“{path}” could not be written: {str(error).strip()}.",
                          "Free some space or choose another folder.") from None
    finally:
        for left in (part, part.with_suffix(".blend1")):
            with suppress(OSError):
                left.unlink()
