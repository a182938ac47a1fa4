# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files and sound strips -> samples."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.audio_file import read_audio
from conftest import voice, write_wav

import artalk_blender.audio.strip as strip_module
from artalk_blender import compat
from artalk_blender.audio.samples import cut, read_sound
from artalk_blender.audio.strip import add_sound_strip, find_sound_strip, read_strip, read_strip_in_steps
from artalk_blender.errors import EngineError
from artalk_blender.runner import Runner


def trim(strip, first, last):
    """Cuts `first` frames off the start and `last` off the end of a strip."""
    if hasattr(strip, "left_handle"):
        strip.left_handle += first
        strip.right_handle -= last
    else:
        strip.frame_offset_start = first
        strip.frame_offset_end = last


def move(strip, frames):
    """Moves a strip in the timeline."""
    if hasattr(strip, "content_start"):
        strip.content_start += frames
    else:
        strip.frame_start += frames


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


def in_sequencer(scene):
    """A context in which the sequencer's operators work."""
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    if hasattr(window.workspace, "sequencer_scene"):
        window.workspace.sequencer_scene = scene
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=window, area=area, region=region, scene=scene)


def retime(scene, strip, keys, moved):
    """Adds retiming keys and moves some. Their own `add` crashes Blender up to 5.0 without a window."""
    if hasattr(strip, "left_handle"):
        for key in keys:
            strip.retiming_keys.add(timeline_frame=key)
    else:
        scene.sequence_editor.active_strip = strip
        with in_sequencer(scene):
            for key in keys:
                bpy.ops.sequencer.retiming_key_add(timeline_frame=key)
    for index, frame in moved.items():
        strip.retiming_keys[index].timeline_frame = frame


# Blender up to 5.0 plays a retimed sound by chance, or ends, where it starts later or has an offset that is rounded
# up to a frame (compat.make_playable)
SAFE_START, SAFE_OFFSET = (11, 0.1) if "left_handle" in bpy.types.SoundStrip.bl_rna.properties else (0, 0.09)


@pytest.fixture
def retimed(scene, tmp_path):
    """A strip of 4 s with a click at every half second."""
    scene.render.fps, scene.render.fps_base = 25, 1.0
    return add_sound_strip(scene, write_wav(tmp_path / "clicks.wav", clicks(4.0)), SAFE_START)


def clicks(seconds):
    """(N,) at 16 kHz: a click at every half second."""
    samples = np.zeros(round(seconds * 16000))
    for second in np.arange(0.5, seconds, 0.5):
        samples[round(second * 16000):][:40] = 0.9
    return samples


def click_times(samples, rate=16000):
    """Seconds at which a click begins."""
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return loud[np.diff(loud, prepend=-rate) > 0.1 * rate] / rate


@pytest.mark.parametrize("end", [50, 90, 150, 200])
@pytest.mark.parametrize("trimmed", [False, True])
def test_a_strip_at_another_speed_is_followed(scene, retimed, tmp_path, end, trimmed):
    """Against what Blender's own mixdown of it lets hear."""
    strip = retimed
    retime(scene, strip, [50], {})
    strip.retiming_keys[1].remove()
    strip.retiming_keys[1].timeline_frame = SAFE_START + end
    if trimmed:
        trim(strip, 10, 5)
        if SAFE_START:
            move(strip, 30)
        strip.sound_offset = SAFE_OFFSET
    span = compat.strip_span(strip)
    scene.frame_start, scene.frame_end = 1, int(span.end) + 5
    bpy.ops.sound.mixdown(filepath=str(tmp_path / "mix.wav"), container="WAV", codec="PCM", format="S16")
    played = click_times(read_sound(tmp_path / "mix.wav"))
    audio = read_strip(strip, scene)
    followed = (audio.times.frames_at(click_times(audio.samples)) - 1) / 25
    near = np.abs(followed[:, None] - played).min(0)
    assert len(played) >= 3 and near.max() <= 0.02
    assert audio.facts["speed"] == pytest.approx((99 if SAFE_START == 0 else 100) / end)
    assert len(audio.samples) == pytest.approx((span.end - span.start) / 25 * 16000 * audio.facts["speed"], abs=2)


PARTS = {"slow, fast, as recorded": ([50, 70], {1: 80, 2: 95}), "fast, slow": ([50], {1: 25, 2: 150}),
         "a hold": ([50, 51], {2: 76}), "many": ([20, 40, 60, 80], {1: 30, 2: 40, 3: 70, 4: 80, 5: 120})}


def retime_parts(scene, strip, parts):
    keys, moved = PARTS[parts]
    retime(scene, strip, [key + SAFE_START for key in keys], {i: frame + SAFE_START for i, frame in moved.items()})


@pytest.mark.parametrize("pitch", ["kept", "follows"])
@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("parts", PARTS)
def test_a_strip_retimed_in_parts_is_followed(scene, retimed, tmp_path, parts, changed, pitch):
    """Every click is where Blender's own mixdown of the whole scene has it, within 40 ms."""
    retime_parts(scene, retimed, parts)
    if hasattr(retimed, "pitch_correction"):
        retimed.pitch_correction = pitch == "kept"
    elif pitch == "kept":
        pytest.skip("this Blender changes the pitch with the speed")
    if changed:
        scene.render.fps = 24
        trim(retimed, 10, 5)
        if SAFE_START:
            move(retimed, 130)
            retimed.sound_offset = SAFE_OFFSET
    scene.frame_start, scene.frame_end = min(1, SAFE_START), int(compat.strip_span(retimed).end) + 5
    bpy.ops.sound.mixdown(filepath=str(tmp_path / "mix.wav"), container="WAV", codec="PCM", format="S16")
    played = click_times(read_sound(tmp_path / "mix.wav"))
    audio = read_strip(retimed, scene)
    followed = (audio.times.frames_at(click_times(audio.samples)) - scene.frame_start) / scene.render.fps
    near = np.abs(followed[:, None] - played).min(0)
    assert len(played) >= 5 and near.max() <= 0.040
    assert bool(audio.facts["as_played"]) == (pitch == "kept")
    assert len(audio.times.frames) < 20, "straight between the changes of speed"


def facts_of_scene(scene):
    """What an artist could see changed, in the file and in the sequencer."""
    strips = [(one.name, one.mute, one.select, one.channel, compat.strip_span(one), one.sound.name, one.volume, one.pan,
               [key.timeline_frame for key in one.retiming_keys], len(one.modifiers))
              for one in scene.sequence_editor.strips_all if one.type == "SOUND"]
    counts = {name: len(getattr(bpy.data, name)) for name in ("scenes", "sounds", "objects", "actions", "collections")}
    users = [(sound.name, sound.users) for sound in bpy.data.sounds]
    return (strips, counts, users, bpy.context.scene, scene.frame_current, scene.frame_start, scene.frame_end,
            scene.render.ffmpeg.audio_channels, scene.use_audio, scene.audio_volume)


def test_only_the_strip_is_heard_and_the_scene_stays(scene, retimed, tmp_path):
    """Muted, faded out, beside a louder one: neither its volume nor what else sounds matters."""
    retime_parts(scene, retimed, "fast, slow")
    clean = read_strip(retimed, scene)
    add_sound_strip(scene, write_wav(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.3, 64000)), 1)
    scene.collection.objects.link(bpy.data.objects.new("thing", None))
    retimed.volume = 0.0
    retimed.keyframe_insert("volume", frame=5)
    retimed.mute, scene.use_audio, scene.audio_volume = True, False, 0.0
    scene.sequence_editor.channels[retimed.channel].mute = True
    before = facts_of_scene(scene)
    found = read_strip(retimed, scene)
    assert facts_of_scene(scene) == before
    assert found.times == clean.times and np.array_equal(found.samples, clean.samples)
    assert 0.5 < found.facts["speed"] < 1.0 and found.sha256 == clean.sha256


@pytest.mark.parametrize("pitch", ["kept", "follows"])
@pytest.mark.parametrize("starts", [True, False])
def test_another_blender_listens_the_same_and_this_one_is_free(scene, retimed, monkeypatch, pitch, starts):
    if pitch == "follows":
        compat.let_pitch_follow_speed(retimed)
    elif not hasattr(retimed, "pitch_correction"):
        pytest.skip("this Blender changes the pitch with the speed")
    if not starts:
        monkeypatch.setattr(strip_module, "mix_beside", partial(strip_module.mix_beside, blender="/nowhere/blender"))
    retime_parts(scene, retimed, "slow, fast, as recorded")
    here, before = read_strip(retimed, scene), facts_of_scene(scene)
    runner, longest = Runner(read_strip_in_steps(lambda: (retimed, scene))), 0.0
    while not runner.ended:
        began = time.thread_time()
        runner.advance(0.0)
        longest = max(longest, time.thread_time() - began)
        assert facts_of_scene(scene) == before
        time.sleep(0.02)
    assert runner.result.times == here.times and np.array_equal(runner.result.samples, here.samples)
    assert longest < 0.05 or not starts


def test_where_a_retimed_strip_lies_moves_its_times_only(scene, retimed):
    retime_parts(scene, retimed, "slow, fast, as recorded")
    clean = read_strip(retimed, scene)
    move(retimed, 512)
    found = read_strip(retimed, scene)
    frames = found.times.frames_at(click_times(found.samples)) - clean.times.frames_at(click_times(clean.samples))
    assert np.abs(frames - 512).max() < 0.2


A_BLOCK = 25 * 1024 / 48000  # frames in which Blender mixes without looking at the speed again


@pytest.mark.parametrize("offset", [-0.5, -0.1, 0.06, 0.1, 0.7])
def test_an_offset_moves_what_a_retimed_strip_lets_hear(scene, retimed, offset):
    """By so many frames, every time, also where Blender up to 5.0 plays such a sound by chance."""
    retime_parts(scene, retimed, "slow, fast, as recorded")
    compat.let_pitch_follow_speed(retimed)
    clean = read_strip(retimed, scene)
    retimed.sound_offset = offset
    for _ in range(3):
        found = read_strip(retimed, scene)
        frames = found.times.frames_at(click_times(found.samples))
        moved = clean.times.frames_at(click_times(clean.samples)) + offset * 25
        near = np.abs(moved[:, None] - frames).min(0)
        assert len(frames) >= 3 and near.max() < A_BLOCK


def test_a_retimed_strip_in_a_meta_strip_is_followed(scene, retimed):
    retime_parts(scene, retimed, "slow, fast, as recorded")
    move(retimed, 40)
    clean = read_strip(retimed, scene)
    with in_sequencer(scene):
        bpy.ops.sequencer.select_all(action="SELECT")
        bpy.ops.sequencer.meta_make()
    inside = next(strip for strip in scene.sequence_editor.strips_all if strip.type == "SOUND")
    assert inside.parent_meta() is not None
    found = read_strip(inside, scene)
    assert found.times == clean.times and np.array_equal(found.samples, clean.samples)


def test_a_retimed_strip_trimmed_to_nothing_is_a_sentence(scene, retimed):
    retime_parts(scene, retimed, "slow, fast, as recorded")
    retimed.sound_offset = 100.0
    with pytest.raises(EngineError, match="Nothing of the strip"):
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
