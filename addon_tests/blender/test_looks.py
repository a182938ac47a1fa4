# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a strip still shows the sound that it was spoken from."""

from __future__ import annotations

from pathlib import Path

from artalk_blender.audio.looks import is_same_file


def test_one_file_by_many_paths(tmp_path: Path):
    (tmp_path / "shots").mkdir()
    line = tmp_path / "line.wav"
    line.write_bytes(b"sound")
    assert is_same_file(str(line), str(tmp_path / "shots" / ".." / "line.wav"))
    assert not is_same_file(str(line), str(tmp_path / "other.wav"))


def test_a_project_that_was_moved_keeps_its_sounds(tmp_path: Path):
    moved = tmp_path / "line.wav"
    moved.write_bytes(b"sound")
    assert is_same_file(str(tmp_path / "before" / "line.wav"), str(moved))
    assert is_same_file("C:\\film\\line.wav", str(moved))
    assert not is_same_file("C:\\film\\line.wav", str(tmp_path / "other.wav"))


def test_another_sound_of_the_same_name(tmp_path: Path):
    paths = [tmp_path / folder / "line.wav" for folder in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())
    assert not is_same_file(*map(str, paths))
