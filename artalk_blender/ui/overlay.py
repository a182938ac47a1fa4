# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies over the 3D views: the draw handler, letters, boxes. Draws only; without a window nothing is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import bpy

Box = tuple[float, float, float, float]  # left, bottom, width, height in pixels of a region
Color = tuple[float, float, float, float]

_WHITE: Color = (1.0, 1.0, 1.0, 1.0)
_RIM: Color = (0.0, 0.0, 0.0, 0.8)
_OUTLINE = 6  # blf's number for a shadow that goes round each letter


class Overlay(ABC):
    """A draw handler of the 3D views. Blender calls `draw` when it has drawn one, in pixels of its region."""

    _handle: Any = None

    @property
    def is_open(self) -> bool:
        return self._handle is not None

    def open(self) -> None:
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self.draw, (), "WINDOW", "POST_PIXEL")
        redraw_views()

    def close(self) -> None:
        if self._handle is not None:
            bpy.types.SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
            self._handle = None
        redraw_views()

    @abstractmethod
    def draw(self) -> None:
        """Into the region that Blender draws now."""


def redraw_views() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions if area.type == "VIEW_3D" else ():
                if region.type == "WINDOW":  # the view alone: panels cost more than a picture
                    region.tag_redraw()


def uncovered(area: Any, region: Any) -> tuple[int, int, int]:
    """Left, right and upper edge, in the region's pixels, of what no header, toolbar or sidebar lies over."""
    left, right, top = 0, region.width, region.height
    for other in area.regions:
        x, y = other.x - region.x, other.y - region.y
        if other.type == "WINDOW" or min(other.width, other.height) <= 1 \
                or not (-other.width < x < region.width and -other.height < y < region.height):
            continue
        if other.alignment == "LEFT":
            left = max(left, x + other.width)
        elif other.alignment == "RIGHT":
            right = min(right, x)
        elif other.alignment == "TOP":
            top = min(top, y)
    return left, right, top


def in_lines(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """A text's words in as many lines as it takes for each to measure no more than `width`; a word is never cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and measure(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def width_of(text: str, points: float) -> float:
    """Pixels, as `write` draws it."""
    import blf

    blf.size(0, points * bpy.context.preferences.system.ui_scale)
    return float(blf.dimensions(0, text)[0])


def write(text: str, x: float, y: float, points: float) -> None:
    """White letters with a dark rim, so that they are read on light and dark; from x on, standing on y."""
    import blf

    blf.size(0, points * bpy.context.preferences.system.ui_scale)
    blf.color(0, *_WHITE)
    blf.enable(0, blf.SHADOW)
    blf.shadow(0, _OUTLINE, *_RIM)
    blf.shadow_offset(0, 0, 0)
    blf.position(0, x, y, 0)
    blf.draw(0, text)
    blf.disable(0, blf.SHADOW)


def fill(box: Box, color: Color) -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    left, bottom, width, height = box
    corners = [(left, bottom), (left + width, bottom), (left + width, bottom + height), (left, bottom + height)]
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "TRIS", {"pos": corners}, indices=[(0, 1, 2), (0, 2, 3)])
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("color", color)
    batch.draw(shader)
    gpu.state.blend_set("NONE")
