# SPDX-License-Identifier: GPL-3.0-or-later
"""Where and how precisely the full network runs. Imports torch only inside its functions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import EngineError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")
THREADS_VARIABLE = "ARTALK_THREADS"
_LOOK_SECONDS = 0.1


def check_choice(device: str, precision: str) -> None:
    """Raise EngineError where a word is unknown, or a precision is not offered."""
    if device not in DEVICES:
        raise EngineError(f"There is no device “{device}”.", f"Choose one of {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise EngineError(f"There is no precision “{precision}”.", f"Choose one of {', '.join(PRECISIONS)}.")
    if precision == "int8":     # measured: addon_tests/benchmarks/bench_int8.py
        raise EngineError("The precision int8 is not offered: it moves the lips too much.", "Choose fp32 or bf16.",
                          code="unsupported")


def check_torch(name: str) -> None:
    """Raises EngineError, one sentence, where this Python can't run the file of that name."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise EngineError(f"“{name}” needs torch, which this Python lacks.", "Set up the full engine first.",
                          code="unsupported") from None


def check_precision(precision: str, device: torch.device) -> None:
    """Raise EngineError where the hardware cannot compute so, or would only pretend and be slower."""
    import torch

    if precision == "fp32":
        return
    if device.type == "cuda":
        able = {
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False), "fp16": True,
            "tf32": torch.cuda.get_device_capability(device) >= (8, 0),
        }
    else:
        bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        able = {"bf16": bf16, "fp16": False, "tf32": False}
    if not able[precision]:
        what = "graphics card" if device.type == "cuda" else "processor"
        raise EngineError(f"This {what} cannot compute in {precision}.", "Choose fp32.", code="unsupported")


def set_tf32(allowed: bool) -> None:
    """Whether a graphics card may round float32 factors to 10 bits; torch's own default lets convolutions do so."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@functools.cache
def is_intel() -> bool:
    """Whether the processor is one that Intel's own libraries are made for."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return any("GenuineIntel" in line for line in lines if line.startswith("vendor_id"))
    except OSError:
        return "Intel" in platform.processor()


def device_name(device: torch.device) -> str:
    """`cpu`, or the graphics card's own name."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def choose_device(device: str) -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`; `auto` takes a graphics card where torch can use one."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "This Python's torch cannot use a graphics card here.", "Choose the device auto or cpu.", code="unsupported"
        )
    return torch.device(device)


@contextlib.contextmanager
def memory_in_a_sentence() -> Iterator[None]:
    """Turns torch's ways to say that memory has run out into an EngineError."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":      # torch's for graphics cards
            raise EngineError("The graphics card has not enough memory for this.",
                              "Close other programs that use it, or choose the device cpu.", code="memory") from None
        if "can't allocate memory" in str(error):
            raise EngineError("There is not enough memory for this.", "Close other programs or use a shorter sound.",
                              code="memory") from None
        raise


def give_back_memory() -> None:
    """Hand what a dropped model held back to the system; without this Python and the C library keep most of it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)      # not in every C library
        if trim is not None:
            trim(0)


def set_threads() -> int:
    """Give torch as many threads as cores are free, and return their number.

    One thread too many is far worse than one too few: threads wait for each other at every layer, so a single
    busy core makes the whole network several times slower.
    """
    import torch

    count = wanted_threads()
    torch.set_num_threads(count)
    return count


def wanted_threads() -> int:
    """`ARTALK_THREADS`, or the cores that this process may use and nobody else is using now, at least 1."""
    chosen = os.environ.get(THREADS_VARIABLE, "")
    if chosen:
        if not chosen.isdigit() or int(chosen) < 1:
            raise EngineError(f"{THREADS_VARIABLE} is “{chosen}”, not a number of threads.", "Set it to 1 or more.")
        return int(chosen)
    return max(1, min(_allowed_cores(), _quota_cores(), _idle_cores()))


def _allowed_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota_cores() -> int:
    """Whole cores of a container's share, where there is one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return os.cpu_count() or 1


def _idle_cores() -> int:
    """Cores that are idle just now, looked at for a tenth of a second; all of them where the system does not tell."""
    before = _idle_seconds()
    if before is None:
        return os.cpu_count() or 1
    time.sleep(_LOOK_SECONDS)
    after = _idle_seconds()
    return os.cpu_count() or 1 if after is None else round((after - before) / _LOOK_SECONDS)


def _idle_seconds() -> float | None:
    """Seconds that all cores together have been idle since the machine was started (Linux)."""
    try:
        return float(Path("/proc/uptime").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
