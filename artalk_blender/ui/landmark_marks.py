# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what landmarks were clicked, where the mesh shows them now, and says at the top of the view what comes next."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from bpy_extras import view3d_utils

from ..language import said
from ..retarget.places import Spot
from .overlay import Overlay, fill, in_lines, redraw_views, uncovered, width_of, write

# What is written beside a dot; to its left (-1) or right (1), as one sees a face from the front, and how many rows
# above it, so that names lie beside each other on a small face too.
LABELS = {
    "nose_tip": ("nose tip", 1, 0),
    "chin": ("chin", 1, 0),
    "mouth_right": ("mouth, right", -1, 0),
    "mouth_left": ("mouth, left", 1, 0),
    "upper_lip": ("upper lip", 1, 1),
    "lower_lip": ("lower lip", 1, -1),
    "eye_right_outer": ("right eye, outer", -1, 0),
    "eye_right_inner": ("right eye, inner", -1, 1.6),
    "eye_left_inner": ("left eye, inner", 1, 1.6),
    "eye_left_outer": ("left eye, outer", 1, 0),
}
_DOT, _RIM = 3.5, 2.0  # pixels at a UI scale of 1: the radius, and the dark ring round it
_LIGHT, _DARK = (1.0, 0.82, 0.25), (0.05, 0.05, 0.05)
_SIDES = 24
_NAME, _ASKED, _KEYS = 11, 15, 12  # points
_LINE = 1.5  # from line to line, in points of letters
_MARGIN = 8  # pixels
_CORNER = 110  # pixels that Blender writes and draws on at the view's upper corners
_BEHIND_NAMES, _BEHIND_LINES = (0.0, 0.0, 0.0, 0.7), (0.0, 0.0, 0.0, 0.9)


class Marks(Overlay):
    """The marks of one 3D view."""

    def __init__(self, mesh: str) -> None:
        self._mesh, self._area = mesh, 0
        self._spots: dict[str, Spot] = {}
        self._asked = self._keys = ""

    def stay_in(self, area: Any) -> None:
        """The area to draw in, or None: it becomes another one when people maximise it, or close it."""
        pointer = area.as_pointer() if area is not None else 0
        if pointer != self._area:
            self._area = pointer
            redraw_views()

    def show(self, spots: dict[str, Spot], asked: str, keys: str) -> None:
        """What is to be drawn from now on: places by their landmark's name, and two sentences."""
        self._spots, self._asked, self._keys = dict(spots), asked, keys
        redraw_views()

    def draw(self) -> None:
        context = bpy.context
        area, region, view = context.area, context.region, context.region_data
        if area is None or region is None or view is None or area.as_pointer() != self._area:
            return
        scale = context.preferences.system.ui_scale
        mesh = bpy.data.objects.get(self._mesh)
        if mesh is not None:
            shown = mesh.evaluated_get(context.evaluated_depsgraph_get())
            places = {name: view3d_utils.location_3d_to_region_2d(region, view, spot.shown_by(shown))
                      for name, spot in self._spots.items()}
            seen = {name: place for name, place in places.items() if place is not None}
            if seen:
                _draw_dots(np.array([tuple(place) for place in seen.values()]), scale)
            for name, place in seen.items():
                _draw_label(name, place.x, place.y, scale)
        self._draw_sentences(*uncovered(area, region), scale)

    def _draw_sentences(self, left: float, right: float, top: float, scale: float) -> None:
        width = max(right - left - 2 * _CORNER * scale, (right - left) / 2)
        lines = [(line, points) for text, points in ((self._asked, _ASKED), (self._keys, _KEYS))
                 for line in in_lines(text, width, lambda line, points=points: width_of(line, points))]
        widths = [width_of(*line) for line in lines]
        wide = max(widths, default=0.0) + 2 * _MARGIN * scale
        high = (sum(points for _, points in lines) * _LINE + _MARGIN) * scale
        middle, y = (left + right) / 2, top - _MARGIN * scale
        fill((middle - wide / 2, y - high, wide, high), _BEHIND_LINES)
        y -= _MARGIN / 2 * scale
        for (line, points), width in zip(lines, widths, strict=True):
            y -= _LINE * points * scale
            write(line, middle - width / 2, y + (_LINE - 1) / 2 * points * scale, points)


def _draw_label(name: str, x: float, y: float, scale: float) -> None:
    text, side, row = LABELS[name]
    text = said(text)
    away, wide = (_DOT + _RIM + 4) * scale, width_of(text, _NAME)
    x = x + away if side > 0 else x - away - wide
    y += (row - 0.35) * _NAME * scale
    fill((x - 2 * scale, y - 0.3 * _NAME * scale, wide + 4 * scale, 1.3 * _NAME * scale), _BEHIND_NAMES)
    write(text, x, y, _NAME)


def discs(places: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Light dots with a dark rim whose edges are a pixel soft: vertices (V,2), their colours (V,4), triangles (F,3).

    places (N,2) pixels.
    """
    inner, outer = _DOT * scale, (_DOT + _RIM) * scale
    rings = ((0.0, (*_LIGHT, 1.0)), (inner - 0.5, (*_LIGHT, 1.0)), (inner + 0.5, (*_DARK, 1.0)),
             (outer - 0.5, (*_DARK, 1.0)), (outer + 0.5, (*_DARK, 0.0)))
    angle = np.linspace(0.0, 2 * np.pi, _SIDES, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    points = np.concatenate([radius * circle for radius, _ in rings])
    colors = np.repeat([color for _, color in rings], _SIDES, 0)
    here = np.arange(_SIDES)
    after = (here + 1) % _SIDES
    ring = np.concatenate([np.stack(three, 1) for three in ((here, here + _SIDES, after),
                                                            (after, here + _SIDES, after + _SIDES))])
    one = np.concatenate([ring + k * _SIDES for k in range(len(rings) - 1)])
    triangles = (one + np.arange(len(places))[:, None, None] * len(points)).reshape(-1, 3)
    return ((places[:, None] + points).reshape(-1, 2).astype(np.float32),
            np.tile(colors, (len(places), 1)).astype(np.float32), triangles.astype(np.int32))


def _draw_dots(places: np.ndarray, scale: float) -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    points, colors, triangles = discs(places, scale)
    shader = gpu.shader.from_builtin("SMOOTH_COLOR")
    batch = batch_for_shader(shader, "TRIS", {"pos": points, "color": colors}, indices=triangles)
    gpu.state.blend_set("ALPHA")
    shader.bind()
    batch.draw(shader)
    gpu.state.blend_set("NONE")
