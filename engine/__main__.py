# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's command line: generate, vertices, lips, render-avatar, bench, self-test, serve.

Exit status 0 on success; 1 where a self-test finds a fault; 2 with one plain sentence on stderr for anything a person
or a file got wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

# before numpy is imported: its matrices here are small, and two threads on a busy machine ran 6 times slower than one
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .device import DEVICES, PRECISIONS
from .errors import EngineError
from .files import check_writable, read_motion, read_style, replacing, write_motion

if TYPE_CHECKING:
    from .flame.model import FlameModel


class _Parser(argparse.ArgumentParser):
    """argparse that says one sentence instead of a usage text."""

    def error(self, message: str) -> NoReturn:
        sentence = message[0].upper() + message[1:]
        self.exit(2, f"{sentence}. Try `{self.prog} --help`.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2
    except MemoryError:
        print("There is not enough memory for this. Close other programs or use a shorter sound.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m engine", description="Speech to FLAME motion.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    generate = commands.add_parser("generate", help="speech file -> MOTION.npz")
    generate.add_argument("speech", metavar="SPEECH", type=Path)
    generate.add_argument("--out", metavar="MOTION.npz", type=Path, required=True)
    _add_model_options(generate)
    generate.add_argument("--style", metavar="FILE", type=Path, help="(50,106) motion as .npy, .npz or .pt")
    generate.add_argument("--strength", type=float, metavar="N", help="of the style, 0 to 3; left out: as published")
    generate.add_argument("--variation", type=int, default=0, metavar="N",
                          help="another number, another motion for the same words; 0: the likeliest")
    generate.add_argument("--raw", action="store_true", help="leave the motion unsmoothed")
    generate.set_defaults(run=_generate)

    vertices = commands.add_parser("vertices", help="MOTION.npz -> mesh vertices (T,V,3)")
    vertices.add_argument("motion", metavar="MOTION.npz", type=Path)
    vertices.add_argument("--head", metavar="FLAME_FILE", type=Path, help="left out: the default head")
    vertices.add_argument("--out", metavar="VERTICES.npy", type=Path, required=True)
    vertices.add_argument("--shape", metavar="FILE", type=Path, help="identity coefficients (up to 300) as .npy")
    vertices.set_defaults(run=_vertices)

    lips = commands.add_parser("lips", help="MOTION.npz -> lip aperture, mouth width, jaw per frame")
    lips.add_argument("motion", metavar="MOTION.npz", type=Path)
    lips.add_argument("--head", metavar="FLAME_FILE", type=Path, help="left out: the default head")
    lips.add_argument("--out", metavar="CURVES.npz", type=Path, required=True)
    lips.set_defaults(run=_lips)

    avatar = commands.add_parser("render-avatar", help="MOTION.npz -> PNG frames of an avatar")
    avatar.add_argument("motion", metavar="MOTION.npz", type=Path)
    avatar.add_argument("--avatar", metavar="AVATAR", required=True,
                        help="default; a .ply of splats that ride on a head; a GAGAvatar folder, or FOLDER/PHOTO")
    avatar.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    avatar.add_argument("--size", type=int, default=512, metavar="N", help="pixels along a side")
    avatar.add_argument("--frames", metavar="A:B", help="from frame A to before frame B, counted from 0")
    avatar.add_argument("--head", metavar="FLAME_FILE", type=Path, help="left out: the default, or the one beside")
    avatar.add_argument("--format", choices=("png", "exr"), default="png", help="exr: scene-linear half floats")
    avatar.add_argument("--mark", action="store_true", help="draw the word “synthetic” into the pictures")
    avatar.add_argument("--preview", action="store_true", help="coarse and fast")
    avatar.add_argument("--device", choices=DEVICES, default="auto")
    avatar.add_argument("--precision", choices=PRECISIONS, default="fp32")
    avatar.add_argument("--threads", type=int, metavar="N", help="left out: as many as cores are idle")
    avatar.set_defaults(run=_render_avatar)

    bench = commands.add_parser("bench", help="time the model")
    _add_model_options(bench)
    bench.add_argument("--seconds", type=float, default=20.0, metavar="N", help="length of the test sound")
    bench.add_argument("--lines", type=int, default=0, metavar="N",
                       help="also time N short lines, one by one and together")
    bench.add_argument("--json", type=Path, metavar="FILE")
    bench.set_defaults(run=_bench)

    check = commands.add_parser("self-test", help="does the model compute here what it should?")
    _add_model_options(check)
    check.add_argument("--seconds", type=float, default=8.0, metavar="N", help="length of the test sound")
    check.set_defaults(run=_self_test)

    commands.add_parser("serve", help="answer requests on standard input").set_defaults(run=_serve)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR|FILE", type=Path, help="left out: the default model")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--threads", type=int, metavar="N", help="for torch; left out: as many as cores are idle")


def _generate(options: argparse.Namespace) -> None:
    from .audio_file import read_audio
    from .model import load_model
    from .passage import Passage
    from .pipeline import Pipeline, warnings_for

    check_writable(options.out)
    passage = Passage(variation=options.variation, strength=options.strength)
    samples = read_audio(options.speech)
    style = read_style(options.style) if options.style else None
    _set_threads(options)
    model = load_model(options.model, device=options.device, precision=options.precision)
    for text in warnings_for(samples):
        print(text, file=sys.stderr)
    started = time.perf_counter()
    motion = Pipeline(model).generate(samples, style, options.raw, _progress("generating"), passage)
    seconds = time.perf_counter() - started
    write_motion(options.out, motion, f"{model.name} {model.sha256}")
    print(f"{options.out}: {len(motion)} frames of {len(samples) / 16000:.2f} s of speech in {seconds:.2f} s "
          f"with {model.name} on {model.device} in {model.precision}")


def _progress(what: str) -> Callable[[int, int], None]:
    """A progress bar on a terminal, nothing where stderr is a file or a pipe."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            filled = 30 * done // total
            end = "\n" if done == total else ""
            bar = "#" * filled + "." * (30 - filled)
            print(f"\r{what} [{bar}] {done}/{total}", end=end, file=sys.stderr, flush=True)

    return show


def _vertices(options: argparse.Namespace) -> None:
    from .flame.skinning import motion_vertices

    check_writable(options.out)
    motion = read_motion(options.motion).motion
    shape = _read_shape(options.shape) if options.shape else None
    result = motion_vertices(_head(options.head), motion, shape)
    with replacing(options.out) as file:
        np.save(file, result)
    print(f"{options.out}: {result.shape[0]} frames of {result.shape[1]} vertices, metres")


def _read_shape(path: Path) -> NDArray[np.float32]:
    try:
        shape = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise EngineError(f"“{path}” is no readable .npy file of identity coefficients.") from None
    if not isinstance(shape, np.ndarray) or shape.dtype.kind not in "fiu" or not 0 < shape.size <= 300:
        raise EngineError(f"“{path.name}” must hold 1 to 300 identity coefficients.")
    return shape.ravel().astype(np.float32)


def _lips(options: argparse.Namespace) -> None:
    from .flame.lips import lip_curves

    check_writable(options.out)
    motion = read_motion(options.motion)
    curves = lip_curves(_head(options.head), motion.motion)
    with replacing(options.out) as file:
        np.savez_compressed(file, aperture=curves.aperture, width=curves.width, jaw=curves.jaw,
                            fps=np.float64(motion.fps))
    print(f"{options.out}: aperture, width and jaw of {len(motion.motion)} frames")


def _head(path: Path | None) -> FlameModel:
    from .assets import DEFAULT_HEAD
    from .flame.file import read_flame

    return read_flame(path or DEFAULT_HEAD)


def _render_avatar(options: argparse.Namespace) -> None:
    from .gaussian.guard import sentence
    from .gaussian.render import load_avatar, parse_range, render_frames
    from .gaussian.shot import check_size

    motion = read_motion(options.motion)
    start, stop = parse_range(options.frames, len(motion.motion))
    check_size(options.size)
    _set_threads(options)
    avatar = load_avatar(options.avatar, options.head, options.device, options.precision)
    held, outside = avatar.known.within(motion.motion[:stop])
    if text := sentence(np.flatnonzero(outside[start:]) + start):
        print(text, file=sys.stderr)
    motion = replace(motion, motion=held)
    started = time.perf_counter()
    written = render_frames(motion, avatar, options.out, options.size, start, stop, options.preview,
                            _progress("rendering"), options.format, options.mark)
    seconds = time.perf_counter() - started
    print(f"{options.out}: {len(written)} frames of {options.size} x {options.size} of the avatar {avatar.name} in "
          f"{seconds:.1f} s")


def _bench(options: argparse.Namespace) -> None:
    from .bench import bench_model

    if options.json:
        check_writable(options.json)
    _set_threads(options)
    report = bench_model(options.model, options.seconds, options.device, options.precision, options.lines)
    print("\n".join(report.lines()))
    if options.json:
        with replacing(options.json) as file:
            file.write(json.dumps(report.as_json(), indent=1).encode())


def _self_test(options: argparse.Namespace) -> None:
    from .self_test import self_test

    _set_threads(options)
    result = self_test(options.model, options.device, options.precision, options.seconds)
    print(result.text())
    if result.faults:
        raise SystemExit(1)


def _set_threads(options: argparse.Namespace) -> None:
    """Hand `--threads` on to whatever loads torch."""
    from .device import THREADS_VARIABLE

    if options.threads is not None:
        if options.threads < 1:
            raise EngineError(f"{options.threads} is not a number of threads.", "Choose 1 or more.")
        os.environ[THREADS_VARIABLE] = str(options.threads)


def _serve(options: argparse.Namespace) -> None:
    from .worker import serve

    status = serve()
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    sys.exit(main())
