# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the demo speech: a friendly sentence full of closed lips and open vowels, by a free synthetic voice.

`python -m engine.training.demo_speech assets/demo_speech.wav` needs Festival and the voice of the Debian
package festvox-us-slt-hts (Carnegie Mellon's arctic slt, under a BSD-like licence that leaves the speech it
makes free).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from .synthesisers import SynthesisError

RATE = 48000
TEXT = (
    "Hello! I am happy to meet you. Press play, and watch my mouth: "
    "five warm apple pies, and a big purple balloon."
)
SILENCE_S = (0.25, 0.45)  # before and after
PEAK = 0.7

_SCRIPT = """(voice_cmu_us_slt_arctic_hts)
(Parameter.set 'Duration_Stretch 1.08)
(set! utterance (utt.synth (Utterance Text "{text}")))
(utt.save.wave utterance "{path}" 'riff)
"""


def speak(text: str) -> np.ndarray:
    """The text as samples (N,) int16 at 48 kHz, its own pauses at the ends cut off and quiet ones put
    there.
    """
    with tempfile.TemporaryDirectory() as folder:
        wave, script = Path(folder) / "speech.wav", Path(folder) / "speech.scm"
        script.write_text(_SCRIPT.format(text=text, path=wave), encoding="ascii")
        try:
            subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SynthesisError(f"Festival could not speak: {error}") from error
        rate, samples = wavfile.read(wave)
    audio = resample_poly(samples.astype(np.float64), RATE, rate)
    loud = np.flatnonzero(np.abs(audio) > 0.01 * np.abs(audio).max())
    audio = audio[max(loud[0] - 480, 0) : loud[-1] + 2400]
    fade = np.linspace(0.0, 1.0, 480)
    audio[:480] *= fade
    audio[-480:] *= fade[::-1]
    audio = np.pad(audio, [int(seconds * RATE) for seconds in SILENCE_S])
    return np.round(audio / np.abs(audio).max() * PEAK * 32767.0).astype(np.int16)


def main() -> None:
    """Write the wav file."""
    parser = argparse.ArgumentParser(description="Make the demo speech.")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    wavfile.write(options.out, RATE, speak(TEXT))


if __name__ == "__main__":
    main()
