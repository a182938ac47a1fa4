# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeline markers of ours: put, found again and taken away without touching anybody else's.

Markers hold no properties of their own in every supported Blender, so the scene remembers which ones we made. One that
was moved is still ours; one that was renamed has become the artist's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..errors import ArtalkError

PREFIX = "ARTalk: "
MARKERS_KEY = "artalk_markers"  # JSON: [name, frame] of every marker that we made
_MOST = 1_000_000  # frames that Blender's timeline has either way


def put_markers(scene: Any, wanted: Iterable[tuple[float, str]]) -> int:
    """Replaces our markers by these, (scene frame, text) each; returns how many there are.

    Raises ArtalkError where the scene can't be changed.
    """
    clear_markers(scene)
    made = []
    for frame, text in wanted:
        place = round(min(max(frame, -_MOST), _MOST))
        made.append([scene.timeline_markers.new(PREFIX + text, frame=place).name, place])
    if made:
        scene[MARKERS_KEY] = json.dumps(made)
    return len(made)


def clear_markers(scene: Any) -> int:
    """Removes our markers; returns how many there were."""
    if scene.library is not None:
        raise ArtalkError(f"The scene “{scene.name}” is linked from another file.", "Make it local first.")
    ours = our_markers(scene)
    for marker in ours:
        scene.timeline_markers.remove(marker)
    if MARKERS_KEY in scene:
        del scene[MARKERS_KEY]
    return len(ours)


def our_markers(scene: Any) -> list[Any]:
    """The markers that we made and nobody has renamed; no more of a name than we made, where others were copied."""
    made = _made(scene)
    left = Counter(name for name, _ in made)
    candidates = [marker for marker in scene.timeline_markers if marker.name in left]
    candidates.sort(key=lambda marker: (marker.name, marker.frame) not in made)  # those that were not moved come first
    found = []
    for marker in candidates:
        if left[marker.name] > 0:
            left[marker.name] -= 1
            found.append(marker)
    return found


def _made(scene: Any) -> set[tuple[str, int]]:
    """Name and frame of the markers that we made; none where the note of it is damaged."""
    try:
        noted = json.loads(scene.get(MARKERS_KEY, "[]"))
        return {(name, int(frame)) for name, frame in noted if isinstance(name, str) and name.startswith(PREFIX)}
    except (TypeError, ValueError):
        return set()
