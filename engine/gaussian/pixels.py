# SPDX-License-Identifier: GPL-3.0-or-later
"""A drawn picture as what files and Blender take: bytes for the screen, or light in half floats; a visible mark.

numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .exr import exr_bytes
from .png import png_bytes

Floats = NDArray[np.float32]

PNG, EXR = "png", "exr"
FORMATS = (PNG, EXR)

_WORD = (       # SYNTHETIC, five rows of dots
    "### # # # # ### # # ### ### # ###",
    "#   # # ###  #  # # #    #  # #  ",
    "###  #  ###  #  ### ##   #  # #  ",
    "  #  #  # #  #  # # #    #  # #  ",
    "###  #  # #  #  # # ###  #  # ###",
)
_OF_WIDTH = 0.25        # of a picture's width for the word, one pixel a dot at least


def on_screen(picture: Floats) -> NDArray[np.uint8]:
    """A picture (4,H,W), sRGB and straight alpha, 0 to 1 -> the same in bytes (H,W,4)."""
    return np.ascontiguousarray((picture.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))


def in_light(picture: Floats) -> NDArray[np.float16]:
    """A picture (4,H,W), sRGB and straight alpha -> scene-linear half floats (H,W,4) with colours times alpha."""
    color, alpha = picture[:3], picture[3:]
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return np.ascontiguousarray(np.concatenate([linear * alpha, alpha]).transpose(1, 2, 0).astype(np.float16))


def marked(picture: Floats) -> Floats:
    """The same picture (4,H,W) with the word “synthetic” in its lower right corner, light on dark."""
    word = np.array([[dot == "#" for dot in row] for row in _WORD], bool)
    height, width = picture.shape[1:]
    scale = max(1, int(width * _OF_WIDTH / word.shape[1]))
    word = np.pad(word.repeat(scale, 0).repeat(scale, 1), scale)
    rows, columns = min(height, word.shape[0]), min(width, word.shape[1])
    result = picture.copy()
    corner = result[:, height - rows :, width - columns :]
    corner[:3] = np.where(word[:rows, :columns], 0.9, 0.1)
    corner[3] = 1.0
    return result


def file_bytes(pixels: NDArray[np.uint8] | NDArray[np.float16], texts: Mapping[str, str]) -> bytes:
    """Bytes of `on_screen` as a PNG file, half floats of `in_light` as OpenEXR."""
    if pixels.dtype == np.float16:
        return exr_bytes(pixels.astype(np.float16), texts)
    return png_bytes(pixels.astype(np.uint8), texts)


def pixels_for(form: str, picture: Floats) -> NDArray[np.uint8] | NDArray[np.float16]:
    """A picture as a format takes it. Raises EngineError where there is no such format."""
    if form not in FORMATS:
        raise EngineError(f"There is no format “{form}”.", f"Choose one of {', '.join(FORMATS)}.")
    return in_light(picture) if form == EXR else on_screen(picture)
