# SPDX-License-Identifier: GPL-3.0-or-later
"""The avatar in the Sequencer, and as a movie with sound."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.gaussian.exr import exr_bytes
from artalk_blender.engine.gaussian.pixels import in_light
from artalk_blender.engine.gaussian.png import png_bytes, read_png
from frame_folders import flat, skin_tones, write_frames

from artalk_blender import compat
from artalk_blender.audio.strip import add_sound_strip, scene_rate
from artalk_blender.errors import ArtalkError, EngineError
from artalk_blender.gaussian.frames import read_folder
from artalk_blender.gaussian.movie import make_movie
from artalk_blender.gaussian.mp4_words import SOURCE_TYPE, add_words
from artalk_blender.gaussian.sequencer import (
    add_to_sequencer,
    display_frames,
    needs_display_frames,
    our_strip,
    remove_from_sequencer,
)
from artalk_blender.runner import Runner, Stopped, finish
from artalk_blender.worker.job import Job

SIZE = 64
ABOUT = {"Description": "Synthetic: a test & more.", "Comment": '{"avatar": "default", "frame": 1}'}
TONES = skin_tones(SIZE)


@pytest.fixture
def stage(scene: bpy.types.Scene, tmp_path: Path) -> bpy.types.Scene:
    render = scene.render
    render.resolution_x = render.resolution_y = SIZE
    render.resolution_percentage, render.film_transparent, render.dither_intensity = 100, True, 0.0
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.filepath = str(tmp_path / "out.png")
    return scene


def rendered(scene: bpy.types.Scene, frame: int) -> np.ndarray:
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    return read_png(Path(scene.render.filepath).read_bytes())[0]


def hundredth(found: np.ndarray, wanted: np.ndarray) -> float:
    """By how many 255ths the worst hundredth of the pixels is off."""
    assert np.abs(found[..., 3].astype(int) - wanted[..., 3]).max() <= 1
    return float(np.percentile(np.abs(found.astype(int) - wanted)[wanted[..., 3] > 0].max(1), 99))


def test_a_strip_of_its_own_beside_the_sound(stage: bpy.types.Scene, speech: Path, tmp_path: Path):
    sound = add_sound_strip(stage, speech, 1)
    before = compat.strip_span(sound), sound.channel
    numbers = {number: flat((number * 10, 5, 5)) for number in (4, 5, 7)}
    frames = read_folder(write_frames(tmp_path / "frames", numbers))
    placed = add_to_sequencer(stage, frames, scene_rate(stage))
    assert placed.takes_over and (compat.strip_span(sound), sound.channel) == before
    strip = our_strip(stage)
    span = compat.strip_span(strip)
    assert (span.start, span.end, strip.channel) == (4, 8, 2)
    stage.view_settings.view_transform = "Standard"
    assert [rendered(stage, frame)[9, 9, 0] for frame in (4, 5, 6, 7)] == [40, 50, 50, 70]  # a gap holds
    strip.blend_alpha, strip.transform.offset_x = 0.5, 9.0
    more = read_folder(write_frames(tmp_path / "more", {2: TONES, 3: TONES}))
    assert not add_to_sequencer(stage, more, scene_rate(stage)).takes_over
    assert len(stage.sequence_editor.strips) == 2
    strip = our_strip(stage)
    assert compat.strip_span(strip).start == 2 and (strip.blend_alpha, strip.transform.offset_x) == (0.5, 9.0)
    assert remove_from_sequencer(stage) and not remove_from_sequencer(stage)
    assert [one.name for one in stage.sequence_editor.strips] == [sound.name]
    with pytest.raises(ArtalkError, match="Give both the same"):
        add_to_sequencer(stage, more, 29.97)


def test_colours_in_the_sequencer(stage: bpy.types.Scene, tmp_path: Path):
    light = write_frames(tmp_path / "light", {})
    (light / "00001.exr").write_bytes(exr_bytes(in_light(TONES.transpose(2, 0, 1) / np.float32(255)), {}))
    frames = read_folder(light)
    for view, space in (("Standard", "Linear Rec.709"), ("AgX", "AgX Base sRGB"), ("Filmic", "Filmic sRGB")):
        stage.view_settings.view_transform = view
        shown = finish(display_frames(frames, lambda done: None)) if needs_display_frames(stage, frames) else frames
        assert (shown is frames) == (view == "Standard")
        add_to_sequencer(stage, shown, scene_rate(stage))
        assert our_strip(stage).colorspace_settings.name == space
        assert hundredth(rendered(stage, 1), TONES) <= 1, view
    assert read_folder(light).suffix == ".exr"  # copies lie apart


def test_a_movie_with_the_speech(stage: bpy.types.Scene, speech: Path, tmp_path: Path):
    av = pytest.importorskip("av")
    add_sound_strip(stage, speech, 1)
    stage.render.fps = 25
    stage.frame_end = 7
    settings = stage.render.image_settings.file_format, stage.render.filepath, stage.frame_end, len(bpy.data.scenes)
    colors = [(200, 90, 60), (60, 90, 200)]
    numbers = {number: flat(colors[number % 2], 96) for number in range(1, 38)}
    frames = read_folder(write_frames(tmp_path / "frames", numbers, ".png"))
    frames.path(1).write_bytes(png_bytes(numbers[1], ABOUT))
    job, path = Job(), tmp_path / "talk.mp4"
    said = finish(make_movie(job, bpy.context, frames, path, (0.1, 0.1, 0.1)))
    assert said == "“talk.mp4” holds frames 1 to 37."
    assert settings == (stage.render.image_settings.file_format, stage.render.filepath, stage.frame_end,
                        len(bpy.data.scenes))
    with av.open(str(path)) as film:
        assert film.metadata["description"] == ABOUT["Description"]
        comment = json.loads(film.metadata["comment"])
        assert comment == {"avatar": "default", "synthetic": True, "first_frame": 1, "last_frame": 37}
        video, audio = film.streams.video[0], film.streams.audio[0]
        assert (video.width, video.height, float(video.average_rate)) == (96, 96, 25.0)
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video)]
        film.seek(0)
        sound = np.concatenate([frame.to_ndarray().mean(0) for frame in film.decode(audio)])
    assert len(pictures) == 37
    for number, picture in enumerate(pictures, 1):
        assert np.abs(picture[48, 48].astype(int) - colors[number % 2]).max() <= 8
    rate = audio.rate
    loud = [float(np.abs(sound[round(rate * second) : round(rate * (second + 0.1))]).max()) for second in (0.25, 0.45)]
    assert loud[0] < 0.02 < 0.1 < loud[1]  # a pause and a syllable of it
    assert SOURCE_TYPE.encode() in path.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["frames", "speech.wav", "talk.mp4"]


def test_a_movie_that_is_stopped_or_fails_leaves_nothing(stage: bpy.types.Scene, tmp_path: Path):
    frames = read_folder(write_frames(tmp_path / "frames", {1: flat((9, 9, 9)), 2: flat((9, 9, 9))}))
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"what was there")
    runner = Runner(make_movie(Job(), bpy.context, frames, path, (0, 0, 0)))
    runner.advance(0.05)
    runner.stop()
    with pytest.raises(Stopped):
        runner.advance(1.0)
    frames.path(1).write_bytes(frames.path(1).read_bytes()[:500])
    assert path.read_bytes() == b"what was there" and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(EngineError, match="no folder"):
        finish(make_movie(Job(), bpy.context, frames, tmp_path / "none" / "talk.mp4", (0, 0, 0)))
    (tmp_path / "x.mp4").write_bytes(b"no film")
    with pytest.raises(ArtalkError, match="no whole MP4"):
        add_words(tmp_path / "x.mp4", "", "")
