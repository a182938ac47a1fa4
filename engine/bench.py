# SPDX-License-Identifier: GPL-3.0-or-later
"""Times one model on this machine: cold start, milliseconds per 4-second chunk, real-time factor, peak memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from .assets import DEMO_SPEECH
from .audio_file import read_audio
from .model import load_model
from .pipeline import SAMPLE_RATE, Pipeline, chunk_count


def bench_model(
    path: Path | None, seconds: float, device: str = "auto", precision: str = "fp32"
) -> dict[str, tuple[float, str]]:
    """{measure: (value, unit)} for the demo speech repeated to `seconds`; the first run is not counted."""
    speech = read_audio(DEMO_SPEECH)
    samples = np.resize(speech, max(1, round(seconds * SAMPLE_RATE)))
    started = time.perf_counter()
    model = load_model(path, device=device, precision=precision)
    loaded = time.perf_counter()
    next(Pipeline(model).stream(samples[: 4 * SAMPLE_RATE]))
    first = time.perf_counter()
    motion = Pipeline(model).generate(samples)
    done = time.perf_counter() - first
    return {
        "model load": (loaded - started, "s"),
        "first chunk after load": (first - loaded, "s"),
        "generate": (1000 * done / chunk_count(len(samples)), "ms per 4 s chunk"),
        "real-time factor": (done / (len(motion) / 25), "s of work per s of speech"),
        "peak memory": (_peak_megabytes(), "MB"),
    }


def _peak_megabytes() -> float:
    """Largest resident size of this process so far; 0 on Windows, whose Python does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    # kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
