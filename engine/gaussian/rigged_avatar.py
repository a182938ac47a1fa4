# SPDX-License-Identifier: GPL-3.0-or-later
"""Splats on a head, playing. numpy, and whatever draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..flame.model import FlameModel
from ..flame.skinning import skin
from .rasterize import choose_backend, rasterize_with_alpha
from .rigged import Floats, RiggedSplats, camera
from .shot import Played, Shot, straight
from .splats import Splats

_CENTRE = (0.0, -0.03, 0.0)     # between a head's crown and its neck, metres
_FRAMES_AT_ONCE = 16
_COARSE = 6_000                 # splats of a preview where numpy draws: its time goes by splats, not by pixels


class RiggedAvatar:
    """A head and the splats that ride on its triangles."""

    def __init__(self, head: FlameModel, splats: RiggedSplats) -> None:
        self.head, self.splats = head, splats
        self._fewer: RiggedSplats | None = None

    def pictures(self, played: Played, shot: Shot, wanted: Sequence[int]) -> Iterator[Floats]:
        """Pictures (4,H,W) of the wanted frames: red, green, blue (sRGB), straight alpha, 0 to 1."""
        splats = self._coarse() if shot.coarse else self.splats
        for frame, vertices in self._heads(played, wanted):
            view, K = shot.camera(frame) or camera(shot.width, _CENTRE)
            means, quats, scales = splats.posed(vertices, self.head.faces)
            image, alpha = rasterize_with_alpha(means, quats, scales, splats.opacities, splats.colors, view, K,
                                                (shot.width, shot.height))
            yield straight(image, alpha)

    def splats_at(self, played: Played, frame: int) -> Splats:
        """A frame's Gaussians where the head is, metres, FLAME's axes."""
        (_, vertices), = self._heads(played, [frame])
        return Splats(*self.splats.posed(vertices, self.head.faces), self.splats.opacities, self.splats.colors)

    def _heads(self, played: Played, wanted: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The wanted frames with their vertices (V,3)."""
        for first in range(0, len(wanted), _FRAMES_AT_ONCE):
            rows = np.asarray(wanted[first : first + _FRAMES_AT_ONCE], np.int64)
            motion = played.motion[rows]
            neck, eyes = (None if part is None else part[rows] for part in (played.neck, played.eyes))
            heads = skin(self.head, motion[:, :100], motion[:, 100:103], neck, motion[:, 103:106], eyes, played.shape)
            yield from zip(rows.tolist(), heads, strict=True)

    def _coarse(self) -> RiggedSplats:
        if choose_backend() != "numpy":
            return self.splats
        if self._fewer is None:
            self._fewer = self.splats.thinned(_COARSE)
        return self._fewer
