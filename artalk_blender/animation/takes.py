# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: every generation is its own Action, with where it came from.

One Action, two slots: the face (the Key data-block) and the bones (the armature object). Its ID properties
hold the provenance and the raw motion, so that the keys can be made again, years later and without the model.
No Action that exists is ever changed; the one that a take replaces keeps a user, so it is not lost on saving.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..engine import __version__
from ..head.build import Head
from ..head.names import BONES, JAW, ROOT
from ..motion.layout import CHANNELS, EXPRESSION, HEAD_ROTATION, JAW_POSE, MOTION_FPS
from ..motion.process import ProcessSettings, axis_angle_to_quaternions, joint_shift, process_motion
from ..motion.timing import motion_frames
from .fcurves import bone_path, key_path, write_curve

TAKE_KEY = "artalk_take"  # dict: provenance
MOTION_KEY = "artalk_motion"  # bytes: raw motion, (T,106) little-endian float32
_SMALLEST_SHIFT = 1e-7  # metres: below this a bone's location is not keyed


@dataclass(frozen=True)
class Provenance:
    """What a take was made from. Paths are for people; the sha256 say what it really was."""

    audio_name: str = ""
    audio_path: str = ""
    audio_sha256: str = ""
    model_name: str = ""
    model_sha256: str = ""
    style: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def new_take(head: Head, raw: NDArray[np.floating], start_frame: float, scene_fps: float,
             provenance: Provenance, settings: ProcessSettings | None = None) -> Any:
    """A new Action with the keys of raw motion (T,106), assigned to the head; the first frame is at `start_frame`."""
    settings = settings or ProcessSettings()
    raw = np.asarray(raw, np.float32).reshape(-1, CHANNELS)
    motion = process_motion(raw, settings)
    frames = motion_frames(len(motion), start_frame, scene_fps)
    action = bpy.data.actions.new(f"ARTalk {provenance.audio_name or 'take'}")
    action.use_fake_user = True
    face = action.slots.new(id_type="KEY", name=head.shape_keys.name)
    bones = action.slots.new(id_type="OBJECT", name=head.armature.name)
    _write_face(compat.ensure_channelbag(action, face), head, motion, frames)
    _write_bones(compat.ensure_channelbag(action, bones), head, motion, frames)
    action[TAKE_KEY] = {
        **asdict(provenance),
        "settings": {**settings.as_dict(), **provenance.settings},
        "head": head.armature.name,
        "start_frame": float(start_frame),
        "scene_fps": float(scene_fps),
        "motion_fps": MOTION_FPS,
        "version": __version__,
        "blender": compat.VERSION_TEXT,
    }
    action[MOTION_KEY] = raw.astype("<f4").tobytes()
    _assign(head.shape_keys, action, face)
    _assign(head.armature, action, bones)
    return action


def raw_motion(action: Any) -> NDArray[np.float32]:
    """The raw motion (T,106) that a take keeps."""
    return np.frombuffer(action[MOTION_KEY], "<f4").reshape(-1, CHANNELS).astype(np.float32)


def is_take(action: Any) -> bool:
    return TAKE_KEY in action and MOTION_KEY in action


def _write_face(channelbag: Any, head: Head, motion: NDArray[np.float32], frames: NDArray[np.float64]) -> None:
    group = channelbag.groups.new("Expression")
    for name, values in zip(head.expression_keys, motion[:, EXPRESSION].T, strict=True):
        write_curve(channelbag, key_path(name), 0, frames, values, group)


def _write_bones(channelbag: Any, head: Head, motion: NDArray[np.float32], frames: NDArray[np.float64]) -> None:
    for bone, channels in ((ROOT, HEAD_ROTATION), (JAW, JAW_POSE)):
        group = channelbag.groups.new(BONES[bone])
        rotation = motion[:, channels]
        quaternions = axis_angle_to_quaternions(rotation)
        for component in range(4):
            path = bone_path(BONES[bone], "rotation_quaternion")
            write_curve(channelbag, path, component, frames, quaternions[:, component], group)
        shift = joint_shift(motion[:, EXPRESSION], rotation, head.joint_shift[bone])
        if not len(shift) or np.abs(shift).max() < _SMALLEST_SHIFT:
            shift = np.zeros((min(1, len(frames)), 3))  # one key at rest: an earlier take's location must not stay
        for axis in range(3):
            path = bone_path(BONES[bone], "location")
            write_curve(channelbag, path, axis, frames[: len(shift)], shift[:, axis], group)


def _assign(owner: Any, action: Any, slot: Any) -> None:
    """Plays the Action's slot on a data-block; an Action that was there before keeps a user."""
    data = owner.animation_data or owner.animation_data_create()
    if data.action is not None and data.action != action:
        data.action.use_fake_user = True
    data.action = action
    data.action_slot = slot
