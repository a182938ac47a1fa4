# SPDX-License-Identifier: GPL-3.0-or-later
"""Which phones the default model hears in speech. numpy alone; in steps short enough for an interface to stay alive.

The audio encoder was trained as a phone recogniser first, and its head for that is in the model's file. What it hears
is what the generator goes by, so lips can be judged by it without any other software, in any language.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import DEFAULT_MODEL
from ..config import NetworkConfig
from ..errors import EngineError
from ..mel import BANDS, FEATURE_FLOOR, HOP, POWER_FLOOR, WINDOW, Floats, frame_count, mel_power, speech_mean
from .layers import MelEncoder, Weights

RATE = 50  # posteriors a second; number j is centred at j / 50 s
LABELS = ("sil", "AA", "AE", "AH", "AO", "AX", "EH", "ER", "IH", "IY", "UH", "UW", "B", "CH", "D", "DH", "F", "G", "HH",
          "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH")
_PREFIX, _HEAD = "audio_encoder.", "phone_head"
_MEL_STEP = 100  # log-mel frames: a second
_STEP = 100  # features: two seconds


class Hearing(MelEncoder):
    """The model's audio encoder with its phone head."""

    def __init__(self, config: NetworkConfig, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(config, Weights(arrays, _PREFIX))
        sizes = config.mel_sizes()
        self._reach = sizes["BLOCKS"] * (sizes["KERNEL"] // 2) + sizes["STEM_KERNEL"] // 2

    @classmethod
    def from_file(cls, path: Path = DEFAULT_MODEL) -> Hearing:
        """Reads of a model's `.npz` only what hears. Raises EngineError where it has no phone head."""
        try:
            with np.load(path, allow_pickle=False) as file:
                config = NetworkConfig.from_dict(json.loads(str(file["config"])))
                arrays = {name: file[name].astype(np.float32) for name in file.files if name.startswith(_PREFIX)}
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, OSError, EOFError):
            raise EngineError(f"“{path.name}” is no readable model, or it is damaged.", "Install the extension again.",
                              code="bad_file") from None
        head = arrays.get(f"{_PREFIX}{_HEAD}.weight")
        if head is None or len(head) != len(LABELS):
            raise EngineError(f"“{path.name}” does not tell which sounds it hears.", "Use the default model.",
                              code="unsupported")
        return cls(config, arrays)

    def listen(self, samples: Floats) -> Iterator[tuple[float, Floats]]:
        """Samples (N,) at 16 kHz -> how much is done, 0 to 1, and the next posteriors (n,36), none at first.

        All of them are ceil(N / 320) rows; each step takes some milliseconds.
        """
        samples = np.asarray(samples, np.float32).reshape(-1)
        frames = frame_count(len(samples))
        mel, done = np.empty((frames, BANDS), np.float32), 0
        for part in _log_power(samples):
            mel[done : done + len(part)] = part
            done += len(part)
            yield 0.4 * done / frames, np.zeros((0, len(LABELS)), np.float32)
        mean, total = speech_mean(mel), (frames + 1) // 2
        for start in range(0, total, _STEP):
            stop = min(start + _STEP, total)
            low, high = max(0, start - self._reach), stop + self._reach
            part = _normalised(mel[2 * low : 2 * high + 2], 2 * (high - low) + 2, mean)
            # at the part's ends, where neighbours are missing, features are not exact: they are not used
            features = self._features(part, 0, high - low)
            yield 0.4 + 0.6 * stop / total, _softmax(self._weights.linear(_HEAD, features[start - low : stop - low]))

    def phones(self, samples: Floats) -> Floats:
        """Posteriors (ceil(N / 320),36) of samples (N,) at 16 kHz, in the order of LABELS, all at once."""
        return np.concatenate([np.zeros((0, len(LABELS)), np.float32), *(part for _, part in self.listen(samples))])


def _log_power(samples: Floats) -> Iterator[Floats]:
    """What engine.mel takes the logarithm of, second by second: (100,80) each."""
    around = WINDOW // 2 // HOP + 1  # frames that a window reaches over
    for first in range(0, frame_count(len(samples)), _MEL_STEP):
        low = max(0, first - around)
        part = mel_power(samples[low * HOP : (first + _MEL_STEP + around) * HOP])[first - low :][:_MEL_STEP]
        yield np.log(np.maximum(part, POWER_FLOOR))


def _normalised(power: Floats, frames: int, mean: Floats | None) -> Floats:
    """As engine.mel.log_mel has it, silence to `frames`, as behind the end of what the generator hears."""
    mel = np.full((frames, BANDS), FEATURE_FLOOR, np.float32)
    if mean is not None:
        np.maximum(power - mean, FEATURE_FLOOR, out=mel[: len(power)])
    return mel


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)
