# SPDX-License-Identifier: GPL-3.0-or-later
"""Other motion into a take, whose keys are made again in slices (`runner.py`). Left in the middle, it has its old keys.

Between slices nobody else may change the take: whoever runs this in the interface lets nothing through meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..head.handle import Head
from ..motion.timing import WHOLE
from ..runner import AGAIN, Work
from .channels import channels_of
from .fcurves import digest_part, write_channels
from .keyed_gains import keyed_gains
from .mouth import mouth_of
from .simplify import Bound
from .take_data import (
    DIGEST,
    LOUDNESS_KEY,
    MOTION_KEY,
    SIMPLIFIED,
    TAKE_KEY,
    curves_of,
    loudness_of,
    note_curves,
    raw_motion,
    settings_of,
    times_of,
)
from .takes import keyed_motion, retune, simplifying

Floats = NDArray[np.float32]


def rewrite_take(find_take: Callable[[], Any], find_head: Callable[[], Head], raw: Floats,
                 loudness: Floats | None) -> Work[None]:
    """Raw motion (T,106) and loudness (T,) in place of a take's own, tuned and keyed as it is.

    The take must not be edited by hand, nor linked; `find_take` and `find_head` raise ArtalkError where it is gone.
    """
    if SIMPLIFIED in find_take()[TAKE_KEY]:
        yield from _rewrite_simplified(find_take, find_head, raw, loudness)
        return
    action, head = find_take(), find_head()
    (settings, keying), rate = settings_of(action), action[TAKE_KEY]["scene_fps"]
    mouth = mouth_of(head) if keying.mode == WHOLE else None
    gains = keyed_gains(bpy.context.scene, times_of(action), len(raw))
    frames, motion = yield partial(keyed_motion, raw, loudness, times_of(action), rate, settings, keying,
                                   head.face_channels(), mouth, gains)
    channels, places = channels_of(find_head(), motion, keying), sorted(curves_of(find_take()))
    if places != sorted(channel.place for channel in channels):
        _keep(find_take(), raw, loudness)
        retune(find_take(), settings, keying, find_head())
        return
    look = hashlib.sha256()
    try:
        for channel in channels:
            yield AGAIN
            write_channels(find_take(), [channel], frames)
        for place in places:
            yield AGAIN
            look.update(digest_part(find_take(), place))
    except BaseException:
        with contextlib.suppress(EngineError):  # gone: nothing to put right
            action = find_take()
            note_curves(action, places)
            retune(action, settings, keying, find_head())
        raise
    action, head = find_take(), find_head()
    _keep(action, raw, loudness)
    action[TAKE_KEY][DIGEST] = look.hexdigest()
    action.update_tag()
    for owner in (head.shape_keys, head.armature):
        owner.update_tag()


def _rewrite_simplified(find_take: Callable[[], Any], find_head: Callable[[], Head], raw: Floats,
                        loudness: Floats | None) -> Work[None]:
    """All its keys at once, those that nobody would miss taken out beside Blender."""
    action = find_take()
    bound, old = Bound(**action[TAKE_KEY].to_dict()[SIMPLIFIED]), (raw_motion(action), loudness_of(action))
    _keep(action, raw, loudness)
    try:
        retune(action, *settings_of(action), find_head(), thin=False)
        del action
        yield from simplifying(lambda: (find_take(), find_head()), bound)
    except BaseException:
        with contextlib.suppress(EngineError):  # gone: nothing to put right
            _keep(find_take(), *old)
            retune(find_take(), *settings_of(find_take()), find_head())
        raise


def _keep(action: Any, raw: Floats, loudness: Floats | None) -> None:
    """Notes motion and loudness on the take."""
    for key, values in ((MOTION_KEY, raw), (LOUDNESS_KEY, loudness)):
        if values is not None:
            if key in action:
                del action[key]  # new bytes over old ones are cut off at a zero, by Blender
            action[key] = values.astype("<f4").tobytes()
