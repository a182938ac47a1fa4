# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes that follow their sound strip: whether it is still where it was, and what can be done without the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..audio.looks import MOVED, OTHER, SAME, TRIMMED, StripLook, look_of
from ..errors import ArtalkError
from ..motion.layout import MOTION_FPS
from ..motion.timing import TimeMap
from .fcurves import find_curve
from .nla import shift_strips
from .take_data import (
    LINES,
    LOUDNESS_KEY,
    MOTION_KEY,
    TAKE_KEY,
    check_take,
    curves_of,
    is_edited,
    loudness_of,
    note,
    note_curves,
    noted,
    raw_motion,
    settings_of,
    times_of,
)
from .takes import retune

GONE = "gone"
_SAYS = {
    GONE: "Its strip “{}” is gone",
    MOVED: "Its strip “{}” was moved",
    TRIMMED: "Its strip “{}” was trimmed or slipped",
    OTHER: "Its strip “{}” is another sound, or at another speed",
}
_LEAST = 5  # frames of motion


def state_of(action: Any, scene: Any) -> tuple[str, str]:
    """What became of a take's strips in the sequencer's scene, and that in one sentence; empty for a take without."""
    state, text = SAME, ""
    for name, before, now in _lines(action, scene):
        found = GONE if now is None else before.change(now)
        if found != SAME:
            state, text = (found, _SAYS[found].format(name)) if state in (SAME, MOVED) else (state, text)
    return state, text


def follow_strip(action: Any, scene: Any) -> None:
    """Brings a take's keys to where its strip is now; what is no longer heard goes. Never asks the model.

    A strip that was only moved takes along keys that were edited by hand. Raises ArtalkError where the strip lets hear
    what the take has no motion for.
    """
    check_take(action)
    lines = _lines(action, scene)
    state, text = state_of(action, scene)
    if state == SAME:
        return
    if state in (GONE, OTHER) or (state == TRIMMED and len(lines) > 1):
        raise ArtalkError(f"{text}.", "Generate the take again.")
    _, before, now = lines[0]
    assert now is not None
    if state == MOVED:
        shifts = {new.start - old.start for _, old, new in lines if new is not None}
        if max(shifts) - min(shifts) > 1e-3:
            raise ArtalkError("The take's strips were moved by different distances.", "Generate the take again.")
        _shift(action, now.start - before.start)
    else:
        _trim(action, before, now)
    note(action, LINES, [{**stored, "look": new.as_dict()} for stored, (_, _, new) in
                         zip(noted(action, LINES, []), lines, strict=True) if new is not None])


def _lines(action: Any, scene: Any) -> list[tuple[str, StripLook, StripLook | None]]:
    """Name, former and present look of every strip that the take speaks."""
    editor = scene.sequence_editor
    strips = {strip.name: strip for strip in editor.strips_all if strip.type == "SOUND"} if editor is not None else {}
    result = []
    for line in noted(action, LINES, []):
        before = StripLook.from_dict(line.get("look", {})) if isinstance(line, dict) else None
        if before is not None:
            strip = strips.get(line.get("strip", ""))
            result.append((str(line.get("strip", "")), before, None if strip is None else look_of(strip, scene)))
    return result


def _shift(action: Any, frames: float) -> None:
    """All keys of ours, with their handles, and the NLA strips that play them."""
    edited = is_edited(action)
    for place in curves_of(action):
        curve = find_curve(action, place)
        if curve is None:
            continue
        points = np.empty(2 * len(curve.keyframe_points), np.float32)
        for part in ("co", "handle_left", "handle_right"):
            curve.keyframe_points.foreach_get(part, points)
            points[::2] += frames
            curve.keyframe_points.foreach_set(part, points)
        curve.update()
    _note_times(action, times_of(action).shifted(frames))
    if not edited:
        note_curves(action, curves_of(action))
    shift_strips(action, frames)
    action.update_tag()


def _trim(action: Any, before: StripLook, now: StripLook) -> None:
    """Keeps the frames of motion that are heard now."""
    if is_edited(action):
        raise ArtalkError("The take was edited by hand, and its strip was trimmed.",
                          "Trim its keys by hand, or generate the take again.")
    raw, loudness = raw_motion(action), loudness_of(action)
    seconds = (now.first - before.first) / before.rate  # of the motion before what is heard first now
    length = (now.end - now.start) / now.rate
    first, last = int(np.floor(seconds * MOTION_FPS + 1e-6)), int(np.ceil((seconds + length) * MOTION_FPS - 1e-6))
    if first < 0 or last > len(raw) + 1:
        raise ArtalkError("The strip lets more be heard than the take has motion for.", "Generate the take again.")
    last = min(last, len(raw))
    if last - first < _LEAST:
        raise ArtalkError("Hardly anything of the strip is left.", "Show more of it.")
    for key in (MOTION_KEY, LOUDNESS_KEY):
        action.pop(key, None)  # new bytes over old ones are cut off at a zero, by Blender
    action[MOTION_KEY] = raw[first:last].astype("<f4").tobytes()
    if loudness is not None:
        action[LOUDNESS_KEY] = loudness[first:last].astype("<f4").tobytes()
    scale = float(action[TAKE_KEY]["scene_fps"]) / now.rate
    start = (now.start + (first / MOTION_FPS - seconds) * now.rate) * scale
    _note_times(action, TimeMap.steady(start, now.rate * scale))
    retune(action, *settings_of(action))


def _note_times(action: Any, times: TimeMap) -> None:
    action[TAKE_KEY]["times"] = {"seconds": list(times.seconds), "frames": list(times.frames)}
    action[TAKE_KEY]["start_frame"] = float(times.frames[0])
