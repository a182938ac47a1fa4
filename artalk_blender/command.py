# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `python -m artalk_blender` and `blender --command artalk`. Blender is loaded after the arguments.

Exit status 0 on success; 2 with one plain sentence on stderr for anything a person or a file got wrong.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .engine import __version__
from .errors import ArtalkError, EngineError


class _Parser(argparse.ArgumentParser):
    """argparse that says one sentence instead of a usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message[0].upper()}{message[1:]}. Try `{self.prog} --help`.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        run = _talk if options.command == "talk" else _retarget
        run(options)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2
    except MemoryError:
        print("There is not enough memory for this. Close other programs or use a shorter sound.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except SystemExit as stop:  # argparse has said what it had to say; Blender must not be ended by it
        return int(stop.code or 0)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m artalk_blender", description="Speech to a talking head in Blender.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True, parser_class=_Parser)

    talk = commands.add_parser("talk", help="speech file -> .blend with a talking head, and a video")
    talk.add_argument("speech", metavar="SPEECH", type=Path)
    talk.add_argument("--out", metavar="FILE.blend", type=Path, required=True)
    talk.add_argument("--video", metavar="FILE.mp4", type=Path, help="also render 512x512 with sound")
    talk.add_argument("--head", metavar="FLAME_FILE", type=Path, help="left out: the default head")
    talk.add_argument("--model", metavar="DIR|FILE", type=Path, help="left out: the default model")
    talk.add_argument("--style", metavar="FILE", type=Path, help="(50,106) motion as .npy, .npz or .pt")
    talk.add_argument("--fps", metavar="N", type=_rate, default=25.0, help="frame rate of the scene (25)")
    talk.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    talk.add_argument("--precision", choices=("fp32", "bf16", "fp16", "int8"), default="fp32")
    talk.add_argument("--python", metavar="FILE", default="", help="the engine's Python (Blender's own)")

    retarget = commands.add_parser("retarget", help="a head's take onto another character")
    retarget.add_argument("blend", metavar="FILE.blend", type=Path)
    retarget.add_argument("--take", metavar="NAME", required=True)
    retarget.add_argument("--target", metavar="OBJECT", required=True)
    retarget.add_argument("--out", metavar="FILE.blend", type=Path, required=True)
    retarget.add_argument("--with", metavar="OBJECT", dest="others", action="append", default=[],
                          help="another mesh that moves along; may be given again")
    retarget.add_argument("--method", choices=("auto", "names", "geometry"), default="auto")
    retarget.add_argument("--preset", metavar="FILE.json", type=Path, help="a rig preset; left out: found by the rig")
    return parser


def _rate(text: str) -> float:
    """A frame rate as people write it: 25, 29.97, 30000/1001."""
    try:
        above, _, below = text.partition("/")
        rate = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        rate = math.nan
    if not 1.0 <= rate <= 1000.0:
        raise argparse.ArgumentTypeError(f"“{text}” is no frame rate between 1 and 1000")
    return rate


def _talk(options: argparse.Namespace) -> None:
    _need_blender()
    from .steps import Steps
    from .talk import TalkOptions, talk

    wanted = {name: value for name, value in vars(options).items() if name != "command"}
    with Steps() as steps:
        talk(TalkOptions(**wanted), steps)


def _retarget(options: argparse.Namespace) -> None:
    _need_blender()
    from .retarget.command import retarget_file
    from .steps import Steps

    with Steps() as steps:
        retarget_file(options, steps)


def _need_blender() -> None:
    try:
        import bpy  # noqa: F401
    except ModuleNotFoundError:
        raise ArtalkError("Blender's Python module is not installed here.",
                          "Install `bpy` (4.5 or 5.2) with pip, or use `blender --command artalk`.") from None
    except ImportError as error:
        raise ArtalkError(f"Blender's Python module does not start here: {error}.",
                          "Install the system library that it names.") from None
    from . import compat

    if not compat.is_supported():
        raise ArtalkError(f"Blender {compat.VERSION_TEXT} is too old.", "Use 4.5 LTS or newer.")
