# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files of every kind in, and a sentence for those that are none."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from seeded_weights import synthetic_audio

from engine.assets import DEMO_SPEECH
from engine.audio_file import read_audio
from engine.errors import EngineError
from engine.resample import resample

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "resample.npz"


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 32000, 44100, 48000])
def test_resampling_equals_the_published_filter(rate: int) -> None:
    golden = np.load(GOLDEN)
    stereo = np.stack([synthetic_audio(base + rate % 7, 0.7, rate) for base in (90, 190)])
    result = resample(stereo, rate)
    assert np.abs(result - golden[f"stereo_{rate}"]).max() < 1e-5
    assert np.abs(result.mean(0) - golden[f"mono_{rate}"]).max() < 1e-5


def test_resampling_in_blocks_has_no_seams() -> None:
    tone = np.sin(np.arange(3 * 44100) * 2 * np.pi * 440 / 44100)
    result = resample(tone[None], 44100)[0]
    expected = np.sin(np.arange(len(result)) * 2 * np.pi * 440 / 16000)
    assert len(result) == 48000
    assert np.abs(result - expected)[100:-100].max() < 2e-3


def encode(path: Path, codec: str, rate: int, layout: str, seconds: float = 1.0) -> Path:
    """A 440 Hz tone in any container that FFmpeg writes."""
    channels = av.AudioLayout(layout).nb_channels
    tone = (0.5 * np.sin(np.arange(int(rate * seconds)) * 2 * np.pi * 440 / rate)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        size = 1000
        for start in range(0, len(tone), size):
            block = np.repeat(tone[None, start : start + size], channels, 0)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "codec", "rate", "layout"), [
    ("a.wav", "pcm_s16le", 16000, "mono"),
    ("a.wav", "pcm_s24le", 48000, "stereo"),
    ("a.wav", "pcm_f32le", 44100, "5.1"),
    ("a.wav", "pcm_u8", 8000, "mono"),
    ("a.flac", "flac", 96000, "stereo"),
    ("a.mp3", "libmp3lame", 44100, "stereo"),
    ("a.ogg", "libopus", 48000, "mono"),
    ("a.m4a", "aac", 22050, "mono"),
])
def test_reads_any_format(tmp_path: Path, name: str, codec: str, rate: int, layout: str) -> None:
    samples = read_audio(encode(tmp_path / name, codec, rate, layout))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 15900 <= len(samples) <= 19000  # lossy codecs pad their ends
    middle = samples[4000:12000] * np.hanning(8000)
    spectrum = np.abs(np.fft.rfft(middle))
    assert abs(np.argmax(spectrum) * 2 - 440) <= 4
    assert 0.3 < np.abs(samples[4000:12000]).max() < 0.7


def test_tags_in_any_encoding_do_no_harm(tmp_path: Path) -> None:
    path = encode(tmp_path / "tag.wav", "pcm_s16le", 16000, "mono")
    tag = b"INFO" + b"INAM" + (8).to_bytes(4, "little") + b"gr\xf6\xdfer\x00\x00"
    data = path.read_bytes() + b"LIST" + len(tag).to_bytes(4, "little") + tag
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert len(read_audio(path)) == 16000


def test_the_demo_speech_is_speech() -> None:
    samples = read_audio(DEMO_SPEECH)
    assert 4 < len(samples) / 16000 < 15 and 0.1 < np.abs(samples).max() <= 1.0


def cut(path: Path, source: Path, share: float) -> None:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", ["none.wav", "folder.wav", "empty.wav", "text.wav", "header.wav", "noise.mp3",
                                  "cut.wav", "cut.flac", "cut.ogg", "cut.mp3", "cut.m4a", "nan.wav"])
def test_wrong_files_get_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    codecs = {".wav": "pcm_s16le", ".flac": "flac", ".ogg": "libopus", ".mp3": "libmp3lame", ".m4a": "aac"}
    match name.split("."):
        case ["folder", _]:
            path.mkdir()
        case ["empty", _]:
            path.write_bytes(b"")
        case ["text", _]:
            path.write_text("this is no sound " * 50)
        case ["noise", _]:
            path.write_bytes(os.urandom(5000))
        case ["header", _]:
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
        case ["cut", kind]:
            cut(path, encode(tmp_path / f"whole.{kind}", codecs[f".{kind}"], 48000, "mono", 3.0), 0.5)
        case ["nan", _]:
            encode(path, "pcm_f32le", 16000, "mono")
            data = bytearray(path.read_bytes())
            data[-4:] = b"\x00\x00\xc0\x7f"
            path.write_bytes(data)
    with pytest.raises(EngineError) as caught:
        read_audio(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
