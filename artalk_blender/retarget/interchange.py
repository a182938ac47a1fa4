# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that other programs read: Live Link Face CSV in and out, Audio2Face JSON and VRM animation (.vrma) out.

All of them carry ARKit's 52 values, or what follows from them. No `bpy` module use.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..motion.layout import CHANNELS, EXPRESSION, HEAD_ROTATION, JAW_POSE, MOTION_FPS
from .names import ARKIT, VRM, arkit_columns, arkit_name
from .signals import EYE_TURN, VISEME, viseme_signals

Floats = NDArray[np.floating[Any]]

_FPS = 60  # what Live Link Face counts in
_MOST_BYTES, _MOST_FRAMES = 1 << 28, 2_700_000
# Live Link Face's columns as its files have them: the right one of two sideways shapes first, turns at the end
_ORDER = tuple({"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight",
                "mouthRight": "mouthLeft"}.get(name, name) for name in ARKIT)
# turns in radians: yaw to the head's own left, pitch up, roll its left ear up; ours about its left, its up, its front
_HEAD = {"HeadYaw": (1, 1.0), "HeadPitch": (0, -1.0), "HeadRoll": (2, 1.0)}
_EYES = tuple(f"{side}Eye{turn}" for side in ("Left", "Right") for turn in ("Yaw", "Pitch", "Roll"))
_TIMECODE = re.compile(r"^(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class FaceValues:
    """ARKit's values (T,52) in the order of names.ARKIT at 25 fps, the head's rotation vector (T,3) in radians."""

    arkit: NDArray[np.float64]
    head: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def motion(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The motion (T,106) of a head whose expressions have these names. Raises ArtalkError where they are others."""
        if not set(ARKIT) <= set(names):
            raise ArtalkError("This head's expressions are not ARKit's.",
                              "Import onto the default head, then retarget its take to this one.")
        result = np.zeros((len(self.arkit), CHANNELS), np.float32)
        result[:, [EXPRESSION.start + column for column in arkit_columns(names)]] = self.arkit
        result[:, HEAD_ROTATION] = self.head
        result[:, JAW_POSE] = 0.0
        return result


def read_live_link(path: Path) -> FaceValues:
    """A CSV of Live Link Face, resampled from its time codes to 25 fps. Raises ArtalkError for anything else."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ArtalkError(f"“{path.name}” is too large for a recording.", "Cut it into parts.", "bad_file")
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArtalkError(f"“{path}” could not be read: {error}.", "Choose a CSV of Live Link Face.",
                          "bad_file") from None
    header = [name.strip() for name in rows[0]] if rows else []
    columns = {arkit_name(name): index for index, name in enumerate(header) if arkit_name(name)}
    if len(columns) < 10:
        raise ArtalkError(f"“{path.name}” is no recording of Live Link Face: it lacks the columns of ARKit's shapes.",
                          "Choose the CSV beside the take's video.", "bad_file")
    body = [row for row in rows[1:] if len(row) == len(header)]
    short = len([row for row in rows[1:] if row]) - len(body)
    if not body:
        raise ArtalkError(f"“{path.name}” holds no frames.", "Record again.", "bad_file")
    seconds = _seconds([row[header.index("Timecode")] for row in body]) if "Timecode" in header \
        else np.arange(len(body)) / _FPS
    wanted = [columns.get(name, -1) for name in ARKIT]
    heads = [header.index(name) if name in header else -1 for name in _HEAD]
    try:
        table = np.array([[float(row[index] or 0.0) if index >= 0 else 0.0 for index in (*wanted, *heads)]
                          for row in body])
    except ValueError:
        raise ArtalkError(f"“{path.name}” holds values that are no numbers.", "Record again.", "bad_file") from None
    if not np.isfinite(table).all() or np.abs(table).max() > 100.0:
        raise ArtalkError(f"“{path.name}” holds values that no face has.", "Record again.", "bad_file")
    count = math.floor(seconds[-1] * MOTION_FPS + 1e-6) + 1
    if count > _MOST_FRAMES:
        raise ArtalkError(f"“{path.name}” lasts longer than 30 hours.", "Cut it into parts.", "bad_file")
    times = np.arange(count) / MOTION_FPS
    values = np.stack([np.interp(times, seconds, column) for column in table.T], 1)
    notes = [f"{short} rows of “{path.name}” are incomplete and left out."] if short else []
    missing = [name for name in ARKIT if name not in columns]
    if missing:
        notes.append(f"The file has no {', '.join(missing[:5])}; they rest.")
    head = np.zeros((count, 3))
    for (axis, sign), column in zip(_HEAD.values(), values[:, len(ARKIT):].T, strict=True):
        head[:, axis] = sign * column
    return FaceValues(values[:, :len(ARKIT)], head, tuple(notes))


def _seconds(codes: list[str]) -> NDArray[np.float64]:
    """Time codes HH:MM:SS:FF.FFF at 60 a second -> seconds from the first, rising; frames where they do not tell."""
    result = np.empty(len(codes))
    for index, code in enumerate(codes):
        match = _TIMECODE.match(code.strip())
        if match is None:
            return np.arange(len(codes)) / _FPS
        hours, minutes, seconds, frames = map(float, match.groups())
        result[index] = 3600.0 * hours + 60.0 * minutes + seconds + frames / _FPS
    result -= result[0]
    step = np.diff(result)
    if len(step) and (step.min() < -1.0 or not (step > 0.0).mean() > 0.5):  # midnight, or a clock that stood
        return np.arange(len(codes)) / _FPS
    return np.maximum.accumulate(result) + 1e-9 * np.arange(len(result))


def write_live_link(path: Path, values: FaceValues) -> None:
    """A CSV as Live Link Face writes them, at 60 frames a second."""
    count = max(1, math.floor((len(values.arkit) - 1) / MOTION_FPS * _FPS + 1e-6) + 1)
    at = np.arange(count) * MOTION_FPS / _FPS
    shapes = values.arkit[:, [ARKIT.index(name) for name in _ORDER]]
    head = np.stack([sign * values.head[:, axis] for axis, sign in _HEAD.values()], 1)
    table = _through(np.column_stack([shapes, head, _eye_turns(values.arkit)]), at)
    names = [name[0].upper() + name[1:] for name in _ORDER] + list(_HEAD) + list(_EYES)
    lines = [",".join(["Timecode", "BlendShapeCount", *names])]
    for index, row in enumerate(table):
        whole, frame = divmod(index, _FPS)
        code = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{frame:02d}.000"
        lines.append(",".join([code, str(len(names)), *(f"{value:.9g}" for value in row)]))
    _write(path, ("\n".join(lines) + "\n").encode())


def _eye_turns(arkit: Floats) -> NDArray[np.float64]:
    """(T,6) in the order of _EYES: unlike the head's, an eye's yaw is to the head's right and its pitch is down."""
    look = {name: arkit[:, index] for index, name in enumerate(ARKIT) if name.startswith("eyeLook")}
    turns = []
    for side, right, left in (("Left", "In", "Out"), ("Right", "Out", "In")):
        turns += [look[f"eyeLook{right}{side}"] - look[f"eyeLook{left}{side}"],
                  look[f"eyeLookDown{side}"] - look[f"eyeLookUp{side}"], np.zeros(len(arkit))]
    return EYE_TURN * np.stack(turns, 1)


def _through(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (T,C) at fractional frames (N,): cubics through them (Catmull and Rom), hardly beyond the two beside."""
    first = np.clip(np.floor(at).astype(np.int64), 0, max(len(values) - 2, 0))
    t = (at - first)[:, None]
    before, a, b, after = (values[np.clip(first + step, 0, len(values) - 1)] for step in (-1, 0, 1, 2))
    slope_a, slope_b = 0.5 * (b - before), 0.5 * (after - a)
    result = (a * (1 + 2 * t) + slope_a * t) * (1 - t) ** 2 + (b * (3 - 2 * t) + slope_b * (t - 1)) * t**2
    slack = 0.25 * np.abs(b - a)
    return np.clip(result, np.minimum(a, b) - slack * (np.minimum(a, b) > 0.0), np.maximum(a, b) + slack)


def write_audio2face(path: Path, values: FaceValues) -> None:
    """The JSON that Audio2Face exports: names, and a row of weights a frame."""
    _write(path, json.dumps({
        "exportFps": float(MOTION_FPS), "trackPath": "", "numPoses": len(ARKIT), "numFrames": len(values.arkit),
        "facsNames": list(ARKIT), "weightMat": np.round(values.arkit, 6).tolist(),
    }).encode())


def vrm_weights(values: FaceValues) -> dict[str, Floats]:
    """VRM 1.0's expressions (T,) that a speaking face uses: five mouths, blinks, gaze."""
    mouths = viseme_signals([f"VRM {name}" for name in VRM], values.arkit)
    result = {name: mouths[f"{VISEME}VRM {name}"] for name in VRM if f"{VISEME}VRM {name}" in mouths}
    column = {name: values.arkit[:, index] for index, name in enumerate(ARKIT)}
    result["blinkLeft"], result["blinkRight"] = column["eyeBlinkLeft"], column["eyeBlinkRight"]
    for way, left, right in (("lookUp", "Up", "Up"), ("lookDown", "Down", "Down"), ("lookLeft", "Out", "In"),
                             ("lookRight", "In", "Out")):
        result[way] = 0.5 * (column[f"eyeLook{left}Left"] + column[f"eyeLook{right}Right"])
    return {name: np.clip(weights, 0.0, 1.0) for name, weights in result.items()}


def write_vrma(path: Path, values: FaceValues) -> None:
    """A VRM animation (VRMC_vrm_animation 1.0, a .glb): its presets, and ARKit's shapes as custom expressions.

    By its specification an expression's weight is the x of a node's translation.
    """
    presets = vrm_weights(values)
    custom = {name: np.clip(values.arkit[:, index], 0.0, 1.0) for index, name in enumerate(ARKIT)}
    tracks = [*presets.items(), *custom.items()]
    times = (np.arange(len(values.arkit)) / MOTION_FPS).astype("<f4")
    data, views, accessors = io.BytesIO(), [], []

    def add(array: NDArray[np.float32], kind: str, bounds: bool = False) -> int:
        views.append({"buffer": 0, "byteOffset": data.tell(), "byteLength": array.nbytes})
        data.write(array.tobytes())
        accessor: dict[str, Any] = {"bufferView": len(views) - 1, "componentType": 5126, "count": len(array),
                                    "type": kind}
        if bounds:
            accessor.update(min=[float(array.min(initial=0.0))], max=[float(array.max(initial=0.0))])
        accessors.append(accessor)
        return len(accessors) - 1

    time = add(times, "SCALAR", bounds=True)
    samplers, channels = [], []
    for node, (_, weights) in enumerate(tracks):
        moves = np.zeros((len(times), 3), "<f4")
        moves[:, 0] = weights
        samplers.append({"input": time, "output": add(moves, "VEC3"), "interpolation": "LINEAR"})
        channels.append({"sampler": node, "target": {"node": node, "path": "translation"}})
    index = {name: node for node, (name, _) in enumerate(tracks)}
    document = {
        "asset": {"version": "2.0", "generator": "ARTalk for Blender"}, "extensionsUsed": ["VRMC_vrm_animation"],
        "extensions": {"VRMC_vrm_animation": {"specVersion": "1.0", "expressions": {
            "preset": {name: {"node": index[name]} for name in presets},
            "custom": {name: {"node": index[name]} for name in custom}}}},
        "scene": 0, "scenes": [{"nodes": list(range(len(tracks)))}], "nodes": [{"name": name} for name, _ in tracks],
        "animations": [{"name": "ARTalk", "samplers": samplers, "channels": channels}],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": data.tell()}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = data.getvalue()
    length = 12 + 8 + len(text) + 8 + len(body)
    _write(path, struct.pack("<4sII", b"glTF", 2, length) + struct.pack("<I4s", len(text), b"JSON") + text
           + struct.pack("<I4s", len(body), b"BIN\0") + body)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ArtalkError(f"“{path}” could not be written: {error.strerror}.", "Choose another folder.") from None
