# SPDX-License-Identifier: GPL-3.0-or-later
"""Add, import, check and correct heads, and change whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..engine.assets import DEFAULT_HEAD
from ..engine.flame.file import read_flame
from ..errors import EngineError
from ..head import settings
from ..head.build import build_head
from ..head.handle import Head, find_head
from ..head.identity import fixed_reason, random_coefficients, read_coefficients, set_identity
from ..head.joints import are_live, renew_joints
from ..head.parity import TOLERANCE, measure_parity, measure_pose
from ..head.source import point_to
from ..language import said
from ..preferences import read_preferences
from .reasoned import NO_HEAD

_FAR, _NEAR = 10.0, 2.5  # times a head's size: a view farther off is brought near


class _HeadOperator:
    """What operators on a head share: the head that is meant, and one sentence where it does not work."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = find_head(context)
        reason = cls.reason(head, context) if head is not None else NO_HEAD
        if reason:
            cls.poll_message_set(said(reason))
        return not reason

    @classmethod
    def reason(cls, head: Head, context: bpy.types.Context) -> str:
        return ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return self.run(find_head(context), context)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        raise NotImplementedError


class _AddsHead:
    """Builds a head from a file, in Object Mode."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set(said("Go to Object Mode first"))
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        outcome = self.execute(context)
        if outcome == {"FINISHED"}:
            _come_near(context)
        return outcome

    def build(self, context: bpy.types.Context, path: str | Path) -> set[str]:
        try:
            head = build_head(read_flame(path), context)
        except EngineError as error:
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        self.report({"INFO"}, said(f"Added “{head.armature.name}”."))
        return {"FINISHED"}


def _come_near(context: bpy.types.Context) -> None:
    """Brings a 3D view that is so far off that a head is a speck in it, as in Blender's startup scene, near to it."""
    if context.area is None or context.area.type != "VIEW_3D":
        return
    mesh = find_head(context).mesh
    matrix = np.array(mesh.matrix_world)
    corners = np.array(mesh.bound_box) @ matrix[:3, :3].T + matrix[:3, 3]
    view, size = context.area.spaces.active.region_3d, float(np.ptp(corners, axis=0).max())
    if view.view_perspective != "CAMERA" and view.view_distance > _FAR * size:
        view.view_location, view.view_distance = corners.mean(0), _NEAR * size


class ARTALK_OT_add_head(_AddsHead, bpy.types.Operator):
    """Add a head that ARTalk can animate: mesh, 100 expression shape keys, jaw, neck and eye bones"""

    bl_idname = "artalk.add_head"
    bl_label = "Add ARTalk Head"

    filepath: bpy.props.StringProperty(
        name="Head File", subtype="FILE_PATH", options={"HIDDEN"},
        description="FLAME head; empty: the one in the preferences, or the default head",
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.build(context, self.filepath or read_preferences(context).head or DEFAULT_HEAD)


class _AsksForFile:
    """Opens the file browser when invoked without a file."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class ARTALK_OT_import_head(_AsksForFile, _AddsHead, bpy.types.Operator):
    """Add a head from a FLAME file as it is published: .pkl, .npz or FLAME_with_eye.pt"""

    bl_idname = "artalk.import_head"
    bl_label = "Import FLAME Head"

    filepath: bpy.props.StringProperty(name="File", subtype="FILE_PATH", description="A FLAME head: .pkl, .npz or .pt")
    filter_glob: bpy.props.StringProperty(default="*.npz;*.pt;*.pth;*.pkl", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.build(context, bpy.path.abspath(self.filepath))


class _ChangesIdentity(_HeadOperator):
    @classmethod
    def reason(cls, head: Head, context: bpy.types.Context) -> str:
        return fixed_reason(head, context)

    def change(self, head: Head, context: bpy.types.Context, coefficients: Any) -> set[str]:
        set_identity(head, coefficients, context)
        settings.forget_check(head.armature)
        return {"FINISHED"}


class ARTALK_OT_random_identity(_ChangesIdentity, bpy.types.Operator):
    """Give the head the shape of a person at random; its animation stays"""

    bl_idname = "artalk.random_identity"
    bl_label = "Random Identity"

    seed: bpy.props.IntProperty(name="Seed", min=0, description="The same number gives the same person")
    strength: bpy.props.FloatProperty(
        name="Strength", default=1.0, min=0.0, soft_max=2.0, max=5.0,
        description="How much the person differs from the average: 1 as people do",
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.seed = int(np.random.default_rng().integers(1, 10000))
        return self.execute(context)

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        return self.change(head, context, random_coefficients(self.seed, self.strength))


class ARTALK_OT_neutral_identity(_ChangesIdentity, bpy.types.Operator):
    """Give the head the average shape again; its animation stays"""

    bl_idname = "artalk.neutral_identity"
    bl_label = "Neutral Identity"

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        return self.change(head, context, np.zeros(0))


class ARTALK_OT_apply_identity(_AsksForFile, _ChangesIdentity, bpy.types.Operator):
    """Give the head the identity in a file of up to 300 FLAME shape coefficients; its animation stays"""

    bl_idname = "artalk.apply_identity"
    bl_label = "Identity from File"

    filepath: bpy.props.StringProperty(
        name="File", subtype="FILE_PATH",
        description="Empty: the 300 numbers that a script has written into the head's property artalk_identity",
    )
    filter_glob: bpy.props.StringProperty(default="*.npy", options={"HIDDEN"})

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        coefficients = read_coefficients(bpy.path.abspath(self.filepath)) if self.filepath else head.identity
        return self.change(head, context, coefficients)


class ARTALK_OT_find_head_file(_AsksForFile, _HeadOperator, bpy.types.Operator):
    """Show where the file lies that the head was built from, after it was moved"""

    bl_idname = "artalk.find_head_file"
    bl_label = "Find Head File"

    filepath: bpy.props.StringProperty(name="File", subtype="FILE_PATH", description="Where the head's file lies now")
    filter_glob: bpy.props.StringProperty(default="*.npz;*.pt;*.pth;*.pkl", options={"HIDDEN"})

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        point_to(head, bpy.path.abspath(self.filepath))
        settings.problem = ""
        return {"FINISHED"}


class ARTALK_OT_check_head(_HeadOperator, bpy.types.Operator):
    """Measure how far the head is from FLAME's own mesh, over random poses and as it is posed now"""

    bl_idname = "artalk.check_head"
    bl_label = "Check Head"
    bl_options = {"REGISTER"}

    count: bpy.props.IntProperty(
        name="Poses", default=50, min=1, max=10000, description="In how many random poses the head is measured")

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        distance, now = measure_parity(head, context, self.count), measure_pose(head, context)
        head.armature.artalk_face.checked = distance
        text = f"At most {1e6 * distance:.2f} µm from FLAME over {self.count} poses, {1e6 * now:.2f} µm as posed now."
        if distance > TOLERANCE:
            self.report({"WARNING"}, said(f"{text} The head was changed by hand."))
        elif now > TOLERANCE:
            remedy = "Bones were moved by hand." if are_live(head) else "Fix Joints."
            self.report({"WARNING"}, said(f"{text} {remedy}"))
        else:
            self.report({"INFO"}, said(text))
        return {"FINISHED"}


class ARTALK_OT_fix_joints(_HeadOperator, bpy.types.Operator):
    """Let the bones turn about joints that follow this head's expression; those of a duplicate follow the first head"""

    bl_idname = "artalk.fix_joints"
    bl_label = "Fix Joints"

    @classmethod
    def reason(cls, head: Head, context: bpy.types.Context) -> str:
        return "The joints follow the expression" if are_live(head) else fixed_reason(head, context)

    def run(self, head: Head, context: bpy.types.Context) -> set[str]:
        renew_joints(head)
        return {"FINISHED"}


CLASSES = (
    ARTALK_OT_add_head, ARTALK_OT_import_head, ARTALK_OT_random_identity, ARTALK_OT_neutral_identity,
    ARTALK_OT_apply_identity, ARTALK_OT_find_head_file, ARTALK_OT_check_head, ARTALK_OT_fix_joints,
)


def register() -> None:
    settings.register()
    for operator in CLASSES:
        bpy.utils.register_class(operator)


def unregister() -> None:
    for operator in reversed(CLASSES):
        bpy.utils.unregister_class(operator)
    settings.unregister()
