# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preview asks for and keeps, without Blender."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from artalk_blender.engine.gaussian.exr import exr_bytes
from artalk_blender.engine.gaussian.pixels import in_light
from artalk_blender.engine.gaussian.png import png_bytes

from artalk_blender.gaussian.frame_reader import FrameReader, read_frame
from artalk_blender.gaussian.preview_plan import PictureCache, Planner, Wish


def test_the_cache_keeps_what_was_looked_at_last_within_its_bytes():
    cache = PictureCache(100)
    for name in "abcd":
        cache.put(name, name.upper(), 30)
    assert "a" not in cache and cache.bytes == 90
    assert cache.get("b") == "B"
    cache.put("e", "E", 30)
    assert "c" not in cache and "b" in cache and cache.get("c") is None
    cache.put("b", "new", 10)
    assert cache.bytes == 70 and cache.get("b") == "new"
    cache.put("f", "F", 500)
    assert (len(cache), cache.bytes) == (1, 500)
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_coarse_first_and_full_when_it_rests():
    planner, cache = Planner(), PictureCache(10_000)

    def tick(key: str, now: float, playing: bool = False, busy: bool = False) -> Wish | None:
        return planner.next(key, 7, now, playing, busy, cache)

    assert tick("a", 0.0) == Wish("a", 7, True)
    assert tick("a", 0.1) is None and planner.state == "Avatar: frame 7, coming"
    cache.put(("a", True), "coarse", 1)
    planner.answered()
    assert tick("a", 0.12) is None and planner.state == "Avatar: frame 7, preview"
    assert tick("a", 0.2, playing=True) is None
    assert tick("a", 0.3, busy=True) is None and planner.state.endswith("waits for the running job")
    assert tick("a", 0.3) == Wish("a", 7, False)
    cache.put(("a", False), "full", 1)
    planner.answered()
    assert tick("a", 9.0) is None and planner.state == "Avatar: frame 7"


def test_while_one_is_under_way_only_the_newest_wish_stays():
    planner, cache = Planner(), PictureCache(10_000)
    assert planner.next("1", 1, 0.0, True, False, cache) == Wish("1", 1, True)
    for frame in range(2, 9):
        assert planner.next(str(frame), frame, frame / 30, True, False, cache) is None
    cache.put(("1", True), "late", 1)
    planner.answered()
    assert planner.next("9", 9, 0.3, True, False, cache) == Wish("9", 9, True)
    assert planner.dropped == 7
    planner.answered()
    assert planner.next("1", 1, 0.4, True, False, cache) is None  # what came late is not asked for twice


def test_jobs_go_first_and_a_failure_is_not_repeated():
    planner, cache = Planner(), PictureCache(10_000)
    assert planner.next("a", 1, 0.0, False, True, cache) is None
    assert planner.next("a", 1, 0.0, False, False, cache, reading=True) is None
    assert planner.next("a", 1, 0.1, False, False, cache) is not None
    planner.failed("There is no avatar.")
    assert planner.asked is None
    assert planner.next("b", 2, 0.2, False, False, cache) is None and planner.state == "There is no avatar."
    planner.problem = ""
    assert planner.next("b", 2, 0.3, False, False, cache) == Wish("b", 2, True)


def test_frames_are_read_as_the_screen_has_them(tmp_path: Path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 40, 4), np.uint8)
    pixels[..., 3] |= 64
    (tmp_path / "00001.png").write_bytes(png_bytes(pixels, {}))
    (tmp_path / "00001.exr").write_bytes(exr_bytes(in_light(pixels.transpose(2, 0, 1) / np.float32(255)), {}))
    assert np.array_equal(read_frame(tmp_path / "00001.png"), pixels)
    assert np.abs(read_frame(tmp_path / "00001.exr").astype(int) - pixels).max() <= 1


def test_the_reader_forgets_what_nobody_wants_any_more(tmp_path: Path):
    begun, go_on, read = threading.Event(), threading.Event(), []

    def slow(path: Path) -> np.ndarray:
        read.append(path.name)
        begun.set()
        assert go_on.wait(10)
        if path.name == "bad":
            raise OSError
        return np.zeros((1, 1, 4), np.uint8)

    reader = FrameReader(slow)
    reader.wish([("a", Path("a")), ("b", Path("b")), ("c", Path("c"))])
    assert begun.wait(10)
    reader.wish([("a", Path("a")), ("z", Path("z")), ("bad", Path("bad"))])
    go_on.set()
    found, until = {}, time.monotonic() + 10
    while len(found) < 3 and time.monotonic() < until:
        found.update(reader.take())
        time.sleep(0.005)
    assert read == ["a", "z", "bad"]
    assert set(found) == {"a", "z", "bad"} and found["bad"] is None
    reader.close()
    reader._thread.join(10)
    assert not reader._thread.is_alive()
