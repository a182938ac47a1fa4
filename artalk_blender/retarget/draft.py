# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick way while a slider moves: a take's last solution is kept, and the next one starts from it. No `bpy` use.

A solution of a few rounds is a draft. Who wants one says so with `drafting`, and has the take solved whole once the
slider rests. Solutions are kept in memory alone; one of the same motion, heads and strengths is not made twice.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runner import Work
from .system import Reduced
from .transfer import Held, Transfer

_KEPT = 2  # takes: of ten minutes some 100 MB each


@dataclass(frozen=True)
class Solution:
    """x (T,C) of Transfer.weights for what a motion asks for; whole: solved to the end, else a draft."""

    transfer: Transfer
    motion: str  # its sha256
    reduced: Reduced
    held: Held | None
    x: NDArray[np.float64]
    whole: bool


_last: OrderedDict[str, Solution] = OrderedDict()
_drafts_will_do = 0


@contextmanager
def drafting() -> Iterator[None]:
    """What is solved meanwhile may be a draft, where a solution of the take is known to start from."""
    global _drafts_will_do
    _drafts_will_do += 1
    try:
        yield
    finally:
        _drafts_will_do -= 1


def solution(transfer: Transfer, motion: NDArray[np.floating[Any]], take: str = "",
             held: Held | None = None) -> Solution:
    """Of a motion (T,106) on the target, beside sliders that are held; remembered under the take's id."""
    mark = hashlib.sha256(motion.tobytes()).hexdigest()
    last = _last.get(take)
    if last is not None and last.transfer.system is not transfer.system:
        last = None
    asked = last is not None and last.motion == mark
    if last is not None and asked and last.whole and last.transfer.options == transfer.options \
            and _same(last.held, held):
        _last.move_to_end(take)
        return last
    reduced = last.reduced if last is not None and asked else transfer.reduce(motion)
    if _drafts_will_do and last is not None and len(last.x) == len(motion):
        found = Solution(transfer, mark, reduced, held, transfer.weights(reduced, last.x, True, held=held), False)
    else:
        found = Solution(transfer, mark, reduced, held, transfer.weights(reduced, held=held), True)
    _keep(take, found)
    return found


def finishing(take: str) -> Work[None]:
    """Solves a take's draft to its end, in a thread; kept, unless the take has got another solution meanwhile."""
    draft = _last.get(take)
    if draft is None or draft.whole:
        return
    stop = threading.Event()
    try:
        x: NDArray[np.float64] = yield lambda: draft.transfer.weights(draft.reduced, stop=stop, held=draft.held)
    finally:
        stop.set()
    if _last.get(take) is draft:
        _keep(take, replace(draft, x=x, whole=True))


def _same(one: Held | None, other: Held | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.columns, other.columns) and np.array_equal(one.values, other.values)


def _keep(take: str, found: Solution) -> None:
    _last[take] = found
    _last.move_to_end(take)
    while len(_last) > _KEPT:
        _last.popitem(last=False)


def known_as(take: str, new: str) -> None:
    """What was solved for a take that had no id yet, or another one, is the new one's."""
    if take != new and take in _last:
        _last[new] = _last.pop(take)


def knows(take: str) -> bool:
    """Whether a solution of the take is remembered, from which others come quickly."""
    return take in _last


def forget() -> None:
    """Nothing is known of any take."""
    _last.clear()
