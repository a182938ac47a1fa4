# SPDX-License-Identifier: GPL-3.0-or-later
"""The solver against slow, plain ones: scipy's bounded least squares frame by frame, its L-BFGS-B over all frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize

from artalk_blender.retarget import solve
from artalk_blender.retarget.smooth import Smoother, second_differences
from artalk_blender.retarget.solve import Problem, objective, solve_frames


def random_problem(frames: int, keys: int, seed: int = 0, low: float = 0.0) -> tuple[Problem, tuple[np.ndarray, ...]]:
    """A problem in whose solution many sliders lie at their limits, and right, strength, touch."""
    random = np.random.default_rng(seed)
    rows, gaps = random.normal(size=(3 * keys, keys)), random.normal(size=(4, keys))
    rows[:, 1] = rows[:, 0] + 0.2 * rows[:, 1]  # two that are nearly alike
    limits = np.tile([low, 1.0], (keys, 1))
    problem = Problem(rows.T @ rows + 1e-3 * np.eye(keys), gaps.T @ gaps, limits, np.zeros(keys))
    wish = random.uniform(-0.7, 1.5, (frames, keys))
    strength = random.uniform(0.0, 30.0, frames)
    touch = random.normal(size=(frames, 4)) @ gaps
    return problem, (wish @ problem.hessian, strength, touch)


def one_by_one(problem: Problem, right: np.ndarray, strength: np.ndarray, touch: np.ndarray) -> np.ndarray:
    """Each frame by scipy; no smoothness, l1 only where values are not negative."""
    result = []
    for b, k, c in zip(right, strength, touch):
        root = np.linalg.cholesky(problem.hessian + k * problem.contact)
        asked = np.linalg.solve(root, b + k * c - problem.l1)
        result.append(lsq_linear(root.T, asked, tuple(problem.limits.T), method="bvls", tol=1e-14).x)
    return np.array(result)


def test_each_frame_as_scipy() -> None:
    problem, known = random_problem(60, 14)
    problem = replace(problem, l1=np.full(14, 0.5))
    expected = one_by_one(problem, *known)
    assert ((expected < 1e-9) | (expected > 1 - 1e-9)).mean() > 0.2  # limits matter
    assert np.abs(solve_frames(problem, *known) - expected).max() < 2e-3


def test_smooth_and_sparse_as_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solve, "TOLERANCE", 1e-4)
    problem, (right, strength, touch) = random_problem(10, 5, low=-1.0)
    problem = replace(problem, l1=np.full(5, 3.0), smooth=0.3)

    def value(split: np.ndarray) -> float:  # x = up - down, both not negative, so that |x| has a slope
        up, down = split.reshape(2, 10, 5)
        x = up - down
        return objective(problem, x, right, strength, touch) + 3.0 * float((up + down).sum() - np.abs(x).sum())

    found = minimize(value, np.zeros(2 * 10 * 5), bounds=[(0.0, 1.0)] * (2 * 10 * 5), method="L-BFGS-B",
                     options={"maxiter": 4000, "maxfun": 10**6, "ftol": 1e-13})
    up, down = found.x.reshape(2, 10, 5)
    ours = solve_frames(problem, right, strength, touch)
    assert objective(problem, ours, right, strength, touch) < found.fun + 1e-3
    assert np.abs(ours - (up - down)).max() < 0.01
    rough = solve_frames(replace(problem, smooth=0.0), right, strength, touch)
    assert np.abs(np.diff(ours, 2, axis=0)).mean() < 0.7 * np.abs(np.diff(rough, 2, axis=0)).mean()


def test_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, known = random_problem(300, 8)
    problem = replace(problem, smooth=0.02)
    monkeypatch.setattr(solve, "TOLERANCE", 3e-4)
    whole = solve_frames(problem, *known, threads=1)
    monkeypatch.setattr(solve, "_PART", 90)
    assert np.abs(solve_frames(problem, *known, threads=2) - whole).max() < 1e-3


def test_a_good_start_saves_rounds() -> None:
    problem, known = random_problem(50, 10)
    problem = replace(problem, smooth=0.05)
    done = solve_frames(problem, *known)
    value = objective(problem, done, *known)
    assert objective(problem, solve_frames(problem, *known, rounds=10), *known) > value + 10.0
    assert objective(problem, solve_frames(problem, *known, start=done, rounds=10), *known) < value + 0.1


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_few_frames(frames: int) -> None:
    problem, known = random_problem(frames, 5)
    found = solve_frames(replace(problem, smooth=0.1), *known)
    assert found.shape == (frames, 5) and np.isfinite(found).all()


def test_limits_hold_and_a_slider_without_effect_rests() -> None:
    problem, known = random_problem(40, 5)
    hessian, contact = problem.hessian.copy(), problem.contact.copy()
    hessian[2] = hessian[:, 2] = contact[2] = contact[:, 2] = 0.0
    limits = np.array([[0, 0.3], [-0.5, 2], [0, 1], [0.2, 0.2], [0, 1]])
    right, strength, touch = known
    right[:, 2] = touch[:, 2] = 0.0
    found = solve_frames(Problem(hessian, contact, limits, np.full(5, 1e-3)), right, strength, touch)
    assert (found >= limits[:, 0] - 1e-6).all() and (found <= limits[:, 1] + 1e-6).all()
    assert np.abs(found[:, 2]).max() < 1e-6 and np.allclose(found[:, 3], 0.2)


@pytest.mark.parametrize("amount", [0.0, 0.007, 1.0, 16.0])
@pytest.mark.parametrize("frames", [1, 4, 60, 700])
def test_smoother_is_the_dense_inverse(amount: float, frames: int) -> None:
    curves = np.random.default_rng(0).normal(size=(frames, 3))
    bend = second_differences(frames)
    expected = np.linalg.solve(np.eye(frames) + amount * bend.T @ bend, curves)
    assert np.abs(Smoother(frames, amount, np.float64)(curves) - expected).max() < 3e-6
