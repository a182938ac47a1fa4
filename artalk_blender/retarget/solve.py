# SPDX-License-Identifier: GPL-3.0-or-later
"""Every frame's sliders at once: least squares within limits. numpy only, no `bpy` use.

Per frame t the sliders x minimise

    x'Hx / 2 - b_t'x + k_t (x'Cx / 2 - c_t'x) + l1'|x|     within low <= x <= high

and over the frames m/2 sum |s (x_{t-1} - 2 x_t + x_{t+1})|^2, where s is what a slider does, so that smoothness does
not depend on its units. The method is ADMM (Boyd et al. 2011) with two copies of x, one within the limits and one
smooth. H and C are brought to diagonal form together once; then each frame may have its own k_t, and a round costs
two products (T,K) x (K,K) for all frames. What bends the right-hand sides, as a turning jaw does, is asked for anew at
each look, so that it converges along with the sliders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runner import Stopped
from .smooth import Smoother, curvature

Floats = NDArray[np.float64]
Bend = Callable[[Floats, slice], Floats]  # sliders (t,K) of some frames, and which -> (t,K)

ROUNDS = 3000
TOLERANCE = 3e-3  # mm that sliders would still change by, when it is enough
_PENALTY, _RELAX = 0.02, 1.7  # ADMM's, the former in units of H's diagonal
_LIVE_PENALTY, _LIVE_RELAX = 0.2, 1.4  # leave a start that is nearly right less far
_LIVE_ROUNDS = 20
_LOOK_EVERY = 10
_TINY = 1e-9
_PART, _HALO = 512, 32  # frames
# multiplications in a product that OpenBLAS does alone; on a busy machine its threads made rounds 10 times as slow
_SMALL_PRODUCT = 1 << 18


@dataclass(frozen=True)
class Problem:
    """H (K,K) symmetric, not negative; C (K,K) likewise; limits (K,2); l1 (K,) >= 0; smooth m, 0 to 0.32; usual k.

    `scale` is s, by H and the usual part of C.
    """

    hessian: Floats
    contact: Floats
    limits: Floats
    l1: Floats
    smooth: float = 0.0
    usual: float = 0.0

    @property
    def scale(self) -> Floats:
        """(K,) s: what one unit of a slider does."""
        diagonal = np.diag(self.hessian) + self.usual * np.diag(self.contact)
        return np.sqrt(np.maximum(diagonal, max(float(diagonal.max(initial=0.0)), 1.0) * _TINY))


def objective(problem: Problem, x: Floats, right: Floats, strength: Floats, touch: Floats) -> float:
    """The value that is made small; x (T,K), right b (T,K), strength k (T,), touch c (T,K)."""
    x = np.asarray(x, np.float64)
    data = 0.5 * np.einsum("tk,kl,tl->", x, problem.hessian, x) - float((right * x).sum())
    near = 0.5 * np.einsum("tk,kl,tl->t", x, problem.contact, x) - (touch * x).sum(1)
    bend = np.diff(x * problem.scale, 2, axis=0)
    return float(data + strength @ near + (problem.l1 * np.abs(x)).sum() + 0.5 * problem.smooth * (bend**2).sum())


def solve_frames(problem: Problem, right: Floats, strength: Floats, touch: Floats, start: Floats | None = None,
                 rounds: int = ROUNDS, threads: int = 2, live: bool = False, bend: Bend | None = None,
                 stop: threading.Event | None = None) -> Floats:
    """(T,K) sliders of T frames; arguments as in `objective`. `start` (T,K), where given, saves rounds; `live`: a few
    that come near from a start that is nearly right. `bend`: what is to be taken off b + k c for sliders that are
    nearly right. Raises Stopped soon after `stop` was set.

    Long motions are done in parts that overlap by more frames than smoothness reaches; `threads` parts at once.
    """
    count, keys = right.shape
    if count == 0 or keys == 0:
        return np.zeros((count, keys))
    machine = _Machine(problem, *((_LIVE_PENALTY, _LIVE_RELAX) if live else (_PENALTY, _RELAX)))
    rounds = _LIVE_ROUNDS if live else rounds
    begins = list(range(0, count, _PART)) if count > _PART + _HALO else [0]

    def part(begin: int) -> Floats:
        if stop is not None and stop.is_set():
            raise Stopped
        end = count if len(begins) == 1 else min(begin + _PART, count)
        first, last = max(begin - _HALO, 0), min(end + _HALO, count)
        some = slice(first, last)
        guess = None if start is None else start[some]
        x = machine.run(right[some], strength[some], touch[some], guess, rounds,
                        None if bend is None else lambda sliders: bend(sliders, some))
        return x[begin - first : end - first]

    if threads < 2 or len(begins) < 2:
        return np.concatenate([part(begin) for begin in begins])
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(part, begins)))


class _Machine:
    """ADMM with all that does not depend on the frames made once. Inside, sliders are in units of what they do (mm)."""

    def __init__(self, problem: Problem, penalty: float, relax: float) -> None:
        self.penalty, self.relax = penalty, relax
        self.scale = scale = problem.scale
        self.smooth = problem.smooth
        outer = np.outer(scale, scale)
        self.low, self.high = ((problem.limits[:, side] * scale).astype(np.float32) for side in (0, 1))
        # where a slider has but one sign, l1 is one more linear term
        positive = problem.limits[:, 0] >= 0.0
        self.linear = np.where(positive, problem.l1, 0.0) / scale
        self.shrink = (np.where(positive, 0.0, problem.l1) / scale / penalty).astype(np.float32)
        copies = 1 + (problem.smooth > 0.0)
        hessian, contact = problem.hessian / outer, problem.contact / outer
        self.hessian, self.contact = hessian.astype(np.float32), contact.astype(np.float32)
        basis, self.values = _together(hessian + copies * penalty * np.eye(len(scale)), contact)
        self.basis, self.back = (basis * penalty).astype(np.float32), np.ascontiguousarray(basis.T, np.float32)

    def run(self, right: Floats, strength: Floats, touch: Floats, start: Floats | None, rounds: int,
            bend: Callable[[Floats], Floats] | None) -> Floats:
        """(t,K) of t frames in a row."""
        asked = (right + strength[:, None] * touch) / self.scale - self.linear

        def bent(x: Floats) -> NDArray[np.float32]:
            return (asked if bend is None else asked - bend(x) / self.scale).astype(np.float32)

        work = _Rounds(self, bent(np.zeros_like(asked) if start is None else start), strength,
                       None if start is None else (start * self.scale).astype(np.float32))
        before = np.inf
        for done in range(0, rounds, _LOOK_EVERY):
            apart, moved = work.go(min(_LOOK_EVERY, rounds - done))
            # what falls by the same factor at each look still goes as far as the geometric series
            if max(apart, moved, moved * moved / (before - moved) if moved < before else np.inf) < TOLERANCE:
                break
            before = moved
            if bend is not None:
                work.ask(bent(work.z / self.scale))
        return work.z.astype(np.float64) / self.scale


class _Rounds:
    """The state of one run: z within the limits, s smooth, u and v what they still owe to x."""

    def __init__(self, machine: _Machine, asked: NDArray[np.float32], strength: Floats,
                 start: NDArray[np.float32] | None) -> None:
        self.machine = machine
        self.two = machine.smooth > 0.0
        self.z = np.clip(np.zeros_like(asked) if start is None else start, machine.low, machine.high)
        self.s, self.u, self.v = self.z.copy(), np.zeros_like(asked), np.zeros_like(asked)
        if start is not None:  # what the copies owe where x, z and s are one: the slopes that hold them there
            if self.two and len(asked) > 2:
                self.v = curvature(self.z) * np.float32(machine.smooth / machine.penalty)
            slope = self.z @ machine.hessian + strength[:, None].astype(np.float32) * (self.z @ machine.contact) - asked
            held = ((self.z <= machine.low) & (slope > 0.0)) | ((self.z >= machine.high) & (slope < 0.0))
            self.u = np.where(held, slope / np.float32(-machine.penalty) - self.v, np.float32(0.0))
        self.x, self.wish = np.empty_like(asked), np.empty_like(asked)
        self.damp = (1.0 / (1.0 + strength[:, None] * machine.values)).astype(np.float32)
        self.ask(asked)
        self.smoother = Smoother(len(asked), machine.smooth / machine.penalty) if self.two and len(asked) > 2 else None

    def ask(self, asked: NDArray[np.float32]) -> None:
        self.base = asked / np.float32(self.machine.penalty)

    def go(self, rounds: int) -> tuple[float, float]:
        """Some rounds; returns how far z is from x afterwards, and how far it moved in them, at most."""
        relax, rest = np.float32(self.machine.relax), np.float32(1.0 - self.machine.relax)
        x, wish, z, u, s, v = self.x, self.wish, self.z, self.u, self.s, self.v
        begin, shrinks = z.copy(), bool(self.machine.shrink.any())
        for _ in range(rounds):
            np.subtract(z, u, out=wish)
            wish += self.base
            if self.two:
                wish += s
                wish -= v
            product(wish, self.machine.basis, x)
            x *= self.damp
            product(x, self.machine.back, wish)
            x, wish = wish, x
            np.multiply(x, relax, out=wish)  # z and s take over-relaxed steps
            u += wish
            z *= rest
            u += z
            np.copyto(z, u)
            if shrinks:
                z[...] = np.sign(z) * np.maximum(np.abs(z) - self.machine.shrink, 0.0)
            np.clip(z, self.machine.low, self.machine.high, out=z)
            u -= z
            if self.two:
                v += wish
                s *= rest
                v += s
                s = self.smoother(v) if self.smoother is not None else v.copy()
                v -= s
        self.x, self.wish, self.s = x, wish, s
        return float(np.abs(x - z).max()), float(np.abs(z - begin).max())


def product(left: NDArray[Any], right: NDArray[Any], out: NDArray[Any]) -> None:
    """left (T,K) @ right (K,N), in pieces so small that BLAS does not call its threads together for them."""
    rows = max(_SMALL_PRODUCT // right.size, 1)
    for begin in range(0, len(left), rows):
        np.matmul(left[begin : begin + rows], right, out=out[begin : begin + rows])


def _together(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """(B (K,K), d (K,)) with B'(first)B = I and B'(second)B = diag(d): `first` is positive, `second` not negative."""
    root = np.linalg.cholesky(first)
    half = np.linalg.solve(root, second)
    inner = np.linalg.solve(root, half.T)
    values, vectors = np.linalg.eigh(0.5 * (inner + inner.T))
    return np.linalg.solve(root.T, vectors), np.maximum(values, 0.0)
