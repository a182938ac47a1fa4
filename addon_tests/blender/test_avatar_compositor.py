# SPDX-License-Identifier: GPL-3.0-or-later
"""The avatar in the compositor: colours, frames, other people's nodes."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from artalk_blender.engine.gaussian.png import read_png
from frame_folders import flat, skin_tones, write_frames

from artalk_blender import compat
from artalk_blender.errors import ArtalkError
from artalk_blender.gaussian.compositor import (
    GROUP_NAME,
    add_to_compositor,
    concerns,
    our_group,
    remove_from_compositor,
)
from artalk_blender.gaussian.frames import read_folder

SIZE = 64
TONES = skin_tones(SIZE)


@pytest.fixture
def stage(scene: bpy.types.Scene, tmp_path: Path) -> bpy.types.Scene:
    """A scene that renders nothing, small, with a transparent film."""
    render = scene.render
    render.engine = "BLENDER_WORKBENCH"
    render.resolution_x = render.resolution_y = SIZE
    render.resolution_percentage, render.film_transparent, render.dither_intensity = 100, True, 0.0
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.compositor_device = "CPU"
    render.filepath = str(tmp_path / "out.png")
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    return scene


def rendered(scene: bpy.types.Scene, frame: int = 1) -> np.ndarray:
    """(H,W,4) uint8: what a frame is rendered to."""
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    return read_png(Path(scene.render.filepath).read_bytes())[0]


def off_by(found: np.ndarray, wanted: np.ndarray) -> tuple[int, float]:
    """Differences in 255ths, the largest one and of every hundredth pixel; colours count where something is seen."""
    difference = np.abs(found.astype(int) - wanted)
    assert difference[..., 3].max() <= 1
    seen = difference[wanted[..., 3] > 0].max(1)
    return int(seen.max()), float(np.percentile(seen, 99))


@pytest.mark.parametrize("suffix", [".exr", ".png"])
def test_colours_come_out_as_they_are_in_the_frames(stage: bpy.types.Scene, tmp_path: Path, suffix: str):
    frames = read_folder(write_frames(tmp_path / "frames", {1: TONES}, suffix))
    for view in ("Standard", "AgX", "Filmic"):
        stage.view_settings.view_transform = view
        add_to_compositor(stage, frames)
        assert stage.view_settings.view_transform == view
        largest, hundredth = off_by(rendered(stage), TONES)
        coarse = view == "AgX" and bpy.app.version < (5, 0)  # 4.5 undoes it by a coarser table
        assert hundredth <= 1 and largest <= (6 if coarse else 1), view


def test_as_a_thing_in_the_scene_the_view_transform_acts_on_the_avatar(stage: bpy.types.Scene, tmp_path: Path):
    red = read_folder(write_frames(tmp_path / "frames", {1: flat((255, 0, 0))}))
    stage.view_settings.view_transform = "AgX"
    add_to_compositor(stage, red)
    node = compat.compositor_tree(stage).nodes[GROUP_NAME]
    node.inputs["As Rendered"].default_value = False
    assert rendered(stage)[32, 32].tolist() == pytest.approx([219, 58, 33, 255], abs=1)
    stage.view_settings.view_transform = "Standard"
    assert rendered(stage)[32, 32].tolist() == [255, 0, 0, 255]


def test_frames_follow_the_scene(stage: bpy.types.Scene, tmp_path: Path):
    stage.view_settings.view_transform = "Standard"
    colors = {number: flat((number * 10, 20, 30)) for number in range(7, 12)}
    add_to_compositor(stage, read_folder(write_frames(tmp_path / "frames", colors)))
    for frame in (7, 11, 9):
        assert rendered(stage, frame)[5, 5, 0] == frame * 10
    assert rendered(stage, 6)[5, 5, 3] == 0 and rendered(stage, 40)[5, 5, 0] == 110  # nothing before, held after


def test_offset_scale_alpha_and_what_lies_behind(stage: bpy.types.Scene, tmp_path: Path):
    stage.view_settings.view_transform = "Standard"
    add_to_compositor(stage, read_folder(write_frames(tmp_path / "frames", {1: flat((200, 100, 50), 16)})))
    tree = compat.compositor_tree(stage)
    node = tree.nodes[GROUP_NAME]
    first = rendered(stage)
    assert first[32, 32].tolist() == [200, 100, 50, 255] and first[32, 50, 3] == 0
    node.inputs["Offset"].default_value = (16.0, 8.0)
    node.inputs["Scale"].default_value = 2.0
    moved = np.argwhere(rendered(stage)[..., 3] > 128)
    assert np.abs(moved.min(0) - (8, 32)).max() <= 1 and np.abs(moved.max(0) - (39, 63)).max() <= 1
    behind = tree.nodes.new("CompositorNodeImage")
    behind.image = bpy.data.images.load(str(write_frames(tmp_path / "behind", {1: flat((0, 0, 255))}) / "00001.exr"))
    tree.links.new(node.inputs["Image"], behind.outputs[0])
    assert rendered(stage)[0, 0].tolist() == [0, 0, 255, 255]
    end = next(iter(node.outputs["Image"].links)).to_socket
    tree.links.new(end, node.outputs["Alpha"])
    alpha = rendered(stage)
    assert alpha[20, 48].tolist() == [255, 255, 255, 255] and alpha[60, 5, :3].tolist() == [0, 0, 0]


def picture_of(tree: bpy.types.NodeTree) -> tuple[set, set]:
    """All nodes with their places and all links, to compare."""
    nodes = {(node.name, node.bl_idname, tuple(node.location)) for node in tree.nodes}
    links = {(link.from_node.name, link.from_socket.identifier, link.to_node.name, link.to_socket.identifier)
             for link in tree.links}
    return nodes, links


def artists_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    tree = compat.make_compositor_tree(scene)
    blur = tree.nodes.new("CompositorNodeBlur")
    end = next(node for node in tree.nodes if node.bl_idname in ("CompositorNodeComposite", "NodeGroupOutput"))
    source = end.inputs[0].links[0].from_socket
    tree.links.new(blur.inputs[0], source)
    tree.links.new(end.inputs[0], blur.outputs[0])
    return tree


def test_an_artists_nodes_are_left_alone(stage: bpy.types.Scene, tmp_path: Path):
    tree = artists_tree(stage)
    nodes, links = picture_of(tree)
    frames = read_folder(write_frames(tmp_path / "frames", {1: TONES}))
    assert "beside your nodes" in add_to_compositor(stage, frames)
    now = picture_of(tree)
    assert now[1] == links and now[0] > nodes and len(now[0]) == len(nodes) + 1
    assert rendered(stage)[..., 3].max() == 0

    blur = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeBlur")
    node = tree.nodes[GROUP_NAME]
    source = blur.inputs[0].links[0].from_socket
    tree.links.new(node.inputs["Image"], source)
    tree.links.new(blur.inputs[0], node.outputs["Image"])
    node.inputs["Scale"].default_value = 0.5
    other = read_folder(write_frames(tmp_path / "other", {4: TONES}))
    add_to_compositor(stage, other)
    assert len(bpy.data.node_groups) == 1 + (compat.compositor_tree(stage) in bpy.data.node_groups.values())
    assert node.inputs["Scale"].default_value == 0.5 and blur.inputs[0].links[0].from_node == node
    assert len([image for image in bpy.data.images if image.source == "SEQUENCE"]) == 1

    assert remove_from_compositor() == 1
    assert picture_of(tree) == (nodes, links)
    assert our_group() is None and "SEQUENCE" not in {image.source for image in bpy.data.images}


def test_without_nodes_it_is_wired_and_taken_back(stage: bpy.types.Scene, tmp_path: Path):
    used, there = compat.compositor_runs(stage), compat.compositor_tree(stage)
    frames = read_folder(write_frames(tmp_path / "frames", {1: TONES}))
    assert "wired to the output" in add_to_compositor(stage, frames)
    assert compat.compositor_runs(stage)
    add_to_compositor(stage, frames)
    assert sum(node.bl_idname == "CompositorNodeGroup" for node in compat.compositor_tree(stage).nodes) == 1
    remove_from_compositor()
    assert (compat.compositor_runs(stage), there) == (used, None)
    after = compat.compositor_tree(stage)
    assert after is None or not compat.compositor_runs(stage)
    add_to_compositor(stage, frames)
    compat.compositor_tree(stage).nodes.new("CompositorNodeBlur")
    remove_from_compositor()
    assert any(node.bl_idname == "CompositorNodeBlur" for node in compat.compositor_tree(stage).nodes)
    assert compat.compositor_runs(stage)


def test_nodes_as_blender_begins_them_count_as_none(stage: bpy.types.Scene, tmp_path: Path):
    if hasattr(stage, "compositing_node_group"):
        bpy.ops.node.new_compositing_node_group()
        stage.compositing_node_group = bpy.data.node_groups[-1]
    else:
        stage.use_nodes = True  # makes them
        stage.use_nodes = False
    tree, used = compat.compositor_tree(stage), compat.compositor_runs(stage)
    before = picture_of(tree)
    frames = read_folder(write_frames(tmp_path / "frames", {1: TONES}))
    assert "wired to the output" in add_to_compositor(stage, frames) and compat.compositor_runs(stage)
    assert rendered(stage)[5, 5, 3] == 255
    remove_from_compositor()
    assert compat.compositor_tree(stage) == tree and compat.compositor_runs(stage) == used
    now = picture_of(tree)
    assert now[0] == before[0] and {link[2:] for link in now[1]} == {link[2:] for link in before[1]}


def test_a_saved_file_needs_no_extension(stage: bpy.types.Scene, tmp_path: Path):
    stage.view_settings.view_transform = "AgX"
    blend = tmp_path / "talk.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    add_to_compositor(bpy.context.scene, read_folder(write_frames(tmp_path / "artalk_frames" / "a", {1: TONES})))
    bpy.ops.wm.save_mainfile()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("talk.blend", "artalk_frames"):
        (tmp_path / name).rename(moved / name)
    bpy.ops.wm.open_mainfile(filepath=str(moved / "talk.blend"))
    image = next(image for image in bpy.data.images if image.source == "SEQUENCE")
    assert image.filepath.startswith("//")
    bpy.context.scene.render.filepath = str(tmp_path / "out.png")
    assert off_by(rendered(bpy.context.scene), TONES)[1] <= 1


def test_what_is_wrong_is_said(stage: bpy.types.Scene, tmp_path: Path):
    assert concerns(stage) == []
    folder = write_frames(tmp_path / "frames", {number: flat((9, 9, 9)) for number in (1, 2, 5)})
    add_to_compositor(stage, read_folder(folder))
    assert concerns(stage) == ["2 frames from 3 to 4 are missing in “frames”: Render Avatar makes what is missing."]
    stage.view_settings.view_transform = "False Color"
    assert "The view transform has changed since" in concerns(stage)[1]
    add_to_compositor(stage, read_folder(folder))
    assert "False Color can't be undone" in concerns(stage)[1]
    folder.rename(tmp_path / "away")
    assert "There is no folder" in concerns(stage)[0]
    for bad in (folder, tmp_path):
        with pytest.raises(ArtalkError):
            read_folder(bad)
