# SPDX-License-Identifier: GPL-3.0-or-later
"""What a take keeps in its Action's ID properties, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError
from ..motion.layout import CHANNELS
from ..motion.process import ProcessSettings
from ..motion.timing import Keying, TimeMap
from .fcurves import digest

TAKE_KEY = "artalk_take"  # dict: provenance, settings, times
MOTION_KEY = "artalk_motion"  # bytes: raw motion, (T,106) little-endian float32
LOUDNESS_KEY = "artalk_loudness"  # bytes: (T,) little-endian float32; only where the sound was there
STYLES_KEY = "artalk_take_styles"  # dict: name, as in Provenance.style -> bytes: (N,106) little-endian float32

# within TAKE_KEY
CURVES = "curves"  # JSON: [slot, data path, index] of every F-curve that we wrote
DIGEST = "digest"  # what they looked like when we had written them
LINES = "lines"  # JSON: the strips that the take speaks, as in Provenance
BEFORE = "before"  # JSON: what played before and what the properties were
UNFINISHED = "unfinished"  # there only while the take's motion is being made
SIMPLIFIED = "simplified"  # dict: millimetres, degrees; only where keys were taken out
ALL_KEYS = "all_keys"  # True: tuned since, and the keys that nobody would miss are still to be taken out again

Floats = NDArray[np.float32]
Place = tuple[str, str, int]


@dataclass(frozen=True)
class Provenance:
    """What a take was made from. Paths are for people; the sha256 say what it really was.

    lines: the strips it speaks, each with the name of its "strip", its "sha256", its "look" (audio/looks.py) and as
    `strip` has it for the first; a take keeps them as JSON.
    strip: in seconds, "start" and "end" in the scene, "offset" of what is heard first from the file's start; the
    "speed" it plays at, over all where it changes; "as_played" 1 where the model heard it at that speed.
    style: as styles.py names it, empty for the model's own manner; style_strength: how far it was followed, 0 where
    that is not known.
    """

    audio_name: str = ""
    audio_path: str = ""
    audio_sha256: str = ""
    model_name: str = ""
    model_sha256: str = ""
    style: str = ""
    style_strength: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    strip: dict[str, float] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As a take keeps it."""
        return {**asdict(self), LINES: json.dumps(self.lines)}


def is_take(action: Any) -> bool:
    return action is not None and TAKE_KEY in action and MOTION_KEY in action


def check_take(action: Any) -> None:
    """Raises ArtalkError for an Action that is no take of ours."""
    if not is_take(action):
        raise ArtalkError(f"“{action.name}” is no take of ARTalk.", "Choose one that Generate Motion made.")


def takes() -> list[Any]:
    """Every take in the file."""
    return [action for action in bpy.data.actions if is_take(action)]


def unfinished_takes() -> list[Any]:
    """Takes whose motion is still being made, or was when something went wrong."""
    return [action for action in takes() if UNFINISHED in action[TAKE_KEY]]


def raw_motion(action: Any) -> Floats:
    """The raw motion (T,106) that a take keeps."""
    return _numbers(action, MOTION_KEY, CHANNELS).reshape(-1, CHANNELS)


def loudness_of(action: Any) -> Floats | None:
    """The loudness (T,) of a take's sound, where it was kept."""
    return _numbers(action, LOUDNESS_KEY, 1) if LOUDNESS_KEY in action else None


def keep_style(action: Any, name: str, motion: NDArray[np.floating[Any]] | None) -> None:
    """Keeps the style (N,106) that a take, or a range of it, was made in; nothing where it has none."""
    if not name or motion is None:
        return
    if STYLES_KEY not in action:
        action[STYLES_KEY] = {}
    stored = action[STYLES_KEY]
    stored.pop(name, None)  # new bytes over old ones are cut off at a zero, by Blender
    stored[name] = np.asarray(motion, "<f4").tobytes()


def kept_styles(action: Any) -> dict[str, Floats]:
    """The styles (N,106) that a take keeps, by name; damaged ones are left out."""
    stored = action.get(STYLES_KEY)
    found = {}
    for name, value in stored.items() if hasattr(stored, "items") else ():
        if isinstance(value, bytes) and value and len(value) % (4 * CHANNELS) == 0:
            motion = np.frombuffer(value, "<f4").reshape(-1, CHANNELS).astype(np.float32)
            if np.isfinite(motion).all():
                found[name] = motion
    return found


def _numbers(action: Any, key: str, width: int) -> Floats:
    stored = action[key]
    values = np.frombuffer(stored, "<f4") if isinstance(stored, bytes) and len(stored) % (4 * width) == 0 else None
    if values is None or not np.isfinite(values).all():
        raise ArtalkError(f"The take “{action.name}” has lost its motion.", "Generate it again.", "bad_file")
    return values.astype(np.float32)


def settings_of(action: Any) -> tuple[ProcessSettings, Keying]:
    """How a take is tuned and keyed now."""
    try:
        tuning = ProcessSettings.from_dict(action[TAKE_KEY].to_dict().get("settings", {}))
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtalkError(f"The take “{action.name}” holds impossible settings: {error}.",
                          "Reset its tuning.", "bad_file") from None
    return tuning, keying_of(action)


def keying_of(action: Any) -> Keying:
    """How a take is keyed now; as by default where that is damaged."""
    try:
        return Keying.from_dict(action[TAKE_KEY].to_dict().get("keying", {}))
    except (AttributeError, TypeError, ValueError):
        return Keying()


def times_of(action: Any) -> TimeMap:
    """Where a take's motion lies in the scene, before its sync offset."""
    stored = action[TAKE_KEY].to_dict()
    try:
        if "times" not in stored:  # made by the first version
            return TimeMap.steady(stored["start_frame"], stored["scene_fps"])
        return TimeMap(tuple(stored["times"]["seconds"]), tuple(stored["times"]["frames"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise ArtalkError(f"The take “{action.name}” no longer says where in the scene it lies.",
                          "Generate it again.", "bad_file") from None


def noted(action: Any, key: str, empty: Any) -> Any:
    """What a take notes under `key` as JSON; `empty` where there is nothing of that kind (files come from anywhere)."""
    try:
        found = json.loads(action[TAKE_KEY].get(key, ""))
    except (TypeError, ValueError):
        return empty
    return found if isinstance(found, type(empty)) else empty


def note(action: Any, key: str, value: Any) -> None:
    action[TAKE_KEY][key] = json.dumps(value)


def curves_of(action: Any) -> list[Place]:
    """Slot, data path and index of the F-curves that we wrote; none where the note of it is damaged."""
    try:
        return [(str(kind), str(path), int(index)) for kind, path, index in noted(action, CURVES, [])]
    except (TypeError, ValueError):
        return []


def note_curves(action: Any, places: Iterable[Place]) -> None:
    """Remembers which curves are ours and their present look, so that edits by hand are noticed."""
    places = sorted(places)
    note_places(action, places)
    action[TAKE_KEY][DIGEST] = digest(action, places)


def note_places(action: Any, places: list[Place]) -> None:
    """Remembers which curves are ours."""
    note(action, CURVES, places)


def is_edited(action: Any) -> bool:
    """Whether someone has changed our curves since we wrote them."""
    return action[TAKE_KEY].get(DIGEST, "") != digest(action, curves_of(action))


def before_of(action: Any) -> dict[str, Any]:
    """What played on the head before the take and what its properties were; empty for other Actions."""
    return noted(action, BEFORE, {}) if is_take(action) else {}
