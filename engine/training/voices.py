# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people from the same synthetic voice: vocal tracts of another length, breath, whispering, bad recordings.

A voice's spectral envelope is moved along the frequency axis while its pitch stays (the playing speed moves
both, so pitch and formants become independent of each other). The envelope is the low quefrencies of the
cepstrum (A. V. Oppenheim, "Speech analysis-synthesis system based on homomorphic filtering", 1969). No phone
changes its time. numpy and scipy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import istft, lfilter, stft

WINDOW, HOP = 512, 128
QUEFRENCIES = 30  # of 512: 1.9 ms, shorter than the period of any voice under 500 Hz
LARGEST_GAIN = 2.8  # nepers, either way

Sound = NDArray[np.float64]


def _envelope(spectrum: np.ndarray) -> np.ndarray:
    """Log envelope (bins, frames) of a short-time spectrum."""
    level = np.log(np.abs(spectrum) + 1e-3)
    cepstrum = np.fft.irfft(level, axis=0)
    cepstrum[QUEFRENCIES:-QUEFRENCIES] = 0.0
    return np.fft.rfft(cepstrum, axis=0).real


def other_speaker(
    sound: Sound, formants: float, breath: float, whispered: bool, rng: np.random.Generator, rate: int = 16000
) -> Sound:
    """The sound (N,) in 16-bit units by another speaker, of the same length.

    ``formants``: factor on the formants' frequencies (1.2: a child or small woman, 0.85: a large man).
    ``breath``: amplitude of noise against the voice above 1 kHz, 0 to about 0.5. ``whispered``: nothing but
    breath.
    """
    if len(sound) < 2 * WINDOW:
        return sound
    _, _, spectrum = stft(sound, nperseg=WINDOW, noverlap=WINDOW - HOP)
    envelope = _envelope(spectrum)
    bins = np.arange(len(envelope)) / formants
    low = np.minimum(bins.astype(np.int64), len(envelope) - 2)
    part = np.minimum(bins - low, 1.0)[:, None]
    moved = (1.0 - part) * envelope[low] + part * envelope[low + 1]
    spectrum *= np.exp(np.clip(moved - envelope, -LARGEST_GAIN, LARGEST_GAIN))
    if breath > 0.0 or whispered:
        _, _, noise = stft(rng.standard_normal(len(sound)), nperseg=WINDOW, noverlap=WINDOW - HOP)
        noise *= np.exp(moved) / np.sqrt(np.mean(np.abs(noise) ** 2))
        hertz = np.arange(len(envelope))[:, None] * rate / WINDOW
        high = hertz / (hertz + 1000.0)
        spectrum = noise * high if whispered else spectrum + breath * high * noise
    _, out = istft(spectrum, nperseg=WINDOW, noverlap=WINDOW - HOP)
    return np.asarray(np.pad(out, (0, max(0, len(sound) - len(out))))[: len(sound)], np.float64)


def badly_recorded(sound: Sound, rng: np.random.Generator) -> Sound:
    """The sound (N,) in 16-bit units through an overdriven, a coarse or a resonant recorder."""
    top = max(float(np.abs(sound).max()), 1.0)
    kind = rng.integers(3)
    if kind == 0:
        return np.asarray(top * np.tanh(sound / top * rng.uniform(2.0, 6.0)))
    if kind == 1:  # eight bits, as of a telephone (mu-law)
        squeezed = np.sign(sound) * np.log1p(255.0 * np.abs(sound) / top) / np.log(256.0)
        coarse = np.round(squeezed * 127.0) / 127.0
        return np.asarray(np.sign(coarse) * top * (256.0 ** np.abs(coarse) - 1.0) / 255.0)
    angle, radius = rng.uniform(0.06, 1.2), rng.uniform(0.7, 0.9)
    ringing = lfilter([1.0 - radius], [1.0, -2.0 * radius * np.cos(angle), radius * radius], sound)
    return np.asarray(0.6 * sound + 0.8 * ringing)
