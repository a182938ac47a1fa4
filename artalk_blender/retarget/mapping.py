# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a retarget: which of the target's channels follows what, how strongly, within which limits.

A row's source is a sum of signals as text, such as `jawOpen`, `0.5*eyeBlinkLeft+0.5*eyeBlinkRight`, `viseme:aa`, or
`solved`: what the geometry asks of this channel. Tables come from files too, so all of them are checked. No `bpy` use.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtalkError

Floats = NDArray[np.floating[Any]]

KEY, TURN, AXIS = "key", "turn", "axis"
KINDS = (KEY, TURN, AXIS)
SOLVED = "solved"
# jaw: all that opens the mouth; jaw_bone: the source's bone alone
TURNS = ("head", "jaw", "eye_left", "eye_right", "jaw_bone")
PATHS = ("location", "rotation", "scale")
MOST_ROWS, _LONGEST, LARGEST = 2000, 400, 1000.0
_TERM = re.compile(r"^(?:([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\*)?([^*+]+)$")


@dataclass(frozen=True)
class Row:
    """One channel of the target.

    kind: a shape key; the turn of a bone, whose source is one of TURNS; or one axis of a bone's transform (`path`,
    `index`; for a rotation the axis of a rotation vector in the bone's own axes, radians). The value is
    gain * source + offset within low and high; a bone's turn is the source's times the gain.
    """

    target: str
    source: str
    kind: str = KEY
    gain: float = 1.0
    offset: float = 0.0
    low: float = -LARGEST
    high: float = LARGEST
    mute: bool = False
    path: str = ""
    index: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError, one sentence."""
        for name in ("target", "source", "path"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > _LONGEST:
                raise ValueError(f"{name} is a text of up to {_LONGEST} letters")
        if not self.target:
            raise ValueError("a row names its target")
        for name in ("gain", "offset", "low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) \
                    or abs(value) > LARGEST:
                raise ValueError(f"{name} of “{self.target}” is a number of at most {LARGEST:g}")
            object.__setattr__(self, name, float(value))
        if self.low > self.high:
            raise ValueError(f"the least value of “{self.target}” is above the largest")
        if self.kind not in KINDS or not isinstance(self.mute, bool):
            raise ValueError(f"“{self.target}” is of the kind {', '.join(KINDS)}, and muted or not")
        if self.kind == TURN and self.source not in TURNS:
            raise ValueError(f"the bone “{self.target}” turns with {', '.join(TURNS)}, not with “{self.source}”")
        if self.kind == AXIS and (self.path not in PATHS or self.index not in (0, 1, 2)):
            raise ValueError(f"the control “{self.target}” has no axis {self.path!r} {self.index!r}")
        if self.kind != TURN:
            terms(self.source)

    @property
    def label(self) -> str:
        """What the solver and the panel call the row."""
        return f"{self.target}.{self.path}.{'xyz'[self.index]}" if self.kind == AXIS else self.target


def terms(source: str) -> list[tuple[float, str]]:
    """`0.5*a+b` -> [(0.5, a), (1, b)]; nothing for an empty source. Raises ValueError."""
    result = []
    for part in source.split("+") if source.strip() else ():
        match = _TERM.match(part.strip())
        if match is None:
            raise ValueError(f"“{source}” is no sum such as 0.5*jawOpen+mouthFunnel")
        result.append((float(match.group(1) or 1.0), match.group(2).strip()))
    return result


@dataclass(frozen=True)
class Table:
    """All rows of a rig. facing: which way the face looks, as in `bones.FACINGS`. landmarks: name -> (3,) in the
    main mesh's own coordinates, as clicked."""

    rows: tuple[Row, ...] = ()
    facing: str = "auto"
    landmarks: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    strengths: dict[str, float] = field(default_factory=dict)

    @property
    def solves(self) -> bool:
        """Whether any row wants the geometry."""
        return any(name == SOLVED for row in self.rows if not row.mute and row.kind != TURN
                   for _, name in terms(row.source))

    def with_row(self, row: Row) -> Table:
        """The row in the place of the one with its label."""
        return replace(self, rows=tuple(row if one.label == row.label and one.kind == row.kind else one
                                        for one in self.rows))

    def as_dict(self) -> dict[str, Any]:
        defaults = {one.name: one.default for one in fields(Row)}
        rows = [{name: value for name, value in asdict(row).items() if value != defaults[name]} for row in self.rows]
        return {"rows": rows, "facing": self.facing, "landmarks": {k: list(v) for k, v in self.landmarks.items()},
                "strengths": dict(self.strengths)}

    @classmethod
    def from_dict(cls, found: Any) -> Table:
        """From JSON, whoever wrote it. Raises ArtalkError with one sentence."""
        try:
            rows = found["rows"]
            if not isinstance(rows, list) or len(rows) > MOST_ROWS:
                raise ValueError(f"a table has at most {MOST_ROWS} rows")
            known = {one.name for one in fields(Row)}
            made = tuple(Row(**{name: value for name, value in row.items() if name in known}) for row in rows)
            marks = {str(name)[:40]: _point(point)
                     for name, point in list(dict(found.get("landmarks", {})).items())[:50]}
            strengths = {str(name)[:40]: float(value) for name, value in
                         list(dict(found.get("strengths", {})).items())[:20]
                         if math.isfinite(float(value)) and 0.0 <= float(value) <= 100.0}
            return cls(made, str(found.get("facing", "auto"))[:10], marks, strengths)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is not made as one"
            raise ArtalkError(f"This is no mapping table: {reason}.", "Choose one that Save Preset wrote.",
                              "bad_file") from None


def _point(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError("a landmark is three numbers")
    return x, y, z


def table_from_json(text: str) -> Table:
    """Raises ArtalkError for a text that holds none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return Table.from_dict(found)


@dataclass(frozen=True)
class Applied:
    """Values (T,) by row, and sentences on what of the table could not be done or was cut off."""

    values: dict[Row, Floats]
    notes: list[str]


def apply_rows(rows: Iterable[Row], signals: Mapping[str, Floats], solved: Mapping[str, Floats],
               count: int) -> Applied:
    """Every row that is neither muted nor a turn -> its values (T,) within its limits.

    `signals` by name and `solved` by the row's label, (T,) each.
    """
    values, notes, absent = {}, [], set()
    beyond: list[tuple[float, str]] = []
    for row in rows:
        if row.mute or row.kind == TURN:
            continue
        total = np.zeros(count)
        for weight, name in terms(row.source):
            signal = solved.get(row.label) if name == SOLVED else signals.get(name)
            if signal is None:
                absent.add(name)
            else:
                total += weight * signal
        wanted = row.gain * total + row.offset
        values[row] = np.clip(wanted, row.low, row.high)
        cut = float((np.abs(wanted - values[row]) > 0.02).mean()) if count else 0.0
        if cut > 0.01:
            beyond.append((cut, row.label))
    if beyond:
        beyond.sort(reverse=True)
        notes.append(f"{len(beyond)} channels are cut off at their limits, “{beyond[0][1]}” most often: "
                     f"in {100 * beyond[0][0]:.0f} % of the frames.")
    for name in sorted(absent):
        notes.append(f"The source has no “{name}”." if name != SOLVED
                     else "Rows that ask for “solved” rest, because nothing was solved for them.")
    return Applied(values, notes)
