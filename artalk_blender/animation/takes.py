# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: every generation is its own Action, with where it came from.

One Action, two slots: the face (the Key data-block) and the bones (the armature object). Its ID properties
hold the provenance and the raw motion, so that the keys can be made again, years later and without the model.
No Action that exists is ever changed; the one that a take replaces keeps a user, so it is not lost on saving, and
comes back when the take is removed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..engine import __version__
from ..errors import ArtalkError
from ..head.build import Head, head_of
from ..motion.layout import CHANNELS, MOTION_FPS
from ..motion.process import ProcessSettings, process_motion
from ..motion.resample import to_whole_frames
from ..motion.timing import WHOLE, Keying, TimeMap
from . import assign
from .channels import channels_of
from .fcurves import KEY, OBJECT, Channel, digest, remove_curves, slot_of, write_channels
from .mouth import mouth_of

TAKE_KEY = "artalk_take"  # dict: provenance, settings, times
MOTION_KEY = "artalk_motion"  # bytes: raw motion, (T,106) little-endian float32
LOUDNESS_KEY = "artalk_loudness"  # bytes: (T,) little-endian float32; only where the sound was there
_CURVES = "curves"  # JSON: [slot, data path, index] of every F-curve that we wrote
_BEFORE = "before"  # JSON: what played before and what the properties were

Floats = NDArray[np.float32]
Place = tuple[str, str, int]


@dataclass(frozen=True)
class Provenance:
    """What a take was made from. Paths are for people; the sha256 say what it really was.

    strip: in seconds, "start" and "end" in the scene, "offset" of what is heard first from the file's start, and the
    "speed" it plays at.
    """

    audio_name: str = ""
    audio_path: str = ""
    audio_sha256: str = ""
    model_name: str = ""
    model_sha256: str = ""
    style: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    strip: dict[str, float] = field(default_factory=dict)


def new_take(head: Head, raw: NDArray[np.floating], start_frame: float, scene_fps: float,
             provenance: Provenance, settings: ProcessSettings | None = None, keying: Keying | None = None,
             loudness: NDArray[np.floating] | None = None, times: TimeMap | None = None) -> Any:
    """A new Action with the keys of raw motion (T,106), assigned to the head; the first frame is at `start_frame`.

    `loudness` (T,) belongs to the sound and is needed to gate silence later. `times` says where motion lies in a
    scene whose sound is retimed. Raises ArtalkError where the head can't be animated; nothing has changed then.
    """
    settings, keying = settings or ProcessSettings(), keying or Keying()
    assign.check_editable(head)
    raw = np.asarray(raw, np.float32).reshape(-1, CHANNELS)
    times = times or TimeMap.steady(start_frame, scene_fps)
    loud = None if loudness is None else np.asarray(loudness, np.float32)
    frames, channels = _keys(head, raw, loud, times, scene_fps, settings, keying)
    action = bpy.data.actions.new(f"ARTalk {provenance.audio_name or 'take'}")
    action.use_fake_user = True
    action.slots.new(id_type=KEY, name=head.shape_keys.name)
    action.slots.new(id_type=OBJECT, name=head.armature.name)
    action[TAKE_KEY] = {
        **asdict(provenance),
        "id": uuid.uuid4().hex,
        "head": head.armature.name,
        "start_frame": float(start_frame),
        "scene_fps": float(scene_fps),
        "motion_fps": MOTION_FPS,
        "times": {"seconds": list(times.seconds), "frames": list(times.frames)},
        "version": __version__,
        "blender": compat.VERSION_TEXT,
    }
    action[MOTION_KEY] = raw.astype("<f4").tobytes()
    if loud is not None:
        action[LOUDNESS_KEY] = loud.astype("<f4").tobytes()
    _write(action, channels, frames)
    action[TAKE_KEY]["settings"] = {**settings.as_dict(), **provenance.settings}
    action[TAKE_KEY]["keying"] = keying.as_dict()
    play_take(action, head)
    return action


def _keys(head: Head, raw: Floats, loudness: Floats | None, times: TimeMap, scene_fps: float,
          settings: ProcessSettings, keying: Keying) -> tuple[NDArray[np.float64], list[Channel]]:
    """Scene frames and channels that raw motion becomes under these settings."""
    motion = _process(head, raw, settings, loudness)
    times = times.shifted(getattr(settings, "offset_ms", 0.0) * 1e-3 * scene_fps)
    if keying.mode == WHOLE:
        mouth = mouth_of(head)
        frames, motion = to_whole_frames(motion, times, mouth.aperture(motion) if mouth else None)
    else:
        frames = times.frames_at(np.arange(len(motion)) / MOTION_FPS)
    return frames, channels_of(head, motion, keying)


def _process(head: Head, raw: Floats, settings: ProcessSettings, loudness: Floats | None) -> Floats:
    if hasattr(settings, "offset_ms"):
        return process_motion(raw, settings, head.face_channels() if hasattr(head, "face_channels") else None, loudness)
    return process_motion(raw, settings)


def _write(action: Any, channels: list[Channel], frames: NDArray[np.float64]) -> None:
    """Keys, which of the curves are ours, and what they look like untouched."""
    write_channels(action, channels, frames)
    note_curves(action, [channel.place for channel in channels])


def note_curves(action: Any, places: Iterable[Place]) -> None:
    """Remembers which curves are ours and their present look, so that edits by hand are noticed."""
    places = sorted(places)
    action[TAKE_KEY][_CURVES] = json.dumps(places)
    action[TAKE_KEY]["digest"] = digest(action, places)


# -- reading a take ----------------------------------------------------------------------------------------------------

def is_take(action: Any) -> bool:
    return action is not None and TAKE_KEY in action and MOTION_KEY in action


def takes() -> list[Any]:
    """Every take in the file."""
    return [action for action in bpy.data.actions if is_take(action)]


def raw_motion(action: Any) -> Floats:
    """The raw motion (T,106) that a take keeps."""
    return _numbers(action, MOTION_KEY).reshape(-1, CHANNELS)


def loudness_of(action: Any) -> Floats | None:
    """The loudness (T,) of a take's sound, where it was kept."""
    return _numbers(action, LOUDNESS_KEY) if LOUDNESS_KEY in action else None


def _numbers(action: Any, key: str) -> Floats:
    stored = action[key]
    if not isinstance(stored, bytes) or len(stored) % (4 * (CHANNELS if key == MOTION_KEY else 1)):
        raise ArtalkError(f"The take “{action.name}” has lost its motion.", "Generate it again.", "bad_file")
    return np.frombuffer(stored, "<f4").astype(np.float32)


def settings_of(action: Any) -> tuple[ProcessSettings, Keying]:
    """How a take is tuned and keyed now."""
    stored = action[TAKE_KEY].to_dict()
    make = getattr(ProcessSettings, "from_dict", None) or (lambda d: ProcessSettings(d["smooth"], d["head_gain"]))
    return make(stored.get("settings", {})), Keying.from_dict(stored.get("keying", {}))


def curves_of(action: Any) -> list[Place]:
    """Slot, data path and index of the F-curves that we wrote."""
    return [(str(kind), str(path), int(index)) for kind, path, index in json.loads(action[TAKE_KEY].get(_CURVES, "[]"))]


def is_edited(action: Any) -> bool:
    """Whether someone has changed our curves since we wrote them."""
    return action[TAKE_KEY].get("digest", "") != digest(action, curves_of(action))


def head_of_take(action: Any) -> Head:
    """The head that a take plays on, or else belongs to by name, or the only one there is.

    Raises ArtalkError where no head can be told.
    """
    users = assign.users_of(action) + [owner for owner, _, _ in assign.strips_of(action)]
    heads = [head for head in map(head_of, bpy.data.objects) if head is not None]
    for head in heads:
        if head.armature in users or head.shape_keys in users:
            return head
    named = [head for head in heads if head.armature.name == action[TAKE_KEY].get("head", "")]
    found = {head.armature.name: head for head in named or heads}
    if len(found) == 1:
        return next(iter(found.values()))
    raise ArtalkError(f"No head plays the take “{action.name}”.", "Select the head it is for.")


# -- changing a take ---------------------------------------------------------------------------------------------------

def play_take(action: Any, head: Head) -> None:
    """Assigns a take to a head and notes on the take what played there before."""
    assign.check_editable(head)
    if action.library is not None:
        raise ArtalkError(f"The take “{action.name}” is linked from another file.", "Make it local first.")
    places = curves_of(action)
    playing = {kind: _reference(owner) for kind, owner in assign.owners(head)}
    if any(reference.get("action") == action.name for reference in playing.values()):
        before = _before(action)
    else:
        earlier = next((bpy.data.actions.get(reference.get("action", "")) for reference in playing.values()
                        if reference.get("take")), None)
        values = assign.values_now(head, places)
        if earlier is not None:
            # what a take moves is the take's doing: the values from before it are the head's own
            values.update(_before(earlier).get("values", {}))
        before = {"playing": playing, "values": values,
                  "original": _before(earlier).get("original", {}) if earlier is not None else playing}
        if earlier is not None:
            assign.put_values(head, values, set(curves_of(earlier)) - set(places))
    for kind, owner in assign.owners(head):
        kept = assign.play(owner, action, slot_of(action, kind))
        if kept:
            before["playing"][kind]["kept"] = True
    action[TAKE_KEY][_BEFORE] = json.dumps(before)
    action[TAKE_KEY]["head"] = head.armature.name


def _before(action: Any) -> dict[str, Any]:
    return json.loads(action[TAKE_KEY].get(_BEFORE, "{}")) if is_take(action) else {}


def _reference(owner: Any) -> dict[str, Any]:
    """What plays on a data-block, by name; takes by their id too, since they are renamed more often."""
    reference: dict[str, Any] = dict(assign.playing(owner))
    action = bpy.data.actions.get(reference.get("action", ""))
    if is_take(action):
        reference["take"] = action[TAKE_KEY].get("id", "")
    return reference


def retune(action: Any, settings: ProcessSettings, keying: Keying | None = None, head: Head | None = None) -> Any:
    """Makes a take's keys again from its raw motion, with other settings and without the model.

    Returns the Action that has them: the same one, whose curves of ours are rewritten, or, where those were edited
    by hand or the Action is linked, a new take in its place; the edited one is left as it is.
    Raises ArtalkError where there is no head for it.
    """
    if not is_take(action):
        raise ArtalkError(f"“{action.name}” is no take of ARTalk.", "Choose one that Generate Motion made.")
    head = head or head_of_take(action)
    assign.check_editable(head)
    stored = action[TAKE_KEY].to_dict()
    keying = keying or settings_of(action)[1]
    times = TimeMap(tuple(stored["times"]["seconds"]), tuple(stored["times"]["frames"]))
    raw, loud = raw_motion(action), loudness_of(action)
    frames, channels = _keys(head, raw, loud, times, stored["scene_fps"], settings, keying)
    old, result = curves_of(action), action
    if action.library is not None or is_edited(action):
        result = duplicate_take(action)
        remove_curves(result, old)
    new = {channel.place for channel in channels}
    gone = [place for place in old if place not in new]
    remove_curves(result, gone)
    values = _before(result).get("values", {})
    values = {**assign.values_now(head, new - set(old)), **values}
    _write(result, channels, frames)
    result[TAKE_KEY]["settings"] = {**stored.get("settings", {}), **settings.as_dict()}
    result[TAKE_KEY]["keying"] = keying.as_dict()
    if action in [owner.animation_data.action for _, owner in assign.owners(head) if owner.animation_data]:
        assign.put_values(head, values, gone)
        if result == action:
            _note(result, values)
            _refresh(head)
        else:
            play_take(result, head)
    return result


def _note(action: Any, values: dict[str, list[float]]) -> None:
    before = _before(action)
    action[TAKE_KEY][_BEFORE] = json.dumps({**before, "values": values})


def _refresh(head: Head) -> None:
    """Blender shows new keys only once it is told that they are new."""
    for _, owner in assign.owners(head):
        owner.animation_data.action.update_tag()
        owner.update_tag()


def duplicate_take(action: Any, name: str = "") -> Any:
    """A copy with its own identity, not assigned to anything."""
    copy = action.copy()
    copy.name = name or action.name
    copy.use_fake_user = True
    copy[TAKE_KEY]["id"] = uuid.uuid4().hex
    return copy


def rename_take(action: Any, name: str) -> str:
    """Renames a take; returns the name that Blender gave it, which has a number where the wish was taken."""
    wanted = name.strip()
    if not wanted:
        raise ArtalkError("A take needs a name.", "Type one.")
    action.name = wanted
    return action.name


def remove_take(action: Any) -> None:
    """Deletes a take, its NLA strips and nothing else; what played before it plays again, with its values.

    Raises ArtalkError for an Action that is no take of ours.
    """
    if not is_take(action):
        raise ArtalkError(f"“{action.name}” is no take of ARTalk.", "Only takes can be removed here.")
    if action.library is not None:
        raise ArtalkError(f"The take “{action.name}” is linked from another file.", "Remove it there.")
    before, places = _before(action), curves_of(action)
    users = assign.users_of(action)
    heads = {head.armature.name: head for head in map(head_of, bpy.data.objects) if head is not None}
    for head in heads.values():
        if any(owner in users for _, owner in assign.owners(head)):
            assign.check_editable(head)
            _restore(head, action, before, places)
    for owner in users:  # whatever else it was put on by hand
        if owner.animation_data.action == action:
            owner.animation_data.action = None
    for owner, track, strip in assign.strips_of(action):
        track.strips.remove(strip)
        if not track.strips and track.name.startswith(action.name):
            owner.animation_data.nla_tracks.remove(track)
    bpy.data.actions.remove(action)


def _restore(head: Head, action: Any, before: dict[str, Any], places: list[Place]) -> None:
    """Puts back on a head what played there before the take, or before all takes."""
    assign.put_values(head, before.get("values", {}), places)
    for kind, owner in assign.owners(head):
        if owner.animation_data is None or owner.animation_data.action != action:
            continue
        reference = before.get("playing", {}).get(kind, {})
        found = _referred(reference, action)
        if found is None and reference.get("take"):
            reference = before.get("original", {}).get(kind, {})
            found = _referred(reference, action)
        assign.play(owner, found, assign.slot_named(found, reference.get("slot", ""), kind) if found else None)
        if found is not None and reference.get("kept"):
            found.use_fake_user = False
    for _, owner in assign.owners(head):
        owner.update_tag()


def _referred(reference: dict[str, Any], action: Any) -> Any:
    """The Action that a reference means, if it still exists and is not the one that goes."""
    if reference.get("take"):
        wanted = reference["take"]
        return next((take for take in takes() if take != action and take[TAKE_KEY].get("id") == wanted), None)
    found = bpy.data.actions.get(reference.get("action", ""))
    return found if found != action else None
