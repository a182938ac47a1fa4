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
from .parts import ARCH, MATERIALS
from .primitives import Array, smoothstep
from .raster import rasterise, spread
from .sdf import EYE

SIZE = 1536
SEED = 11
SKIN = (0.845, 0.672, 0.585)
BLUSH = (0.815, 0.520, 0.455)
SHADE = (0.640, 0.440, 0.375)
LIPS = (0.720, 0.435, 0.410)
INNER_LIPS = (0.560, 0.270, 0.265)
MOUTH = (0.420, 0.165, 0.155)
HAIR = (0.205, 0.150, 0.120)
BROWS = (0.235, 0.165, 0.130)
NOSTRIL = (0.300, 0.170, 0.140)
LASH = (0.160, 0.110, 0.095)
# the hairline: longitude in degrees and height, from the middle of the forehead to the nape
HAIRLINE = np.array(
    [(0, 68), (10, 68.5), (19, 67.5), (27, 63.5), (35, 56.5), (44, 47), (52, 33), (59, 18), (66, 4), (71, -8),
     (76, -12), (80, -9), (84, 0), (90, 5), (97, 5), (103, -3), (108, -18), (113, -33), (122, -45), (140, -52),
     (160, -56), (180, -57)],
    float,
)  # fmt: skip
IRIS = 0.47  # radians
PUPIL = 0.19
# middles of the teeth's gaps along the arch from the midline, mm, upper and lower
GAPS = {
    "teeth_upper": (0.0, 8.4, 14.8, 22.2, 29.0, 35.8, 45.0),
    "teeth_lower": (0.0, 5.3, 11.2, 18.0, 25.0, 32.0, 42.0),
}


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
    c = mix(c, SHADE, shade)
    c *= 1 + 0.010 * noise(true, 1.3, SEED + 2)[:, None]
    return c


def paint_features(q: Pixels, c: Array) -> Array:
    """Lips, the mouth's inside, nostrils, lid edges and brows over the skin `c`."""
    p = q.place
    true = np.column_stack([q.side, p[:, 1:]])
    lip = (1 - smoothstep(q.ring + 0.10 * noise(true, 2.4, SEED + 3), 3.25, 4.25)) * (q.ring > -6)
    lip *= 1 - 0.85 * smoothstep(p[:, 0], 20, 25.5)
    wrinkle = noise(true * [1.0, 0.18, 0.18], 0.8, SEED + 4)
    colour = np.array(LIPS) * (1 + 0.022 * wrinkle[:, None])
    colour = mix(colour, SKIN, 0.16 * np.exp(-(((q.ring - 2.0) / 0.9) ** 2)) * (p[:, 1] < -68))
    colour = mix(colour, INNER_LIPS, 1 - smoothstep(q.ring, -0.6, 1.5))
    colour = mix(colour, np.array(INNER_LIPS) * 0.62, 1 - smoothstep(q.ring, -0.4, 0.55))
    c = mix(c, colour, lip)
    c = mix(c, MOUTH, smoothstep(-q.ring, 0.6, 2.0))
    c = mix(c, np.array(MOUTH) * 0.35, smoothstep(-q.ring, 2.5, 5.0))
    dark = spot(p, (7.6, -40.8, 99.4), (3.3, 3.2, 4.0))
    c = mix(c, NOSTRIL, 1.25 * dark * smoothstep(p[:, 1], -48.5, -44.5))
    upper = smoothstep(p[:, 1], -0.5, 2.2)
    edge = np.exp(-(((q.lid + 0.45) / 0.62) ** 2)) * upper * smoothstep(p[:, 0], 20.5, 26)
    c = mix(c, LASH, 0.95 * edge + 0.30 * np.exp(-((q.lid / 1.3) ** 2)) * upper)
    c = mix(c, LASH, 0.30 * np.exp(-(((q.lid + 0.1) / 0.5) ** 2)) * (1 - upper) * smoothstep(p[:, 0], 21, 28))
    c = mix(c, (0.82, 0.56, 0.51), 0.55 * np.exp(-(((q.lid + 1.0) / 0.55) ** 2)) * (1 - upper))
    caruncle = spot(p, (18.2, -1.5, 78.0), (2.0, 2.2, 6)) * (1 - smoothstep(q.lid, -0.6, 0.8))
    c = mix(c, (0.78, 0.47, 0.43), 0.8 * caruncle)
    return mix(c, BROWS, brow_ink(p))


def hair_amount(p: Array, ear: Array) -> Array:
    """0 on bare skin to 1 well inside the hairline, over some 8 mm."""
    turn = np.degrees(np.arctan2(p[:, 0], p[:, 2] + 5))
    at = np.column_stack([turn * 1.25, p[:, 1]])
    line = HAIRLINE * [1.25, 1]
    a, b = line[:-1], line[1:]
    way = np.full(len(p), np.inf)
    for s, e in zip(a, b, strict=True):
        t = (((at - s) @ (e - s)) / ((e - s) @ (e - s))).clip(0, 1)
        way = np.minimum(way, np.linalg.norm(at - s - t[:, None] * (e - s), axis=1))
    sign = np.where(p[:, 1] > np.interp(turn, *HAIRLINE.T), 1.0, -1.0)
    return np.asarray(way * sign * (1 - ear) - 20 * ear)


def paint_hair(q: Pixels, c: Array) -> Array:
    """Short hair, thin towards the hairline."""
    p = q.place
    true = np.column_stack([q.side, p[:, 1:]])
    from_line = hair_amount(p, q.ear)
    rough = 0.5 * noise(true, 6.0, SEED + 5) + 1.3 * noise(true * [1.0, 0.25, 0.25], 0.45, SEED + 6)
    amount = smoothstep(from_line + rough, -1.5, 9.0) ** 0.8
    streak = noise(true * [1.0, 0.22, 0.22], 0.75, SEED + 7) + 0.8 * noise(true * [0.5, 0.16, 0.16], 1.1, SEED + 8)
    colour = np.array(HAIR) * (1 + 0.10 * streak[:, None])
    return mix(c, colour, 0.94 * amount)


def paint_eye(q: Pixels) -> Array:
    """White with a warm rim, iris with fibres and a dark edge, pupil."""
    d = q.place - EYE
    angle = np.arctan2(np.hypot(d[:, 0], d[:, 1]), d[:, 2])
    turn = np.arctan2(d[:, 1], d[:, 0])
    white = np.tile([0.830, 0.806, 0.788], (len(d), 1))
    white = mix(white, (0.74, 0.54, 0.50), 0.70 * smoothstep(angle, 0.62, 1.15))
    white = mix(white, (0.55, 0.47, 0.46), 0.55 * smoothstep(d[:, 1], 2.5, 7.0))
    fibre = sum(
        np.sin(k * turn + phase + 2.0 * np.sin(3 * turn + phase)) / n
        for n, (k, phase) in enumerate(((23, 0.3), (37, 1.7), (61, 4.1)), 1)
    )
    iris = np.tile([0.330, 0.385, 0.380], (len(d), 1)) * (1 + 0.13 * np.asarray(fibre)[:, None])
    iris = mix(iris, (0.50, 0.42, 0.28), 0.75 * (1 - smoothstep(angle, PUPIL, PUPIL + 0.16)))
    iris = mix(iris, (0.12, 0.16, 0.18), 0.85 * smoothstep(angle, IRIS - 0.11, IRIS - 0.01))
    c = mix(white, iris, 1 - smoothstep(angle, IRIS - 0.02, IRIS + 0.035))
    return mix(c, (0.02, 0.02, 0.02), 1 - smoothstep(angle, PUPIL - 0.012, PUPIL + 0.012))


def paint_teeth(q: Pixels) -> Array:
    """Enamel with gaps and rounded corners, and the gum with its scallops, by the arch's own length."""
    p = q.place
    u = np.arctan2(p[:, 0] / ARCH[0], 1 - (92 - p[:, 2]).clip(0) / 45)
    table = np.linspace(0, 1.5, 200)
    length = np.concatenate(
        [[0], np.cumsum(np.hypot(*(ARCH[:, None] * np.diff([np.sin(table), np.cos(table)]))))]
    )
    along = np.interp(u, table, length)
    upper = p[:, 1] > -70.2
    c = np.tile([0.915, 0.880, 0.800], (len(p), 1))
    for name, mask in (("teeth_upper", upper), ("teeth_lower", ~upper)):
        gaps = np.array(GAPS[name])
        near = np.abs(along[:, None] - gaps).min(1)
        width = np.diff(gaps).mean() / 2
        edge = (p[:, 1] + 69.9) if name == "teeth_upper" else (-70.6 - p[:, 1])
        gum = (62.6 if name == "teeth_upper" else 77.0) + (p[:, 1] if name == "teeth_upper" else 0)
        bow = 1.1 * (1 - (near / width).clip(0, 1) ** 2)
        over = gum - 0.4 + bow if name == "teeth_upper" else (-76.6 - p[:, 1]) + bow
        wide = 0.16 + 0.75 * np.exp(-edge / 0.55) + 0.10 * smoothstep(edge, 3, 8)
        c = mix(c, (0.42, 0.27, 0.22), mask * 0.62 * (1 - smoothstep(near, wide * 0.6, wide * 1.4)))
        c = mix(c, (0.83, 0.74, 0.62), mask * 0.55 * smoothstep(edge, 4.0, 8.5))
        c = mix(c, (0.71, 0.42, 0.40), mask * smoothstep(over, -0.25, 0.25))
    return mix(c, (0.30, 0.15, 0.13), 0.75 * smoothstep(along, 22, 40))


def paint_tongue(q: Pixels) -> Array:
    p = q.place
    c = np.tile([0.690, 0.400, 0.390], (len(p), 1)) * (1 + 0.03 * noise(p, 0.8, SEED + 9)[:, None])
    c = mix(c, (0.55, 0.26, 0.26), 0.6 * np.exp(-((p[:, 0] / 1.2) ** 2)))
    return mix(c, (0.30, 0.12, 0.12), smoothstep(-p[:, 2], -74, -50))


def paint(head: Head, uv: Array, corners: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The texture, (S,S,3) uint8, top row first."""
    pixels, q = locate(head, uv, corners, size)
    eyes = np.isin(q.part, [MATERIALS.index(n) for n in ("sclera", "iris", "pupil")])
    teeth, tongue = q.part == MATERIALS.index("teeth"), q.part == MATERIALS.index("tongue")
    skin = ~(eyes | teeth | tongue)
    colour = np.zeros((len(pixels), 3))
    for mask, brush in ((eyes, paint_eye), (teeth, paint_teeth), (tongue, paint_tongue), (skin, _all_skin)):
        colour[mask] = brush(Pixels(*(getattr(q, name)[mask] for name in Pixels.__dataclass_fields__)))
    picture = np.zeros((size * size, 3))
    picture[pixels] = colour
    done = spread(picture.reshape(size, size, 3), pixels)
    return np.asarray((done.clip(0, 1) * 255).round(), np.uint8)


def _all_skin(q: Pixels) -> Array:
    return paint_features(q, paint_hair(q, paint_skin(q)))
