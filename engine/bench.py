# SPDX-License-Identifier: GPL-3.0-or-later
"""Times one model on this machine, all its paths chunk by chunk in turn, so that what else runs there hits all alike.

A path is a way to compute the same motion: a torch model's plain and fast one; the default model's in numpy too.
Importing this module imports no torch.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .assets import DEFAULT_HEAD, DEMO_SPEECH
from .audio_file import read_audio
from .bench_paths import NumpyPath, Stages, TorchPath, torch_is_there
from .chunking import Floats
from .model import LoadedModel, load_model
from .pipeline import CHUNK_SAMPLES, SAMPLE_RATE, Pipeline, chunk_count
from .portable.network import PortableNetwork

STAGES = ("encoder", "scales", "decode")
_PER_CHUNK = "ms per 4 s chunk"
_SHORT_LINE = 2 * SAMPLE_RATE


@dataclass
class Row:
    """One line: a measure's value on each path that has it, and the first path's over the last one's."""

    name: str
    values: dict[str, float]
    unit: str
    ratio: float | None = None


@dataclass
class Report:
    """What was run, and the lines measured."""

    model: str
    machine: str
    settings: str
    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, name: str, values: dict[str, float], unit: str, ratio: bool = False) -> None:
        """A line; `ratio` compares the first path with the last."""
        found = list(values.values())
        self.rows.append(Row(name, values, unit, found[0] / found[-1] if ratio and len(found) > 1 else None))

    def lines(self) -> list[str]:
        """The table as text, the unit on every line."""
        paths = list(dict.fromkeys(path for row in self.rows for path in row.values if path))
        head = f"{'':34s}" + "".join(f"{path:>14s}" for path in paths) + f"{'first/last':>11s}  unit"
        text = [f"model    {self.model}", f"machine  {self.machine}", f"settings {self.settings}", "", head]
        for row in self.rows:
            cells = [row.values.get(path, row.values.get("") if index == len(paths) - 1 else None)
                     for index, path in enumerate(paths)]
            ratio = f"{row.ratio:10.2f}x" if row.ratio is not None else " " * 11
            numbers = "".join(" " * 14 if cell is None else f"{cell:14.3f}" for cell in cells)
            text.append(f"{row.name:34s}{numbers}{ratio}  {row.unit}")
        return [*text, *self.remarks]

    def as_json(self) -> dict[str, Any]:
        """The same for other programs; a value that belongs to no path has the path ""."""
        rows = [{"name": row.name, "values": row.values, "unit": row.unit, "ratio": row.ratio} for row in self.rows]
        return {"model": self.model, "machine": self.machine, "settings": self.settings, "rows": rows,
                "remarks": self.remarks}


def bench_model(
    path: Path | None, seconds: float, device: str = "auto", precision: str = "fp32", lines: int = 0
) -> Report:
    """Time a model on the demo speech repeated to `seconds`, and, where `lines` is given, on so many short lines."""
    samples = np.resize(read_audio(DEMO_SPEECH), max(1, round(seconds * SAMPLE_RATE)))
    started = time.perf_counter()
    model = load_model(path, device=device, precision=precision)
    loaded = time.perf_counter()
    before = peak_megabytes()
    next(Pipeline(model).stream(samples[:CHUNK_SAMPLES]))
    first = time.perf_counter()
    after = peak_megabytes()
    paths = _paths(model)
    settings = f"{len(samples) / SAMPLE_RATE:.1f} s of speech, {model.device}, {precision}, {_threads(paths)}"
    report = Report(f"{model.name} {model.sha256[:12]}", machine_name(), settings)
    _measure_stages(report, paths, samples)
    if lines:
        _measure_lines(report, model, samples, lines)
    report.add("cold start: load", {"": loaded - started}, "s, imports included")
    report.add("cold start: first motion", {"": first - loaded}, "s after loading")
    report.add("peak memory after loading", {"": before}, "MB")
    report.add("peak memory after first motion", {"": after}, "MB")
    report.add("peak memory in all", {"": peak_megabytes()}, "MB, every path together")
    if precision != "fp32":
        _measure_precision(report, model, samples)
    return report


def _paths(model: LoadedModel) -> list[Stages]:
    if not isinstance(model.network, PortableNetwork):
        return [TorchPath("plain", model.network, plain=True), TorchPath("fast", model.network, plain=False)]
    paths: list[Stages] = [NumpyPath("numpy", model.network)]
    if torch_is_there():
        network = load_model(model.path, device="cpu", backend="torch").network
        assert not isinstance(network, PortableNetwork)
        paths = [TorchPath("torch plain", network, plain=True), TorchPath("torch fast", network, plain=False), *paths]
    return paths


def _measure_stages(report: Report, paths: Sequence[Stages], samples: Floats) -> None:
    for path in paths:      # once unmeasured: the first chunk pays for reading weights
        _run_chunk(path, path.begin(samples[:CHUNK_SAMPLES]), {})
    chunks = chunk_count(len(samples))
    spent: dict[str, dict[str, float]] = {path.name: dict.fromkeys(STAGES, 0.0) for path in paths}
    begun = [path.begin(samples) for path in paths]
    differing = 0.0
    for _ in range(chunks):
        bits = [_run_chunk(path, state, spent[path.name]) for path, state in zip(paths, begun, strict=True)]
        differing += float(np.mean(bits[0] != bits[-1])) / chunks
    for stage in STAGES:
        report.add(stage, {name: 1000 * times[stage] / chunks for name, times in spent.items()}, _PER_CHUNK, ratio=True)
    whole = {name: sum(times.values()) for name, times in spent.items()}
    report.add("whole pipeline", {name: 1000 * time / chunks for name, time in whole.items()}, _PER_CHUNK, ratio=True)
    factors = {name: time / (len(samples) / SAMPLE_RATE) for name, time in whole.items()}
    report.add("real-time factor", factors, "s of work per s of speech")
    if len(paths) > 1:
        report.add("bits unlike the first path's", {"": 100 * differing}, "%")


def _run_chunk(path: Stages, state: Any, spent: dict[str, float]) -> Any:
    """The next chunk of a path, each stage's seconds added to `spent`; returns its bits."""
    for stage, work in zip(STAGES, (path.hear, path.scales, path.decode), strict=True):
        started = time.perf_counter()
        work(state)
        path.wait()
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - started
    return path.bits(state)


def _measure_lines(report: Report, model: LoadedModel, samples: Floats, count: int) -> None:
    """Throughput on short lines: one by one, and together."""
    sounds = [np.roll(samples, -index * SAMPLE_RATE // 2)[:_SHORT_LINE] for index in range(count)]
    pipeline = Pipeline(model)
    alone: Callable[[], object] = lambda: [pipeline.generate(sound) for sound in sounds]  # noqa: E731
    together: Callable[[], object] = lambda: pipeline.generate_many(sounds)  # noqa: E731
    speeds = []
    for work in (alone, together):
        started = time.perf_counter()
        work()
        speeds.append(count / (time.perf_counter() - started))
    report.add(f"{count} lines of 2 s, one by one", {"": speeds[0]}, "lines per s")
    report.add(f"{count} lines of 2 s, together", {"": speeds[1]}, "lines per s")
    report.rows[-1].ratio = speeds[1] / speeds[0]


def _measure_precision(report: Report, model: LoadedModel, samples: Floats) -> None:
    from .flame.file import read_flame
    from .precision import MOST_LIP_MILLIMETRES, measure_difference

    assert not isinstance(model.network, PortableNetwork)
    difference = measure_difference(model.network, samples, read_flame(DEFAULT_HEAD))
    report.add("bits unlike fp32's", {"": 100 * difference.bits}, "%")
    report.add("lips unlike fp32's", {"": difference.lip_millimetres}, "mm rms")
    if difference.visible:
        report.remarks.append(f"NOTE: {model.precision} moves this model's lips by more than "
                              f"{MOST_LIP_MILLIMETRES} mm rms.")


def _threads(paths: Sequence[Stages]) -> str:
    if not any(isinstance(path, TorchPath) for path in paths):
        return "1 thread"
    import torch

    count = torch.get_num_threads()
    return "1 thread" if count == 1 else f"{count} threads"


def machine_name() -> str:
    """The processor's name and how many cores there are; the graphics card is named by the device."""
    import os

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def peak_megabytes() -> float:
    """Largest resident size of this process so far; 0 on Windows, whose Python does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    # kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
