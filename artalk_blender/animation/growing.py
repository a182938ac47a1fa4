# SPDX-License-Identifier: GPL-3.0-or-later
"""A take that plays while its motion is still being made, and is whole in the end, or gone.

Everything is done in slices (`runner.py`), between which an artist may do anything: undo, delete, save, load. So no
Blender data is held from one slice to the next; all is found again by name. Until it is whole the take is marked:
it is never saved, and where undo or a crash brings half a take back, it is removed and what played before plays again.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from functools import partial
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..head.handle import Head, head_of
from ..motion.layout import MOTION_FPS
from ..motion.process import ProcessSettings
from ..motion.timing import WHOLE, Keying, TimeMap
from ..runner import AGAIN, Work
from .channels import channels_of
from .fcurves import Channel, digest_part, fill, find_curve, write_channels
from .keyed_gains import keyed_gains
from .mouth import mouth_of
from .take_data import (
    DIGEST,
    LOUDNESS_KEY,
    MOTION_KEY,
    TAKE_KEY,
    UNFINISHED,
    Provenance,
    note_places,
    unfinished_takes,
)
from .takes import keyed_motion, new_take, remove_take

_BEFORE = 25  # frames: how far back new frames are smoothed together with those before them
_FIRST = 200  # frames: a take begins with so many at most, which are written in one slice
_LEAST = 25  # frames: fewer are not worth a redraw
_TRIES = 3
_PAUSE, _REST = 0.5, 4.0  # between two growths: seconds, and times what the last one took

Floats = NDArray[np.float32]

_growing: set[str] = set()  # ids of takes that a job is working on


class _GoneError(Exception):
    """The take was undone or deleted meanwhile."""


class GrowingTake:
    """The take-to-be on one head. Holds names, no Blender data."""

    def __init__(self, armature: str, times: TimeMap, scene_fps: float, provenance: Provenance,
                 settings: ProcessSettings, keying: Keying) -> None:
        self._armature, self._times, self._scene_fps = armature, times, scene_fps
        self._provenance, self._settings, self._keying = provenance, settings, keying
        self._id = ""
        self._keyed = 0  # frames of motion
        self._rests_until = 0.0

    def grow(self, raw: Floats) -> Work[None]:
        """Keys what of the raw motion so far (T,106) is not keyed yet, roughly: neither gated nor blinking."""
        if len(raw) - self._keyed < _LEAST or time.monotonic() < self._rests_until:
            return
        began = time.monotonic()
        if self._find() is None:
            self._begin(raw)
            yield AGAIN
        start, end = self._keyed, len(raw)
        if start == end:
            return
        first = max(0, start - _BEFORE)
        rough = replace(self._settings, blinks=0.0, silence_gate=0.0)
        times = self._times.from_second(first / MOTION_FPS)
        head = self._head()
        frames, motion = keyed_motion(raw[first:end], None, times, self._scene_fps, rough, self._keying,
                                      head.face_channels(), None)
        for channel in channels_of(head, motion, self._keying):
            action = self._find()
            if action is None:
                return
            _append(action, channel, frames)
            yield AGAIN
        self._keyed = end
        # Blender draws the curves again after every slice: where that is slow, it must not happen all the time
        self._rests_until = time.monotonic() + max(_PAUSE, _REST * (time.monotonic() - began))

    def complete(self, raw: Floats, loudness: Floats | None, provenance: Provenance) -> Work[str]:
        """Keys all of it, as `new_take` does; returns the take's name."""
        self._provenance = provenance
        head = self._head()
        mouth = mouth_of(head) if self._keying.mode == WHOLE else None
        gains = keyed_gains(bpy.context.scene, self._times, len(raw))
        frames, motion = yield partial(keyed_motion, raw, loudness, self._times, self._scene_fps, self._settings,
                                       self._keying, head.face_channels(), mouth, gains)
        for _ in range(_TRIES):
            if self._find() is None:
                self._begin(raw)
                yield AGAIN
            try:
                return (yield from self._write(raw, loudness, frames, motion))
            except _GoneError:
                continue
        raise ArtalkError("The take was removed while it was being made.", "Generate it again.")

    def discard(self) -> None:
        """Takes back what there is; what played before plays again."""
        action = self._find()
        _growing.discard(self._id)
        if action is not None:
            remove_take(action)

    def _begin(self, raw: Floats) -> None:
        """Makes the Action, with the first frames."""
        self._keyed = min(len(raw), _FIRST)
        action = new_take(self._head(), raw[: self._keyed], self._times.frames[0], self._scene_fps, self._provenance,
                          self._settings, self._keying, None, self._times)
        action[TAKE_KEY][UNFINISHED] = True
        _growing.discard(self._id)
        self._id = action[TAKE_KEY]["id"]
        _growing.add(self._id)

    def _write(self, raw: Floats, loudness: Floats | None, frames: NDArray[np.float64], motion: Floats) -> Work[str]:
        """Rewrites every curve, then the notes that make it a whole take."""
        channels = channels_of(self._head(), motion, self._keying)
        for channel in channels:
            write_channels(self._need(), [channel], frames)
            yield AGAIN
        places = sorted(channel.place for channel in channels)
        look = hashlib.sha256()
        for place in places:
            look.update(digest_part(self._need(), place))
            yield AGAIN
        head, action = self._head(), self._need()
        del action[MOTION_KEY]  # new bytes over old ones are cut off at a zero, by Blender
        action[MOTION_KEY] = raw.astype("<f4").tobytes()
        if loudness is not None:
            action[LOUDNESS_KEY] = loudness.astype("<f4").tobytes()
        note_places(action, places)
        stored = action[TAKE_KEY]
        stored.update({**self._provenance.as_dict(), DIGEST: look.hexdigest(),
                       "settings": {**self._settings.as_dict(), **self._provenance.settings}})
        del stored[UNFINISHED]
        _growing.discard(self._id)
        action.update_tag()
        for owner in (head.shape_keys, head.armature):
            owner.update_tag()
        return str(action.name)

    def _head(self) -> Head:
        head = head_of(bpy.data.objects.get(self._armature))
        if head is None:
            raise ArtalkError(f"The head “{self._armature}” is gone.", "Add it again and generate once more.")
        return head

    def _find(self) -> Any:
        return next((action for action in unfinished_takes() if action[TAKE_KEY].get("id") == self._id), None)

    def _need(self) -> Any:
        action = self._find()
        if action is None:
            raise _GoneError
        return action


def _append(action: Any, channel: Channel, frames: NDArray[np.float64]) -> None:
    """Adds those keys of a channel that come after the ones that are there."""
    curve = find_curve(action, channel.place)
    if curve is None:
        write_channels(action, [channel], frames)
        return
    there = np.empty((len(curve.keyframe_points), 2), np.float32)
    curve.keyframe_points.foreach_get("co", there.ravel())
    later = frames > (there[-1, 0] + 1e-3 if len(there) else -np.inf)
    fill(curve, np.concatenate([there, np.stack([frames, channel.values], 1)[later]]).astype(np.float32))


# -- half a take is never kept -----------------------------------------------------------------------------------------

def sweep(keep: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Removes unfinished takes whose ids are not in `keep`."""
    for action in unfinished_takes():
        if action[TAKE_KEY].get("id") not in keep and action.library is None:
            remove_take(action)


@persistent
def _before_saving(*_: Any) -> None:
    sweep()


@persistent
def _after_change(*_: Any) -> None:
    sweep(_growing)


_HANDLERS = (("save_pre", _before_saving), ("undo_post", _after_change), ("redo_post", _after_change),
             ("load_post", _after_change))


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
