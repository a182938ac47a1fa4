# SPDX-License-Identifier: GPL-3.0-or-later
"""`talk` from the inside: the scene that it makes, reopened elsewhere; and everything a person can get wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.flame.skinning import motion_vertices
from conftest import voice, write_wav

from artalk_blender import compat
from artalk_blender.animation.takes import raw_motion
from artalk_blender.audio.strip import scene_rate
from artalk_blender.command import main
from artalk_blender.motion.process import process_motion

ROOT = Path(__file__).resolve().parents[2]
OTHERS = sorted((ROOT / ".venv").glob("py3*/bin/python"))

REOPEN = """
import bpy, json, sys
import numpy as np
bpy.ops.wm.open_mainfile(filepath=sys.argv[-2])
scene = bpy.context.scene
mesh = next(thing for thing in scene.objects if thing.type == "MESH" and thing.data.shape_keys)
points = []
for frame in (scene.frame_start, 12, scene.frame_end):
    scene.frame_set(frame)
    result = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    co = np.empty(3 * len(result.vertices), np.float32)
    result.vertices.foreach_get("co", co)
    points.append(co.reshape(-1, 3))
np.save(sys.argv[-1], points)
strip = scene.sequence_editor.strips[0]
print("FOUND" + json.dumps({
    "ours": sorted(name for name in sys.modules if "artalk" in name), "packed": len(strip.sound.packed_file.data),
    "missing": strip.sound.is_missing if hasattr(strip.sound, "is_missing") else False, "file": strip.sound.filepath,
    "range": [scene.frame_start, scene.frame_end], "engine": scene.render.engine, "camera": bool(scene.camera),
    "takes": [action.name for action in bpy.data.actions],
}))
"""


def run(*arguments) -> int:
    return main(["talk", *map(str, arguments)])


@pytest.fixture
def blend(tmp_path, speech, head_file) -> Path:
    path = tmp_path / "talk.blend"
    assert run(speech, "--out", path, "--head", head_file) == 0
    return path


@pytest.mark.parametrize("python", [sys.executable, *map(str, OTHERS)])
def test_the_file_reopens_elsewhere_without_us_and_still_moves(blend, model, tmp_path, speech, python):
    """Here in 4.5 and 5.2, each other's files too."""
    action = next(iter(bpy.data.actions))
    motion = process_motion(raw_motion(action))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = blend.rename(elsewhere / "moved.blend")
    size = speech.stat().st_size
    speech.unlink()
    points = elsewhere / "points.npy"
    result = subprocess.run([python, "-c", REOPEN, str(moved), str(points)], capture_output=True, text=True,
                            cwd=elsewhere, timeout=120)
    line = next((line for line in result.stdout.splitlines() if line.startswith("FOUND")), None)
    assert line, result.stdout + result.stderr
    found = json.loads(line[5:])
    assert found["ours"] == [] and found["packed"] == size
    assert found["range"] == [1, 38] and found["camera"] and found["engine"] == "BLENDER_WORKBENCH"
    assert found["takes"] == ["ARTalk speech"]
    expected = motion_vertices(model, motion[[0, 11, 37]])
    assert np.abs(np.load(points) - expected).max() < 1e-5


def test_the_scene(blend, tmp_path):
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    strip = scene.sequence_editor.strips[0]
    span = compat.strip_span(strip)
    # 1.5 s are 37.5 frames: the picture has the half one, the strip of a resampled sound must not
    assert (scene.frame_start, scene.frame_end, span.start, span.end) == (1, 38, 1, 38)
    assert scene_rate(scene) == 25
    assert strip.sound.filepath == "//speech.wav"
    assert {thing.type for thing in scene.objects} == {"MESH", "ARMATURE", "CAMERA", "LIGHT"}
    assert (scene.render.resolution_x, scene.render.resolution_y) == (512, 512)
    assert scene.render.filepath == "//talk.mp4"
    assert scene.sync_mode == "AUDIO_SYNC"
    camera = scene.camera
    mesh = next(thing for thing in scene.objects if thing.type == "MESH" and thing.data.shape_keys)
    seen = [camera.matrix_world.inverted() @ mesh.matrix_world @ vertex.co for vertex in mesh.data.vertices]
    edge = 18 / 85
    assert max(abs(p.x) / -p.z for p in seen) < 0.9 * edge, "room at the sides to turn in"
    assert 0.7 * edge < max(p.y / -p.z for p in seen) < 0.95 * edge, "a little air above"
    assert -1.4 * edge < min(p.y / -p.z for p in seen) < -edge, "the neck's open end is cut off"


@pytest.mark.parametrize(("rate", "fps", "base", "last"), [
    ("24", 24, 1.0, 36), ("29.97", 30, 1.001, 45), ("60", 60, 1.0, 90), ("30000/1001", 30, 1.001, 45),
])
def test_other_frame_rates(tmp_path, speech, head_file, rate, fps, base, last):
    out = tmp_path / "talk.blend"
    assert run(speech, "--out", out, "--head", head_file, "--fps", rate) == 0
    scene = bpy.context.scene
    assert (scene.render.fps, scene.render.fps_base) == (fps, pytest.approx(base, abs=1e-6))
    assert (scene.frame_start, scene.frame_end) == (1, last)
    keys = next(iter(bpy.data.actions)).frame_range
    assert keys[1] == pytest.approx(1 + 37 * fps / base / 25, abs=1e-3)


def test_silence_rests_and_warns(tmp_path, head_file, capfd):
    silent = write_wav(tmp_path / "silent.wav", np.zeros(32000))
    assert run(silent, "--out", tmp_path / "talk.blend", "--head", head_file) == 0
    assert "Warning: The sound is silent" in capfd.readouterr().err
    motion = process_motion(raw_motion(next(iter(bpy.data.actions))))
    assert np.abs(motion[:, 103]).max() < 0.03, "the jaw rests"


def test_a_video_starts_and_ends_with_its_sound(tmp_path, head_file):
    av = pytest.importorskip("av")
    speech = write_wav(tmp_path / "line.wav", voice(0.5))
    video = tmp_path / "talk.mp4"
    assert run(speech, "--out", tmp_path / "talk.blend", "--video", video, "--head", head_file) == 0
    with av.open(str(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        frames = sum(1 for _ in container.decode(picture))
        assert (picture.width, picture.height, float(picture.average_rate)) == (512, 512, 25.0)
        assert picture.codec_context.name == "h264" and sound.codec_context.name == "aac"
        assert float(picture.start_time * picture.time_base) == float((sound.start_time or 0) * sound.time_base) == 0
        assert frames in (12, 13)
        assert abs(frames / 25 - float(sound.duration * sound.time_base)) <= 1 / 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.wav", "talk.blend", "talk.mp4"]


@pytest.mark.parametrize(("rate", "mixed_at", "strip_frames"), [(16000, 48000, 12), (44100, 44100, 13)])
def test_the_mixer_never_reads_past_a_resampled_sound(tmp_path, head_file, rate, mixed_at, strip_frames):
    """Blender leaves noise there: a film's last word would end in a crack, or the encoder stop."""
    speech = write_wav(tmp_path / "line.wav", voice(0.5, rate), rate)
    assert run(speech, "--out", tmp_path / "talk.blend", "--head", head_file) == 0
    scene = bpy.context.scene
    span = compat.strip_span(scene.sequence_editor.strips[0])
    assert scene.render.ffmpeg.audio_mixrate == mixed_at
    assert (scene.frame_start, scene.frame_end) == (1, 13)
    assert span.end - span.start == strip_frames


def mistakes(folder: Path, speech: Path, head: Path) -> dict[str, list[object]]:
    whole = speech.read_bytes()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "torn.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp3").write_bytes(b"This is no sound. " * 200)
    (folder / "head.npz").write_bytes(head.read_bytes()[:5000])
    (folder / "style.npy").write_bytes(b"nothing")
    out = folder / "talk.blend"
    return {
        "no such file": [folder / "nowhere.wav", "--out", out],
        "a folder": [folder, "--out", out],
        "empty": [folder / "empty.wav", "--out", out],
        "torn": [folder / "torn.wav", "--out", out],
        "no sound": [folder / "text.mp3", "--out", out],
        "no such folder": [speech, "--out", folder / "missing" / "talk.blend"],
        "a folder as output": [speech, "--out", folder],
        "not a blend": [speech, "--out", folder / "talk.txt"],
        "no such folder for the video": [speech, "--out", out, "--video", folder / "missing" / "talk.mp4"],
        "not an mp4": [speech, "--out", out, "--video", folder / "talk.txt"],
        "unknown option": [speech, "--out", out, "--frobnicate"],
        "no output": [speech],
        "bad rate": [speech, "--out", out, "--fps", "fast"],
        "rate zero": [speech, "--out", out, "--fps", "0"],
        "missing head": [speech, "--out", out, "--head", folder / "nowhere.npz"],
        "torn head": [speech, "--out", out, "--head", folder / "head.npz"],
        "no head": [speech, "--out", out, "--head", speech],
        "missing model": [speech, "--out", out, "--head", head, "--model", folder / "nowhere"],
        "bad style": [speech, "--out", out, "--head", head, "--style", folder / "style.npy"],
        "missing Python": [speech, "--out", out, "--head", head, "--python", folder / "python"],
    }


@pytest.mark.parametrize("mistake", [
    "no such file", "a folder", "empty", "torn", "no sound", "no such folder", "a folder as output", "not a blend",
    "no such folder for the video", "not an mp4", "unknown option", "no output", "bad rate", "rate zero",
    "missing head", "torn head", "no head", "missing model", "bad style", "missing Python",
])
def test_mistakes_are_one_sentence_and_leave_nothing(tmp_path, speech, head_file, capfd, mistake):
    arguments = mistakes(tmp_path, speech, head_file)[mistake]
    before = sorted(tmp_path.rglob("*"))
    assert run(*arguments) == 2
    said = capfd.readouterr().err.strip()
    assert said and "\n" not in said and "Traceback" not in said
    assert said[0].isupper() or said[0] == "“"
    assert said.endswith(".")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_earlier_file_survives_a_failing_run(tmp_path, speech, head_file):
    out = tmp_path / "talk.blend"
    out.write_bytes(b"mine")
    assert run(speech, "--out", out, "--head", head_file, "--model", tmp_path / "nowhere") == 2
    assert out.read_bytes() == b"mine"


def test_retarget_wants_a_file_that_is_there(tmp_path, capfd):
    out = tmp_path / "b.blend"
    assert main(["retarget", "a.blend", "--take", "x", "--target", "y", "--out", str(out)]) == 2
    assert "There is no file “a.blend”" in capfd.readouterr().err and not out.exists()


def test_the_command_line_is_a_process_too(tmp_path, speech):
    """What a shell sees: status 2, one line, no traceback, no noise."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([sys.executable, "-m", "artalk_blender", "talk", str(tmp_path / "no.wav"), "--out",
                             str(tmp_path / "a.blend")], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 2
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1


def test_ctrl_c_while_rendering_leaves_no_half_film(tmp_path, head_file):
    speech = write_wav(tmp_path / "line.wav", voice(8.0))
    command = [sys.executable, "-m", "artalk_blender", "talk", str(speech), "--out", str(tmp_path / "talk.blend"),
               "--video", str(tmp_path / "talk.mp4"), "--head", str(head_file)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".talk.*.part.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "Stopped.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.wav", "talk.blend"]
