# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of frames of known colours, as Render Avatar leaves them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from engine.gaussian.png import png_bytes


def linear(values: np.ndarray) -> np.ndarray:
    """sRGB -> scene-linear."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def skin_tones(size: int = 64) -> np.ndarray:
    """(size,size,4) uint8: tones of skin, lips and hair, greys, black and white; the right part half transparent."""
    rng = np.random.default_rng(3)
    tones = np.array([[255, 224, 196], [198, 134, 94], [92, 56, 38], [160, 70, 66], [30, 24, 22], [128, 128, 128],
                      [0, 0, 0], [240, 240, 240]])
    mixed = rng.random((size, size, len(tones))) ** 4
    colors = np.einsum("hwk,kc->hwc", mixed / mixed.sum(2, keepdims=True), tones)
    alpha = np.full((size, size, 1), 255.0)
    alpha[:, size // 2 :] = 128
    alpha[:, -size // 8 :] = 0
    pixels = np.concatenate([colors, alpha], 2).round().astype(np.uint8)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def flat(color: tuple[int, int, int], size: int = 64) -> np.ndarray:
    """(size,size,4) uint8 of one colour."""
    return np.broadcast_to(np.array([*color, 255], np.uint8), (size, size, 4)).copy()


def write_frames(folder: Path, frames: dict[int, np.ndarray], suffix: str = ".exr") -> Path:
    """Frames (H,W,4) uint8, sRGB with straight alpha, by their scene frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in frames.items():
        path = folder / f"{number:05d}{suffix}"
        if suffix == ".png":
            path.write_bytes(png_bytes(pixels, {}))
        else:
            values = pixels / 255
            write_exr(path, np.concatenate([linear(values[..., :3]) * values[..., 3:], values[..., 3:]], 2))
    return folder


def write_exr(path: Path, pixels: np.ndarray) -> None:
    """(H,W,4) as a half EXR without compression. Source: OpenEXR's file layout."""
    height, width = pixels.shape[:2]

    def attribute(name: str, kind: str, data: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(data)) + data

    channels = b"".join(name + b"\0" + struct.pack("<iB3xii", 1, 0, 1, 1) for name in (b"A", b"B", b"G", b"R")) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<ii", 20000630, 2) + b"".join(attribute(*one) for one in (
        ("channels", "chlist", channels), ("compression", "compression", b"\0"), ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window), ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)), ("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)))) + b"\0"
    row = 8 + 8 * width
    offsets = (len(head) + 8 * height + row * np.arange(height)).astype("<u8")
    halves = pixels.astype("<f2")[..., [3, 2, 1, 0]]
    rows = b"".join(struct.pack("<ii", y, 8 * width) + np.ascontiguousarray(halves[y].T).tobytes()
                    for y in range(height))
    path.write_bytes(head + offsets.tobytes() + rows)
