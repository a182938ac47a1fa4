# SPDX-License-Identifier: GPL-3.0-or-later
"""What long takes need that can be done beside Blender (`runner.py`), before their keys are made and afterwards.

Takes are found again by their id after each wait; Blender's own thread does no more than read and write them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import bpy

from ..errors import ArtalkError
from ..head.handle import Head
from ..motion.process import ProcessSettings
from ..motion.timing import Keying
from ..retarget.bake import held_rows, signals_of
from ..retarget.draft import knows, solution
from ..retarget.faces import pair_of, preparing_transfer
from ..retarget.player import Retarget, retarget_of_take, retargets
from ..runner import Work
from .keyed_gains import keyed_gains
from .simplify import Bound
from .take_data import ALL_KEYS, SIMPLIFIED, TAKE_KEY, loudness_of, raw_motion, takes, times_of
from .takes import head_of_take, keyed_motion, simplifying


def take_of_id(take: str) -> Any:
    """Raises ArtalkError where it is gone."""
    action = next((one for one in takes() if one[TAKE_KEY].get("id") == take), None)
    if action is None:
        raise ArtalkError("The take is gone.", "Choose another one.")
    return action


def is_solved_anew(action: Any) -> bool:
    """Whether other settings would have a take by geometry solved from nothing, as after its file was opened."""
    known = not retargets(action) or knows(str(action[TAKE_KEY].get("id", "")))
    return not known and retarget_of_take(action).table.solves


def solving_ahead(take: str, settings: ProcessSettings, keying: Keying) -> Work[None]:
    """Lays the heads of a take by geometry onto each other, where they are not, and solves it for these settings;
    `retune` finds that done."""
    action = take_of_id(take)
    made = retarget_of_take(action)
    pair = pair_of(made.target, made.table, made.source.found(), made.source.head)
    raw, loud, times = raw_motion(action), loudness_of(action), times_of(action)
    process = partial(keyed_motion, raw, loud, times, action[TAKE_KEY]["scene_fps"], settings, keying,
                      made.face_channels(), None, keyed_gains(bpy.context.scene, times, len(raw)))
    del action, made
    transfer = yield from preparing_transfer(pair)
    _, motion = yield process
    made = retarget_of_take(take_of_id(take))
    signals = signals_of(made.table, made.source.found(), made.source.face.names, motion, made.source.head)
    held = held_rows(made.target, made.table, signals, len(motion))
    del made
    yield partial(solution, transfer, motion, take, held)


def thinning(take: str) -> Work[bool]:
    """Simplifies again a take that was tuned without; returns whether there was anything to do."""
    def find() -> tuple[Any, Head | Retarget]:
        action = take_of_id(take)
        return action, head_of_take(action)

    stored = take_of_id(take)[TAKE_KEY].to_dict()
    if ALL_KEYS not in stored or SIMPLIFIED not in stored:
        return False
    yield from simplifying(find, Bound(**stored[SIMPLIFIED]))
    return True
