# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of FLAME parameters over time, as trackers and speech models name and shape them. numpy only.

The names are those of DECA, EMOCA, SPECTRE and DiffPoseTalk (`exp`, `pose`, `shape`), of VHAP and GaussianAvatars
(`expr`, `rotation`, `neck_pose`, `jaw_pose`, `eyes_pose`), and of smplx (`expression`, `global_orient`, `leye_pose`,
`betas`, `poses`). A rotation is axis-angle in radians or a 3x3 matrix. What could mean two things - quaternions,
six numbers for one rotation, three numbers for a whole pose - is refused in a sentence rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError
from .flame.model import EXPRESSION_COUNT, SHAPE_COUNT
from .rotations import continuous, from_matrices, to_axis_angle

Floats = NDArray[np.float64]
Table = Mapping[str, NDArray[Any]]

_EXPRESSION = ("expression", "expressions", "exp", "expr", "expcode", "exp_code", "expr_code", "expression_params",
               "expr_params", "exp_coef")
_POSE = ("pose", "poses", "posecode", "full_pose", "pose_params")
_HEAD = ("global_orient", "rotation", "global_pose", "globalpose", "head_pose", "root_pose", "root_orient",
         "global_rot")
_JAW = ("jaw_pose", "jaw", "jawpose", "pose_jaw", "jaw_params")
_NECK = ("neck_pose", "neck", "neckpose", "neck_params")
_EYES = ("eyes_pose", "eye_pose", "pose_eye", "eyes", "eye_params")
_LEFT, _RIGHT = ("leye_pose", "left_eye_pose"), ("reye_pose", "right_eye_pose")
_SHAPE = ("shape", "betas", "shapecode", "shape_code", "shape_params", "beta")
_FPS = ("fps", "mocap_frame_rate", "mocap_framerate", "framerate", "frame_rate")
_LEFT_OUT = ("translation", "trans", "transl", "eyelids", "static_offset", "dynamic_offset", "body_pose",
             "left_hand_pose", "right_hand_pose")
_SMPLX_JAW = 22  # joint of SMPL-X; the eyes follow it
_MOST_TURN = 4 * np.pi  # radians: more in one rotation vector is degrees


@dataclass
class Parts:
    """What a file says, at its own rate `fps` (0: it doesn't say). Axis-angle in radians, T frames."""

    expression: Floats = field(default_factory=lambda: np.zeros((0, EXPRESSION_COUNT)))
    head: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    jaw: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    neck: Floats | None = None
    eyes: Floats | None = None
    shape: Floats | None = None
    fps: float = 0.0
    notes: list[str] = field(default_factory=list)


def find(table: Table, names: tuple[str, ...]) -> str | None:
    """The first key of `table` that is one of `names`, in any case, also as `flame_NAME`."""
    known = {key.lower().removeprefix("flame_"): key for key in reversed(list(table))}
    return next((known[name] for name in names if name in known), None)


def read_table(table: Table, file: str, frames: int | None = None) -> Parts:
    """The motion in `table`. With `frames` the expression may be missing: only what stands beside a motion is wanted.

    `file` is for the sentences. Raises EngineError where the table is no FLAME motion or leaves open what it means.
    """
    reader = _Table(table, file)
    parts = Parts(fps=reader.fps())
    pose = reader.pose()
    head, jaw, neck, eyes = (reader.joint(names) for names in (_HEAD, _JAW, _NECK, _EYES))
    sides = [reader.joint(_LEFT), reader.joint(_RIGHT)]
    if eyes is None and any(side is not None for side in sides):
        count = max(len(side) for side in sides if side is not None)
        eyes = np.concatenate([np.zeros((count, 3)) if side is None else reader.over(side, count, "eyes")
                               for side in sides], 1)
    expression = reader.expression(required=frames is None)
    given = [value for value in (expression, head, jaw, pose.get("jaw")) if value is not None]
    count = frames if frames is not None else max((len(value) for value in given), default=0)

    def over(value: Floats | None, name: str) -> Floats | None:
        value = pose.get(name) if value is None else value
        return None if value is None else reader.over(value, count, name)

    parts.neck, parts.eyes = over(neck, "neck"), over(eyes, "eyes")
    parts.shape = reader.shape(parts.notes)
    if frames is None:
        whole = np.zeros((count, EXPRESSION_COUNT))
        if expression is not None:
            whole[:, : expression.shape[1]] = reader.over(expression, count, "expression")
        parts.expression = whole
        still = np.zeros((count, 3))
        found_head, found_jaw = over(head, "head"), over(jaw, "jaw")
        parts.head = still if found_head is None else found_head
        parts.jaw = still if found_jaw is None else found_jaw
    if pose.get("body") is not None:
        parts.notes.append("It is a whole body's motion: only the face of it is used.")
    left_out = [name for name in _LEFT_OUT if (key := find(reader.table, (name,))) and reader.table[key].any()]
    if left_out:
        parts.notes.append(f"Left out: {', '.join(left_out)}.")
    return parts


class _Table:
    """Reads one table; every complaint names the file and the key."""

    def __init__(self, table: Table, file: str) -> None:
        self.table = {key: value for key, value in table.items() if value.dtype.kind in "fiub"}
        self.file = file

    def wrong(self, text: str, remedy: str = "") -> EngineError:
        return EngineError(f"“{self.file}” can't be used: {text}", remedy, code="bad_file")

    def get(self, names: tuple[str, ...]) -> tuple[str, Floats] | None:
        """Key and values as float64, without an axis of length one in front."""
        key = find(self.table, names)
        if key is None or self.table[key].size == 0:
            return None
        value = np.atleast_1d(self.table[key].astype(np.float64))
        return key, value[0] if value.ndim >= 3 and len(value) == 1 else value

    def fps(self) -> float:
        found = self.get(_FPS)
        return float(found[1].ravel()[0]) if found else 0.0

    def expression(self, required: bool) -> Floats | None:
        found = self.get(_EXPRESSION)
        if found is None:
            if required and not (find(self.table, _JAW) or find(self.table, _POSE)):
                some = ", ".join(list(self.table)[:6]) or "nothing that is a number"
                raise self.wrong(f"it holds no FLAME motion (found: {some}).",
                                 "It needs `expression` and `jaw_pose`, or `motion`.")
            return None
        key, value = found
        value = value[None] if value.ndim == 1 else value
        if value.ndim != 2:
            raise self.wrong(f"`{key}` is {value.shape}, not (frames, components).")
        if value.shape[1] > EXPRESSION_COUNT and value[:, EXPRESSION_COUNT:].any():
            raise self.wrong(f"`{key}` has {value.shape[1]} components, and FLAME has {EXPRESSION_COUNT}.")
        return value[:, :EXPRESSION_COUNT]

    def joint(self, names: tuple[str, ...]) -> Floats | None:
        """(T,3), or (T,6) for both eyes."""
        found = self.get(names)
        if found is None:
            return None
        key, value = found
        joints = 2 if names is _EYES else 1
        return self.rotations(key, value, joints).reshape(-1, 3 * joints)

    def rotations(self, key: str, value: Floats, joints: int) -> Floats:
        """(T,joints,3) axis-angle of `value` in any shape that says what it is."""
        if value.ndim == 1:
            value = value[None]
        if value.ndim >= 3 and value.shape[-2:] == (3, 3) and value[0].size == 9 * joints:
            return self.from_matrices(key, value.reshape(-1, 3, 3)).reshape(-1, joints, 3)
        if value[0].size == 9 * joints and value.ndim == 2:
            return self.from_matrices(key, value.reshape(-1, 3, 3)).reshape(-1, joints, 3)
        if value[0].size == 6 * joints and (joints == 1 or _looks_6d(value, joints)):
            raise self.wrong(f"`{key}` has six numbers for a rotation, which tools write in two ways.",
                             "Save it as axis-angle.")
        if value[0].size == 4 * joints:
            raise self.wrong(f"`{key}` holds quaternions, whose order (w first or last) tools disagree about.",
                             "Save it as axis-angle.")
        if value[0].size != 3 * joints:
            raise self.wrong(f"`{key}` is {value.shape}, not (frames, {3 * joints}).")
        value = value.reshape(-1, joints, 3)
        if np.nanmax(np.linalg.norm(value, axis=2), initial=0.0) > _MOST_TURN:
            raise self.wrong(f"`{key}` seems to be in degrees.", "Save it as axis-angle in radians.")
        return value

    def from_matrices(self, key: str, matrices: Floats) -> Floats:
        error = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(initial=0.0)
        if not error < 1e-2 or (np.linalg.det(matrices) < 0).any():
            raise self.wrong(f"`{key}` looks like rotation matrices, but is none.")
        return continuous(to_axis_angle(from_matrices(matrices)))

    def pose(self) -> dict[str, Floats]:
        """A pose of several joints, by joint: DECA's (head, jaw), FLAME's five, or SMPL-X's 55."""
        found = self.get(_POSE)
        if found is None:
            return {}
        key, value = found
        value = value[None] if value.ndim == 1 else value
        matrices = value.ndim >= 3 and value.shape[-2:] == (3, 3) and value[0].size % 9 == 0 and value.ndim == 4
        joints = value[0].size // (9 if matrices else 3)
        if joints == 1 and find(self.table, _JAW):
            return {"head": self.rotations(key, value, 1)[:, 0]}
        if not matrices and _looks_6d(value):
            raise self.wrong(f"`{key}` has six numbers for one rotation, which tools write in two ways.",
                             "Save it as axis-angle.")
        if joints not in (2, 5, 55) or value[0].size % 3:
            raise self.wrong(f"`{key}` is {value.shape}, and only head and jaw (6), FLAME's five joints (15) or "
                             "SMPL-X's 55 (165) are understood.",
                             "Save the jaw as `jaw_pose` and the head as `global_orient`.")
        if matrices:
            turns = self.from_matrices(key, value.reshape(-1, 3, 3)).reshape(-1, joints, 3)
        else:
            turns = self.rotations(key, value.reshape(len(value), -1), joints)
        if joints == 2:
            return {"head": turns[:, 0], "jaw": turns[:, 1]}
        if joints == 5:
            return {"head": turns[:, 0], "neck": turns[:, 1], "jaw": turns[:, 2], "eyes": turns[:, 3:].reshape(-1, 6)}
        eyes = turns[:, _SMPLX_JAW + 1 : _SMPLX_JAW + 3].reshape(-1, 6)
        return {"jaw": turns[:, _SMPLX_JAW], "eyes": eyes, "body": turns[:, 0]}

    def over(self, value: Floats, count: int, name: str) -> Floats:
        """`value` for `count` frames; one frame stands for all."""
        if len(value) == 1 and count != 1:
            return np.repeat(value, count, 0)
        if len(value) != count:
            raise self.wrong(f"its {name} has {len(value)} frames, where others have {count}.")
        return value

    def shape(self, notes: list[str]) -> Floats | None:
        """(300,) of one person; of shapes that change over time the mean."""
        found = self.get(_SHAPE)
        if found is None:
            return None
        rows = np.atleast_2d(found[1])
        if rows.ndim != 2 or rows.shape[1] > SHAPE_COUNT or not np.isfinite(rows).all():
            notes.append(f"Left out: {found[0]}.")
            return None
        if np.ptp(rows, axis=0).max(initial=0.0) > 1e-5:
            notes.append("Its shape changes over time: the mean is used.")
        result = np.zeros(SHAPE_COUNT)
        result[: rows.shape[1]] = rows.mean(0)
        return result


def _looks_6d(value: Floats, joints: int = 1) -> bool:
    """Whether every frame is `joints` pairs of unit vectors at a right angle: six numbers for one rotation."""
    if value[0].size != 6 * joints:
        return False
    pairs = value.reshape(-1, 2, 3)
    square = np.abs((pairs[:, 0] * pairs[:, 1]).sum(1)).max(initial=0.0) < 1e-3
    return bool(square and np.abs(np.linalg.norm(pairs, axis=2) - 1.0).max(initial=0.0) < 1e-3)
