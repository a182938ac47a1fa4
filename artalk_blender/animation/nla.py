# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes as NLA strips: face and bones each get a track on top of what is there, which stays as it is."""

from __future__ import annotations

from typing import Any

from ..errors import ArtalkError
from ..head.handle import Head
from . import assign
from .fcurves import slot_of
from .take_data import check_take, note, noted

_TRACKS = "tracks"  # noted on the take: names of the NLA tracks that we made for the take


def push_take(action: Any, head: Head) -> list[Any]:
    """Moves a take that plays on the head down into new NLA tracks, at its own time; returns the strips.

    Raises ArtalkError where the head does not play the take, or can't be changed.
    """
    check_take(action)
    assign.check_editable(head)
    owners = [(kind, owner) for kind, owner in assign.owners(head)
              if owner.animation_data is not None and owner.animation_data.action == action]
    if not owners:
        raise ArtalkError(f"“{head.armature.name}” does not play the take “{action.name}”.", "Use the take first.")
    strips, names = [], noted(action, _TRACKS, [])
    for kind, owner in owners:
        data = owner.animation_data
        covers = len(data.nla_tracks) > 0
        data.action = None
        track = data.nla_tracks.new()
        track.name = action.name
        strips.append(_strip(track, action, slot_of(action, kind), covers))
        names.append(track.name)
    note(action, _TRACKS, sorted(set(names)))
    return strips


def _strip(track: Any, action: Any, slot: Any, covers: bool) -> Any:
    """The whole Action at its own time, to the fraction of a frame."""
    start, end = action.frame_range
    end = max(end, start + 1.0)
    strip = track.strips.new(action.name, int(start), action)
    strip.action_slot = slot
    strip.action_frame_start, strip.action_frame_end = start, end
    # raw: the others keep a distance from neighbours and round; the end first, so that it never lies before the start
    strip.frame_end_raw, strip.frame_start_raw = end, start
    strip.scale = 1.0
    strip.extrapolation = "HOLD_FORWARD" if covers else "HOLD"  # what lies before the take is not covered by it
    strip.blend_type = "REPLACE"
    return strip


def remove_strips(action: Any) -> list[Any]:
    """Takes a take's strips out of every NLA, with the tracks that were made for them and are empty then.

    Returns the data-blocks that had them.
    """
    ours = noted(action, _TRACKS, [])
    found = assign.strips_of(action)
    for owner, track, strip in found:
        track.strips.remove(strip)
        if not len(track.strips) and track.name in ours:
            owner.animation_data.nla_tracks.remove(track)
    return [owner for owner, _, _ in found]
