# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that asks which Blender this is: 4.5 LTS to 5.2 LTS. Asked by feature wherever a feature tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import bpy

OLDEST = (4, 5, 0)
VERSION_TEXT: str = bpy.app.version_string


def is_supported() -> bool:
    return bpy.app.version >= OLDEST


@dataclass(frozen=True)
class StripSpan:
    """Where a strip sounds, in scene frames, and how many frames of its content are cut away before that."""

    start: float
    end: float
    offset: float


def strip_span(strip: Any) -> StripSpan:
    """5.1 renamed the handles; the old names are deprecated there and go in 6.0."""
    if hasattr(strip, "left_handle"):
        return StripSpan(strip.left_handle, strip.right_handle, strip.left_handle_offset + strip.content_trim_start)
    return StripSpan(strip.frame_final_start, strip.frame_final_end,
                     strip.frame_offset_start + strip.animation_offset_start)


@dataclass(frozen=True)
class Retiming:
    """A strip's retiming keys in scene frames, and 1 where the last one lies on the content's last frame, else 0."""

    keys: tuple[float, ...]
    last_inside: int


def retiming(strip: Any) -> Retiming:
    """4.5 puts the last key on the last frame of the content, 5.2 behind it; the strip's length tells which."""
    keys = tuple(float(key.timeline_frame) for key in strip.retiming_keys)
    length = strip.content_duration if hasattr(strip, "content_duration") else strip.frame_duration
    return Retiming(keys, int(round(length - (keys[-1] - keys[0])) > 0) if keys else 0)


def keeps_pitch(strip: Any) -> bool:
    """Whether a retimed sound strip sounds as high as it was recorded, which 5.0 brought, or changes with its speed."""
    return bool(getattr(strip, "pitch_correction", False))


def let_pitch_follow_speed(strip: Any) -> None:
    """Has a retimed sound strip change its pitch with its speed, where there is a choice."""
    if hasattr(strip, "pitch_correction"):
        strip.pitch_correction = False


def make_playable(strip: Any, rate: float) -> float:
    """Moves a retimed sound strip, with what it lies in, to where it can be mixed down safely, in a scene of `rate`
    frames a second; returns by how many frames it sounds earlier now.

    4.5 writes the speeds from the strip's start plus its offset on, rounded to a frame, but reads them from that
    frame cut off, and from the frame before where the mix starts between frames. What it has not written is chance: the
    sound comes late, early or not at all, or Blender ends in a division by zero. Where frame 0 is the first written,
    and an offset is rounded down, all that it reads is written. 5.2 needs no such care.
    """
    if hasattr(strip, "content_start"):
        return 0.0
    start, outermost = strip.frame_start, strip
    while outermost.parent_meta() is not None:
        outermost = outermost.parent_meta()
    offset = strip.sound_offset * rate
    first = math.floor(offset + 0.5)
    outermost.frame_start -= start + first
    if offset:
        strip.sound_offset = (first + 0.01) / rate
    return float(start + offset - strip.frame_start - strip.sound_offset * rate)


def set_strip_length(strip: Any, frames: int) -> None:
    """Moves the right handle so that the strip lasts `frames`."""
    if hasattr(strip, "right_handle"):
        strip.right_handle = strip.left_handle + frames
    else:
        strip.frame_final_duration = frames


def sequencer_scene(context: Any) -> Any:
    """The scene whose strips the sequencer shows: since 5.0 it may be another than the window's."""
    workspace = getattr(context, "workspace", None)
    return getattr(workspace, "sequencer_scene", None) or context.scene


def ensure_channelbag(action: Any, slot: Any) -> Any:
    """The F-curves of one slot of a layered Action; an Action holds one layer and one strip."""
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def channelbag(action: Any, slot: Any) -> Any:
    """The F-curves of one slot, or None where there are none."""
    strips = action.layers[0].strips if action.layers else ()
    return strips[0].channelbag(slot) if strips else None


def choose_movie_output(image_settings: Any) -> None:
    """5.0 wants to be told that a movie is meant before it offers the movie formats."""
    if hasattr(image_settings, "media_type"):
        image_settings.media_type = "VIDEO"
    image_settings.file_format = "FFMPEG"


def node_tree(material: Any) -> Any:
    """A material's nodes: from 5.0 on they are always there, before that they have to be asked for."""
    if material.node_tree is None:
        material.use_nodes = True
    return material.node_tree


def compositor_tree(scene: Any) -> Any:
    """A scene's compositor nodes, or None where it has none: since 5.0 they are a node group that is chosen."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree


def make_compositor_tree(scene: Any) -> Any:
    """Gives a scene without compositor nodes those that Blender begins with."""
    if not hasattr(scene, "compositing_node_group"):
        scene.use_nodes = True
        return scene.node_tree
    scene.compositing_node_group = bpy.data.node_groups.new("Compositor Nodes", "CompositorNodeTree")
    fill_compositor_tree(scene)
    return scene.compositing_node_group


def fill_compositor_tree(scene: Any) -> None:
    """Gives an empty compositor tree what is rendered, and lets it go to the output."""
    tree, grouped = compositor_tree(scene), hasattr(scene, "compositing_node_group")
    if grouped and not any(item.in_out == "OUTPUT" for item in tree.interface.items_tree):
        tree.interface.new_socket(name="Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    rendered = tree.nodes.new("CompositorNodeRLayers")
    output = tree.nodes.new("NodeGroupOutput" if grouped else "CompositorNodeComposite")
    rendered.location, output.location = (-300.0, 200.0), (300.0, 200.0)
    rendered.scene = scene
    tree.links.new(output.inputs[0], rendered.outputs["Image"])


def drop_compositor_tree(scene: Any) -> None:
    """Takes a tree away that `make_compositor_tree` made: before 5.0 it can only be switched off."""
    if not hasattr(scene, "compositing_node_group"):
        scene.use_nodes = False
        return
    tree = scene.compositing_node_group
    scene.compositing_node_group = None
    if not tree.users:
        bpy.data.node_groups.remove(tree)


def compositor_runs(scene: Any) -> bool:
    """Whether a render goes through the compositor nodes; since 5.0 it does where there are any."""
    return hasattr(scene, "compositing_node_group") or bool(scene.use_nodes)


def let_compositor_run(scene: Any, run: bool) -> None:
    """Switches the compositor nodes on or off, where there is a switch."""
    if not hasattr(scene, "compositing_node_group"):
        scene.use_nodes = run


def set_straight(node: Any, straight: bool) -> None:
    """What an Alpha Convert node makes: straight alpha or premultiplied. 5.0 made its setting a socket."""
    if hasattr(node, "mapping"):
        node.mapping = "PREMUL_TO_STRAIGHT" if straight else "STRAIGHT_TO_PREMUL"
    else:
        node.inputs["Type"].default_value = "To Straight" if straight else "To Premultiplied"


def new_color_strip(editor: Any, name: str, channel: int, start: int, frames: int, color: tuple[float, ...]) -> Any:
    """A strip of one colour; 5.0 asks for its length where its end was asked for."""
    asked = editor.strips.bl_rna.functions["new_effect"].parameters
    span = {"length": frames} if "length" in asked else {"frame_end": start + frames}
    strip = editor.strips.new_effect(name, "COLOR", channel, start, **span)
    strip.color = color
    return strip
