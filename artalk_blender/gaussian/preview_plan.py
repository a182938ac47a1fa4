# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preview asks the worker for and when, and which pictures it keeps. No `bpy` module use.

One request is under way at a time, and of what is wanted meanwhile only the newest is asked for next: frames are
dropped, nothing piles up. While it plays a coarse picture will do; when it stands still a full one follows. Jobs go
first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Picture = TypeVar("Picture")

CACHE_BYTES = 256 << 20
_STILL = 0.15  # seconds without a change until a full picture is asked for


class PictureCache(Generic[Picture]):
    """Pictures by key within a number of bytes; those that were not looked at longest go first."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit, self.bytes = limit, 0
        self._there: OrderedDict[Any, tuple[Picture, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._there)

    def __contains__(self, key: Any) -> bool:
        return key in self._there

    def get(self, key: Any) -> Picture | None:
        """The picture of that key, or None; it counts as looked at."""
        if key not in self._there:
            return None
        self._there.move_to_end(key)
        return self._there[key][0]

    def put(self, key: Any, picture: Picture, size: int) -> None:
        """Keeps a picture of so many bytes; the newest stays even where it alone is too large."""
        self.bytes += size - self._there.pop(key, (None, 0))[1]
        self._there[key] = picture, size
        while self.bytes > self.limit and len(self._there) > 1:
            self.bytes -= self._there.popitem(last=False)[1][1]

    def clear(self) -> None:
        self._there.clear()
        self.bytes = 0


@dataclass(frozen=True)
class Wish:
    """A picture that is wanted: `key` says all that it depends on, but for how coarse it is."""

    key: str
    frame: int
    coarse: bool = False


@dataclass
class Planner:
    """Decides, tick by tick. Times are seconds of any clock that only goes forward."""

    asked: Wish | None = None  # under way
    problem: str = ""
    state: str = ""  # what the overlay says
    dropped: int = 0  # frames that were wanted and never asked for
    _key: str = ""
    _since: float = 0.0
    _met: bool = field(default=True)

    def next(self, key: str, frame: int, now: float, playing: bool, busy: bool,
             cache: PictureCache[Any], reading: bool = False) -> Wish | None:
        """What to ask the worker for now; None where there is nothing to ask, or somebody to wait for: the request
        that is under way, a job (`busy`), or the disk (`reading`)."""
        if key != self._key:
            self.dropped += not self._met
            self._key, self._since, self._met = key, now, False
        full, coarse = (key, False) in cache, (key, True) in cache
        self._met = self._met or full or coarse
        self.state = self._said(frame, full, coarse, busy)
        if full or self.problem or busy or reading or self.asked is not None:
            return None
        if not coarse:
            return self._ask(Wish(key, frame, True))
        if playing or now - self._since < _STILL:
            return None
        return self._ask(Wish(key, frame, False))

    def _ask(self, wish: Wish) -> Wish:
        self.asked, self._met = wish, True
        return wish

    def answered(self) -> None:
        """The request that was under way has ended, however it did."""
        self.asked = None

    def failed(self, problem: str) -> None:
        """Nothing more is asked for until `problem` is emptied: what failed once would fail thirty times a second."""
        self.asked, self.problem = None, problem

    def _said(self, frame: int, full: bool, coarse: bool, busy: bool) -> str:
        if self.problem:
            return self.problem
        if full:
            return f"Avatar: frame {frame}"
        if busy:
            return f"Avatar: frame {frame}, waits for the running job"
        return f"Avatar: frame {frame}, {'preview' if coarse else 'coming'}"
