# SPDX-License-Identifier: GPL-3.0-or-later
"""Which expression channels move which part of the face, and gains on one part alone. No `bpy` module use.

Heads with Apple's ARKit names say it by name. FLAME's expressions are principal components: each of them moves the
whole face. There, a gain on one part is a least-squares problem over what the components do to the vertices, and all
that it needs of a head are three (100,100) matrices, one for each region, which a head keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EXPRESSIONS = 100
REGIONS = ("lips", "cheeks", "brows")  # lips with jaw and tongue; brows with lids
LIPS, CHEEKS, BROWS = range(3)
BLINK_NAMES = ("eyeBlinkLeft", "eyeBlinkRight")

# ARKit's 52 names by how they begin. Gaze (eyeLook...) belongs to no region: a livelier brow does not look further.
_STARTS = (
    ("mouth", LIPS), ("jaw", LIPS), ("tongue", LIPS),
    ("cheek", CHEEKS), ("nose", CHEEKS),
    ("brow", BROWS), ("eyeBlink", BROWS), ("eyeSquint", BROWS), ("eyeWide", BROWS),
)  # fmt: skip
_WITH_JAW = ("jaw", "mouthClose")  # the latter closes the lips over an open jaw, so it follows the jaw's gain
# What a gain of 0 stills and what it leaves: lips first, since a mouth has to rest truly, then brows; cheeks come last,
# because lips draw them along. Chosen on principal components of ARKit shapes and random smooth fields: lips stilled
# keep 2 to 3 % of their motion and change the brows by 1 to 4 %; equal weights leave the lips 20 to 33 %.
_EMPHASIS = np.array([30.0, 1.0, 3.0])
_RIDGE = 1e-4  # of the mean squared size of a coefficient: holds those that no region sees


@dataclass(frozen=True)
class FaceChannels:
    """What tuning has to know of a head.

    names: of its 100 expression channels. gram: (3,100,100) float32 in m^2, from `region_grams`, or None. blink:
    (100,) coefficients that close both lids and leave the lips alone, or None; heads with ARKit names need none.
    """

    names: tuple[str, ...]
    gram: Floats | None = None
    blink: Floats | None = None

    def __post_init__(self) -> None:
        if len(self.names) != EXPRESSIONS:
            raise ValueError(f"a face has {EXPRESSIONS} expression names, not {len(self.names)}")
        for name, shape in (("gram", (len(REGIONS), EXPRESSIONS, EXPRESSIONS)), ("blink", (EXPRESSIONS,))):
            value = getattr(self, name)
            if value is not None and (np.shape(value) != shape or not np.isfinite(value).all()):
                raise ValueError(f"the {name} of a face is {shape} finite numbers, not {np.shape(value)}")

    @property
    def named(self) -> bool:
        """Whether the names are ARKit's, so that they say what moves what."""
        return "jawOpen" in self.names and all(name in self.names for name in BLINK_NAMES)

    @property
    def has_regions(self) -> bool:
        """Whether lips, cheeks and brows can be told apart; if not, their gains reach only the jaw."""
        return self.named or self.gram is not None

    def region(self, index: int) -> NDArray[np.bool_]:
        """(100,) which channels belong to a region, by name; nothing where the names are not ARKit's."""
        if not self.named:
            return np.zeros(EXPRESSIONS, bool)
        return np.array([_region_of(name) == index for name in self.names])

    @property
    def with_jaw(self) -> NDArray[np.bool_]:
        """(100,) which channels belong to the jaw's turn; nothing where the names are not ARKit's."""
        return np.array([self.named and name.startswith(_WITH_JAW) for name in self.names])

    @property
    def blink_channels(self) -> list[int]:
        """The two channels that close the lids, by name; none where the names are not ARKit's."""
        return [self.names.index(name) for name in BLINK_NAMES] if self.named else []


def _region_of(name: str) -> int | None:
    return next((region for start, region in _STARTS if name.startswith(start)), None)


def region_grams(expressiondirs: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]]) -> Floats:
    """What each region sees of the expressions: (3,100,100) float32, m^2.

    expressiondirs (V,3,100) are metres per coefficient, weights (V,3) are 0..1, how much each vertex belongs to
    lips, cheeks and brows. gram[r] = sum over v of w[v,r] D[v]^T D[v], so that c^T gram[r] c is the weighted sum of
    squared displacements of the region under the coefficients c.
    """
    directions = np.asarray(expressiondirs)
    weights = np.asarray(weights, np.float64)
    if directions.ndim != 3 or directions.shape[1:] != (3, EXPRESSIONS):
        raise ValueError(f"expression directions are (V,3,{EXPRESSIONS}), not {directions.shape}")
    if weights.shape != (len(directions), len(REGIONS)) or not (weights >= 0.0).all():
        raise ValueError(f"region weights are ({len(directions)},{len(REGIONS)}) and not negative")
    gram = np.empty((len(REGIONS), EXPRESSIONS, EXPRESSIONS), np.float32)
    for region, weight in enumerate(weights.T):
        inside = np.flatnonzero(weight)
        rows = directions[inside].astype(np.float64) * np.sqrt(weight[inside])[:, None, None]
        flat = rows.reshape(-1, EXPRESSIONS)
        gram[region] = flat.T @ flat
    return gram


def apply_gains(expression: Floats, face: FaceChannels | None, gains: NDArray[np.floating[Any]]) -> Floats:
    """Expressions (T,100) with the motion of each region scaled by gains (T,3) or (1,3), order `REGIONS`; a new array.

    By name, each channel takes its region's gain. By Gram matrices, the coefficients c become the c' that minimise
    sum_r w_r |D_r c' - g_r D_r c|^2 + ridge |c' - c|^2, D_r the region's displacements. The minimum is linear in the
    gains, c' = c + sum_r (g_r - 1) K_r c, so gains may change from frame to frame; with gains of 1 it is c itself.
    Heads that tell no regions apart keep their expressions.
    """
    gains = np.asarray(gains, np.float32)
    if face is None or not face.has_regions:
        return expression.copy()
    if face.named:
        regions = np.array([face.region(index) for index in range(len(REGIONS))], np.float32)
        return expression * (1.0 + (gains - 1.0) @ regions)
    result = expression.copy()
    for gain, operator in zip(gains.T, gain_operators(face.gram), strict=True):
        if (gain != 1.0).any():
            result += (gain[:, None] - 1.0) * (expression @ operator.T)
    return result


def gain_operators(gram: NDArray[np.floating[Any]] | None) -> Floats:
    """K (3,100,100) of `apply_gains`: what each region's part of the coefficients is.

    Regions are weighed by `_EMPHASIS` over their size (trace), so that brows' small motion counts beside that of lips.
    """
    gram = np.asarray(gram, np.float64)
    size = np.trace(gram, axis1=1, axis2=2)
    parts = gram * (_EMPHASIS / np.where(size > 0.0, size, 1.0))[:, None, None]
    whole = parts.sum(0)
    whole += max(_RIDGE * np.trace(whole) / EXPRESSIONS, 1e-12) * np.eye(EXPRESSIONS)
    return np.linalg.solve(whole, parts.transpose(1, 0, 2).reshape(EXPRESSIONS, -1)).reshape(
        EXPRESSIONS, len(REGIONS), EXPRESSIONS).transpose(1, 0, 2).astype(np.float32)
