#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One entry for people who build this: demo, test, lint, bench, build, gui, pictures. Standard library only.

Every command makes the environments it needs in `.venv/` (Python 3.11 with Blender 4.5 LTS, Python 3.13 with
Blender 5.2 LTS) from pyproject.toml, and makes them again when that file has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = ROOT / ".venv"
OUT = ROOT / "out"


class Stop(Exception):
    """A sentence for the person at the terminal; ends the command with status 2."""


@dataclass(frozen=True)
class Environment:
    """One Python with one Blender in it."""

    python: tuple[int, int]
    blender: str

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / f"py{self.python[0]}{self.python[1]}"

    @property
    def interpreter(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(self, *arguments: str | Path, check: bool = True, folder: Path = ROOT,
            variables: dict[str, str] | None = None) -> int:
        """Runs this environment's Python with the checkout's packages, in `folder`; returns its exit status."""
        path = {"PYTHONPATH": str(ROOT)} if folder != ROOT else {}
        status = finish(self.start(*arguments, folder=folder, variables={**path, **(variables or {})}))
        if check and status:
            raise SystemExit(status)
        return status

    def start(self, *arguments: str | Path, folder: Path = ROOT, variables: dict[str, str],
              output: Any = None) -> subprocess.Popen[bytes]:
        """Starts this environment's Python; what it prints goes to the file `output`, if there is one."""
        return subprocess.Popen([str(self.interpreter), *map(str, arguments)], cwd=folder,
                                env=clean_environment(variables), stdout=output, stderr=output)


NO_PYTHON = ("No fitting Python was found: install Python 3.11 (for Blender 4.5) or 3.13 (for Blender 5.2) from "
             "python.org or your package manager, then run this command again.")

DEBIAN_LIBRARIES = "apt install libgl1 libegl1 libsm6 libxi6 libxfixes3 libxrender1 libxxf86vm1 libxkbcommon0"

OLD = Environment((3, 11), "4.5 LTS")
NEW = Environment((3, 13), "5.2 LTS")


def run(command: list[str], folder: Path, variables: dict[str, str]) -> int:
    """Runs a command to its end, as `finish`."""
    return finish(subprocess.Popen(command, cwd=folder, env=clean_environment(variables)))


def finish(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process; on Ctrl-C it gets the time to clean up after itself. Returns its exit status."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        pass
    for patience, end in ((2, lambda: process.send_signal(signal.SIGINT)), (10, process.kill)):
        try:
            # a terminal has told the child as well; where only this process was told, it has to be told now
            return process.wait(patience) or 130
        except subprocess.TimeoutExpired:
            end()
    return process.wait() or 130


def clean_environment(extra: dict[str, str]) -> dict[str, str]:
    """This process's variables without those that would lead another Python to foreign packages."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "PYTHONNOUSERSITE": "1", **extra}


# ---------------------------------------------------------------- finding Pythons, making environments


def find_python(version: tuple[int, int]) -> str | None:
    """The command of an interpreter of exactly this version, or None."""
    name = f"python{version[0]}.{version[1]}"
    candidates = [[sys.executable], [name], ["python3"], ["python"], ["py", f"-{version[0]}.{version[1]}"]]
    home = Path.home() / ".pyenv" / "versions"
    if home.is_dir():
        candidates += [[str(found / "bin" / name)] for found in sorted(home.glob(f"{version[0]}.{version[1]}*"))]
    probe = f"import sys, venv, ensurepip; print(sys.version_info[:2] == {version}, sys.executable)"
    for command in candidates:
        if not (shutil.which(command[0]) or Path(command[0]).is_file()):
            continue
        answer = subprocess.run([*command, "-c", probe], capture_output=True, text=True, env=clean_environment({}))
        matches, _, path = answer.stdout.strip().partition(" ")
        if answer.returncode == 0 and matches == "True":
            return path
    return None


def requirements(extras: Iterable[str]) -> list[str]:
    """pyproject.toml's dependencies with these optional groups."""
    import tomllib  # not in Pythons older than 3.11, which only get as far as `main`

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def ensure(environment: Environment, extras: Sequence[str]) -> bool:
    """Makes or completes an environment with these optional groups; False when its Python is not on this machine."""
    folder, marker = environment.folder, environment.folder / "installed.txt"
    installed = set(marker.read_text().split()[1:]) if marker.is_file() else set()
    wanted = sorted(installed | set(extras))
    lines = requirements(wanted)
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    if marker.is_file() and marker.read_text().split() == [fingerprint, *wanted] and environment.interpreter.exists():
        return True
    python = find_python(environment.python)
    if python is None:
        return False
    version = ".".join(map(str, environment.python))
    print(f"Setting up Python {version} with Blender {environment.blender} in {folder.relative_to(ROOT)} "
          f"({', '.join(wanted)}) ...", flush=True)
    if not environment.interpreter.exists():
        shutil.rmtree(folder, ignore_errors=True)
        call([python, "-m", "venv", str(folder)], f"Python {version} could not make an environment in {folder}.")
    marker.unlink(missing_ok=True)
    call([str(environment.interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lines],
         "The packages could not be installed; the lines above say why. Check the network and run the command again.")
    if "blender" in wanted:
        check_blender(environment)
    marker.write_text("\n".join([fingerprint, *wanted]))
    return True


def check_blender(environment: Environment) -> None:
    """Raises Stop where Blender's module is installed but this system lacks a library that it needs."""
    answer = subprocess.run([str(environment.interpreter), "-c", "import bpy"], capture_output=True, text=True,
                            cwd=ROOT, env=clean_environment({}))
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise Stop(f"Blender's module does not start here ({reason}): install the missing system library (on Debian or "
                   f"Ubuntu: {DEBIAN_LIBRARIES}), then run this command again.")


def call(command: list[str], failure: str) -> None:
    if subprocess.run(command, cwd=ROOT, env=clean_environment({})).returncode:
        raise Stop(failure)


def any_environment(extras: Sequence[str]) -> Environment:
    """The first environment that this machine has a Python for, ready to use; the running Python's first."""
    order = [NEW, OLD] if sys.version_info[:2] == NEW.python else [OLD, NEW]
    for environment in order:
        if ensure(environment, extras):
            return environment
    raise Stop(NO_PYTHON)


# ---------------------------------------------------------------- commands


def demo(options: argparse.Namespace, rest: list[str]) -> None:
    """Speech -> out/talk.blend and out/talk.mp4."""
    speech = options.speech or ROOT / "assets" / "demo_speech.wav"
    # torch is for a model that is there; that one is not, the engine will say
    torch = ["torch"] if options.model and Path(options.model).exists() else []
    environment = any_environment(["blender", *torch])
    OUT.mkdir(exist_ok=True)
    model = ["--model", options.model] if options.model else []
    environment.run("-m", "artalk_blender", "talk", speech, "--out", OUT / "talk.blend",
                    "--video", OUT / "talk.mp4", *model, *rest, folder=Path.cwd())


def test(options: argparse.Namespace, rest: list[str]) -> None:
    """Every ring of tests in every Blender that this machine has a Python for."""
    ready = [environment for environment in (OLD, NEW)
             if ensure(environment, ["blender", "test", *(["torch", "fast", "lint"] if environment is OLD else [])])]
    if not ready:
        any_environment(["blender", "test"])
    missing = [environment for environment in (OLD, NEW) if environment not in ready]
    for environment in missing:
        version = ".".join(map(str, environment.python))
        print(f"Python {version} was not found, so Blender {environment.blender} is not tested here.", flush=True)
    if missing and options.all:
        raise Stop("--all asks for both Blenders: install the Python named above.")
    if OLD in ready:
        run_lint(OLD)
    # one thread, as the worker has: several round otherwise on some machines, and tests compare bit for bit
    variables = {"ARTALK_TEST_PYTHON_311": str(OLD.interpreter) if OLD in ready else "",
                 "ARTALK_TEST_PYTHON_313": str(NEW.interpreter) if NEW in ready else "",
                 "OPENBLAS_NUM_THREADS": "1"}
    raise SystemExit(side_by_side(ready, ["-m", "pytest", *(rest or ["addon_tests"])], variables))


def side_by_side(ready: Sequence[Environment], arguments: Sequence[str], variables: dict[str, str]) -> int:
    """The tests in every environment at once; the first is seen at work, the others are printed after it."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{environment.folder.name}.txt" for environment in ready[1:]]
        others = [environment.start(*arguments, variables=variables, output=log.open("wb"))
                  for environment, log in zip(ready[1:], logs, strict=True)]
        print(title(ready[0]), flush=True)
        status = ready[0].run(*arguments, check=False, variables=variables)
        for environment, process, log in zip(ready[1:], others, logs, strict=True):
            if status == 130:
                process.send_signal(signal.SIGINT)
            status |= finish(process)
            print(title(environment), log.read_text(encoding="utf-8", errors="replace"), sep="\n", flush=True)
    return status


def title(environment: Environment) -> str:
    """The line above what an environment's tests print."""
    return f"\n=== Blender {environment.blender}, Python {'.'.join(map(str, environment.python))}"


def lint(options: argparse.Namespace, rest: list[str]) -> None:
    """ruff and strict typing."""
    if ensure(OLD, ["lint"]):
        run_lint(OLD)
        return
    # numpy's types differ between its versions: they are checked against the one of the oldest Blender
    any_environment(["lint"]).run("-m", "ruff", "check", "--quiet", ".")
    print("lint: clean; types are checked where Python 3.11 is", flush=True)


def run_lint(environment: Environment) -> None:
    environment.run("-m", "ruff", "check", "--quiet", ".")
    environment.run("-m", "mypy", "--no-error-summary")
    print("lint: clean", flush=True)


def bench(options: argparse.Namespace, rest: list[str]) -> None:
    """Time the engine on this machine."""
    environment = any_environment(["blender"])
    environment.run("-m", "engine", "bench", *rest)


def pictures(options: argparse.Namespace, rest: list[str]) -> None:
    """Make the pages' pictures (talk, retarget, the guide's), those of the panels in the Blender on the PATH."""
    any_environment(["blender", "test"]).run("addon_tests/tools/pictures.py", *options.names)


def build(options: argparse.Namespace, rest: list[str]) -> None:
    """Write the extension's zip."""
    environment = any_environment([])
    environment.run("build_addon.py", *rest)


def gui(options: argparse.Namespace, rest: list[str]) -> None:
    """Build the zip, install it into the Blender on the PATH and open it."""
    blender = shutil.which(os.environ.get("BLENDER", "blender"))
    if blender is None:
        raise Stop("There is no `blender` on the PATH: install Blender 4.5 or later, or set BLENDER to its path.")
    any_environment([]).run("build_addon.py")
    archive = max((ROOT / "dist").glob("artalk_blender-*.zip"), key=lambda path: path.stat().st_mtime)
    call([blender, "--command", "extension", "install-file", "--repo", "user_default", "--enable", str(archive)],
         "Blender could not install the extension; the lines above say why.")
    raise SystemExit(subprocess.run([blender, *rest]).returncode)


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  an old system Python may be what `python3` is
        newer = find_python(OLD.python) or find_python(NEW.python)
        if newer is None:
            print(NO_PYTHON, file=sys.stderr)
            return 2
        return subprocess.run([newer, __file__, *sys.argv[1:]]).returncode
    parser = argparse.ArgumentParser(prog="dev.py", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for function in (demo, test, lint, bench, build, gui, pictures):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        if function is demo:
            command.add_argument("speech", nargs="?", metavar="SPEECH", help="left out: assets/demo_speech.wav")
            command.add_argument("--model", metavar="DIR|FILE", help="a published ARTalk model; left out: the default")
            command.epilog = "Other options go to `python -m artalk_blender talk`: --head FILE, --style FILE, --fps N."
        if function is pictures:
            command.add_argument("names", nargs="*", metavar="NAME", help="such as talk or takes; left out: all")
        if function is test:
            command.add_argument("--all", action="store_true", help="fail when a Blender's Python is missing")
    options, rest = parser.parse_known_args()
    try:
        options.function(options, rest)
    except Stop as sentence:
        print(sentence, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
