# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's animation that goes on beneath a take on the same armature, or an object's on the same object.

An object plays one Action. The body's goes into an NLA track of ours, at its own time; the take plays above it and
is combined with it, so that its turns of head and neck come on top of the body's. Removing the take undoes this.
"""

from __future__ import annotations

from typing import Any

_NAME = "ARTalk body"
_LONG = 100_000.0  # frames: as far as an Action's own modifiers and ends may reach


def body_under(owner: Any, take: Any) -> str:
    """Puts the Action that plays on an armature into a track of its own; returns that track's name, or nothing.

    Where the body is animated by the NLA alone, the take is only told to combine.
    """
    data = owner.animation_data
    if data is None or (data.action is None and not any(track.strips for track in data.nla_tracks)):
        return ""
    body, slot = data.action, data.action_slot
    name = ""
    if body is not None:
        data.action = None
        track = data.nla_tracks.new()
        track.name = name = _free_name(data)
        start, end = body.frame_range
        strip = track.strips.new(body.name, int(start), body)
        if slot is not None:
            strip.action_slot = slot
        first, last = min(start, take.frame_range[0]), max(end, take.frame_range[1], start + 1.0)
        strip.action_frame_start, strip.action_frame_end = first, last
        strip.frame_end_raw, strip.frame_start_raw = last, first
        strip.scale, strip.blend_type, strip.extrapolation = 1.0, "REPLACE", "HOLD"
    data.action_blend_type = "COMBINE"
    return name or "NLA"


def _free_name(data: Any) -> str:
    names = {track.name for track in data.nla_tracks}
    return next(name for name in (_NAME, *(f"{_NAME} {count}" for count in range(2, 1000))) if name not in names)


def body_up(owner: Any, name: str) -> None:
    """Takes our track out again; the Action that lay in it is put back by whoever knows which it was."""
    data = owner.animation_data
    if data is None:
        return
    data.action_blend_type = "REPLACE"
    track = data.nla_tracks.get(name)
    if track is not None and name.startswith(_NAME):
        data.nla_tracks.remove(track)
