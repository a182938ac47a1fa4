# SPDX-License-Identifier: GPL-3.0-or-later
"""Sounds are decoded without keeping Python waiting: plain WAV by numpy, others in another process, to the same."""

from __future__ import annotations

import struct
import threading
import time
from functools import partial

import bpy
import numpy as np
import pytest
from conftest import voice, write_wav

import aud  # isort: skip - bpy brings it
from artalk_blender.audio.beside import decode_beside
from artalk_blender.audio.samples import read_sound
from artalk_blender.audio.strip import SoundFile, add_sound_strip, sound_file
from artalk_blender.audio.wav import read_wav
from artalk_blender.errors import ArtalkError


def make_wav(path, samples, kind, bits, extensible=False, promise=None):
    """(N,C) in -1..1, as numbers of a kind (1 whole, 3 floats), with a header of either sort."""
    if kind == 3:
        data = samples.astype("<f4").tobytes()
    elif bits == 24:
        whole = np.round(samples * (2**23 - 1)).astype("<i4")
        data = whole.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    elif bits == 8:
        data = (np.round(samples * 127) + 128).astype(np.uint8).tobytes()
    else:
        data = np.round(samples * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()
    channels, rate = samples.shape[1], 44100
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else kind, channels, rate, rate * channels * bits // 8,
                       channels * bits // 8, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, kind) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    size = len(data) if promise is None else promise
    path.write_bytes(b"RIFF" + struct.pack("<I", 36) + b"WAVEJUNK" + struct.pack("<I", 3) + b"abc\0fmt "
                     + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data)
    return path


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("kind", "bits"), [(1, 16), (1, 24), (1, 32), (3, 32)])
def test_plain_wavs_are_what_blender_decodes(tmp_path, kind, bits, extensible):
    samples = np.random.default_rng(0).uniform(-1, 1, (3000, 2)).astype(np.float32)
    path = make_wav(tmp_path / "a.wav", samples, kind, bits, extensible)
    found, rate = read_wav(path)
    expected = aud.Sound.file(str(path)).data()
    if bits == 16:
        expected = expected * np.float32(32767 / 32768)  # Blender divides by 32767; the engine's decoder by 32768
    assert (found.shape, rate) == (expected.shape, 44100)
    assert np.abs(found - expected).max() <= 1e-7


def test_a_recorders_unfinished_header_is_read(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (3000, 1)).astype(np.float32)
    assert len(read_wav(make_wav(tmp_path / "a.wav", samples, 1, 16, promise=0xFFFFFFFF))[0]) == 3000


@pytest.mark.parametrize("content", [
    b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0\1\0data\0\0\0\0",
    b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd",
    b"OggS" + bytes(100),
])
def test_what_is_not_plain_is_left_to_blender(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert read_wav(path) is None
    with pytest.raises(ArtalkError):
        read_sound(path)


def test_eight_bits_and_short_files_are_left_to_blender(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (3000, 1)).astype(np.float32)
    assert read_wav(make_wav(tmp_path / "a.wav", samples, 1, 8)) is None
    assert read_wav(make_wav(tmp_path / "b.wav", samples, 1, 16, promise=9000)) is None
    with pytest.raises(ArtalkError, match="breaks off"):
        read_sound(tmp_path / "b.wav")


@pytest.fixture
def flac(tmp_path):
    path = tmp_path / "long.flac"
    aud.Sound.file(str(write_wav(tmp_path / "long.wav", voice(40.0, 48000), 48000))).write(
        str(path), 48000, aud.CHANNELS_MONO, aud.FORMAT_S16, aud.CONTAINER_FLAC, aud.CODEC_FLAC)
    return path


def test_another_process_decodes_the_same_and_python_goes_on(scene, flac):
    strip = add_sound_strip(scene, flac, 1)
    file, found, longest = sound_file(strip.sound), [], 0.0
    thread = threading.Thread(target=lambda: found.append(file.read_beside()))
    last = time.perf_counter()
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    here = file.read()
    assert np.array_equal(found[0].samples, here.samples)
    assert found[0].sha256 == here.sha256
    assert longest < 1.0  # decoding here would be one stretch; a busy machine may well stop anybody for a while


def test_where_no_other_process_starts_it_is_decoded_here(flac):
    assert decode_beside(flac, "") is not None
    nowhere = partial(decode_beside, blender="/nowhere/blender")
    assert nowhere(flac) is None
    assert len(SoundFile(flac).read(nowhere).samples) == pytest.approx(40 * 16000, abs=2000)
    assert bpy.app.version >= (4, 5, 0)
