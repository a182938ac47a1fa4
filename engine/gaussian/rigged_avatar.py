# SPDX-License-Identifier: GPL-3.0-or-later
"""Splats on a head, playing. numpy, and whatever draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..flame.model import FlameModel
from ..flame.skinning import Rest
from .rasterize import choose_backend, rasterize_with_alpha
from .rigged import Floats, RiggedSplats, camera
from .shot import Played, Shot, straight
from .splats import Splats

_CENTRE = (0.0, -0.03, 0.0)     # between a head's crown and its neck, metres
_LARGER = np.float32(10)        # under a camera that may come near: rasterisers draw nothing nearer than 0.2
_FRAMES_AT_ONCE = 16
_COARSE = 9_000                 # splats of a preview where numpy draws: its time goes by splats, not by pixels


class RiggedAvatar:
    """A head and the splats that ride on its triangles."""

    def __init__(self, head: FlameModel, splats: RiggedSplats) -> None:
        self.head, self.splats = head, splats
        self._fewer: RiggedSplats | None = None
        self._rest: tuple[bytes, Rest] | None = None

    def pictures(self, played: Played, shot: Shot, wanted: Sequence[int]) -> Iterator[Floats]:
        """Pictures (4,H,W) of the wanted frames: red, green, blue (sRGB), straight alpha, 0 to 1."""
        simply = shot.coarse and choose_backend() == "numpy"
        for frame, vertices in self._heads(played, wanted):
            splats = self._coarse(vertices, shot.camera(frame)) if simply else self.splats
            means, quats, scales = splats.posed(vertices, self.head.faces)
            given = shot.camera(frame)
            if given is None:
                view, K = camera(shot.width, _CENTRE)
            else:
                view, K = given[0].copy(), given[1]
                view[:3, 3] *= _LARGER
                means, scales = means * _LARGER, scales * _LARGER
            image, alpha = rasterize_with_alpha(means, quats, scales, splats.opacities, splats.colors, view, K,
                                                (shot.width, shot.height))
            yield straight(image, alpha)

    def splats_at(self, played: Played, frame: int) -> Splats:
        """A frame's Gaussians where the head is, metres, FLAME's axes."""
        (_, vertices), = self._heads(played, [frame])
        return Splats(*self.splats.posed(vertices, self.head.faces), self.splats.opacities, self.splats.colors)

    def _heads(self, played: Played, wanted: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The wanted frames with their vertices (V,3)."""
        rest = self._at_rest(played.shape)
        for first in range(0, len(wanted), _FRAMES_AT_ONCE):
            rows = np.asarray(wanted[first : first + _FRAMES_AT_ONCE], np.int64)
            motion = played.motion[rows]
            neck, eyes = (None if part is None else part[rows] for part in (played.neck, played.eyes))
            heads = rest.posed(motion[:, :100], motion[:, 100:103], neck, motion[:, 103:106], eyes)
            yield from zip(rows.tolist(), heads, strict=True)

    def _at_rest(self, shape: Floats | None) -> Rest:
        """The head of an identity, prepared; that of the last one is kept, for previews of single frames."""
        key = b"" if shape is None else shape.tobytes()
        if self._rest is None or self._rest[0] != key:
            self._rest = key, Rest.of(self.head, shape)
        return self._rest[1]

    def _coarse(self, vertices: Floats, given: tuple[Floats, Floats] | None) -> RiggedSplats:
        """Fewer, larger ones, of those that the camera sees from their outer side."""
        if self._fewer is None:
            self._fewer = self.splats.thinned(_COARSE)
        view = camera(1, _CENTRE)[0] if given is None else given[0]
        eye = -np.linalg.solve(view[:3, :3], view[:3, 3])
        return self._fewer.facing(vertices, self.head.faces, eye)
