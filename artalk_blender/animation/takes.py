# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: every generation is its own Action, with where it came from.

One Action, two slots: the face (the Key data-block) and the bones (the armature object). Its ID properties
hold the provenance and the raw motion, so that the keys can be made again, years later and without the model.
No Action that exists is ever changed; the one that a take replaces keeps a user, so it is not lost on saving, and
comes back when the take is removed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..engine import __version__
from ..errors import ArtalkError
from ..head.handle import Head, head_of
from ..motion.layout import CHANNELS, MOTION_FPS
from ..motion.mouth import Mouth
from ..motion.process import ProcessSettings, process_motion
from ..motion.regions import FaceChannels
from ..motion.resample import to_whole_frames
from ..motion.timing import WHOLE, Keying, TimeMap
from ..retarget.player import Retarget, retarget_of_take, retargets
from ..retarget.shown import knowing_lips
from ..runner import Work, finish
from . import assign
from .channels import channels_of
from .fcurves import Channel, digest, remove_curves, slot_of, write_channels
from .keyed_gains import keyed_gains
from .mouth import mouth_of
from .nla import remove_strips, shift_strips
from .simplify import Bound, Find, Simplification, plan_simplification
from .take_data import (
    ALL_KEYS,
    BEFORE,
    LOUDNESS_KEY,
    MOTION_KEY,
    SIMPLIFIED,
    TAKE_KEY,
    Place,
    Provenance,
    before_of,
    check_take,
    curves_of,
    is_edited,
    is_take,
    keying_of,
    loudness_of,
    note,
    note_curves,
    raw_motion,
    settings_of,
    takes,
    times_of,
)

Floats = NDArray[np.float32]


def new_take(head: Head | Retarget, raw: NDArray[np.floating], start_frame: float, scene_fps: float,
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
    for kind, owner in assign.owners(head):
        id_type, _, name = kind.partition(":")
        action.slots.new(id_type=id_type, name=name or owner.name)
    action[TAKE_KEY] = {
        **provenance.as_dict(),
        "id": uuid.uuid4().hex,
        "head": head.name,
        "start_frame": float(start_frame),
        "scene_fps": float(scene_fps),
        "motion_fps": MOTION_FPS,
        "times": {"seconds": list(times.seconds), "frames": list(times.frames)},
        "version": __version__,
        "blender": compat.VERSION_TEXT,
    }
    if isinstance(head, Retarget):
        head.remember(action)
    action[MOTION_KEY] = raw.astype("<f4").tobytes()
    if loud is not None:
        action[LOUDNESS_KEY] = loud.astype("<f4").tobytes()
    _write(action, channels, frames)
    action[TAKE_KEY]["settings"] = {**settings.as_dict(), **provenance.settings}
    action[TAKE_KEY]["keying"] = keying.as_dict()
    play_take(action, head)
    return action


def keyed_motion(raw: Floats, loudness: Floats | None, times: TimeMap, scene_fps: float, settings: ProcessSettings,
                 keying: Keying, face: FaceChannels, mouth: Mouth | None,
                 gains: Mapping[str, Floats] | None = None) -> tuple[NDArray[np.float64], Floats]:
    """Raw motion (T,106) -> scene frames (K,) to be keyed and the motion (K,106) there. Needs no Blender data."""
    motion = process_motion(raw, settings, face, loudness, gains)
    times = times.shifted(settings.offset_ms * 1e-3 * scene_fps)
    if keying.mode == WHOLE:
        return to_whole_frames(motion, times, mouth.aperture(motion) if mouth else None)
    return times.frames_at(np.arange(len(motion)) / MOTION_FPS), motion


def _keys(head: Head | Retarget, raw: Floats, loudness: Floats | None, times: TimeMap, scene_fps: float,
          settings: ProcessSettings, keying: Keying) -> tuple[NDArray[np.float64], list[Channel]]:
    """Scene frames and channels that raw motion becomes under these settings."""
    mouth = mouth_of(head) if keying.mode == WHOLE and isinstance(head, Head) else None
    frames, motion = keyed_motion(raw, loudness, times, scene_fps, settings, keying, head.face_channels(), mouth,
                                  keyed_gains(bpy.context.scene, times, len(raw)))
    if isinstance(head, Retarget):
        return frames, head.channels(motion)
    return frames, channels_of(head, motion, keying)


def _write(action: Any, channels: list[Channel], frames: NDArray[np.float64]) -> None:
    """Keys, which of the curves are ours, and what they look like untouched."""
    write_channels(action, channels, frames)
    note_curves(action, [channel.place for channel in channels])


def head_of_take(action: Any) -> Head | Retarget:
    """The head that a take plays on, or else belongs to by name, or the only one there is; or its target.

    Raises ArtalkError where none can be told.
    """
    if retargets(action):
        return retarget_of_take(action)
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

def play_take(action: Any, head: Head | Retarget) -> None:
    """Assigns a take to a head and notes on the take what played there before."""
    assign.check_editable(head)
    if action.library is not None:
        raise ArtalkError(f"The take “{action.name}” is linked from another file.", "Make it local first.")
    places = curves_of(action)
    playing = {kind: _reference(owner) for kind, owner in assign.owners(head)}
    if any(reference.get("action") == action.name for reference in playing.values()):
        before = before_of(action)
    else:
        earlier = next((bpy.data.actions.get(reference.get("action", "")) for reference in playing.values()
                        if reference.get("take")), None)
        values = assign.values_now(head, places)
        if earlier is not None:
            # what a take moves is the take's doing: the values from before it are the head's own
            values.update(before_of(earlier).get("values", {}))
        before = {"playing": playing, "values": values,
                  "original": before_of(earlier).get("original", {}) if earlier is not None else playing}
        if earlier is not None:
            assign.put_values(head, values, set(curves_of(earlier)) - set(places))
    for kind, owner in assign.owners(head):
        layered = head.put_body_under(owner, action) if isinstance(head, Retarget) else ""
        kept = assign.play(owner, action, slot_of(action, kind))
        if kept:
            before["playing"][kind]["kept"] = True
        if layered:
            before["playing"][kind]["layered"] = layered
    note(action, BEFORE, before)
    action[TAKE_KEY]["head"] = head.name


def _reference(owner: Any) -> dict[str, Any]:
    """What plays on a data-block, by name; takes by their id too, since they are renamed more often."""
    reference: dict[str, Any] = dict(assign.playing(owner))
    action = bpy.data.actions.get(reference.get("action", ""))
    if is_take(action):
        reference["take"] = action[TAKE_KEY].get("id", "")
    return reference


def retune(action: Any, settings: ProcessSettings, keying: Keying | None = None,
           head: Head | Retarget | None = None, thin: bool = True) -> Any:
    """Makes a take's keys again from its raw motion, with other settings and without the model.

    One that is simplified is so again; without `thin` it keeps all its keys for now (`beside.thinning` takes them out).

    Returns the Action that has them: the same one, whose curves of ours are rewritten, or, where those were edited
    by hand or the Action is linked, a new take in its place; the edited one is left as it is.
    Raises ArtalkError where there is no head for it.
    """
    check_take(action)
    head = head or head_of_take(action)
    assign.check_editable(head)
    stored = action[TAKE_KEY].to_dict()
    keying = keying or keying_of(action)
    raw, loud = raw_motion(action), loudness_of(action)
    frames, channels = _keys(head, raw, loud, times_of(action), stored["scene_fps"], settings, keying)
    old, result = curves_of(action), action
    if action.library is not None or is_edited(action):
        result = duplicate_take(action)
        remove_curves(result, old)
    new = {channel.place for channel in channels}
    gone = [place for place in old if place not in new]
    remove_curves(result, gone)
    values = before_of(result).get("values", {})
    values = {**assign.values_now(head, new - set(old)), **values}
    _write(result, channels, frames)
    if isinstance(head, Retarget):
        head.remember(result)
    if SIMPLIFIED in stored and thin:
        _simplify(result, head, Bound(**stored[SIMPLIFIED]))
    elif SIMPLIFIED in stored:
        result[TAKE_KEY][ALL_KEYS] = True
    result[TAKE_KEY]["settings"] = {**stored.get("settings", {}), **settings.as_dict()}
    result[TAKE_KEY]["keying"] = keying.as_dict()
    if result == action:
        shift_strips(action, (settings.offset_ms - _offset_ms(stored)) * 1e-3 * stored["scene_fps"])
        for owner, _, _ in assign.strips_of(action):
            owner.update_tag()
    if _plays(action, head):
        assign.put_values(head, values, gone)
        if result == action:
            note(result, BEFORE, {**before_of(result), "values": values})
            _refresh(head)
        else:
            play_take(result, head)
    return result


def _offset_ms(stored: dict[str, Any]) -> float:
    """The sync offset that a take's keys have; none where what it keeps is damaged."""
    try:
        return ProcessSettings.from_dict(stored.get("settings", {})).offset_ms
    except (AttributeError, TypeError, ValueError):
        return 0.0


def _refresh(head: Head | Retarget) -> None:
    """Blender shows new keys only once it is told that they are new."""
    for _, owner in assign.owners(head):
        owner.animation_data.action.update_tag()
        owner.update_tag()


def simplify_take(action: Any, bound: Bound | None = None,
                  head: Head | Retarget | None = None) -> tuple[Any, Simplification]:
    """`simplifying`, at once; returns the Action and what was found."""
    head = head or head_of_take(action)
    name, found = finish(simplifying(lambda: (action, head), bound or Bound()))
    return bpy.data.actions[name], found


def simplifying(find: Find, bound: Bound) -> Work[tuple[str, Simplification]]:
    """Takes out all keys of a take that the bound does not need; tuning it again keeps to the same bound.

    `find` gives the take and its head, found again. Returns the Action's name and what was found; nothing is changed
    before that. A take edited by hand or linked stays as it is: a copy is simplified and played in its place. One that
    is simplified already starts again from all its keys.
    """
    action, head = find()
    check_take(action)
    assign.check_editable(head)
    stays = action.library is not None or is_edited(action)
    look, dense = digest(action, curves_of(action)), None
    if not stays and SIMPLIFIED in action[TAKE_KEY] and ALL_KEYS not in action[TAKE_KEY]:
        dense = duplicate_take(action)
        del dense[TAKE_KEY][SIMPLIFIED]
        retune(dense, *settings_of(dense), head)
    name = dense.name if dense is not None else action.name
    is_target = isinstance(head, Retarget)
    del action, head
    try:
        if is_target:
            yield from knowing_lips(find()[1])
        places = curves_of(bpy.data.actions[name])
        plan = yield from plan_simplification(lambda: (_there(name) if dense else find()[0], find()[1]), places, bound)
        action, head = find()
        if digest(action, curves_of(action)) != look:
            raise ArtalkError(f"The take “{action.name}” was changed meanwhile.", "Simplify it once more.")
        result = duplicate_take(action) if stays else action
        plan.apply(result)
        _note_simplified(result, bound)
        if stays and _plays(action, head):
            play_take(result, head)
        elif _plays(result, head):
            _refresh(head)
        return result.name, plan.found
    finally:
        if dense is not None and name in bpy.data.actions:
            bpy.data.actions.remove(bpy.data.actions[name])


def _there(name: str) -> Any:
    action = bpy.data.actions.get(name)
    if action is None:
        raise ArtalkError(f"The take “{name}” is gone.", "Simplify another one.")
    return action


def _simplify(action: Any, head: Head | Retarget, bound: Bound) -> None:
    """Simplifies keys that were just made."""
    finish(plan_simplification(lambda: (action, head), curves_of(action), bound)).apply(action)
    _note_simplified(action, bound)


def _note_simplified(action: Any, bound: Bound) -> None:
    note_curves(action, curves_of(action))
    action[TAKE_KEY][SIMPLIFIED] = asdict(bound)
    if ALL_KEYS in action[TAKE_KEY]:
        del action[TAKE_KEY][ALL_KEYS]


def _plays(action: Any, head: Head | Retarget) -> bool:
    return any(owner.animation_data and owner.animation_data.action == action for _, owner in assign.owners(head))


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
    check_take(action)
    if action.library is not None:
        raise ArtalkError(f"The take “{action.name}” is linked from another file.", "Remove it there.")
    before, places = before_of(action), curves_of(action)
    users = assign.users_of(action)
    layered = {owner for owner, _, _ in assign.strips_of(action)}
    players: list[Head | Retarget] = [retarget_of_take(action)] if retargets(action) else list(
        {head.armature.name: head for head in map(head_of, bpy.data.objects) if head is not None}.values())
    concerned = [head for head in players
                 if any(owner in users or owner in layered for _, owner in assign.owners(head))]
    for head in concerned:
        assign.check_changeable(head)
    remove_strips(action)
    for head in concerned:
        _restore(head, action, before, places)
    for owner in users:  # whatever else it was put on by hand
        if owner.animation_data.action == action:
            owner.animation_data.action = None
    bpy.data.actions.remove(action)


def _restore(head: Head | Retarget, action: Any, before: dict[str, Any], places: list[Place]) -> None:
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
        if isinstance(head, Retarget) and reference.get("layered") and not is_take(found):
            head.take_body_up(owner, reference["layered"])
        if found is not None and reference.get("kept"):
            found.use_fake_user = False
    for _, owner in assign.owners(head):
        owner.update_tag()
    if isinstance(head, Retarget):
        head.forget(action)


def _referred(reference: dict[str, Any], action: Any) -> Any:
    """The Action that a reference means, if it still exists and is not the one that goes."""
    if reference.get("take"):
        wanted = reference["take"]
        return next((take for take in takes() if take != action and take[TAKE_KEY].get("id") == wanted), None)
    found = bpy.data.actions.get(reference.get("action", ""))
    return found if found != action else None
