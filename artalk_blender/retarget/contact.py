# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a mesh's lips meet: opposite points of upper and lower lip from right to left. numpy only, no `bpy` use.

Lips are told apart by what opens them: nowhere but between the lips do two vertices lie so close, and so far apart
along the skin, of which only one goes along when the mouth opens. Source and target are both asked in this way, so
that their lines match.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from .surface import Places, nearest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STATIONS = 15
_REACH = 0.2  # of the mouth's width: how far apart lips may be at rest
_PARTED = 0.12  # of the widest opening: from where a pair counts
_DEPTH = 0.12  # of the mouth's width: how far behind the foremost pair another one may lie
_SLACK = 0.03  # of the mouth's width: by how much more than the closest pair may be apart
_ROUND = 2.0  # times as far as straight across is the way along edges from lip to lip, at least
_APART_COSTS = 4.0  # how much further in front a pair must lie for being further apart
_FEWEST = 4  # vertices on each lip
_MOST = 3000  # vertices on each side that are compared


@dataclass(frozen=True)
class Mouth:
    """centre (3,); axes (3,3) rows: to the head's left, up, forward; width: between the corners."""

    centre: Floats
    axes: Floats
    width: float

    def place(self, points: Floats) -> Floats:
        """Points (N,3) in widths of the mouth, along its axes."""
        return (points - self.centre) @ self.axes.T / self.width


@dataclass(frozen=True)
class Seam:
    """upper and lower: S places each, opposite each other; rest (S,3): how far they are apart (upper - lower)."""

    upper: Places
    lower: Places
    rest: Floats


def find_seam(points: Floats, triangles: Ints, opening: Floats, mouth: Mouth,
              allowed: NDArray[np.bool_]) -> Seam | None:
    """The seam of a mesh: points (V,3), triangles (F,3), what opens its mouth moves by (V,3), and where it may be (V,);
    else None."""
    place = mouth.place(points)
    near = np.flatnonzero(allowed & (np.abs(place[:, 0]) < 0.75) & (np.abs(place[:, 1]) < 0.45)
                          & (np.abs(place[:, 2]) < 0.6))
    if len(near) < 2 * _FEWEST:
        return None
    follow = -(opening[near] @ mouth.axes[1])
    most = float(np.percentile(follow, 98))
    if most <= 0.0:
        return None
    follow = follow / most
    found = _pairs(place[near], follow, _Skin(place, triangles, near))
    if found is None:
        return None
    upper, lower = (_line(place[near], chosen) for chosen in found)
    if upper is None or lower is None:
        return None
    ends = [max(place[near[upper[0]], 0], place[near[lower[0]], 0]),
            min(place[near[upper[-1]], 0], place[near[lower[-1]], 0])]
    if ends[1] - ends[0] < 0.3:
        return None
    stations = ends[0] + (ends[1] - ends[0]) * (np.arange(STATIONS) + 0.5) / STATIONS
    above, below = (_between(place[near, 0], line, stations, near) for line in (upper, lower))
    return Seam(above, below, above.of(points) - below.of(points))


class _Skin:
    """The edges between some vertices of a mesh, for the way from one to another along them."""

    def __init__(self, place: Floats, triangles: Ints, near: Ints) -> None:
        """place (V,3); triangles (F,3); near (N,): the vertices that ways lead over, by whose rows they are named."""
        row = np.full(len(place), -1, np.int64)
        row[near] = np.arange(len(near))
        edges = row[np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])]
        edges = np.unique(np.sort(edges[(edges >= 0).all(1)], axis=1), axis=0)
        length = np.linalg.norm(place[near[edges[:, 0]]] - place[near[edges[:, 1]]], axis=1)
        self._beside: list[list[tuple[int, float]]] = [[] for _ in near]
        for (one, two), far in zip(edges.tolist(), length.tolist(), strict=True):
            self._beside[one].append((two, far))
            self._beside[two].append((one, far))

    def joins(self, start: int, goal: int, most: float) -> bool:
        """Whether a way no longer than `most` leads from one vertex to the other (Dijkstra 1959)."""
        reached, ways = {start: 0.0}, [(0.0, start)]
        while ways:
            far, vertex = heappop(ways)
            if vertex == goal:
                return True
            for other, length in self._beside[vertex]:
                further = far + length
                if further <= most and further < reached.get(other, np.inf):
                    reached[other] = further
                    heappush(ways, (further, other))
        return False


def _pairs(place: Floats, follow: Floats, skin: _Skin) -> tuple[Ints, Ints] | None:
    """Vertices of the upper and of the lower lip along the seam: close to one of the other lip, and foremost."""
    still, moving = np.flatnonzero(follow < 0.75), np.flatnonzero(follow > _PARTED)
    if not (len(still) and len(moving)):
        return None
    result = []
    for own, other, sign in ((still, moving, 1.0), (moving, still, -1.0)):
        own = own[:: max(len(own) // _MOST, 1)]
        index, squares = nearest(place[own], place[other], min(24, len(other)))
        apart = np.sqrt(squares)
        apart[sign * (follow[other][index] - follow[own][:, None]) < _PARTED] = np.inf
        gap = apart.min(1)
        close = np.isfinite(gap) & (gap < _REACH)
        opposite = other[index[np.arange(len(own)), apart.argmin(1)]]
        for at in np.flatnonzero(close).tolist():
            close[at] = not skin.joins(int(own[at]), int(opposite[at]), _ROUND * float(gap[at]))
        if close.sum() < _FEWEST:
            return None
        result.append(own[close][_foremost(place[own[close]], gap[close])])
    return result[0], result[1]


def _foremost(place: Floats, gap: Floats) -> Ints:
    """One vertex for each twentieth of the mouth: of those that are nearly as close as the closest, the foremost.

    Nothing deep in the mouth counts, where its upper and lower walls may come closer than parted lips.
    """
    slot = np.round(place[:, 0] * 20.0).astype(np.int64)
    slot -= slot.min()
    cost = _APART_COSTS * gap - place[:, 2]
    front = place[_first(cost, slot), 2]
    fits = np.flatnonzero(place[:, 2] > front[np.unique(slot, return_inverse=True)[1]] - _DEPTH)
    best = np.full(int(slot.max()) + 1, np.inf)
    np.minimum.at(best, slot[fits], gap[fits])
    # beside the corners a slot may hold stray pairs alone: its closest is compared with its neighbours', too
    wide = np.minimum(best, np.minimum(np.append(best[1:], np.inf), np.append(np.inf, best[:-1])))
    fits = fits[gap[fits] < wide[slot[fits]] + _SLACK]
    return fits[_first(cost[fits], slot[fits])]


def _first(cost: Floats, slot: Ints) -> Ints:
    """The row that costs least of each slot."""
    order = np.lexsort([cost, slot])
    return order[np.unique(slot[order], return_index=True)[1]]


def _line(place: Floats, chosen: Ints) -> Ints | None:
    """The chosen vertices from right to left, without those that stand out from their neighbours."""
    order = chosen[np.argsort(place[chosen, 0])]
    for _ in range(2):
        if len(order) < _FEWEST:
            return None
        line = place[order, 1:]
        between = np.array([np.median(line[max(i - 2, 0) : i + 3], axis=0) for i in range(len(order))])
        order = order[np.linalg.norm(line - between, axis=1) < 0.12]
    return order if len(order) >= _FEWEST else None


def _between(across: Floats, line: Ints, stations: Floats, names: Ints) -> Places:
    """Places on the line at the stations: shares of the two vertices beside each."""
    at = across[line]
    right = np.clip(np.searchsorted(at, stations), 1, len(line) - 1)
    left = right - 1
    share = np.clip((stations - at[left]) / np.maximum(at[right] - at[left], 1e-9), 0.0, 1.0)
    corners = np.stack([names[line[left]], names[line[right]], names[line[right]]], 1)
    return Places(corners, np.stack([1.0 - share, share, np.zeros_like(share)], 1))
