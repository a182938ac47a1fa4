# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered frames of an avatar in the compositor: one node group, beside whatever the artist has there.

The group reads the frames as an image sequence, numbered as the scene's frames are, and lays them over what comes in.
It is wired to the output only where there is nothing of the artist's: no nodes at all, or the ones that Blender begins
with, as they are. It works without the extension.

Colours: an avatar's are meant for the screen. With As Rendered on they leave a render as they are in its frames,
whatever the scene's view transform is: the group applies the inverse of that transform, on straight colours, and the
scene's own transform takes it back. Exposure, look, gamma and curves act on the avatar as on everything. With As
Rendered off the avatar is lit like a thing in the scene, and AgX or Filmic soften it as they do the rest.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy

from .. import compat
from ..errors import ArtalkError
from .frames import FrameFolder, read_folder

GROUP_NAME = "ARTalk Avatar"
OURS = "artalk_compositor"  # on what is ours, group and image; on a scene: what we switched on or made there
IMAGE, OFFSET, SCALE, RENDERED, ALPHA = "Image", "Offset", "Scale", "As Rendered", "Alpha"
_ENCODED = "sRGB"
# view transforms and the colour spaces that undo them; those that are for looking only have none
_SPACES = {"Standard": _ENCODED, "AgX": "AgX Base sRGB", "Filmic": "Filmic sRGB",
           "Khronos PBR Neutral": "Khronos PBR Neutral sRGB", "ACES 1.3": "ACES 1.3 sRGB",
           "ACES 2.0": "ACES 2.0 sRGB"}
_BEGINNING = {"CompositorNodeRLayers", "CompositorNodeComposite", "CompositorNodeViewer", "NodeReroute",
              "NodeGroupOutput", "NodeGroupInput"}
_ENDS = {"CompositorNodeComposite", "NodeGroupOutput"}
_BESIDE = 80.0  # units of the node editor between the artist's nodes and ours


# -- what is asked for

def add_to_compositor(scene: Any, frames: FrameFolder) -> str:
    """Adds the group for these frames, or has the one that is there show them; returns in a sentence what was done.

    Raises ArtalkError where the scene's nodes can't be changed.
    """
    tree = compat.compositor_tree(scene)
    if tree is not None and tree.library is not None:
        raise ArtalkError("The scene's compositor nodes are linked from another file.", "Make them local first.")
    group = our_group()
    if group is None:
        group = bpy.data.node_groups.new(GROUP_NAME, "CompositorNodeTree")
        group[OURS] = {"folder": "", "view": ""}
    _fill(group, scene, frames)
    if tree is not None and any(_nodes_of(group, tree)):
        return f"“{group.name}” shows frames {frames.first} to {frames.last} now."
    wired = _place(group, scene, tree)
    where = "wired to the output" if wired else "beside your nodes: connect its Image where you want the avatar"
    return f"“{group.name}” shows frames {frames.first} to {frames.last}, {where}."


def remove_from_compositor() -> int:
    """Takes our group out of all compositor nodes, heals what went through it, and takes back what we made for it;
    returns how many nodes went."""
    group = our_group()
    if group is None:
        return 0
    count = 0
    for tree, scene in _all_trees():
        for node in _nodes_of(group, tree):
            _heal(tree, node)
            tree.nodes.remove(node)
            count += 1
        if scene is not None and OURS in scene:
            _take_back(scene, tree)
    bpy.data.node_groups.remove(group)
    image = _our_image()
    if image is not None and not image.users - image.use_fake_user:
        bpy.data.images.remove(image)
    return count


def our_group() -> Any:
    """The node group that we made in this file, whatever it is called now, or None."""
    return next((group for group in bpy.data.node_groups if OURS in group and group.library is None
                 and group.bl_idname == "CompositorNodeTree"), None)


def concerns(scene: Any) -> list[str]:
    """What is wrong with the avatar in the compositor, each in a sentence; empty where nothing is."""
    group = our_group()
    if group is None:
        return []
    told = []
    try:
        frames = read_folder(Path(bpy.path.abspath(group[OURS]["folder"])))
        told += [frames.gaps()] if frames.missing else []
    except ArtalkError as error:
        told.append(str(error))
    view = scene.view_settings.view_transform
    if group[OURS]["view"] != view:
        told.append("The view transform has changed since: Add to Compositor once more, for the avatar's colours.")
    elif not inverse_space(view):
        told.append(f"The view transform {view} can't be undone: the avatar's colours change with it. "
                    "Standard leaves them as they are.")
    if compat.compositor_tree(scene) is not None and not compat.compositor_runs(scene):
        told.append("The scene does not use its compositor nodes: switch Use Nodes on.")
    return told


def inverse_space(view: str) -> str:
    """The colour space that undoes a view transform; empty where Blender has none."""
    known = bpy.types.CompositorNodeConvertColorSpace.bl_rna.properties["from_color_space"].enum_items.keys()
    return _SPACES[view] if _SPACES.get(view) in known else ""


# -- the group

def _fill(group: Any, scene: Any, frames: FrameFolder) -> None:
    """Makes the group's inside anew; its sockets, and so what the artist set or connected there, stay."""
    view = scene.view_settings.view_transform
    group[OURS] = {"folder": beside_file(frames.folder), "view": view}
    _ensure_sockets(group)
    group.nodes.clear()
    new, link = group.nodes.new, group.links.new
    entry, leave = new("NodeGroupInput"), new("NodeGroupOutput")

    picture = new("CompositorNodeImage")
    picture.name = picture.label = "Frames"
    picture.image = _image_of(frames)
    # file N at scene frame N; before the first there is nothing, after the last that one stays
    picture.frame_start, picture.frame_duration, picture.frame_offset = frames.first, frames.count, frames.first - 1
    picture.use_cyclic, picture.use_auto_refresh = False, True

    exact = _undone(group, picture.outputs[IMAGE], view)
    choice = new("CompositorNodeSwitch")
    link(choice.inputs["Switch"], entry.outputs[RENDERED])
    link(choice.inputs["Off"], picture.outputs[IMAGE])
    link(choice.inputs["On"], exact)

    place, split = new("CompositorNodeTransform"), new("ShaderNodeSeparateXYZ")
    link(place.inputs["Image"], choice.outputs[0])
    link(split.inputs[0], entry.outputs[OFFSET])
    link(place.inputs["X"], split.outputs["X"])
    link(place.inputs["Y"], split.outputs["Y"])
    link(place.inputs["Scale"], entry.outputs[SCALE])

    over, parts = new("CompositorNodeAlphaOver"), new("CompositorNodeSeparateColor")
    beneath, above = (socket for socket in over.inputs if socket.type == "RGBA")
    link(beneath, entry.outputs[IMAGE])
    link(above, place.outputs[0])
    link(parts.inputs[0], place.outputs[0])
    link(leave.inputs[IMAGE], over.outputs[0])
    link(leave.inputs[ALPHA], parts.outputs["Alpha"])
    for column, row in enumerate(([entry, picture], [], [], [], [split, choice], [place], [parts, over], [leave])):
        for at, node in enumerate(row):
            node.location = (200.0 * column, -250.0 * at)


def _undone(group: Any, linear: Any, view: str) -> Any:
    """The socket of the picture with the inverse of a view transform: straight, to the screen's colours, from those
    of the transform to the scene's, premultiplied."""
    space = inverse_space(view)
    if not space:
        return linear
    straight, encoded, scene_colors, premultiplied = (group.nodes.new(kind) for kind in (
        "CompositorNodePremulKey", "CompositorNodeConvertColorSpace", "CompositorNodeConvertColorSpace",
        "CompositorNodePremulKey"))
    compat.set_straight(straight, True)
    compat.set_straight(premultiplied, False)
    encoded.to_color_space = _ENCODED  # from what is new here: the scene's linear colours
    scene_colors.from_color_space = space
    socket = linear
    for column, node in enumerate((straight, encoded, scene_colors, premultiplied)):
        node.location = (200.0 * (column + 1), -500.0)
        group.links.new(node.inputs[0], socket)
        socket = node.outputs[0]
    return socket


def _ensure_sockets(group: Any) -> None:
    """Those that are missing are added; those that are there keep what is connected to them."""
    there = {(item.name, item.in_out) for item in group.interface.items_tree if item.item_type == "SOCKET"}
    wanted = (
        (IMAGE, "OUTPUT", "NodeSocketColor", None, "The avatar over what comes in"),
        (ALPHA, "OUTPUT", "NodeSocketFloat", None, "Where the avatar is"),
        (IMAGE, "INPUT", "NodeSocketColor", (0.0, 0.0, 0.0, 0.0), "What lies behind the avatar"),
        (OFFSET, "INPUT", "NodeSocketVector", None, "Pixels to the right and up from the picture's middle"),
        (SCALE, "INPUT", "NodeSocketFloat", 1.0, "1 is a pixel for a pixel"),
        (RENDERED, "INPUT", "NodeSocketBool", True, "The avatar's colours as in its frames, whatever the "
         "view transform is; off: as if it were a thing in the scene"),
    )
    for name, direction, kind, value, about in wanted:
        if (name, direction) in there:
            continue
        socket = group.interface.new_socket(name=name, in_out=direction, socket_type=kind)
        socket.description = about
        if kind == "NodeSocketVector":
            socket.dimensions = 2
        if value is not None:
            socket.default_value = value
        if name == SCALE:
            socket.min_value = 0.0


def _image_of(frames: FrameFolder) -> Any:
    """Our image data-block, showing these frames."""
    path = beside_file(frames.path(frames.first))
    image = _our_image()
    if image is None:
        image = bpy.data.images.load(bpy.path.abspath(path))
        image.name = GROUP_NAME
        image[OURS] = 1
    image.source = "SEQUENCE"
    image.filepath = path
    image.alpha_mode = "PREMUL" if frames.suffix == ".exr" else "STRAIGHT"
    with suppress(TypeError):  # colours are managed in a way of the artist's own: what Blender takes for the file stays
        image.colorspace_settings.name = frames.color_space
    image.reload()
    return image


def _our_image() -> Any:
    return next((image for image in bpy.data.images if OURS in image and image.library is None), None)


def beside_file(path: Path) -> str:
    """A path as Blender keeps it: from the .blend on where that is saved and on the same drive."""
    if not bpy.data.filepath:
        return str(path)
    try:
        return str(bpy.path.relpath(str(path)))
    except ValueError:
        return str(path)


# -- the artist's tree

def _place(group: Any, scene: Any, tree: Any) -> bool:
    """Puts the group into the scene's nodes; returns whether it was wired to the output."""
    noted = {"made": tree is None, "filled": tree is not None and not len(tree.nodes),
             "ran": tree is not None and compat.compositor_runs(scene)}
    if noted["made"]:
        tree = compat.make_compositor_tree(scene)
    elif noted["filled"]:
        compat.fill_compositor_tree(scene)
    wired = is_untouched(tree)
    if wired:
        scene[OURS] = noted
        compat.let_compositor_run(scene, True)
    right = max((node.location.x + node.width for node in tree.nodes), default=0.0)
    top = max((node.location.y for node in tree.nodes), default=0.0)
    node = tree.nodes.new("CompositorNodeGroup")
    node.node_tree, node.name, node.width = group, GROUP_NAME, 180.0
    node.location = (0.0, top) if wired else (right + _BESIDE, top)
    if wired:
        _wire(tree, node)
    return wired


def _wire(tree: Any, node: Any) -> None:
    """Lets what goes to the output, and to viewers beside it, go through the group."""
    for link in list(tree.links):
        if link.to_node.bl_idname in _ENDS | {"CompositorNodeViewer"} and link.to_socket.type == "RGBA":
            source, target = link.from_socket, link.to_socket
            if not node.inputs[IMAGE].is_linked:
                tree.links.new(node.inputs[IMAGE], source)
            tree.links.new(target, node.outputs[IMAGE])


def is_untouched(tree: Any) -> bool:
    """Whether a tree is as Blender begins it: what is rendered goes to the output, and nothing is done with it."""
    kinds = [node.bl_idname for node in tree.nodes]
    if not set(kinds) <= _BEGINNING or any(kinds.count(kind) > 1 for kind in set(kinds)):
        return False
    if any(node.mute for node in tree.nodes):
        return False
    ends = [node for node in tree.nodes if node.bl_idname in _ENDS]
    source = _rendered(ends[0]) if len(ends) == 1 else None
    return source is not None and source.bl_idname == "CompositorNodeRLayers"


def _rendered(end: Any) -> Any:
    """The node whose Image reaches an output, through reroutes only; or None."""
    socket = next((socket for socket in end.inputs if socket.type == "RGBA"), None)
    while socket is not None and socket.is_linked:
        link = socket.links[0]
        if link.from_node.bl_idname != "NodeReroute":
            return link.from_node if link.from_socket.name == IMAGE else None
        socket = link.from_node.inputs[0]
    return None


def _heal(tree: Any, node: Any) -> None:
    """Connects what came into a node of ours with where its picture went."""
    into = node.inputs.get(IMAGE)
    source = into.links[0].from_socket if into is not None and into.is_linked else None
    for link in list(node.outputs[IMAGE].links) if IMAGE in node.outputs else ():
        if source is not None:
            tree.links.new(link.to_socket, source)


def _take_back(scene: Any, tree: Any) -> None:
    """Where there were no nodes, or none in use, before ours, and the artist has added none since, so it is again."""
    noted = scene[OURS].to_dict()
    del scene[OURS]
    if not is_untouched(tree):
        return
    if noted.get("filled"):
        tree.nodes.clear()
    if noted.get("made"):
        compat.drop_compositor_tree(scene)
    elif not noted.get("ran"):
        compat.let_compositor_run(scene, False)


def _nodes_of(group: Any, tree: Any) -> list[Any]:
    return [node for node in tree.nodes if node.bl_idname == "CompositorNodeGroup" and node.node_tree == group]


def _all_trees() -> list[tuple[Any, Any]]:
    """Every local compositor tree, with the scene whose own it is, or None."""
    scenes = [(compat.compositor_tree(scene), scene) for scene in bpy.data.scenes]
    own = [(tree, scene) for tree, scene in scenes if tree is not None and tree.library is None]
    groups = [group for group in bpy.data.node_groups if group.bl_idname == "CompositorNodeTree"
              and group.library is None and OURS not in group and all(group != tree for tree, _ in own)]
    return own + [(group, None) for group in groups]
