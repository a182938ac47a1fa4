# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job as a user runs it: a sound file in, a .blend and a video out, in a process of its own.

Needs pip bpy; the video is decoded with PyAV and the .blend reopened by a Blender that has no extension.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.assets import DEMO_SPEECH
from engine.audio_file import _decode, read_audio

pytest.importorskip("bpy")

ROOT = Path(__file__).resolve().parents[2]
# decoded sound may be padded to the codec's frame, never by more than a picture's time
FRAME = 1 / 25

LOOK = """
import bpy, json, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[-1])
scene = bpy.context.scene
strip = next(s for s in scene.sequence_editor.strips_all if s.type == "SOUND")
mesh = next(o for o in scene.objects if o.type == "MESH" and o.data.shape_keys)
spread = []
for frame in range(scene.frame_start, scene.frame_end + 1):
    scene.frame_set(frame)
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    ys = [v.co[1] for v in evaluated.vertices]
    spread.append(sum(abs(y) for y in ys))
print("LOOK" + json.dumps({
    "version": bpy.app.version_string, "addons": list(bpy.context.preferences.addons.keys()),
    "fps": scene.render.fps / scene.render.fps_base, "start": scene.frame_start, "end": scene.frame_end,
    "strip_start": getattr(strip, "left_handle", None) or strip.frame_final_start, "camera": scene.camera is not None,
    "lights": sum(o.type == "LIGHT" for o in scene.objects), "packed": strip.sound.packed_file is not None,
    "actions": len(bpy.data.actions), "moved": max(spread) - min(spread),
}))
"""


def talk(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "artalk_blender", "talk", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, timeout=600)


def look(python: str, blend: Path) -> dict:
    """What a Blender without the extension finds in a file after reopening it."""
    result = subprocess.run([python, "-c", LOOK, str(blend)], capture_output=True, text=True, cwd=blend.parent,
                            timeout=300)
    line = next((line for line in result.stdout.splitlines() if line.startswith("LOOK")), None)
    assert line, result.stdout + result.stderr
    return json.loads(line[4:])


def recode(path: Path, codec: str, rate: int, layout: str, seconds: float) -> Path:
    """A piece of the demo speech in another container, rate and channel count."""
    speech, source = _decode(DEMO_SPEECH)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(speech[:1, : int(seconds * source)]), format="fltp",
                                           layout="mono")
        frame.sample_rate = source
        convert = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate,
                                    frame_size=stream.codec_context.frame_size or 1024)
        for part in [*convert.resample(frame), *convert.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def measure(video: Path) -> dict[str, float]:
    """Start and length (s) of a video's picture and sound, decoded rather than believed."""
    with av.open(str(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        size = (picture.codec_context.width, picture.codec_context.height)
        pictures = [float(frame.pts * picture.time_base) for frame in container.decode(picture)]
        rate = picture.average_rate
    with av.open(str(video)) as container:
        frames = list(container.decode(container.streams.audio[0]))
        sound_start = float(frames[0].pts * container.streams.audio[0].time_base)
        sound_seconds = sum(frame.samples for frame in frames) / sound.codec_context.sample_rate
        loudest = max(float(np.abs(frame.to_ndarray()).max()) for frame in frames)
    return {"size": size, "rate": rate, "picture_start": pictures[0], "picture_seconds": len(pictures) / float(rate),
            "sound_start": sound_start, "sound_seconds": sound_seconds, "loudest": loudest}


@pytest.mark.parametrize(("name", "codec", "rate", "layout"), [
    ("line.wav", "pcm_s16le", 48000, "stereo"),
    ("line.flac", "flac", 44100, "mono"),
    ("line.ogg", "libopus", 48000, "stereo"),
    ("line.mp3", "libmp3lame", 22050, "mono"),
])
def test_any_recording_becomes_a_film(tmp_path: Path, name: str, codec: str, rate: int, layout: str) -> None:
    speech = recode(tmp_path / name, codec, rate, layout, 1.3)
    video, blend = tmp_path / "talk.mp4", tmp_path / "talk.blend"
    result = talk(speech, "--out", blend, "--video", video)
    assert result.returncode == 0, result.stderr
    assert "talk.blend" in result.stdout and "talk.mp4" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "talk.blend", "talk.mp4"])

    seconds = len(read_audio(speech)) / 16000
    film = measure(video)
    assert film["size"] == (512, 512) and film["rate"] == Fraction(25)
    assert abs(film["picture_start"] - film["sound_start"]) < FRAME
    assert abs(film["picture_seconds"] - seconds) <= FRAME + 1e-3
    assert abs(film["picture_seconds"] - film["sound_seconds"]) <= FRAME + 1e-3
    assert film["loudest"] > 0.05

    found = look(sys.executable, blend)
    assert not any("artalk" in name for name in found["addons"])
    assert found["fps"] == 25 and found["camera"] and found["lights"] >= 1 and found["actions"] == 1
    assert found["start"] == round(found["strip_start"])
    assert abs((found["end"] - found["start"] + 1) / 25 - seconds) <= FRAME + 1e-3
    assert found["moved"] > 0.001, "the face moves"
    if other := os.environ.get("ARTALK_TEST_PYTHON_313"):
        assert look(other, blend)["moved"] > 0.001, "also in the newer Blender"
