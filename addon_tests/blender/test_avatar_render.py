# SPDX-License-Identifier: GPL-3.0-or-later
"""Render Avatar with the real worker: frames, what is rendered again, what stays, what is said."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.errors import EngineError
from artalk_blender.engine.gaussian.exr import read_exr
from artalk_blender.engine.gaussian.png import read_png
from artalk_blender.engine.gaussian.shot import Shot
from avatar_stage import key, set_avatar_stage, write_few_splats
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

import artalk_blender
from artalk_blender.gaussian import cache as cache_module
from artalk_blender.gaussian import memory, session
from artalk_blender.gaussian.camera import camera_at, places_in_steps, view_of
from artalk_blender.gaussian.rendering import AvatarRender, Rendered
from artalk_blender.head.build import Head
from artalk_blender.head.identity import set_identity
from artalk_blender.runner import Runner, Stopped, finish
from artalk_blender.worker import job as worker_job
from artalk_blender.worker.job import Job

SIZE = 48


class Heard(Job):
    """A job that keeps what is said."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, text: str, kind: str = "INFO") -> None:
        self.sentences.append(text)


@pytest.fixture(scope="module")
def splats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_few_splats(tmp_path_factory.mktemp("splats"))


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """Once for all: the worker keeps its avatar from test to test."""
    artalk_blender.register()
    yield
    artalk_blender.unregister()


@pytest.fixture
def stage(scene: bpy.types.Scene, splats: Path, tmp_path: Path) -> Head:
    return set_avatar_stage(scene, splats, tmp_path / "talk.blend", SIZE)


def render() -> tuple[Rendered, list[str]]:
    job = Heard()
    return finish(AvatarRender(bpy.context).work(job)), job.sentences


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def seen(path: Path) -> np.ndarray:
    """(H,W,4) as Blender reads it, top row first."""
    image = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.array(image.pixels[:], np.float32).reshape(height, width, 4)[::-1]
    assert (image.alpha_mode, image.colorspace_settings.name) == (
        ("PREMUL", "Linear Rec.709") if path.suffix == ".exr" else ("STRAIGHT", "sRGB"))
    bpy.data.images.remove(image)
    return pixels


def test_frames_beside_the_file_and_only_changed_ones_again(stage: Head, scene: bpy.types.Scene, tmp_path: Path):
    assert bpy.ops.artalk.render_avatar() == {"FINISHED"}
    (folder,) = (tmp_path / "artalk_frames").iterdir()
    assert folder.name == "few-ARTalk Head Rig"
    before = stamps(folder)
    assert sorted(before) == ["00001.exr", "00002.exr", "00003.exr", "00004.exr", "index.json"]
    first, last = seen(folder / "00001.exr"), seen(folder / "00004.exr")
    pixels, texts = read_exr((folder / "00004.exr").read_bytes())
    np.testing.assert_array_equal(pixels.astype(np.float32), last)
    assert (first != last).any() and last[SIZE // 2, SIZE // 2, 3] > 0.9 and not last[:3, :3].any()
    said = json.loads(texts["Comment"])
    assert texts["Source"] == "synthetic" and said["synthetic"] and said["frame"] == 4 and said["fps"] == 24.0

    done, sentences = render()
    assert done.new == 0 and "were there already" in sentences[0]
    assert stamps(folder) == before

    key(stage, 3, jawOpen=0.3)                              # an edit by hand: between 1 and 4 all moves
    done, sentences = render()
    assert done.new == 2 and "Rendered 2 of 4" in sentences[0]
    after = stamps(folder)
    assert {name for name in before if before[name] != after[name]} == {"00002.exr", "00003.exr", "index.json"}

    (folder / "index.json").unlink()                        # as after a crash: the files know themselves
    assert render()[0].new == 0
    (folder / "index.json").write_text("{broken")
    assert render()[0].new == 0
    (folder / "00002.exr").write_bytes(b"")                 # as after a power failure
    assert render()[0].new == 1
    scene.artalk_avatar.mark = True
    scene.frame_end = 2
    assert render()[0].new == 2
    assert (seen(folder / "00001.exr")[-4:, -30:, 3] == 1).all()


def test_png_for_the_screen(stage: Head, scene: bpy.types.Scene):
    scene.frame_end, scene.artalk_avatar.format = 1, "PNG"
    done, _ = render()
    path = done.folder / "00001.png"
    pixels, texts = read_png(path.read_bytes())
    assert texts["Source"] == "synthetic" and pixels.shape == (SIZE, SIZE, 4)
    scene.artalk_avatar.format = "OPEN_EXR"
    light = seen(render()[0].folder / "00001.exr")
    screen = pixels / 255.0
    linear = np.where(screen <= 0.04045, screen / 12.92, ((screen + 0.055) / 1.055) ** 2.4)[..., :3]
    np.testing.assert_allclose(light[..., :3], linear * screen[..., 3:], atol=0.012)
    sure = screen[..., 3] == 1
    np.testing.assert_allclose(seen(path)[sure], screen[sure], atol=1e-3)


def test_a_file_of_somebody_else_is_left_alone(stage: Head, scene: bpy.types.Scene):
    folder, kept = session.frames_folder(session.chosen_avatar(scene, stage), session.take_name(stage))
    assert kept
    folder.mkdir(parents=True)
    (folder / "00003.exr").write_bytes(b"mine")
    (folder / "notes.txt").write_text("mine too")
    (folder / ".00001.exr.abc_12.part").write_bytes(b"half a frame")
    (folder / ".notes.exr.1.part").write_bytes(b"mine")
    for part in folder.glob(".*"):
        os.utime(part, (1e9, 1e9))
    with pytest.raises(EngineError, match="“00003.exr” in “.*” is none of our frames. Move it away"):
        render()
    assert sorted(path.name for path in folder.iterdir()) == [".notes.exr.1.part", "00003.exr", "notes.txt"]
    assert (folder / "00003.exr").read_bytes() == b"mine"
    scene.frame_end = 2
    assert render()[0].new == 2 and (folder / "notes.txt").read_text() == "mine too"


def test_a_full_disk_in_the_middle(stage: Head, monkeypatch: pytest.MonkeyPatch):
    written = []
    whole = cache_module.replacing

    def full(path: Path) -> object:
        if len(written) == 2 and path.suffix == ".exr":
            raise EngineError(f"“{path}” could not be written: No space left on device.", "Free some space.",
                              code="bad_output")
        written.append(path)
        return whole(path)

    monkeypatch.setattr(cache_module, "replacing", full)
    with pytest.raises(EngineError, match=r"No space left on device. The 2 frames before it are finished. Free"):
        render()
    monkeypatch.undo()
    done, _ = render()
    assert done.new == 2
    assert len(list(done.folder.glob("*.exr"))) == 4


def test_esc_in_the_middle_keeps_what_is_finished(stage: Head, scene: bpy.types.Scene):
    scene.frame_end = 60
    job = Heard()
    work = AvatarRender(bpy.context)
    runner = Runner(work.work(job))
    while work._new < 2:
        runner.advance(0.01)
    runner.stop()
    with pytest.raises(Stopped):
        to_its_end(runner)
    finished = len(list(work.cache.folder.glob("*.exr")))
    assert 2 <= finished < 60
    assert not list(work.cache.folder.glob("*.part")) and not worker_job.is_busy()
    scene.frame_end = 4
    done, _ = render()
    assert done.new == max(0, 4 - finished)


def to_its_end(runner: Runner) -> None:
    while not runner.advance(0.01):
        pass


def test_what_the_head_plays_is_what_is_rendered(stage: Head, scene: bpy.types.Scene):
    """At odd rates, keys between frames, bones by hand, an identity: read alike in three ways."""
    scene.render.fps, scene.render.fps_base = 30000, 1001
    key(stage, 2.4, mouthSmileLeft=0.7)
    for name, frame, turn in (("neck", 1, 0.0), ("neck", 4, 0.4), ("eye_left", 4, 0.2), ("root", 3, 0.3)):
        bone = stage.armature.pose.bones[name]
        bone.rotation_mode = "XYZ"
        bone.rotation_euler = (0.0, turn, 0.0)
        bone.keyframe_insert("rotation_euler", frame=frame)
    identity = np.zeros(300)
    identity[0] = 2
    set_identity(stage, identity, bpy.context)
    played = finish(read_all(stage, scene, 1, 4))
    assert len(played) == 4 and played.rate == pytest.approx(29.97, abs=0.001)
    assert played.neck is not None and played.eyes is not None and played.shape[0] == 2
    fingerprint = "avatar"
    digests = cache_module.digests(played, Shot(64, 64), fingerprint, {})
    assert len(set(digests)) == 4
    channel = stage.expression_keys.index("jawOpen")
    for frame in (1, 2, 4):
        at = session.played_at(stage, scene, frame)
        assert cache_module.digests(at, Shot(64, 64), fingerprint, {}) == [digests[frame - 1]]
        scene.frame_set(frame)
        now = session.played_now(stage, bpy.context.evaluated_depsgraph_get())
        for one in (at, now):
            np.testing.assert_allclose(one.motion[0], played.motion[frame - 1], atol=2e-5)
            np.testing.assert_allclose(0 if one.neck is None else one.neck[0], played.neck[frame - 1], atol=2e-5)
        assert at.motion[0, channel] == pytest.approx(stage.shape_keys.key_blocks["jawOpen"].value, abs=1e-5)
    stage.shape_keys.key_blocks["tongueOut"].value = 0.5      # unkeyed
    bpy.context.view_layer.update()
    now = session.played_now(stage, bpy.context.evaluated_depsgraph_get())
    assert now.motion[0, stage.expression_keys.index("tongueOut")] == pytest.approx(0.5)


def read_all(head: Head, scene: bpy.types.Scene, first: int, last: int) -> Iterator[None]:
    steps = session.played_in_steps(head, scene, first, last)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield


def test_a_forehead_that_remembers_is_as_slow_at_every_rate(stage: Head, scene: bpy.types.Scene):
    """For GAGAvatar a change counts for later frames as long as it is felt, and not for earlier ones."""
    scene.frame_end = 200
    played = finish(read_all(stage, scene, 1, 200))
    shot = Shot(64, 64)
    motion = played.motion.copy()
    motion[50, 3] += 0.5
    changed = played.with_motion(motion)
    before, after = (cache_module.digests(one, shot, "x", {}, remembers=True) for one in (played, changed))
    different = [a != b for a, b in zip(before, after, strict=True)]
    assert not any(different[:50]) and all(different[50:100]) and sum(different) > 90
    before, after = (cache_module.digests(one, shot, "x", {}) for one in (played, changed))
    assert [a != b for a, b in zip(before, after, strict=True)].index(True) == 50 and before[51:] == after[51:]


def test_the_scenes_camera(stage: Head, scene: bpy.types.Scene, tmp_path: Path):
    """A point of the head lies in the picture where Blender has it; markers switch cameras; a frame shows the head."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 160, 80, 50
    camera.data.shift_x, camera.data.lens = 0.1, 60
    for frame, x in ((1, -0.2), (4, 0.2)):
        camera.location, camera.rotation_euler = (x, -0.9, 0.05), (np.pi / 2, 0.02, x / 2)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
    stage.armature.scale = (1.1,) * 3
    places = finish(_places(scene, stage, 1, 4, (80, 40)))
    assert places.views.shape == (4, 4, 4) and places.Ks.shape == (4, 3, 3)
    scenes = len(bpy.data.scenes)
    for frame in (1, 3):
        scene.frame_set(frame)
        point = np.array([0.03, -0.02, 0.06, 1.0])
        world = stage.armature.matrix_world @ Vector(point)
        wanted = world_to_camera_view(scene, camera, world.to_3d())
        pixel = places.Ks[frame - 1] @ (places.views[frame - 1] @ point)[:3]
        np.testing.assert_allclose(pixel[:2] / pixel[2], (wanted.x * 80, (1 - wanted.y) * 40), atol=2e-3)
        assert pixel[2] == pytest.approx(wanted.z, abs=1e-5)
        view, K = view_of(camera, stage.armature, bpy.context.evaluated_depsgraph_get(), (80, 40))
        np.testing.assert_allclose(view, places.views[frame - 1], atol=1e-5)
        np.testing.assert_array_equal(K, places.Ks[frame - 1])
    assert len(bpy.data.scenes) == scenes == 1
    scene.artalk_avatar.camera = "SCENE"
    done, _ = render()
    image = seen(done.folder / "00001.exr")
    assert image.shape == (40, 80, 4) and 0.05 < image[..., 3].mean() < 0.6
    camera.data.lens = 61                                   # seen otherwise: all again
    assert render()[0].new == 4
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    scene.timeline_markers.new("cut", frame=3).camera = other
    scene.timeline_markers.new("back", frame=4).camera = camera
    assert [camera_at(scene, frame).name for frame in (1, 3, 4)] == ["Other", "Other", "Camera"]
    for frame in (1, 3, 4):
        scene.frame_set(frame)
        assert scene.camera == camera_at(scene, frame), "as Blender switches"
    other.data.type = "ORTHO"
    with pytest.raises(EngineError, match="“Other” is no perspective one"):
        render()
    scene.timeline_markers.clear()
    scene.camera = None
    assert not bpy.ops.artalk.render_avatar.poll()


def _places(*arguments: object) -> Iterator[None]:
    steps = places_in_steps(*arguments)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield


def test_softened_frames_are_told_each_time(stage: Head):
    key(stage, 4, jawOpen=3.0)
    done, sentences = render()
    assert done.outside and done.outside[-1] == 4 and 1 not in done.outside
    assert sentences[1] == f"Outside of what the avatar knows, and softened: frames {done.outside[0]}-4."
    again, sentences = render()
    assert again.new == 0 and again.outside == done.outside and "softened" in sentences[1]


def test_a_file_that_is_not_saved(stage: Head, scene: bpy.types.Scene, splats: Path):
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.artalk.add_head()
    scene = bpy.context.scene
    settings = scene.artalk_avatar
    settings.avatar, settings.file, settings.size = "FILE", str(splats), SIZE
    scene.frame_end = 1
    done, sentences = render()
    assert done.folder.is_relative_to(bpy.app.tempdir) and "isn't saved" in sentences[-1]
    settings.range = "TAKE"
    with pytest.raises(EngineError, match="Nothing is animated"):
        render()


def test_avatars_that_are_not_there(stage: Head, scene: bpy.types.Scene, tmp_path: Path):
    settings = scene.artalk_avatar
    bad = tmp_path / "bad.ply"
    bad.write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nend_header\n    ")
    for path, words in ((str(bad), "is no file of splats"), (str(tmp_path / "none.ply"), "There is no avatar file"),
                        (__file__, "No .ply of splats is chosen")):
        settings.file = path
        with pytest.raises(RuntimeError, match=words):
            bpy.ops.artalk.render_avatar()
    settings.file = ""
    assert not bpy.ops.artalk.render_avatar.poll()
    settings.avatar = "PUBLISHED"
    assert not bpy.ops.artalk.render_avatar.poll()
    settings.folder = str(tmp_path)
    with pytest.raises(RuntimeError, match=r"There is no GAGAvatar.pt in the folder"):
        bpy.ops.artalk.render_avatar()
    (tmp_path / "GAGAvatar.pt").write_bytes(b"no network")
    with pytest.raises(RuntimeError, match=r"tracked.pt|FLAME_with_eye.pt"):
        bpy.ops.artalk.render_avatar()


def test_splats_go_to_other_programs(stage: Head, scene: bpy.types.Scene, tmp_path: Path):
    stage.armature.location = (1.0, 2.0, 3.0)
    assert bpy.ops.artalk.export_splats(filepath=str(tmp_path / "one.ply")) == {"FINISHED"}
    data = (tmp_path / "one.ply").read_bytes()
    head, _, body = data.partition(b"end_header\n")
    table = np.frombuffer(body, "<f4").reshape(1500, -1)
    np.testing.assert_allclose(table[:, :3].mean(0), (1.0, 2.0, 3.0), atol=0.08)
    assert b"Synthetic" in head
    scene.frame_end = 2
    bpy.ops.artalk.export_splats(filepath=str(tmp_path / "all.ply"), every_frame=True)
    assert sorted(path.name for path in tmp_path.glob("all*")) == ["all_00001.ply", "all_00002.ply"]
    for path, words in (("x.obj", "must end in .ply"), ("no/x.ply", "There is no folder")):
        with pytest.raises(RuntimeError, match=words):
            bpy.ops.artalk.export_splats(filepath=str(tmp_path / path))


def test_memory_goes_back_before_a_render(stage: Head, scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch):
    assert memory.before_render in bpy.app.handlers.render_init
    scene.frame_end = 1
    render()
    asked = []
    client = worker_job._client
    monkeypatch.setattr(client, "give_memory_back", lambda: asked.append(1))
    scene.artalk_avatar.give_back = False
    memory.before_render(scene)
    assert asked == []
    scene.artalk_avatar.give_back = True
    memory.before_render(scene)
    assert asked == [1]
    monkeypatch.undo()
    assert bpy.ops.artalk.free_memory() == {"FINISHED"} and not worker_job.is_busy()
    pid = client.pid
    key(stage, 1, jawOpen=0.5)
    assert render()[0].new == 1 and client.pid == pid, "the avatar was loaded again by the same worker"


def test_the_default_avatar_needs_nothing(stage: Head, scene: bpy.types.Scene):
    """Rendered by default from a take's head, with its identity, and named so."""
    scene.artalk_avatar.avatar = "DEFAULT"
    scene.frame_end = 1
    done, _ = render()
    assert done.folder.name == "default-ARTalk Head Rig"
    plain = seen(done.folder / "00001.exr")
    identity = np.zeros(300)
    identity[:4] = 3
    set_identity(stage, identity, bpy.context)
    assert render()[0].new == 1
    assert np.abs(seen(done.folder / "00001.exr") - plain).max() > 0.1


def test_names_of_folders():
    assert session.safe_name("ARTalk speech.001") == "ARTalk speech.001"
    names = [session.safe_name(name) for name in ("a/b", "a:b", "..", "", "x" * 300, "CON ", "ä ö")]
    assert len(set(names)) == len(names) and names[-1] == "ä ö"
    assert all(not set(name) & set('/\\:*?"<>|') and not name.startswith(".") and len(name) < 80 for name in names)
