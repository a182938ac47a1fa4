# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents name is there: files, pictures, commands, labels and sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from texts import is_said

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import dev  # noqa: E402,F401  that it can be imported at all

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = ROOT / "docs" / "GUIDE.md"
BLENDERS_OWN = {"Edit", "Preferences", "Get Extensions", "Install from Disk", "Add-ons", "Add", "File", "Export",
                "Import", "ARTalk"}
NOT_THERE_YET = {"render-avatar"}  # as the design page says
PICTURE_LIMIT = 200_000  # bytes


def read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def heading_anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines() if line.startswith("#")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(document)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.is_file(), target
        assert not anchor or anchor in heading_anchors(read(there)), target


def test_the_readme_leads_to_the_guide_and_no_picture_is_forgotten():
    assert "(docs/GUIDE.md)" in read(ROOT / "README.md")
    shown = set(re.findall(r"\]\(guide/([\w.]+)\)", read(GUIDE)))
    there = {path.name for path in (ROOT / "docs" / "guide").iterdir()}
    assert shown == there
    for name in there:
        data = (ROOT / "docs" / "guide" / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) < PICTURE_LIMIT, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_are_there(document: Path):
    for name in re.findall(r"`((?:addon_tests|docs|assets|engine|artalk_blender)/[\w./-]+)`", read(document)):
        assert (ROOT / name).exists() or list(ROOT.glob(name + "*")), name


def test_commands_that_are_named_are_there():
    text = "\n".join(map(read, DOCUMENTS))
    ours = re.findall(r"dev\.py ([a-z]+(?: \| [a-z]+)*)", text)
    help_of = [[sys.executable, "dev.py", command, "--help"] for part in ours for command in part.split(" | ")]
    help_of += [[sys.executable, "-m", "engine", command, "--help"]
                for command in re.findall(r"python -m engine ([a-z-]+)[^\n]*", text) if command not in NOT_THERE_YET]
    for command in {tuple(command) for command in help_of}:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)


def test_labels_in_the_guide_are_blenders_or_ours():
    labels = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", read(GUIDE))
    assert len(labels) > 40
    for label in labels:
        for part in label.split(" > "):
            if part == "Italics":
                continue
            found = part in BLENDERS_OWN or is_said(part) or any(is_said(f"{part} ({kinds})") for kinds in (
                ".npz, .pt", ".pkl, .npz, .pt", ".npz"))
            assert found, part


def test_sentences_in_the_guide_are_said():
    table = read(GUIDE).split("| it says | it means |\n|---|---|\n")[1].split("\n\n")[0]
    sentences = [row.split("|")[1].strip() for row in table.splitlines()]
    assert len(sentences) > 10
    for sentence in sentences:
        assert is_said(sentence), sentence


def test_without_a_desktop_blender_the_guides_pictures_stay_and_that_is_said():
    pytest.importorskip("PIL")
    tool = [sys.executable, "addon_tests/tools/pictures.py"]
    without = {**os.environ, "BLENDER": "no-such-blender"}
    done = subprocess.run([*tool, "takes"], cwd=ROOT, env=without, capture_output=True, text=True)
    assert done.returncode == 0 and "stay as they are. There is no `blender` on the PATH" in done.stdout
    done = subprocess.run([*tool, "nonsense"], cwd=ROOT, env=without, capture_output=True, text=True)
    assert done.returncode == 1 and "There is no picture nonsense" in done.stderr


def test_every_picture_is_made_by_the_command():
    pytest.importorskip("PIL")
    sys.path.insert(0, str(ROOT / "addon_tests" / "tools"))
    import pictures

    assert {f"{name}.png" for name in pictures.GUIDE} == set(re.findall(r"\]\(guide/([\w.]+)\)", read(GUIDE)))
    assert {f"{name}.png" for name in pictures.RENDERED} == {path.name for path in (ROOT / "docs").glob("*.png")}
