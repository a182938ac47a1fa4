# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR files there and back; that Blender reads them the same is in addon_tests/blender/test_avatar_render.py."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import EngineError
from engine.gaussian.exr import exr_bytes, read_exr, read_exr_texts
from engine.gaussian.pixels import in_light, marked, on_screen
from engine.gaussian.png import png_bytes, read_png_texts


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 3), (17, 31), (100, 64)])
def test_there_and_back(height: int, width: int):
    rng = np.random.default_rng(height)
    noise = rng.normal(0, 100, (height, width, 4)).astype(np.float16)       # as large packed as not
    flat = np.full((height, width, 4), 0.25, np.float16)
    for pixels in (noise, flat):
        data = exr_bytes(pixels, {"Comment": "künstlich", "Source": "synthetic"})
        back, texts = read_exr(data)
        np.testing.assert_array_equal(back, pixels)
        assert texts == {"Comment": "künstlich", "Source": "synthetic"} == read_exr_texts(data[:2000])
    assert len(data) < 700 + flat.nbytes // 4


def test_damaged_files_are_said_to_be_so():
    data = exr_bytes(np.ones((40, 40, 4), np.float16), {"Comment": "x"})
    for broken in (b"", data[:30], data[:200], data[:-20], b"\x89PNG" + data, data[:4] + bytes(100)):
        with pytest.raises(EngineError, match="no OpenEXR file of ours"):
            read_exr(broken)
    for broken in (b"", b"GIF89a", data[:30]):
        with pytest.raises(EngineError, match="no OpenEXR file"):
            read_exr_texts(broken)


def test_words_of_a_png_without_its_pixels():
    data = png_bytes(np.zeros((500, 500, 4), np.uint8), {"Comment": "künstlich", "Source": "synthetic"})
    assert read_png_texts(data[:400]) == {"Comment": "künstlich", "Source": "synthetic"}
    for broken in (b"", b"GIF89a", data[:10]):
        with pytest.raises(EngineError, match="no PNG"):
            read_png_texts(broken)


def test_light_and_screen():
    """Known values of sRGB (IEC 61966-2-1), and colours times alpha."""
    picture = np.zeros((4, 2, 3), np.float32)
    picture[:3, 0] = [0.0, 0.5, 1.0]
    picture[:3, 1] = 0.04
    picture[3] = [[1.0, 1.0, 0.5], [1.0, 0.0, 1.0]]
    light = in_light(picture).astype(float)
    assert light.shape == (2, 3, 4)
    np.testing.assert_allclose(light[0, :, 0], [0, 0.21404, 0.5], atol=2e-4)
    np.testing.assert_allclose(light[1, :, 0], [0.04 / 12.92, 0, 0.04 / 12.92], atol=1e-5)
    np.testing.assert_array_equal(light[..., 3], picture[3])
    screen = on_screen(picture)
    assert screen.dtype == np.uint8
    assert screen[0].tolist() == [[0, 0, 0, 255], [128, 128, 128, 255], [255, 255, 255, 128]]


@pytest.mark.parametrize("side", [16, 64, 512])
def test_a_mark_stays_within_the_picture(side: int):
    picture = np.zeros((4, side, side), np.float32)
    word = marked(picture)
    assert not picture.any() and word.shape == picture.shape
    assert (word[3].any(0).sum() <= side) and word[3, -1].any() and set(np.unique(word[0])) <= {0, np.float32(0.1),
                                                                                               np.float32(0.9)}
    assert side < 64 or word[3].mean() < 0.1
