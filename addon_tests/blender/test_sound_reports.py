# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out about strips' sounds, beside Blender and by Check Sound, and remembered for the panel."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from conftest import write_wav
from real_motion import ASSETS, demo_speech

from artalk_blender import registration
from artalk_blender.audio import reports
from artalk_blender.audio.check import check_sound
from artalk_blender.audio.strip import SoundFile, add_sound_strip, sound_file
from artalk_blender.errors import ArtalkError
from artalk_blender.ops import check

SPEECH = ASSETS / "demo_speech.wav"


@pytest.fixture(autouse=True)
def registered(extension, scene):
    ours = check not in registration.MODULES
    if ours:
        check.register()
    yield
    reports.unregister()
    if ours:
        check.unregister()


def examine(file: SoundFile):
    steps, shares = reports.examine(file), []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            assert shares == sorted(shares)
            return end.value


def two_voices(path: Path) -> Path:
    one = demo_speech()[3500:113000]
    rest = np.zeros(len(one), np.float32)
    return write_wav(path, np.stack([np.concatenate([one, rest]), np.concatenate([rest, one])], 1))


def test_a_file_is_read_in_pieces_as_it_is(tmp_path: Path):
    report = examine(SoundFile(SPEECH))
    assert (report.rate, report.channels, report.findings) == (48000, 1, ())
    assert report.seconds == pytest.approx(7.515, abs=1e-3)
    clipped = np.clip(4.0 * demo_speech(), -1, 1)
    found = examine(SoundFile(write_wav(tmp_path / "loud.wav", clipped)))
    whole = check_sound(np.round(clipped * 32767) / 32768, 16000)
    assert [finding.kind for finding in found.findings] == ["clipped"] == [finding.kind for finding in whole.findings]
    assert found.speech_db == pytest.approx(whole.speech_db, abs=0.1)
    assert [finding.kind for finding in examine(SoundFile(two_voices(tmp_path / "two.wav"))).findings] == ["voices"]


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path):
    (tmp_path / "notes.wav").write_text("these are notes")
    (tmp_path / "empty.wav").touch()
    for path in (tmp_path / "gone.wav", tmp_path / "notes.wav", tmp_path / "empty.wav", tmp_path):
        with pytest.raises(ArtalkError, match="There is no audio file|not an audio file"):
            examine(SoundFile(path))


def test_a_report_comes_from_beside_and_is_remembered(scene, tmp_path: Path):
    strip = add_sound_strip(scene, two_voices(tmp_path / "two.wav"), 1)
    assert reports.report_of(strip) is None, "in background nobody looks at panels"
    reports._start(reports._key(strip.sound), sound_file(strip.sound))
    until = time.monotonic() + 20.0
    while reports.report_of(strip) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert [text for text, _ in reports.lines_of(strip)][1].startswith("Each channel has its own voice.")
    write_wav(tmp_path / "two.wav", demo_speech())
    assert reports.report_of(strip) is None, "the file has changed since"
    reports.remember(strip, check_sound(demo_speech(), 16000))
    assert reports.lines_of(strip) == [("Speech at -16 dB", "BLANK1")]
    strip.sound.pack()
    assert reports.report_of(strip) is None
    Path(strip.sound.filepath).unlink()
    assert examine(sound_file(strip.sound)).findings == ()


def test_a_sound_that_is_gone_says_so_in_the_panel(scene, tmp_path: Path):
    strip = add_sound_strip(scene, write_wav(tmp_path / "gone.wav", demo_speech()), 1)
    (tmp_path / "gone.wav").unlink()
    reports._start(reports._key(strip.sound), sound_file(strip.sound))
    reports._thread.join()
    ((text, icon),) = reports.lines_of(strip)
    assert "There is no audio file" in text and icon == "ERROR"


def test_unregistering_ends_what_is_under_way(scene, tmp_path: Path):
    strip = add_sound_strip(scene, write_wav(tmp_path / "long.wav", np.resize(demo_speech(), 16000 * 300)), 1)
    reports._start(reports._key(strip.sound), sound_file(strip.sound))
    reports.unregister()
    assert not reports._thread.is_alive() and not bpy.app.timers.is_registered(reports._look)
    assert reports.report_of(strip) is None


def test_check_sound(scene, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.artalk.check_sound()
    strip = add_sound_strip(scene, SPEECH, 1)
    assert bpy.ops.artalk.check_sound() == {"FINISHED"}
    assert reports.report_of(strip).findings == ()
    scene.sequence_editor.active_strip = add_sound_strip(scene, two_voices(tmp_path / "two.wav"), 1)
    assert bpy.ops.artalk.check_sound() == {"FINISHED"}
    said = capfd.readouterr().out
    assert "“demo_speech” is fine: 7.5 s, speech at -16 dB." in said and "Each channel has its own voice." in said
    (tmp_path / "two.wav").unlink()
    with pytest.raises(RuntimeError, match="no audio file"):
        bpy.ops.artalk.check_sound()
