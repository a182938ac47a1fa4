# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip in a desktop Blender, driven by clicks and keys. Skipped, with a reason, where there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("PIL")

from desktop import DEMO, ROOT, Desktop, Outcome, find_desktop, long_speech
from strangers import cast, stranger

BLENDER, REASON = find_desktop()
pytestmark = pytest.mark.skipif(not BLENDER, reason=REASON)
LONG = 120.0  # seconds of speech, so that there is a middle of the job
HAPPENINGS = ("escape", "stop_button", "undo", "save", "open_file", "new_file", "delete_head", "remove_strip",
              "change_scene", "disable", "quit_blender")


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Desktop:
    folder = tmp_path_factory.mktemp("desktop")
    subprocess.run([sys.executable, ROOT / "build_addon.py", "--out", folder], check=True, capture_output=True)
    desktop = Desktop(BLENDER, folder)
    desktop.install(next(folder.glob("*.zip")))
    return desktop


@pytest.fixture(scope="module")
def long_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_speech(tmp_path_factory.mktemp("speech") / "long.wav", LONG)


@pytest.fixture
def play(desktop: Desktop) -> Callable[..., Outcome]:
    """Plays a scenario to its end; no worker may outlive Blender."""
    def play(scenario: str, *arguments: str | Path) -> Outcome:
        found = desktop.run(scenario, *arguments)
        assert found.status == 0, found.facts.get("failure") or found.output[-3000:]
        assert found.left == []
        return found
    return play


def test_four_clicks_to_a_playing_head(play: Callable[..., Outcome]):
    found = play("first_use", DEMO)
    assert set(found.pictures) >= {"empty", "head", "ready", "generated", "played"}
    passed = found.facts["seconds"]
    assert list(passed) == ["head", "speech", "generate", "keyed", "playing"]
    print("Seconds, and seconds of processors, since Blender was open:", passed)  # seen with -s


def test_takes_are_copied_auditioned_tuned_renamed_made_again_and_removed(play: Callable[..., Outcome]):
    said = play("work_with_takes", DEMO).output
    for step in ("Add ARTalk Head", "Open Speech", "Generate Motion", "Duplicate Take", "Use Take", "Rename Take",
                 "Regenerate Range", "Push Take to NLA"):
        assert f"'{step}'" in said, step  # as the undo history has it


def test_lips_that_are_late_are_found_and_mended(play: Callable[..., Outcome]):
    assert abs(play("check_and_mend", DEMO).facts["offset_ms"]) < 60.0


def test_a_typed_line_in_a_manner_that_another_head_takes_over(play: Callable[..., Outcome]):
    play("manner_and_text", DEMO)


def test_blender_in_german(play: Callable[..., Outcome]):
    facts = play("german").facts
    assert facts["labels"] == {"Speech": "Sprache", "Takes": "Takes", "Generate Motion": "Bewegung erzeugen",
                               "Rest in Pauses": "Ruhe in Pausen"}
    assert facts["sentence"] == ("Der Streifen „Speech“ ist nicht mehr da. Fügen Sie ihn wieder hinzu und erzeugen Sie "
                                 "noch einmal.")
    assert "Es gibt noch keinen Take" in facts["reason"]
    assert facts["english"] == "No sound strip is chosen"


def test_tuning_is_seen_at_once_and_undone_at_once(play: Callable[..., Outcome]):
    play("tuning", DEMO)


def test_a_retimed_strip_and_fewer_keys(play: Callable[..., Outcome]):
    facts = play("retimed_and_simplified", DEMO).facts
    assert facts["heard"] and facts["fewer"] > 3.0


def test_landmarks_are_clicked_and_the_take_speaks_on_a_stranger(play: Callable[..., Outcome], tmp_path: Path):
    """A face of other proportions, in another mesh, its mouth open at rest, with keys of names that say nothing."""
    found = play("retarget_by_clicks", DEMO, stranger(tmp_path))
    assert any("crossed" in note for note in found.facts["crossed"])
    assert not any("crossed" in note or "guessed" in note for note in found.facts["notes"])
    assert max(found.facts["off_mm"].values()) < 4.0, "a click takes the place beneath it"
    assert found.facts["lips_mm"][0] < 1.5 and max(found.facts["opened"]) > 0.25
    assert set(found.pictures) >= {"clicking", "side_by_side", "retargeted"}


def test_one_take_speaks_on_four_characters(play: Callable[..., Outcome], tmp_path: Path):
    """ARKit's keys in another mesh, a cartoon's visemes, another person's FLAME head, Rigify's face."""
    found = play("speak_together", DEMO, cast(tmp_path))
    lips = found.facts["lips_mm"]
    assert len(lips) == 4 and set(found.pictures) >= {"together_open", "together_closed"}
    assert all(0.0 < value[0] < 4.0 for value in lips.values()), lips


def test_the_avatar_in_the_view_the_compositor_and_a_film(play: Callable[..., Outcome]):
    found = play("show_avatar", DEMO)
    facts = found.facts
    assert set(found.pictures) >= {"preview_25", "preview_60", "preview_scene", "preview_off", "compositor", "rendered"}
    print("Frames a second, and how long a look takes:", facts["played"], facts["tick_ms"])  # seen with -s
    assert facts["played"]["with it"]["asked"][-1] == 0 and facts["film"] > 10_000


def test_an_error_is_shown(play: Callable[..., Outcome], tmp_path: Path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF not a sound")
    play("error", tmp_path / "broken.wav")


def test_avatar_frames_go_on_where_esc_stopped_them(play: Callable[..., Outcome]):
    assert 1 <= play("avatar").facts["stopped_at"] < 4


@pytest.mark.parametrize("what", HAPPENINGS)
def test_whatever_happens_in_the_middle_of_a_job(play: Callable[..., Outcome], long_line: Path, what: str):
    assert play("interrupted", long_line, what).facts["halves"] == 0
