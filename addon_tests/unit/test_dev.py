# SPDX-License-Identifier: GPL-3.0-or-later
"""dev.py itself: what it finds, what it installs, what it says."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import dev  # noqa: E402


def test_finds_the_running_python_and_no_impossible_one() -> None:
    found = dev.find_python(sys.version_info[:2])
    assert found is not None
    answer = subprocess.run([found, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    assert answer.stdout.split() == [str(n) for n in sys.version_info[:2]]
    assert dev.find_python((3, 99)) is None


def test_without_a_fitting_python_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dev, "find_python", lambda version: None)
    monkeypatch.setattr(dev, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["dev.py", "demo"])
    assert dev.main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "install Python 3.11" in said


def test_requirements_come_from_pyproject() -> None:
    lines = dev.requirements(["blender", "torch"])
    assert any(line.startswith("bpy==4.5") for line in lines) and any(line.startswith("torch==") for line in lines)


def test_unknown_commands_are_refused() -> None:
    result = subprocess.run([sys.executable, "dev.py", "dance"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr


CHILD = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)  # longer than subprocess.run would wait before it kills
    pathlib.Path(sys.argv[1]).write_text("cleaned up")
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_command_may_clean_up(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = f"[sys.executable, '-c', {CHILD!r}, {str(trace)!r}]"
    # a shell's background job is started deaf to SIGINT, and so may be whatever runs these tests
    code = (f"import dev, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            f"sys.exit(dev.run({command}, dev.ROOT, {{}}))")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)  # to dev.py alone, not to its child
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert trace.read_text() == "cleaned up"
    assert b"Traceback" not in said
