# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes as NLA strips: face and bones each get a track on top of what is there, which stays as it is."""

from __future__ import annotations

from typing import Any

from ..errors import ArtalkError
from . import assign
from .fcurves import slot_of
from .take_data import check_take, is_take, note, noted

_SHORT = 1e-4  # the smallest scale of a strip
_TRACKS = "tracks"  # noted on the take: names of the NLA tracks that we made for the take


def push_take(action: Any, head: assign.Player) -> list[Any]:
    """Moves a take that plays on the head down into new NLA tracks, at its own time; returns the strips.

    Raises ArtalkError where the head does not play the take, or can't be changed.
    """
    check_take(action)
    assign.check_editable(head)
    owners = [(kind, owner) for kind, owner in assign.owners(head)
              if owner.animation_data is not None and owner.animation_data.action == action]
    if not owners:
        raise ArtalkError(f"“{head.name}” does not play the take “{action.name}”.", "Use the take first.")
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


def shift_strips(action: Any, frames: float) -> None:
    """Moves the strips of a take, whose keys have moved, by as many scene frames, along with the part that they play.

    Where it was moved by hand, how long it is, its speed and its part of the take stay. A strip without room, on a
    locked track, of a linked track, being tweaked or with a time curve of its own stays where it is: its motion moves
    within it.
    """
    found = sorted(assign.strips_of(action), key=lambda one: one[2].frame_start, reverse=frames > 0.0)
    for owner, track, strip in found:
        if owner.library is None and not (track.lock or track.is_override_data or strip.use_animated_time
                                          or owner.animation_data.use_tweak_mode) and _has_room(track, strip, frames):
            _shift(strip, frames)


def _has_room(track: Any, strip: Any, frames: float) -> bool:
    """Whether nothing lies where the strip is going, or on the way there."""
    start, end = strip.frame_start + min(frames, 0.0), strip.frame_end + max(frames, 0.0)
    return all(other == strip or other.frame_end <= start + 1e-3 or other.frame_start >= end - 1e-3
               for other in track.strips)


def _shift(strip: Any, frames: float) -> None:
    """Made short meanwhile: Blender pushes the strips beside one that gets longer away."""
    scale, start, end = strip.scale, strip.frame_start, strip.frame_end
    first, last = strip.action_frame_start, strip.action_frame_end
    strip.scale = _SHORT
    for name, value in _leading([("action_frame_start", first), ("action_frame_end", last)], frames):
        setattr(strip, name, value + frames)
    strip.scale = scale
    for name, value in _leading([("frame_start_raw", start), ("frame_end_raw", end)], frames):
        setattr(strip, name, value + frames)


def _leading(ends: list[tuple[str, float]], frames: float) -> list[tuple[str, float]]:
    """The end that goes ahead first: the start never comes to lie behind the end."""
    return ends[::-1] if frames > 0.0 else ends


def playing_take(head: assign.Player | None) -> Any:
    """The take that plays on a head, as its Action or from the NLA, or None."""
    if head is None:
        return None
    for _, owner in assign.owners(head):
        action = owner.animation_data.action if owner.animation_data is not None else None
        if is_take(action):
            return action
    return pushed_take(head)


def pushed_take(head: assign.Player) -> Any:
    """The take that plays on the head from the topmost NLA track that is not muted, or None."""
    for _, owner in assign.owners(head):
        for track in reversed(owner.animation_data.nla_tracks if owner.animation_data is not None else ()):
            for strip in track.strips if not track.mute else ():
                if is_take(strip.action) and not strip.mute:
                    return strip.action
    return None


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
