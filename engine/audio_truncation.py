# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells whether a sound file breaks off, where decoders keep silent about it: WAV, OGG and MP3. Standard library only.

Half a line of speech is a mistake, not a wish, so such a file is refused rather than keyed to its half.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_STREAMED = (0, 0xFFFFFFFF)  # what a recorder writes as a WAV's length when it never comes back to fill it in
_MP3_SAMPLES_A_FRAME = {3: 1152, 2: 576, 0: 576}  # MPEG version bits -> samples of a layer III frame
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def is_cut_short(path: Path, decoded_seconds: float) -> bool:
    """True when the file's own header promises more than the file holds; unknown formats count as whole."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            return _wave_is_short(file, path.stat().st_size)
        if head[:4] == b"OggS":
            return _last_ogg_page_is_short(file, path.stat().st_size)
        file.seek(0)
        promised = _mp3_seconds(file)
        return promised is not None and decoded_seconds < promised * 0.98 - 0.1


def _wave_is_short(file: BinaryIO, size: int) -> bool:
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return length not in _STREAMED and file.tell() + length > size + 1
        file.seek(length + length % 2, 1)
    return False


def _last_ogg_page_is_short(file: BinaryIO, size: int) -> bool:
    """A page holds at most 65,307 bytes, so the last one begins within that distance of the end."""
    start = max(0, size - 65_307)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0:
        return True
    count = tail[at + 26] if len(tail) > at + 26 else 255
    lengths = tail[at + 27 : at + 27 + count]
    return len(lengths) < count or at + 27 + count + sum(lengths) > len(tail)


def _mp3_seconds(file: BinaryIO) -> float | None:
    """The length that an MP3's Xing/Info header promises, or None where there is none."""
    head = file.read(10)
    skip = 0
    if head[:3] == b"ID3" and len(head) == 10:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        skip = 10 + size
    file.seek(skip)
    frame = file.read(200)
    if len(frame) < 60 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    version, rate_index = frame[1] >> 3 & 3, frame[2] >> 2 & 3
    if version not in _MP3_RATES or rate_index == 3:
        return None
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or not frame[at + 7] & 1:
        return None
    frames = int.from_bytes(frame[at + 8 : at + 12], "big")
    return frames * _MP3_SAMPLES_A_FRAME[version] / _MP3_RATES[version][rate_index]
