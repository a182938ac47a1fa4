# SPDX-License-Identifier: GPL-3.0-or-later
"""From Render Avatar into compositor, Sequencer, movie and preview, with the real worker; what goes wrong is said."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from artalk_blender.engine.gaussian.png import read_png
from avatar_stage import set_avatar_stage, write_few_splats
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

import artalk_blender
from artalk_blender.gaussian import preview
from artalk_blender.gaussian.camera import view_of
from artalk_blender.gaussian.compositor import concerns, our_group
from artalk_blender.gaussian.preview import Preview, View, shot_through
from artalk_blender.gaussian.sequencer import our_strip
from artalk_blender.head.build import Head
from artalk_blender.worker import job as worker_job

SIZE = 48
PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def splats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_few_splats(tmp_path_factory.mktemp("splats"))


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    artalk_blender.register()
    yield
    artalk_blender.unregister()


@pytest.fixture
def stage(scene: bpy.types.Scene, splats: Path, tmp_path: Path) -> Head:
    return set_avatar_stage(scene, splats, tmp_path / "talk.blend", SIZE)


def refused(operator: Callable[..., set[str]], **settings: object) -> str:
    """What an operator says that does nothing."""
    with pytest.raises(RuntimeError) as caught:
        operator(**settings)
    return str(caught.value)


def test_rendered_frames_go_everywhere(stage: Head, scene: bpy.types.Scene, tmp_path: Path):
    ops = bpy.ops.artalk
    for operator in (ops.add_avatar_to_compositor, ops.add_avatar_to_sequencer):
        assert "There is no folder" in refused(operator)
    assert not ops.remove_avatar_from_compositor.poll() and not ops.remove_avatar_from_sequencer.poll()
    ops.render_avatar()
    assert ops.add_avatar_to_compositor() == {"FINISHED"}
    image = next(image for image in bpy.data.images if image.source == "SEQUENCE")
    assert image.filepath.startswith("//artalk_frames") and image.size[:] == (SIZE, SIZE)
    assert ops.add_avatar_to_sequencer() == {"FINISHED"}
    assert our_strip(scene).directory.startswith("//artalk_frames") and len(our_strip(scene).elements) == 4
    film = tmp_path / "talk.mp4"
    assert ops.avatar_movie(filepath=str(film)) == {"FINISHED"}
    assert b"avatar" in film.read_bytes() and b"no recording of a person" in film.read_bytes()
    assert ops.remove_avatar_from_compositor() == ops.remove_avatar_from_sequencer() == {"FINISHED"}
    assert our_group() is None and our_strip(scene) is None

    (folder,) = (tmp_path / "artalk_frames").iterdir()
    (folder / "00002.exr").write_bytes(b"")
    assert ops.add_avatar_to_compositor() == {"FINISHED"}
    assert concerns(scene) == [f"Frame 2 is missing in “{folder.name}”: Render Avatar makes what is missing."]
    (folder / "00001.exr").write_bytes(b"no picture")
    assert "“00001.exr” is no whole picture" in refused(ops.avatar_movie, filepath=str(film))
    shutil.rmtree(folder)
    assert "There is no folder" in refused(ops.avatar_movie, filepath=str(film))
    bpy.data.objects.remove(stage.mesh)
    assert "Select a head" in refused(ops.add_avatar_to_compositor)


def until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_preview_follows_the_head(stage: Head, scene: bpy.types.Scene, tmp_path: Path):
    now = Preview()
    window = SimpleNamespace(view_layer=bpy.context.view_layer, screen=SimpleNamespace(areas=[]))

    def shows(state: str) -> bool:
        now._take_in()
        now._want(window, scene, stage)
        return now.planner.state == state

    scene.frame_set(1)
    until(lambda: shows("Avatar: frame 1"))
    assert not worker_job.is_busy() and len(now.pictures) == 2  # coarse and full
    first = now.screen._picture
    scene.frame_set(4)
    now.changed = True
    now._want(window, scene, stage)
    assert now.screen._picture is first and now.planner.asked is not None  # the last one stays until there is another
    assert not worker_job.is_busy()  # a job may begin at any time
    until(lambda: shows("Avatar: frame 4"))
    assert now.screen._picture is not first
    worker_job._running.append(object())
    try:
        scene.frame_set(3)
        now.changed = True
        assert shows("Avatar: frame 3, waits for the running job") and now.planner.asked is None
    finally:
        worker_job._running.pop()

    bpy.ops.artalk.render_avatar()  # now frame 2 is on disk, and is read instead of asked for
    scene.frame_set(2)
    now.changed, asked = True, []
    now._ask = lambda *what: asked.append(what)
    until(lambda: shows("Avatar: frame 2"))
    (folder,) = (tmp_path / "artalk_frames").iterdir()
    assert asked == [] and now.screen._picture.width == SIZE and folder.is_dir()
    scene.artalk_avatar.file = str(tmp_path / "gone.ply")
    now.look()
    assert "There is no avatar file" in now.screen._text or "select a head" in now.screen._text
    now.close()
    assert len(now.pictures) == 0
    preview.switch(True)
    assert not preview.is_on()  # in background there is none
    assert not bpy.ops.artalk.preview_avatar.poll()


def test_through_the_view_the_head_is_seen_as_blender_sees_it(stage: Head, scene: bpy.types.Scene):
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler, camera.data.lens = (0.3, -1.2, 0.1), (1.5, 0.0, 0.25), 70.0
    camera.data.shift_x = 0.1
    bpy.context.view_layer.update()
    graph = bpy.context.view_layer.depsgraph
    wanted = view_of(camera, stage.armature, graph, (640, 400))
    lens = camera.calc_matrix_camera(graph, x=640, y=400)
    view = View(np.array(camera.matrix_world.inverted()), np.array(lens), (640, 400))
    shot = shot_through(view, np.array(stage.armature.matrix_world), 1024, False)
    assert (shot.width, shot.height) == (640, 400)
    for found, right in zip((shot.views, shot.Ks), wanted, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-4)
    half = shot_through(view, np.eye(4), 320, True)
    assert (half.width, half.height, half.coarse) == (320, 200, True)
    np.testing.assert_allclose(half.Ks[:2], shot.Ks[:2] / 2, atol=1e-4)


def test_an_orthographic_view_is_met_within_a_tenth_of_a_pixel(stage: Head, scene: bpy.types.Scene):
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (0.05, -1.0, 0.1), (1.5, 0.0, 0.1)
    scene.render.resolution_x, scene.render.resolution_y = 640, 400
    camera.data.type, camera.data.ortho_scale, camera.data.shift_y = "ORTHO", 0.6, 0.05
    bpy.context.view_layer.update()
    lens = camera.calc_matrix_camera(bpy.context.view_layer.depsgraph, x=640, y=400)
    view = View(np.array(camera.matrix_world.inverted()), np.array(lens), (640, 400))
    placement = np.array(stage.armature.matrix_world)
    shot = shot_through(view, placement, 1024, False)
    for point in ((0.0, 0.0, 0.0), (0.05, -0.12, 0.0), (-0.07, 0.1, 0.0)):
        seen = shot.views @ (*point, 1.0)
        pixel = (shot.Ks @ seen[:3])[:2] / seen[2]
        there = world_to_camera_view(scene, camera, Vector((placement @ (*point, 1.0))[:3]))
        np.testing.assert_allclose(pixel, (there.x * 640, (1 - there.y) * 400), atol=0.1)


def test_frames_of_an_unsaved_file_are_shown_with_a_warning(scene: bpy.types.Scene, splats: Path):
    bpy.ops.artalk.add_head()
    settings = scene.artalk_avatar
    settings.avatar, settings.file, settings.size, settings.format = "FILE", str(splats), SIZE, "PNG"
    scene.frame_end = 1
    bpy.ops.artalk.render_avatar()
    assert bpy.ops.artalk.add_avatar_to_compositor() == {"FINISHED"}
    image = next(image for image in bpy.data.images if image.source == "SEQUENCE")
    assert not image.filepath.startswith("//")
    assert read_png(Path(image.filepath).read_bytes())[0].shape == (SIZE, SIZE, 4)
