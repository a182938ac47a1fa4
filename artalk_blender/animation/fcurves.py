# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes many keys at once: arrays in, F-curves out; and tells whether they were changed since.

Keys are Bezier with auto-clamped handles. Between two 25 fps samples a straight line would cut the top off
every quick movement (a fifth of a 5 Hz one at worst) and show as jerks at 50 or 60 fps; a free curve would
overshoot, and closed lips would sink into each other. Auto-clamped handles are level at every extreme, never
overshoot, and are what an animator gets from Blender itself, so a key that is moved by hand goes on behaving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat

_BEZIER = 2  # Blender's number for the interpolation
_FREE, _AUTO_CLAMPED = 0, 4  # and for the handles
_STILL = 1e-9

KEY, OBJECT = "KEY", "OBJECT"  # the two slots of a take: the face and the bones; “KEY:name” where there are more


@dataclass(frozen=True)
class Channel:
    """One F-curve to be: slot, data path, array index, group and its values (T,)."""

    slot: str
    path: str
    index: int
    group: str
    values: NDArray[np.floating]

    @property
    def place(self) -> tuple[str, str, int]:
        return self.slot, self.path, self.index


def write_channels(action: Any, channels: Iterable[Channel], frames: NDArray[np.floating]) -> None:
    """Keys at `frames` (T,) for each channel, in the action's slots; a curve that is there gets new keys.

    One that never moves gets a single key. Curves of `channels` that already hold just these keys are not touched.
    """
    bags: dict[str, Any] = {}
    points = np.empty((len(frames), 2), np.float32)
    points[:, 0] = frames
    for channel in channels:
        bag = bags.get(channel.slot)
        if bag is None:
            bag = bags[channel.slot] = compat.ensure_channelbag(action, slot_of(action, channel.slot))
        curve = bag.fcurves.find(channel.path, index=channel.index)
        if curve is None:
            curve = bag.fcurves.new(channel.path, index=channel.index)
            curve.group = bag.groups.get(channel.group) or bag.groups.new(channel.group)
        points[:, 1] = channel.values
        moves = len(points) and np.ptp(points[:, 1]) >= _STILL
        fill(curve, points if moves else points[:1])


def fill(curve: Any, points: NDArray[np.float32]) -> None:
    """Replaces a curve's keys by auto-clamped Bezier ones at (T,2) frame and value."""
    keys = curve.keyframe_points
    count = len(points)
    if len(keys) == count:
        there = np.empty_like(points)
        keys.foreach_get("co", there.ravel())
        if np.array_equal(there, points) and _all(keys, "handle_left_type", _AUTO_CLAMPED):
            return
    else:
        keys.clear()
        keys.add(count)
    keys.foreach_set("co", points.ravel())
    _set_all(keys, "interpolation", _BEZIER)
    _set_all(keys, "handle_left_type", _AUTO_CLAMPED)
    _set_all(keys, "handle_right_type", _AUTO_CLAMPED)
    if (points[1:, 0] > points[:-1, 0]).all():
        keys.handles_recalc()
    else:
        curve.update()  # sorts them first, which takes as long again


def fill_bezier(curve: Any, points: NDArray[np.float32], left: NDArray[np.float32],
                right: NDArray[np.float32]) -> None:
    """Replaces a curve's keys by Bezier ones with free handles where they are given: all (K,2) frame and value."""
    keys = curve.keyframe_points
    keys.clear()
    keys.add(len(points))
    keys.foreach_set("co", points.ravel())
    _set_all(keys, "interpolation", _BEZIER)
    _set_all(keys, "handle_left_type", _FREE)
    _set_all(keys, "handle_right_type", _FREE)
    keys.foreach_set("handle_left", left.ravel())
    keys.foreach_set("handle_right", right.ravel())
    curve.update()


def _all(keys: Any, name: str, value: int) -> bool:
    """Whether all keys have that; Blender hands bytes over without converting them, ten times as fast as integers."""
    there = np.empty(len(keys), np.uint8)
    keys.foreach_get(name, there)
    return bool((there == value).all())


def _set_all(keys: Any, name: str, value: int) -> None:
    if not _all(keys, name, value):
        keys.foreach_set(name, np.full(len(keys), value, np.uint8))


@dataclass(frozen=True)
class Dense:
    """The cubics between a curve's keys at (T,) frames: values and handles' values, (T-1,4), or None if they are not
    all Bezier with handles at thirds of the way, so that time runs evenly along them."""

    cubics: NDArray[np.float64] | None

    @property
    def is_plain(self) -> bool:
        return self.cubics is not None

    def at(self, piece: NDArray[np.int64], t: NDArray[np.float64],
           width: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and slopes (per frame) (S,) of a plain curve at `t` of each `piece`, so many frames wide."""
        assert self.cubics is not None
        start, right, left, end = self.cubics.T[:, piece]
        u = 1.0 - t
        slopes = 3.0 / width * (u * u * (right - start) + 2.0 * u * t * (left - right) + t * t * (end - left))
        return u**3 * start + 3.0 * u * t * (u * right + t * left) + t**3 * end, slopes


def sampled(curve: Any, frames: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and slopes (per frame) of any curve at frames (S,)."""
    values = np.array([curve.evaluate(frame) for frame in frames.tolist()])
    return values, np.gradient(values, frames) if len(values) > 1 else np.zeros(len(values))


def dense_curve(curve: Any, frames: NDArray[np.float64]) -> Dense:
    """An F-curve to be sampled often, which has its keys at frames (T,), or elsewhere."""
    keys = curve.keyframe_points
    co, left, right = (np.empty((len(keys), 2), np.float32) for _ in range(3))
    for name, values in (("co", co), ("handle_left", left), ("handle_right", right)):
        keys.foreach_get(name, values.ravel())
    x = co[:, 0].astype(np.float64)
    third = np.diff(x) / 3.0
    plain = (np.array_equal(frames, x) and not len(curve.modifiers) and _all(keys, "interpolation", _BEZIER)
             and np.allclose(right[:-1, 0] - x[:-1], third, atol=0.01)
             and np.allclose(x[1:] - left[1:, 0], third, atol=0.01))
    cubics = np.stack([co[:-1, 1], right[:-1, 1], left[1:, 1], co[1:, 1]], 1).astype(np.float64)
    return Dense(cubics if plain else None)


def slot_of(action: Any, kind: str) -> Any:
    """The action's slot for shape keys (KEY) or for the armature (OBJECT), or the one that is named, or None."""
    kind, _, name = kind.partition(":")
    return next((slot for slot in action.slots
                 if slot.target_id_type == kind and name in ("", slot.name_display)), None)


def find_curve(action: Any, place: tuple[str, str, int]) -> Any:
    """The F-curve at (slot, data path, index), or None."""
    kind, path, index = place
    slot = slot_of(action, kind)
    bag = compat.channelbag(action, slot) if slot is not None else None
    return bag.fcurves.find(path, index=index) if bag is not None else None


def remove_curves(action: Any, places: Iterable[tuple[str, str, int]]) -> None:
    """Removes F-curves; what is not there is passed over."""
    for place in places:
        curve = find_curve(action, place)
        if curve is not None:
            compat.channelbag(action, slot_of(action, place[0])).fcurves.remove(curve)


def digest(action: Any, places: Iterable[tuple[str, str, int]]) -> str:
    """sha256 of keys, handles and interpolation of F-curves: it differs as soon as any of them was edited."""
    result = hashlib.sha256()
    for place in places:
        result.update(digest_part(action, place))
    return result.hexdigest()


def digest_part(action: Any, place: tuple[str, str, int]) -> bytes:
    """What of one F-curve goes into the digest."""
    curve = find_curve(action, place)
    return b"".join([repr(place).encode(), *(_key_bytes(curve) if curve is not None else ())])


def _key_bytes(curve: Any) -> Iterator[bytes]:
    keys = curve.keyframe_points
    wanted = [("interpolation", 1, np.uint8), ("handle_left_type", 1, np.uint8), ("handle_right_type", 1, np.uint8),
              ("co", 2, np.float32)]
    if not (_all(keys, "handle_left_type", _AUTO_CLAMPED) and _all(keys, "handle_right_type", _AUTO_CLAMPED)):
        wanted += [("handle_left", 2, np.float32), ("handle_right", 2, np.float32)]  # else they follow from the keys
    for name, width, kind in wanted:
        values = np.empty(len(keys) * width, kind)
        keys.foreach_get(name, values)
        yield values.tobytes()


def key_path(shape_key_name: str) -> str:
    """Data path of a shape key's value; quotes and backslashes in the name are escaped."""
    return f'key_blocks["{bpy.utils.escape_identifier(shape_key_name)}"].value'


def bone_path(bone_name: str, property_name: str) -> str:
    return f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"].{property_name}'
