# SPDX-License-Identifier: GPL-3.0-or-later
"""Paints the default head's colour texture: every pixel knows where on the rest mesh it lies and is coloured by that.

Colours are sRGB, 0 to 1; places are millimetres in the head frame, x >= 0 on both sides. Boundary: numpy and scipy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from .assemble import Head
from .brows import brow_ink
from .hair import combed, cover, inside_line, sheen
from .parts import ARCH, MATERIALS
from .primitives import Array, smoothstep
from .raster import rasterise, spread
from .sdf import EYE

SIZE = 1536
SEED = 11
SKIN = (0.845, 0.672, 0.585)
BLUSH = (0.815, 0.520, 0.455)
SHADE = (0.640, 0.440, 0.375)
LIPS = (0.728, 0.462, 0.430)
INNER_LIPS = (0.580, 0.300, 0.290)
MOUTH = (0.420, 0.165, 0.155)
HAIR = (0.215, 0.155, 0.122)
HAIR_LIGHT = (0.470, 0.350, 0.265)
BROWS = (0.235, 0.165, 0.130)
NOSTRIL = (0.300, 0.170, 0.140)
LASH = (0.160, 0.110, 0.095)
IRIS = 0.47  # radians
PUPIL = 0.19
CATCH = (1.75, 2.0, 0.95)  # a window's reflection on the cornea: its middle from the eye's and half width, mm
# middles of the teeth's gaps along the arch from the midline, mm, upper and lower
GAPS = {
    "teeth_upper": (0.0, 8.4, 14.8, 22.2, 29.0, 35.8, 45.0),
    "teeth_lower": (0.0, 5.3, 11.2, 18.0, 25.0, 32.0, 42.0),
}


CROWNS = {"teeth_upper": (7.8, 2.2), "teeth_lower": (6.2, 1.6)}  # mm from edge to gum, and how far it is scalloped


@dataclass(frozen=True)
class Pixels:
    """The painted pixels with what each knows of the mesh."""

    place: Array  # (P,3) mm, x >= 0
    side: Array  # (P,) the true x, for what differs from side to side
    part: np.ndarray  # (P,) material of its face
    ring: Array  # (P,) lip ring, 0 the seal to 8, more elsewhere; negative in the mouth bag
    lid: Array  # (P,) lid ring, 0 the margin to 8, more elsewhere; negative inside the lid
    ear: Array  # (P,) 1 on the ear
    depth: Array  # (P,) 1 at the ear's concha and behind the ear


def attributes(head: Head) -> dict[str, Array]:
    """What every vertex knows, (V,) each."""
    tab, n = head.tables, len(head.points)
    ring, lid, ear, depth = np.full(n, 12.0), np.full(n, 12.0), np.zeros(n), np.zeros(n)
    for k in range(8, -1, -1):
        ring[tab["mouth"][k]] = k
        lid[tab["eye"][k]] = k
    for k in range(4):
        ring[tab["bag"][k]] = -1 - k
    ring[tab["bag_back"]] = -5
    lid[tab["lid_inner"][0]], lid[tab["lid_inner"][1]] = -1, -2
    ear[tab["ear"]] = 1
    depth[tab["ear"][tab["ear_rings"].size :]] = 1.0
    depth[tab["ear_rings"][-1]] = 0.8
    depth[tab["ear_rings"][2]], depth[tab["ear_rings"][3]] = 0.15, 0.9
    out = {"ring": ring, "lid": lid, "ear": ear, "depth": depth}
    for value in out.values():
        value[head.mirror] = np.where(np.arange(n) < head.mirror, value, value[head.mirror])
    return out


def locate(head: Head, uv: Array, corners: np.ndarray, size: int) -> tuple[np.ndarray, Pixels]:
    """Pixel numbers (P,) and what they know."""
    split = ([0, 1, 2], [0, 2, 3])
    pixels, owner, weight = rasterise(uv, np.concatenate([corners[:, s] for s in split]), size)
    vertices = np.concatenate([head.quads[:, s] for s in split])[owner]

    def mean(value: Array) -> Array:
        return np.asarray(np.einsum("pk,pk...->p...", weight, value[vertices]))

    place = mean(head.points)
    known = {name: mean(value) for name, value in attributes(head).items()}
    side = place[:, 0].copy()
    place[:, 0] = np.abs(side)
    return pixels, Pixels(place, side, np.tile(head.material, 2)[owner], **known)


def mix(colour: Array, layer: tuple[float, ...] | Array, amount: Array | float) -> Array:
    """`layer` over `colour` (P,3) by `amount` (P,)."""
    share = np.broadcast_to(np.asarray(amount, float), (len(colour),))[:, None].clip(0, 1)
    return colour + (np.asarray(layer) - colour) * share


def spot(p: Array, centre: tuple[float, float, float], reach: tuple[float, float, float] | float) -> Array:
    """1 at `centre`, falling like a gaussian."""
    return np.asarray(np.exp(-0.5 * (((p - centre) / np.asarray(reach)) ** 2).sum(1)))


def noise(places: Array, grain: float, seed: int) -> Array:
    """Smooth noise (P,) of unit deviation with grains of that many mm."""
    block = gaussian_filter(np.random.default_rng(seed).standard_normal((48, 48, 48)), 0.7, mode="wrap")
    at = (places / grain).T
    value = map_coordinates(block / block.std(), at, order=1, mode="grid-wrap")
    return np.asarray(value)


def paint_skin(q: Pixels) -> Array:
    """Skin with its blushes and mottles, lips, lids, nostrils and the mouth's inside; (P,3)."""
    p = q.place
    true = np.column_stack([q.side, p[:, 1:]])
    c = np.tile(np.array(SKIN), (len(p), 1))
    blush = 0.40 * spot(p, (43, -33, 74), (13, 10, 30)) + 0.45 * spot(p, (0, -36, 112), (12, 9, 14))
    blush += 0.25 * spot(p, (0, -100, 92), (14, 9, 20)) + 0.20 * spot(p, (0, 45, 96), (40, 22, 40))
    blush += 0.25 * spot(p, (33, -11, 84), (12, 6, 20)) + 0.55 * q.ear * spot(p, (75, -18, -10), (30, 40, 40))
    blush += 0.30 * np.exp(-(((q.ring - 5.0) / 1.6) ** 2)) * (q.ring < 9)
    blush += 0.16 * np.exp(-((q.lid / 2.0) ** 2))
    blush += 0.055 * noise(true, 9.0, SEED) + 0.05 * noise(true, 3.2, SEED + 1)
    c = mix(c, BLUSH, blush)
    shade = 0.16 * spot(p, (20, -5, 82), (6, 6, 12)) + 0.55 * q.depth
    shade += 0.30 * np.exp(-(((q.lid - 4.2) / 1.0) ** 2)) * (p[:, 1] > 2) * spot(p, (33, 10, 82), (14, 10, 30))
    shade += 0.28 * smoothstep(-p[:, 1], 100, 135) * smoothstep(p[:, 2], -40, 40)
    shade += 0.22 * spot(p, (16.4, -38.5, 91), (2.2, 5.0, 6)) + 0.2 * spot(p, (0, -46, 100), (8, 3, 6))
    shade += 0.22 * spot(p, (0, -83.5, 93), (13, 2.8, 10))
    c = mix(c, SHADE, shade)
    c *= 1 + 0.010 * noise(true, 1.3, SEED + 2)[:, None]
    return c


def lashes(p: Array, lid: Array) -> Array:
    """Drawn lashes (P,) standing on the lid's edge, longer and leaning further towards the outer corner."""
    out = smoothstep(p[:, 0], 20, 43)
    turn = np.degrees(np.arctan2(p[:, 1] - EYE[1], p[:, 0] - EYE[0]))
    comb = turn + 3.5 * np.abs(lid) * (p[:, 0] - 27) / 12
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (comb / 5.5 + 0.18 * np.sin(comb / 11.0)))
    long = (0.7 + 1.0 * out) * (0.85 + 0.15 * np.cos(comb / 4.1))
    part = lid / long
    drawn = smoothstep(wave, 0.25 + 0.6 * part.clip(0), 0.95) * (1 - smoothstep(part, 0.6, 1.0))
    return np.asarray(drawn * (lid > -0.2) * smoothstep(p[:, 0], 22.5, 29))


def paint_features(q: Pixels, c: Array) -> Array:
    """Lips, the mouth's inside, nostrils, lid edges and brows over the skin `c`."""
    p = q.place
    true = np.column_stack([q.side, p[:, 1:]])
    lip = (1 - smoothstep(q.ring + 0.10 * noise(true, 2.4, SEED + 3), 2.7, 4.6)) * (q.ring > -6)
    lip *= 1 - 0.90 * smoothstep(p[:, 0], 16.5, 25.0)
    wrinkle = noise(true * [1.0, 0.18, 0.18], 0.8, SEED + 4)
    colour = np.array(LIPS) * (1 + 0.022 * (wrinkle * (1 - smoothstep(q.ring, 1.8, 3.2)))[:, None])
    colour = mix(colour, SKIN, 0.16 * np.exp(-(((q.ring - 2.0) / 0.9) ** 2)) * (p[:, 1] < -68))
    colour = mix(colour, INNER_LIPS, 1 - smoothstep(q.ring, -0.6, 1.5))
    colour = mix(colour, np.array(INNER_LIPS) * 0.62, 1 - smoothstep(q.ring, -0.4, 0.55))
    c = mix(c, colour, lip)
    c = mix(c, SHADE, 0.55 * spot(p, (24.0, -67.4, 90), (2.6, 1.6, 8)) * smoothstep(q.ring, -0.5, 0.5))
    c = mix(c, MOUTH, smoothstep(-q.ring, 0.6, 2.0))
    c = mix(c, np.array(MOUTH) * 0.35, smoothstep(-q.ring, 2.5, 5.0))
    dark = spot(p, (7.6, -40.8, 99.4), (3.3, 3.2, 4.0))
    c = mix(c, NOSTRIL, 1.25 * dark * smoothstep(p[:, 1], -48.5, -44.5))
    upper = smoothstep(p[:, 1], -0.5, 2.2)
    edge = np.exp(-(((q.lid + 0.40) / 0.66) ** 2)) * upper * smoothstep(p[:, 0], 20.5, 26)
    c = mix(c, LASH, 0.97 * edge + 0.30 * np.exp(-((q.lid / 1.3) ** 2)) * upper)
    c = mix(c, LASH, 0.85 * lashes(p, q.lid) * upper)
    lower = (1 - upper) * smoothstep(p[:, 0], 21, 28)
    c = mix(c, LASH, lower * (0.32 * np.exp(-(((q.lid + 0.1) / 0.5) ** 2)) + 0.20 * lashes(p, 2.0 * q.lid)))
    c = mix(c, (0.82, 0.56, 0.51), 0.55 * np.exp(-(((q.lid + 1.0) / 0.55) ** 2)) * (1 - upper))
    caruncle = spot(p, (18.2, -1.5, 78.0), (2.0, 2.2, 6)) * (1 - smoothstep(q.lid, -0.6, 0.8))
    c = mix(c, (0.78, 0.47, 0.43), 0.8 * caruncle)
    return mix(c, BROWS, brow_ink(p))


def paint_hair(q: Pixels, c: Array) -> Array:
    """Short hair, strand by strand, thin towards the hairline."""
    true = np.column_stack([q.side, q.place[:, 1:]])
    at, away = combed(true, 0.05 * noise(true, 26.0, SEED + 5))
    fine = noise(at * [1, 1, 0.10], 0.70, SEED + 6)
    coarse = noise(at * [1, 1, 0.16], 2.6, SEED + 7)
    inside, fade = inside_line(q.place, q.ear)
    amount = cover(inside + 1.2 * noise(true, 5.0, SEED + 8), fade, 0.95 * fine + 0.28 * coarse)
    colour = np.array(HAIR) * (1 + 0.17 * fine + 0.13 * coarse)[:, None]
    colour = mix(colour, HAIR_LIGHT, sheen(away) * smoothstep(fine + 0.7 * coarse, -0.8, 2.6) * 0.75)
    return mix(c, colour, 0.96 * amount)


def paint_eye(q: Pixels) -> Array:
    """White with a warm rim, iris with fibres and a dark edge, pupil, the lid's shadow and a window's reflection."""
    d = q.place - EYE
    angle = np.arctan2(np.hypot(d[:, 0], d[:, 1]), d[:, 2])
    turn = np.arctan2(d[:, 1], d[:, 0])
    white = np.tile([0.850, 0.826, 0.808], (len(d), 1))
    white = mix(white, (0.74, 0.54, 0.50), 0.70 * smoothstep(angle, 0.62, 1.15))
    fibre = sum(
        np.sin(k * turn + phase + 2.0 * np.sin(3 * turn + phase)) / n
        for n, (k, phase) in enumerate(((23, 0.3), (37, 1.7), (61, 4.1)), 1)
    )
    iris = np.tile([0.330, 0.400, 0.400], (len(d), 1)) * (1 + 0.16 * np.asarray(fibre)[:, None])
    iris *= 1 - 0.16 * (d[:, 1:2] / 6.0)  # light falls in from above and comes out below
    ragged = 0.025 * np.sin(9 * turn + 1.3 * np.sin(4 * turn)) + 0.012 * np.asarray(fibre)
    iris = mix(iris, (0.54, 0.43, 0.27), 0.75 * (1 - smoothstep(angle + ragged, PUPIL, PUPIL + 0.15)))
    iris = mix(iris, (0.09, 0.12, 0.14), 0.90 * smoothstep(angle, IRIS - 0.13, IRIS - 0.01))
    c = mix(white, iris, 1 - smoothstep(angle, IRIS - 0.02, IRIS + 0.035))
    c = mix(c, (0.02, 0.02, 0.02), 1 - smoothstep(angle, PUPIL - 0.012, PUPIL + 0.012))
    c = mix(c, (0.16, 0.11, 0.10), 0.72 * smoothstep(d[:, 1] + 0.02 * d[:, 0] ** 2, 2.6, 6.2))
    across = np.sign(q.side) * d[:, 0]  # towards the head's left on either eye
    glow = np.exp(-0.5 * (((across + 2.0) / 1.3) ** 2 + ((d[:, 1] + 2.3) / 1.0) ** 2)) * (d[:, 2] > 0)
    c = mix(c, (0.75, 0.82, 0.86), 0.22 * glow)
    window = ((across - CATCH[0]) / CATCH[2]) ** 2 + ((d[:, 1] - CATCH[1]) / CATCH[2]) ** 2
    return mix(c, (0.98, 0.98, 0.97), 0.94 * (1 - smoothstep(window, 0.55, 1.45)) * (d[:, 2] > 0))


def paint_teeth(q: Pixels) -> Array:
    """Enamel with gaps and rounded corners, and the gum with its scallops, by the arch's own length."""
    p = q.place
    u = np.arctan2(p[:, 0] / ARCH[0], 1 - (92 - p[:, 2]).clip(0) / 45)
    table = np.linspace(0, 1.5, 200)
    length = np.concatenate(
        [[0], np.cumsum(np.hypot(*(ARCH[:, None] * np.diff([np.sin(table), np.cos(table)]))))]
    )
    along = np.interp(u, table, length)
    c = np.zeros((len(p), 3))
    for name, mask, edge in (
        ("teeth_upper", p[:, 1] > -70.2, p[:, 1] + 69.9),
        ("teeth_lower", p[:, 1] <= -70.2, -70.6 - p[:, 1]),
    ):
        c[mask] = _crowns(along[mask], edge[mask], np.array(GAPS[name]), *CROWNS[name])
    return mix(c, (0.22, 0.10, 0.09), 0.85 * smoothstep(along, 16, 38))


def _crowns(along: Array, edge: Array, gaps: Array, high: float, bow: float) -> Array:
    """Colours (P,3) of teeth between `gaps`, `high` mm from edge to gum, which comes down by `bow` between them."""
    tooth = np.searchsorted(gaps, along, side="right").clip(1, len(gaps) - 1)
    middle, half = 0.5 * (gaps[tooth] + gaps[tooth - 1]), 0.5 * (gaps[tooth] - gaps[tooth - 1])
    side = (np.abs(along - middle) / half).clip(0, 1)
    near = (1 - side) * half
    c = np.tile([0.905, 0.880, 0.820], (len(along), 1))
    c = mix(c, (0.80, 0.70, 0.57), 0.60 * smoothstep(edge, 0.45 * high, 1.05 * high) + 0.10 * (tooth == 3))
    c = mix(c, (0.62, 0.66, 0.68), 0.25 * (1 - smoothstep(edge, 0.3, 1.8)))  # thin enamel lets the dark through
    c = mix(c, (0.50, 0.38, 0.31), 0.42 * smoothstep(side, 0.55, 1.0))
    wide = 0.10 + 0.62 * np.exp(-edge / 0.7)
    c = mix(c, (0.20, 0.09, 0.08), 0.80 * (1 - smoothstep(near, 0.5 * wide, 1.5 * wide)))
    line = edge - high + bow * side**3
    c = mix(c, (0.55, 0.34, 0.30), 0.5 * smoothstep(line, -0.7, 0.0))
    gum = mix(np.tile([0.74, 0.45, 0.43], (len(along), 1)), (0.60, 0.31, 0.31), smoothstep(line, 0.3, 2.5))
    return mix(c, gum, smoothstep(line, -0.2, 0.2))


def paint_tongue(q: Pixels) -> Array:
    p = q.place
    c = np.tile([0.690, 0.400, 0.390], (len(p), 1)) * (1 + 0.03 * noise(p, 0.8, SEED + 9)[:, None])
    c = mix(c, (0.55, 0.26, 0.26), 0.6 * np.exp(-((p[:, 0] / 1.2) ** 2)))
    return mix(c, (0.30, 0.12, 0.12), smoothstep(-p[:, 2], -74, -50))


def paint(head: Head, uv: Array, corners: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The texture, (S,S,3) uint8, top row first. A pixel is the mean of two places in it, or hairs would look torn."""
    eyes = [MATERIALS.index(n) for n in ("sclera", "iris", "pupil")]
    teeth, tongue = MATERIALS.index("teeth"), MATERIALS.index("tongue")
    total, count = np.zeros((size * size, 3)), np.zeros(size * size)
    for shift in ((-0.25, -0.25), (0.25, 0.25)):
        pixels, q = locate(head, uv + np.array(shift) / size, corners, size)
        brushes = (
            (np.isin(q.part, eyes), paint_eye),
            (q.part == teeth, paint_teeth),
            (q.part == tongue, paint_tongue),
            (~np.isin(q.part, [*eyes, teeth, tongue]), _all_skin),
        )
        for mask, brush in brushes:
            total[pixels[mask]] += brush(Pixels(*(getattr(q, name)[mask] for name in Pixels.__dataclass_fields__)))
        count[pixels] += 1
    done = np.flatnonzero(count)
    total[done] /= count[done, None]
    picture = spread(total.reshape(size, size, 3), done)
    return np.asarray((picture.clip(0, 1) * 255).round(), np.uint8)


def _all_skin(q: Pixels) -> Array:
    return paint_features(q, paint_hair(q, paint_skin(q)))
