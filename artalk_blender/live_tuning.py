# SPDX-License-Identifier: GPL-3.0-or-later
"""Tuning that is seen at once: a setting that is moved is applied to the take that plays.

Only what was moved is applied; whatever else the take has stays. The settings that are shown follow the head that is
selected. A take of up to a minute is tuned while the slider moves, in the slider's own undo step; a longer one when
the slider rests, in a step of its own. Of a long one that is retargeted by geometry a draft is shown then, and one that
is simplified has all its keys; what it really comes to follows in a thread once the slider has rested for a second, and
that is the step to which undo goes. Where nothing is solved yet, as after a file was opened, that is done in a thread
first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .animation.beside import is_solved_anew, solving_ahead, thinning
from .animation.nla import playing_take
from .animation.take_data import ALL_KEYS, MOTION_KEY, TAKE_KEY, UNFINISHED, is_edited, settings_of, takes
from .animation.takes import retune
from .errors import EngineError
from .motion.process import ProcessSettings
from .motion.timing import Keying
from .retarget.draft import drafting, finishing
from .retarget.player import find_player, is_draft
from .runner import Runner, Work

_DELAY = 0.1  # seconds that a slider rests
_REST = 1.0  # seconds, until a draft is solved whole
_LOOK, _SLICE = 0.05, 0.02  # seconds between two looks whether it is, and what each may take
_SHORT = 60 * 25 * 106 * 4  # bytes of raw motion: a minute

_moved: set[str] = set()
_silent = 0
_settler: Runner | None = None
_owner = object()  # of the message bus
problem = ""  # why the last setting that was moved changed no keys; shown in the panel


def update_of(name: str) -> Callable[[Any, Any], None]:
    """What Blender calls when the scene's setting `name` was moved."""
    def moved(_settings: Any, _context: Any) -> None:
        if not _silent and not bpy.app.background:
            _moved.add(name)
            take = _take_to_tune()
            if take is not None and len(take[MOTION_KEY]) <= _SHORT:
                apply_moved()
            elif take is not None:
                _later()
    return moved


def _take_to_tune() -> Any:
    take = playing_take(find_player(bpy.context))
    if take is None or not bpy.context.scene.artalk.live or UNFINISHED in take[TAKE_KEY]:
        _moved.clear()
        return None
    return take


@contextmanager
def silently() -> Iterator[None]:
    """Settings that are set meanwhile are shown and applied to nothing."""
    global _silent
    _silent += 1
    try:
        yield
    finally:
        _silent -= 1


def apply_moved(thin: bool = True) -> None:
    """Applies the settings that were moved since to the take that plays; `thin` as for retune."""
    global problem
    names, scene, take = set(_moved), bpy.context.scene, _take_to_tune()
    _moved.clear()
    if take is None or not names:
        return
    problem = ""
    try:
        if is_edited(take):
            problem = "The take was edited by hand: Apply to Take tunes a copy"
            return
        tuning, keying = settings_of(take)
        retune(take, _with(tuning, names, scene), _with(keying, names, scene), find_player(bpy.context), thin)
    except EngineError as error:
        problem = str(error)


def _with(settings: Any, names: set[str], scene: Any) -> Any:
    return replace(settings, **{name: getattr(scene.artalk, name) for name in names & set(settings.as_dict())})


def show_settings(scene: bpy.types.Scene, *settings: ProcessSettings | Keying) -> None:
    """Puts a take's tuning or keying into the scene's settings, where it is seen and changed."""
    with silently():
        for one in settings:
            for name, value in one.as_dict().items():
                setattr(scene.artalk, name, value)


def show_playing() -> None:
    """Shows how the take of the head that is selected now is tuned."""
    take = playing_take(find_player(bpy.context))
    if take is not None:
        with suppress(EngineError):
            show_settings(bpy.context.scene, *settings_of(take))


def _unsettled() -> list[Any]:
    """Takes that are drafts, or have keys to be taken out; one that was edited by hand meanwhile stays as it is."""
    return [take for take in takes() if (is_draft(take) or ALL_KEYS in take[TAKE_KEY]) and take.library is None
            and not is_edited(take)]


def settle(thin: bool = True) -> bool:
    """Solves whole what was drafted while a slider moved, and with `thin` takes out the keys that wait for it; returns
    whether there was anything."""
    global problem
    drafts = [take for take in _unsettled() if is_draft(take) or thin]
    for take in drafts:
        try:
            retune(take, *settings_of(take), thin=thin)
        except EngineError as error:
            problem = str(error)
    return bool(drafts)


def _settling() -> Work[bool]:
    """The same without holding Blender up while it is solved and keys are taken out."""
    global problem
    names = [str(take[TAKE_KEY].get("id", "")) for take in _unsettled()]
    for take in names:
        yield from finishing(take)
    done = settle(thin=False)
    for take in names:
        try:
            done |= yield from thinning(take)
        except EngineError as error:
            problem = str(error)
    return done


def _ahead() -> Work[bool]:
    """Solves the take that plays for the settings that were moved; they are applied afterwards."""
    global problem
    take = _take_to_tune()
    if take is None:  # something else was selected before this began
        return False
    name = str(take[TAKE_KEY].get("id", ""))
    try:
        tuning, keying = (_with(one, _moved, bpy.context.scene) for one in settings_of(take))
        del take
        yield from solving_ahead(name, tuning, keying)
    except EngineError as error:
        problem = str(error)
        return False
    take = _take_to_tune()
    return take is not None and take[TAKE_KEY].get("id", "") == name


def _later() -> None:
    _stop()
    bpy.app.timers.register(_tick, first_interval=_DELAY)


def _rest(timer: Callable[[], float | None]) -> None:
    global _settler
    _settler = Runner(_settling())
    bpy.app.timers.register(timer, first_interval=_REST)


def _stop() -> None:
    global _settler
    for timer in (_tick, _tick_ahead, _tick_at_rest, _tick_after_undo):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    if _settler is not None:
        _settler.close()
        _settler = None


def _tick() -> None:
    global _settler
    take = _take_to_tune()
    try:
        ahead = take is not None and not is_edited(take) and is_solved_anew(take)
    except EngineError:
        ahead = False  # what is wrong is said by whoever applies
    if ahead:
        _settler = Runner(_ahead())
        bpy.app.timers.register(_tick_ahead, first_interval=_LOOK)
    else:
        _apply()


def _tick_ahead() -> float | None:
    done = _settled()
    if done:
        _apply()
    return _LOOK if done is None else None


def _apply() -> None:
    with drafting():
        apply_moved(thin=False)
    if _unsettled():
        _rest(_tick_at_rest)
    else:
        _step()


def _step() -> None:
    if not bpy.app.background:
        bpy.ops.ed.undo_push(message="Tune Take")


def _settled() -> bool | None:
    """Lets what was drafted be solved on; whether that has changed anything, None while it goes on."""
    global _settler
    if _settler is None:
        return False
    if not _settler.advance(_SLICE):
        return None
    done, _settler = bool(_settler.result), None
    return done


def _tick_at_rest() -> float | None:
    done = _settled()
    if done:
        _step()
    return _LOOK if done is None else None


def _tick_after_undo() -> float | None:
    return _LOOK if _settled() is None else None  # no step of its own, which would end what can be redone


@persistent
def _after_undo(*_: Any) -> None:
    """A step may hold the setting of a long take before its keys: what counts is what the keys are. Or a draft."""
    show_playing()
    if _unsettled():
        _stop()
        _rest(_tick_after_undo)


@persistent
def _before_saving(*_: Any) -> None:
    settle(thin=False)  # in a file a take may have all its keys: nothing is off then


@persistent
def _subscribe(*_: Any) -> None:
    bpy.msgbus.clear_by_owner(_owner)
    bpy.msgbus.subscribe_rna(key=(bpy.types.LayerObjects, "active"), owner=_owner, args=(), notify=show_playing)


_HANDLERS = (("undo_post", _after_undo), ("redo_post", _after_undo), ("load_post", _subscribe),
             ("save_pre", _before_saving))


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    _subscribe()


def unregister() -> None:
    bpy.msgbus.clear_by_owner(_owner)
    _stop()
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
