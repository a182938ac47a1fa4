# SPDX-License-Identifier: GPL-3.0-or-later
"""Audio of any container, codec, rate and channel count -> 16 kHz mono float32 samples, through PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .audio_truncation import is_cut_short
from .errors import EngineError
from .resample import resample

if TYPE_CHECKING:
    from av.container import InputContainer

SAMPLE_RATE = 16000


def read_audio(path: str | Path) -> NDArray[np.float32]:
    """Samples (N,) float32 at 16 kHz, mono: every channel resampled, then the mean, as published.

    Raises EngineError with one sentence for a missing, empty, damaged or silent-by-format file.
    """
    path = Path(path)
    if path.is_dir():
        raise EngineError(f"“{path}” is a folder, not an audio file.", "Name the file in it.")
    if not path.is_file():
        raise EngineError(f"There is no audio file “{path}”.", "Check the path.")
    if path.stat().st_size == 0:
        raise EngineError(f"“{path.name}” is empty.", "Export or copy the audio again.", code="bad_file")
    channels, rate = _decode(path)
    return mono_16k(channels, rate, path.name)


def mono_16k(channels: NDArray[np.float32], rate: int, name: str) -> NDArray[np.float32]:
    """(C, N) at `rate` Hz -> (M,) at 16 kHz. `name` is for messages."""
    if channels.size == 0:
        raise EngineError(f"“{name}” holds no sound.", "Choose a file with speech in it.", code="bad_file")
    if not np.isfinite(channels).all():
        raise EngineError(f"“{name}” holds samples that are not numbers.", "Export it again as 16 or 24 bit.",
                          code="bad_file")
    return resample(channels, rate).mean(0, dtype=np.float32)


def _open(path: Path) -> InputContainer:
    """The file with tags of any encoding: PyAV up to 18 has to be told not to mind, from 19 on it does not."""
    import av

    open_file: Any = av.open
    try:
        return open_file(str(path), metadata_errors="ignore")
    except TypeError:
        return open_file(str(path))


def _decode(path: Path) -> tuple[NDArray[np.float32], int]:
    """All samples of the first audio stream, (C, N) float32 in -1..1, and their rate."""
    import av
    from av.error import FFmpegError

    damaged = EngineError(f"“{path.name}” is not an audio file that can be read, or it is damaged.",
                          "Convert it to WAV, FLAC, OGG or MP3.", code="bad_file")
    blocks: list[NDArray[np.float32]] = []
    try:
        with _open(path) as container:
            if not container.streams.audio:
                raise EngineError(f"“{path.name}” has no sound in it.", "Choose a file with speech in it.",
                                  code="bad_file")
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            to_float = av.AudioResampler(format="fltp", layout=stream.layout.name or None, rate=rate)
            for frame in container.decode(stream):
                frame.pts = None
                blocks.extend(np.asarray(part.to_ndarray(), np.float32) for part in to_float.resample(frame))
            blocks.extend(np.asarray(part.to_ndarray(), np.float32) for part in to_float.resample(None))
    except EngineError:
        raise
    except (FFmpegError, OSError, ValueError, TypeError, MemoryError):
        # a file that breaks off in the middle is refused too: half a line of speech is a mistake, not a wish
        raise damaged from None
    if not blocks or rate <= 0:
        raise damaged
    samples = np.concatenate(blocks, 1)
    if is_cut_short(path, samples.shape[1] / rate):
        raise EngineError(f"“{path.name}” breaks off in the middle.", "Export or copy it again.", code="bad_file")
    return samples, rate
