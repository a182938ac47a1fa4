# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Motion: a motion file as a new take. Export Motion: what a head plays as MOTION.npz."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path

import bpy
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..animation.growing import GrowingTake
from ..animation.read_head import HeadMotion, animated_range, read_in_steps
from ..animation.takes import TAKE_KEY, Provenance, is_take
from ..audio.strip import scene_rate
from ..engine.files import write_motion
from ..engine.motion_files import SUFFIXES, read_motion_file
from ..errors import ArtalkError
from ..head.handle import Head, find_head
from ..language import said
from ..motion.process import ProcessSettings
from ..motion.timing import Keying, TimeMap
from ..runner import Work
from ..worker.job import ModalJob
from .reasoned import NO_HEAD, Reasoned

_SLICE, _LONGEST_SLICE = 0.03, 0.3  # seconds
_MIRRORED = {"AUTO": None, "YES": True, "NO": False}


def disabled_reason(context: bpy.types.Context) -> str:
    """Why no motion can come in or go out now, in one sentence; empty when it can."""
    return "" if find_head(context) is not None else NO_HEAD


class _NeedsHead(Reasoned):
    """Poll of both operators."""

    reason = staticmethod(disabled_reason)


class _FileJob(ModalJob):
    """After the file browser a job with progress and Esc; from scripts and in background the same at once.

    Meanwhile nothing else is let through: an undo or a save in between would meet a scene of our own.
    """

    alone = True
    _browsed = _modal = False

    def execute(self, context: bpy.types.Context) -> set[str]:
        # the browser calls this for what was invoked; whatever calls it once more, as to redo it, waits
        self._modal, self._browsed = self._browsed and not bpy.app.background, False
        return self.run(context, self._modal)


class ARTALK_OT_import_motion(_NeedsHead, _FileJob, bpy.types.Operator, ImportHelper):
    """Key the head with a motion file, as a new Action: MOTION.npz, ARTalk's .pt, or a table of FLAME parameters"""

    bl_idname = "artalk.import_motion"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default=";".join(f"*{suffix}" for suffix in SUFFIXES), options={"HIDDEN"})
    start_frame: bpy.props.IntProperty(
        name="Start Frame", default=1, description="Scene frame of the motion's first frame")
    mirrored: bpy.props.EnumProperty(
        name="Mirrored Head", default="AUTO",
        items=(("AUTO", "By Name", "Mirrored where ARTalk's app named the file after an avatar, else as it is"),
               ("YES", "Yes", "The motion was saved after avatar rendering: turn its head back"),
               ("NO", "No", "Leave the head's rotation as it is")),
        description="ARTalk's app mirrors the head of motions that it saves after rendering an avatar",
    )
    join_neck: bpy.props.BoolProperty(
        name="Neck into Head", default=True,
        description="Add the turns of the neck, where the file has them, to the head's: the face looks where it did",
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._browsed = True
        if not self.properties.is_property_set("start_frame"):
            self.start_frame = context.scene.frame_start
        return ImportHelper.invoke(self, context, event)

    def work(self) -> Work[None]:
        path = bpy.path.abspath(self.filepath)
        self.show(f"Reading {Path(path).name}")
        found = yield partial(read_motion_file, path, _MIRRORED[self.mirrored])
        motion = found.with_neck_in_head() if self.join_neck else found.motion
        notes = list(found.notes)
        if found.neck is not None and found.neck.any() and not self.join_neck:
            notes.append("Its neck is left out.")
        if found.eyes is not None and found.eyes.any():
            notes.append("The turns of its eyes are left out.")
        source = {"path": str(found.path), "sha256": found.sha256, "fps": found.source_fps,
                  "mirrored": found.mirrored, "neck_in_head": motion is not found.motion, "notes": " ".join(notes)}
        provenance = Provenance(found.path.stem, model_name="file", model_sha256=found.sha256,
                                settings={"file": source})
        self.show(f"Keying {len(motion)} frames", 0.5)
        yield
        head, scene = find_head(bpy.context), bpy.context.scene
        if head is None:
            raise ArtalkError("The head is gone.", "Add it again and import once more.")
        rate = scene_rate(scene)
        take = GrowingTake(head.armature.name, TimeMap.steady(self.start_frame, rate), rate, provenance,
                           ProcessSettings(smooth=False, clamp=False), Keying())
        del head, scene
        try:
            name = yield from take.complete(motion, None, provenance)
        except BaseException:
            take.discard()
            raise
        for note in notes:
            self.report({"WARNING"}, said(note))
        self.report({"INFO"}, said(f"Keyed {len(motion)} frames as “{name}”."))


class ARTALK_OT_export_motion(_NeedsHead, _FileJob, bpy.types.Operator, ExportHelper):
    """Write what the head plays, however it is animated, as a MOTION.npz at 25 frames a second"""

    bl_idname = "artalk.export_motion"
    bl_label = "Export Motion"
    bl_options = {"REGISTER"}

    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})
    span: bpy.props.EnumProperty(
        name="Frames", default="ANIMATION", description="Which frames are written",
        items=(("ANIMATION", "Animation", "From the head's first key to its last"),
               ("SCENE", "Scene", "The scene's frame range")),
    )
    join_neck: bpy.props.BoolProperty(
        name="Neck into Head", default=True,
        description="Add the turns of the neck to the head's, as ARTalk's motions know no neck; "
                    "otherwise they are written beside them",
    )
    stopped = "Stopped; no file was written."

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._browsed = True
        if not self.filepath:
            data = find_head(context).armature.animation_data
            name = data.action.name if data is not None and data.action is not None else "motion"
            self.filepath = str(Path(bpy.data.filepath).parent / (bpy.path.clean_name(name) + self.filename_ext))
        return ExportHelper.invoke(self, context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        if path.exists() and self.check_existing and not self._browsed:  # the file browser asks before it overwrites
            error = ArtalkError(f"“{path}” is there already.", "Choose another name, or pass check_existing=False.")
            self.report({"ERROR"}, said(error))
            return {"CANCELLED"}
        return super().execute(context)

    def work(self) -> Work[None]:
        path, head, scene = Path(bpy.path.abspath(self.filepath)), find_head(bpy.context), bpy.context.scene
        source = _source(head)
        steps = read_in_steps(head, scene, *self._range(head, scene), scene_rate(scene))
        del head, scene
        self.show("Reading the head")
        yield
        with closing(steps):
            found = yield from self._read(steps)
        motion = found.joined() if self.join_neck else found.motion
        neck = found.neck if found.neck_moves and not self.join_neck else None
        write_motion(path, motion, source, neck=neck, eyes=found.eyes if found.eyes_move else None)
        self.report({"INFO"}, said(f"Wrote {len(motion)} frames to “{path.name}”."))

    def _read(self, steps: Generator[float, None, HeadMotion]) -> Work[HeadMotion]:
        """Reads for 30 ms at a time, or for as long as Blender took to draw since, where that was longer."""
        until = time.perf_counter() + _SLICE
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if self._modal and time.perf_counter() >= until:
                self.show(f"Reading the head: {round(100 * done)} %", done)
                before = time.perf_counter()
                yield
                now = time.perf_counter()
                until = now + min(max(_SLICE, now - before), _LONGEST_SLICE)

    def _range(self, head: Head, scene: bpy.types.Scene) -> tuple[float, float]:
        if self.span == "SCENE":
            return scene.frame_start, scene.frame_end
        span = animated_range(head)
        if span is None:
            raise ArtalkError("Nothing plays on the head.", "Generate or import a motion, or export the scene's range.")
        return span


def _source(head: Head) -> str:
    """What made the motion: the model of the take that plays, else the scene."""
    data = head.armature.animation_data
    action = data.action if data is not None else None
    if not is_take(action):
        return f"scene {head.armature.name}"
    return f"{action[TAKE_KEY].get('model_name', '')} {action[TAKE_KEY].get('model_sha256', '')}".strip()


_CLASSES = (ARTALK_OT_import_motion, ARTALK_OT_export_motion)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
