# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the preview's picture over the 3D views, and says beside it what it is. Draws only; needs a window."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ..language import said
from ..ui.overlay import Overlay, redraw_views, uncovered, width_of, write

_PART = 0.45  # of the shorter side, for a picture in the corner
_MARGIN = 16  # pixels
_LETTERS = 12  # points


class Shown:
    """A picture (H,W,4) uint8, sRGB with straight alpha, top row first; its texture is made when it is drawn first."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels: np.ndarray | None = pixels
        self.height, self.width = pixels.shape[:2]
        self._texture: Any = None

    def texture(self) -> Any:
        """In the graphics card, premultiplied, bottom row first; for the drawing thread."""
        if self._texture is None:
            import gpu

            assert self._pixels is not None
            values = self._pixels[::-1].astype(np.float32) / 255
            values[..., :3] *= values[..., 3:]
            data = gpu.types.Buffer("FLOAT", values.size, np.ascontiguousarray(values).ravel())
            self._texture = gpu.types.GPUTexture((self.width, self.height), format="RGBA8", data=data)
            self._pixels = None
        return self._texture


class Screen(Overlay):
    """The draw handler, and what it draws."""

    def __init__(self) -> None:
        self._picture: Shown | None = None
        self._text = ""
        self._whole = False  # over the whole view, where the head stands; else in the corner
        self._main = 0

    @property
    def is_whole(self) -> bool:
        """Whether the picture lies over the whole view."""
        return self._whole

    def close(self) -> None:
        self._picture = None
        super().close()

    def find(self, window: Any) -> Any:
        """How the window's largest 3D view looks at the world; None where it has none."""
        from .preview import View

        areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
        for area in sorted(areas, key=lambda one: -one.width * one.height):
            region = next((region for region in area.regions if region.type == "WINDOW"), None)
            seen = area.spaces.active.region_3d
            if region is not None and seen is not None and min(region.width, region.height) > 1:
                self._main = region.as_pointer()
                return View(np.array(seen.view_matrix), np.array(seen.window_matrix), (region.width, region.height))
        return None

    def show(self, picture: Shown | None, text: str, keep: bool, whole: bool) -> None:
        """What is to be drawn from now on; `keep` leaves the last picture until there is another."""
        text = said(text)
        picture = self._picture if keep and whole == self._whole else picture
        if (picture, text, whole) != (self._picture, self._text, self._whole):
            self._picture, self._text, self._whole = picture, text, whole
            redraw_views()

    def draw(self) -> None:
        region, area = bpy.context.region, bpy.context.area
        if region is None or area is None:
            return
        _, right, _ = uncovered(area, region)
        margin = _MARGIN * bpy.context.preferences.system.ui_scale
        side = _PART * min(right, region.height)
        if self._whole:
            box = (0.0, 0.0, float(region.width), float(region.height))
            draws = self._main == region.as_pointer()
        else:
            box = (right - side - margin, margin, side, side)
            draws = side > 0
        if self._picture is not None and draws:
            _draw_picture(self._picture, box)
        width = width_of(self._text, _LETTERS)
        write(self._text, max(margin, right - margin - width), margin / 2 if self._whole else margin / 4, _LETTERS)


def _draw_picture(picture: Shown, box: tuple[float, float, float, float]) -> None:
    """A picture in a box: left, bottom, width, height."""
    import gpu
    from gpu_extras.batch import batch_for_shader

    left, bottom, width, height = box
    corners = [(left, bottom), (left + width, bottom), (left + width, bottom + height), (left, bottom + height)]
    shader = gpu.shader.from_builtin("IMAGE")
    batch = batch_for_shader(shader, "TRIS", {"pos": corners, "texCoord": [(0, 0), (1, 0), (1, 1), (0, 1)]},
                             indices=[(0, 1, 2), (0, 2, 3)])
    gpu.state.blend_set("ALPHA_PREMULT")
    shader.bind()
    shader.uniform_sampler("image", picture.texture())
    batch.draw(shader)
    gpu.state.blend_set("NONE")
