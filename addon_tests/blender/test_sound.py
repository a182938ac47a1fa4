# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files and sound strips -> samples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.audio_file import read_audio
from conftest import voice, write_wav

from artalk_blender import compat
from artalk_blender.audio.samples import cut, read_sound
from artalk_blender.audio.strip import add_sound_strip, find_sound_strip, read_strip
from artalk_blender.errors import EngineError


def trim(strip, first, last):
    """Cuts `first` frames off the start and `last` off the end of a strip."""
    if hasattr(strip, "left_handle"):
        strip.left_handle += first
        strip.right_handle -= last
    else:
        strip.frame_offset_start = first
        strip.frame_offset_end = last


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (48000, 1), (8000, 2)])
def test_the_engine_hears_the_same(tmp_path, rate, channels):
    samples = np.stack([voice(1.0, rate)] * channels, 1) * np.linspace(1.0, 0.4, channels)
    path = write_wav(tmp_path / "a.wav", samples, rate)
    # the two decoders scale 16 bits by 1/32767 and 1/32768
    assert np.abs(read_sound(path) - read_audio(path)).max() < 5e-5


def test_a_whole_strip_is_the_whole_file(scene, speech):
    scene.render.fps, scene.render.fps_base = 25, 1.0
    strip = add_sound_strip(scene, speech, 11)
    audio = read_strip(strip, scene)
    whole = read_sound(speech)
    assert audio.start_frame == 11 and audio.name == "speech" and len(audio.sha256) == 64
    assert abs(len(audio.samples) - len(whole)) <= 640
    count = min(len(whole), len(audio.samples))
    assert np.array_equal(audio.samples[:count], whole[:count])


@pytest.mark.parametrize(("fps", "base"), [(25, 1.0), (24, 1.0), (30, 1.001)])
def test_a_trimmed_strip_is_the_part_that_is_heard(scene, speech, fps, base):
    scene.render.fps, scene.render.fps_base = fps, base
    strip = add_sound_strip(scene, speech, 21)
    trim(strip, 6, 8)
    audio = read_strip(strip, scene)
    span = compat.strip_span(strip)
    first = round(6 * base / fps * 16000)
    count = len(audio.samples)
    assert audio.start_frame == 27
    assert count == pytest.approx((span.end - span.start) * base / fps * 16000, abs=1)
    assert np.array_equal(audio.samples, read_sound(speech)[first:first + count])


def test_what_is_read_is_what_blender_plays(scene, tmp_path):
    """Against Blender's own mixdown of the same trimmed, shifted strip; noise is nowhere like itself."""
    scene.render.fps, scene.render.fps_base = 25, 1.0
    noise = write_wav(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 24000))
    strip = add_sound_strip(scene, noise, 1)
    strip.sound_offset = 0.1
    trim(strip, 5, 5)
    span = compat.strip_span(strip)
    scene.frame_start, scene.frame_end = int(span.start), int(span.end) - 1
    mixed = tmp_path / "mix.wav"
    bpy.ops.sound.mixdown(filepath=str(mixed), container="WAV", codec="PCM", format="S16")
    played, heard = read_sound(mixed), read_strip(strip, scene).samples
    part = played[4000:12000]
    lag = int(np.argmax(np.correlate(heard[:16000], part, "valid"))) - 4000
    assert abs(lag) <= 2  # samples at 16 kHz


def test_a_packed_sound_is_read_without_its_file(scene, speech):
    strip = add_sound_strip(scene, speech, 1)
    before = read_strip(strip, scene)
    strip.sound.pack()
    speech.unlink()
    after = read_strip(strip, scene)
    assert np.array_equal(before.samples, after.samples)
    assert before.sha256 == after.sha256


def test_the_strip_to_speak_is_the_active_or_the_only_one(scene, speech):
    assert find_sound_strip(bpy.context) is None
    one = add_sound_strip(scene, speech, 1)
    assert find_sound_strip(bpy.context) == one
    two = add_sound_strip(scene, speech, 100)
    assert two.channel > one.channel
    scene.sequence_editor.active_strip = one
    assert find_sound_strip(bpy.context) == one
    scene.sequence_editor.active_strip = None
    assert find_sound_strip(bpy.context) is None


def test_cut_gives_silence_where_nothing_is():
    samples = np.arange(1, 16001, dtype=np.float32)
    padded = cut(samples, -0.5, 2.0)
    assert len(padded) == 32000
    assert not padded[:8000].any() and not padded[24000:].any()
    assert np.array_equal(padded[8000:24000], samples)


def retime(strip, keys, moved):
    """Adds retiming keys and moves the last ones. Blender up to 5.0 crashes on this without a window."""
    for key in keys:
        strip.retiming_keys.add(timeline_frame=key)
    for index, frame in moved.items():
        strip.retiming_keys[index].timeline_frame = frame


@pytest.fixture
def retimed(scene, tmp_path):
    """A strip of 4 s with a click at every half second, and whether Blender can retime it here."""
    if "left_handle" not in bpy.types.SoundStrip.bl_rna.properties:
        pytest.skip("retiming_keys.add() crashes this Blender without a window")
    scene.render.fps, scene.render.fps_base = 25, 1.0
    samples = np.zeros(64000)
    for time in np.arange(0.5, 4.0, 0.5):
        samples[round(time * 16000):][:40] = 0.9
    return add_sound_strip(scene, write_wav(tmp_path / "clicks.wav", samples), 11)


def click_times(samples, rate=16000):
    """Seconds at which a click begins."""
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return loud[np.concatenate([[True], np.diff(loud) > 0.1 * rate])] / rate


@pytest.mark.parametrize("end", [61, 101, 161, 211])
@pytest.mark.parametrize("trimmed", [False, True])
def test_a_strip_at_another_speed_is_followed(scene, retimed, tmp_path, end, trimmed):
    """Against what Blender's own mixdown of it lets hear."""
    strip = retimed
    retime(strip, [50], {})
    strip.retiming_keys[1].remove()
    strip.retiming_keys[1].timeline_frame = end
    if trimmed:
        trim(strip, 10, 5)
        strip.content_start += 30
        strip.sound_offset = 0.1
    span = compat.strip_span(strip)
    scene.frame_start, scene.frame_end = 1, int(span.end) + 5
    bpy.ops.sound.mixdown(filepath=str(tmp_path / "mix.wav"), container="WAV", codec="PCM", format="S16")
    played = click_times(read_sound(tmp_path / "mix.wav"))
    audio = read_strip(strip, scene)
    followed = (audio.times.frames_at(click_times(audio.samples)) - 1) / 25
    near = np.abs(followed[:, None] - played).min(0)
    assert len(played) >= 3 and near.max() <= 0.02
    assert audio.facts["speed"] == pytest.approx(100 / (end - 11))
    assert len(audio.samples) == pytest.approx((span.end - span.start) / 25 * 16000 * audio.facts["speed"], abs=2)


def test_a_strip_retimed_in_parts_is_a_sentence(scene, retimed):
    retime(retimed, [61], {1: 91})
    with pytest.raises(EngineError, match="in parts"):
        read_strip(retimed, scene)


class _Key:
    def __init__(self, frame):
        self.timeline_frame = frame


@pytest.mark.parametrize(("last", "length", "inside"), [(161, 151, 1), (161, 150, 0)])
def test_the_last_retiming_key_of_old_and_new_blenders(last, length, inside):
    """4.5's on the last frame, 5.2's behind it, as strips read in both; keys can't be added in 4.5's module."""
    class Strip:
        retiming_keys = (_Key(11), _Key(last))
        frame_duration = length

    assert compat.retiming(Strip()).last_inside == inside


def bad_files(folder: Path, speech: Path) -> dict[str, Path]:
    whole = speech.read_bytes()
    contents = {"empty.wav": b"", "header.wav": whole[:44], "torn.wav": whole[: len(whole) // 2],
                "text.mp3": b"This is no sound. " * 200, "noise.ogg": bytes(range(256)) * 40}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {**{name: folder / name for name in contents}, "missing": folder / "nowhere.wav", "folder": folder}


def test_bad_files_are_one_sentence_and_do_not_end_blender(tmp_path, speech):
    """In a process of its own: Blender's decoder aborts on some of these when asked in the wrong order."""
    paths = bad_files(tmp_path, speech)
    code = "import sys; sys.path.insert(0, sys.argv[1])\nimport bpy\n" \
           "from pathlib import Path\nfrom artalk_blender.audio.samples import read_sound\n" \
           "from artalk_blender.errors import EngineError\n" \
           "for path in sys.argv[2:]:\n" \
           "    try: read_sound(Path(path)); print('READ', path)\n" \
           "    except EngineError as error: print('SAID', error)\n"
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run([sys.executable, "-c", code, str(root), *map(str, paths.values())],
                            capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stdout.splitlines() if line.startswith(("SAID", "READ"))]
    assert len(said) == len(paths) and all(line.startswith("SAID “") or "There is no" in line for line in said)
