# SPDX-License-Identifier: GPL-3.0-or-later
"""New frames in a take's motion: the model's own motion of real speech, its joins measured against itself."""

from __future__ import annotations

import numpy as np
import pytest
from artalk_blender.engine.passage import Passage
from artalk_blender.engine.pipeline import Pipeline
from artalk_blender.engine.rotations import to_quaternions
from real_motion import default_model, demo_motion, demo_speech, lips
from seeded_weights import synthetic_motion

from artalk_blender.motion import splice as splicing
from artalk_blender.motion.layout import EXPRESSION, HEAD_ROTATION, JAW_POSE
from artalk_blender.motion.resample import closures
from artalk_blender.motion.splice import splice

RANGES = [(13, 40), (30, 38), (47, 160), (100, 185), (90, 95), (60, 140)]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(default_model())


@pytest.fixture(scope="module")
def take() -> np.ndarray:
    return demo_motion()


def again(pipeline: Pipeline, old: np.ndarray, start: int, stop: int, variation: int) -> np.ndarray:
    passage = Passage(start, stop - start, old[:start], variation)
    return pipeline.generate(demo_speech(), raw=True, passage=passage)


def aperture(motion: np.ndarray) -> np.ndarray:
    """Metres (T,) of the default head."""
    return lips(motion).aperture


def turned(motion: np.ndarray, degrees: float) -> np.ndarray:
    """The take as someone tuned it who turned the head to the side."""
    result = motion.copy()
    result[:, HEAD_ROTATION] += np.radians([0.0, degrees, 0.0]).astype(np.float32)
    return result


def jumps(motion: np.ndarray, order: int, part: slice) -> np.ndarray:
    """Sizes of the changes (order 1), of their changes (2), of those (3), from frame to frame."""
    return np.linalg.norm(np.diff(np.asarray(motion[:, part], np.float64), n=order, axis=0), axis=1)


@pytest.mark.parametrize("part", [EXPRESSION, HEAD_ROTATION, JAW_POSE], ids=["face", "head", "jaw"])
@pytest.mark.parametrize("degrees", [0.0, 5.0])
def test_nobody_sees_the_joins(pipeline: Pipeline, take: np.ndarray, part: slice, degrees: float):
    """Changes at the ends are like the take's own: position, speed, and the jerk behind them."""
    old = turned(take, degrees)
    hard, soft = [], []
    for variation, (start, stop) in enumerate(RANGES, 1):
        new = again(pipeline, old, start, stop, variation)
        cut = np.concatenate([old[:start], new, old[stop:]])
        for motion, found in ((splice(old, new, start), soft), (cut, hard)):
            for order in (1, 2, 3):
                own = np.percentile(jumps(old, order, part), 97)
                at = [jumps(motion, order, part)[end - order : end].max() / own for end in (start, stop)]
                found.append((order, max(at)))
    worst = {order: max(size for one, size in soft if one == order) for order in (1, 2, 3)}
    assert all(size < 1.6 for size in worst.values()), worst
    if part == HEAD_ROTATION and degrees:
        assert max(size for order, size in hard if order == 1) > 4.0    # what is to be seen without


def test_position_and_speed_at_the_ends_are_the_old_ones(pipeline: Pipeline, take: np.ndarray):
    new = again(pipeline, take, 60, 140, 3)
    result = splice(take, new, 60)
    apart = np.abs(new - take[60:140]).max()
    for frame, weight in ((60, 0.058), (139, 0.058)):
        assert np.abs(result[frame] - take[frame]).max() <= weight * apart + 1e-6


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (40, 45), (100, 187), (0, 187), (186, 187), (3, 5)])
def test_outside_the_range_not_a_bit_changes(take: np.ndarray, start: int, stop: int):
    old = take[:187]
    before, new = old.copy(), synthetic_motion(3, stop - start)
    result = splice(old, new, start, aperture)
    assert result.shape == old.shape and result.dtype == np.float32 and np.isfinite(result).all()
    assert np.array_equal(result[:start], old[:start]) and np.array_equal(result[stop:], old[stop:])
    assert np.array_equal(old, before)
    calm = slice(0 if start == 0 else 12, stop - start if stop == len(old) else max(0, stop - start - 12))
    np.testing.assert_allclose(result[start:stop][calm, EXPRESSION], new[calm, EXPRESSION], atol=1e-6)


def test_the_same_motion_again_changes_nothing(take: np.ndarray):
    np.testing.assert_allclose(splice(take, take[40:120], 40), take, atol=1e-6)


def test_lips_that_close_stay_closed(pipeline: Pipeline, take: np.ndarray):
    kept = found = 0
    for variation in range(1, 13):
        start = 5 + 11 * variation
        new = again(pipeline, take, start, start + 40, variation)
        closed = closures(aperture(new))
        mixed = aperture(splice(take, new, start, aperture)[start : start + 40])
        kept, found = kept + int((mixed[closed] <= 1e-3).sum()), found + len(closed)
    assert found > 100 and kept >= 0.99 * found


def test_a_closure_at_an_end_makes_the_face_turn_more_quickly(take: np.ndarray):
    """The old motion has its lips open where the new sound closes them, three frames into the range."""
    opening = aperture(take)
    open_, closed = take[int(opening.argmax())], take[int(opening.argmin())]
    old, new = np.repeat(open_[None], 60, 0), np.repeat(open_[None], 30, 0)
    new[2] = closed
    with_lips, without = (splice(old, new, 20, known)[22] for known in (aperture, None))
    first, second = aperture(np.stack([with_lips, without]))
    assert first < 0.35 * second


def test_rotations_go_the_short_way_round():
    """Half a turn to the left and half a turn to the right are close together, however they are written."""
    old, new = np.zeros((40, 106), np.float32), np.zeros((20, 106), np.float32)
    old[:, 101], new[:, 101] = 3.0, -3.0
    result = splice(old, new, 10)
    q = to_quaternions(result[:, HEAD_ROTATION])
    steps = 2.0 * np.arccos(np.clip(np.abs((q[1:] * q[:-1]).sum(1)), 0.0, 1.0))
    assert steps.max() < 0.1 and np.abs(np.diff(result[:30, 101])).max() < 0.1


@pytest.mark.parametrize(("old", "new", "start"), [
    ((10, 106), (5, 106), 6), ((10, 106), (5, 106), -1), ((10, 106), (0, 106), 3), ((10, 105), (5, 106), 0),
    ((10, 106), (5, 3), 0), ((106,), (5, 106), 0),
])
def test_what_does_not_fit_is_refused(old: tuple, new: tuple, start: int):
    with pytest.raises(ValueError, match="motions are|lie within"):
        splice(np.zeros(old, np.float32), np.zeros(new, np.float32), start)


def test_the_head_takes_longer_than_the_face():
    assert splicing.HEAD_FRAMES > splicing.FACE_FRAMES
    old, new = np.zeros((80, 106), np.float32), np.full((60, 106), 0.1, np.float32)
    result = splice(old, new, 10)
    assert np.array_equal(result[14:66, EXPRESSION], new[4:56, EXPRESSION])
    assert result[14, 101] < 0.05 and np.array_equal(result[22:58, HEAD_ROTATION], new[12:48, HEAD_ROTATION])
