# SPDX-License-Identifier: GPL-3.0-or-later
"""Work of fixed sizes, recorded once as a CUDA graph and replayed; on a processor it is simply done. Needs torch.

A chunk's generator is some thousand small kernels, which a graphics card does faster than Python can ask for them.
Replayed, they are one call. What is recorded must not look at its numbers on the way (no `.item()`, no branch on data)
and must keep nothing between calls; addon_tests/engine/test_recorded.py checks both without a card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Work = Callable[..., tuple[Tensor, ...]]

_WARM_UPS = 2           # libraries set themselves up in the first call, which cannot be recorded
_MOST_RECORDINGS = 4    # each holds its own memory: for one sound, and for a few sizes of batches


@dataclass
class _Recording:
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    graph: torch.cuda.CUDAGraph


class Recorded:
    """Calls `work` on tensors; `forget` drops what `work` keeps, before and after a recording."""

    def __init__(self, work: Work, forget: Callable[[], None] = lambda: None) -> None:
        self._work, self._forget = work, forget
        self._recordings: dict[tuple[torch.Size, ...], _Recording] = {}

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The results of `work`, in memory of the caller's own."""
        if inputs[0].device.type != "cuda":
            return self._work(*inputs)
        key = tuple(x.shape for x in inputs)
        recording = self._recordings.pop(key, None) or self._record(inputs)
        self._recordings[key] = recording      # the latest is the last
        if len(self._recordings) > _MOST_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]
        for own, given in zip(recording.inputs, inputs, strict=True):
            own.copy_(given)
        recording.graph.replay()
        return tuple(x.clone() for x in recording.outputs)

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording:
        own = tuple(x.clone() for x in inputs)
        side = torch.cuda.Stream(inputs[0].device)
        side.wait_stream(torch.cuda.current_stream(inputs[0].device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._work(*own)
        torch.cuda.current_stream(inputs[0].device).wait_stream(side)
        self._forget()      # so that what is kept lies in the recording's own memory
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._work(*own)
        self._forget()      # the recording goes on using it; nobody else may
        return _Recording(own, outputs, graph)
