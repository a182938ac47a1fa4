# SPDX-License-Identifier: GPL-3.0-or-later
"""Times one model on this machine, all its paths chunk by chunk in turn, so that what else runs there hits all alike.

A path is a way to compute the same motion: a torch model's plain and fast one; the default model's in numpy too.
Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .assets import DEMO_SPEECH
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
    """One line: a measure's value on each path that has it, and how many times better the last is than the first."""

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
        """A line; `ratio` compares the first path's time with the last one's."""
        found = list(values.values())
        self.rows.append(Row(name, values, unit, found[0] / found[-1] if ratio and len(found) > 1 else None))

    def lines(self) -> list[str]:
        """The table as text, the unit on every line."""
        paths = list(dict.fromkeys(path for row in self.rows for path in row.values if path))
        head = f"{'':34s}" + "".join(f"{path:>14s}" for path in paths) + f"{'gain':>11s}  unit"
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
    settings = f"{len(samples) / SAMPLE_RATE:.1f} s of speech, {device_and_threads(model)}, {precision}"
    report = Report(f"{model.name} {model.sha256[:12]}", machine_name(), settings)
    _measure_stages(report, paths, samples)
    if lines:
        _measure_lines(report, model, paths, samples, lines)
    report.add("first motion after a request", {"": 1000 * _first_motion(model, samples)}, "ms, model loaded")
    report.add("cold start: load", {"": loaded - started}, "s, imports included")
    report.add("cold start: first motion", {"": first - loaded}, "s after loading")
    report.add("peak memory after loading", {"": before}, "MB")
    report.add("peak memory after first motion", {"": after}, "MB")
    report.add("peak memory in all", {"": peak_megabytes()}, "MB, every path together")
    _measure_card(report, model)
    if precision != "fp32" or model.device == "cuda":
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


def _measure_lines(
    report: Report, model: LoadedModel, paths: Sequence[Stages], samples: Floats, count: int
) -> None:
    """Throughput on short lines: each path one by one, as the published program must, and all together."""
    sounds = [np.roll(samples, -index * SAMPLE_RATE // 2)[:_SHORT_LINE] for index in range(count)]
    alone = {path.name: 0.0 for path in paths}
    for sound in sounds:
        for path in paths:
            started = time.perf_counter()
            for _ in path.motion(sound):
                pass
            alone[path.name] += time.perf_counter() - started
    started = time.perf_counter()
    Pipeline(model).generate_many(sounds)
    together = time.perf_counter() - started
    report.add(f"{count} lines of 2 s, one by one", {name: count / spent for name, spent in alone.items()},
               "lines per s")
    report.rows[-1].ratio = alone[paths[0].name] / alone[paths[-1].name] if len(paths) > 1 else None
    report.add(f"{count} lines of 2 s, together", {paths[-1].name: count / together}, "lines per s")
    report.rows[-1].ratio = alone[paths[0].name] / together


def _first_motion(model: LoadedModel, samples: Floats) -> float:
    """Seconds from a request to the first chunk's motion, of a model that has spoken before."""
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        next(Pipeline(model).stream(samples))
        spent.append(time.perf_counter() - started)
    return min(spent)


def _measure_card(report: Report, model: LoadedModel) -> None:
    if model.device == "cuda":
        import torch

        report.add("peak memory on the card", {"": torch.cuda.max_memory_allocated() / 2**20},
                   "MB, every path together")


def _measure_precision(report: Report, model: LoadedModel, samples: Floats) -> None:
    from .self_test import difference_of

    difference = difference_of(model, samples)
    report.add(f"bits unlike {difference.reference}'s", {"": 100 * difference.bits}, "%")
    report.add(f"lips unlike {difference.reference}'s", {"": difference.lip_millimetres}, "mm rms")
    if difference.visible:
        report.remarks.append(f"NOTE: {difference.sentence(model.precision)}")


def device_and_threads(model: LoadedModel) -> str:
    """What a model runs on, for a report."""
    if isinstance(model.network, PortableNetwork):
        return "cpu, 1 thread"
    import torch

    from .device import device_name

    count = torch.get_num_threads()
    return f"{device_name(model.network.device)}, {count} thread{'s' if count > 1 else ''}, torch {torch.__version__}"


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
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        # not `getrusage`, which counts what the parent held before this program was started
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    try:
        import resource
    except ImportError:
        return 0.0
    # kilobytes, but bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
