# SPDX-License-Identifier: GPL-3.0-or-later
"""Checked loading of the published avatar files: nothing of them runs, every tensor is named and sized. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import EngineError
from ..weights import check_names, open_checkpoint
from .network import AvatarNetwork

_KIND = "GAGAvatar model"
# in the file and never used: DINOv2's token for hidden patches, the coarsest level's second input, the U-Net's own
# pictures, and the loss that it was trained with
_UNUSED = ("base_model.dino_model.mask_token", "base_model.refinenet.0.resConfUnit1.", "upsampler.toRGB.",
           "percep_loss.")


def load_avatar_network(path: Path, device: torch.device | str = "cpu") -> AvatarNetwork:
    """The network of a published `GAGAvatar.pt`. Raises EngineError with one sentence that names what does not fit."""
    content = open_checkpoint(path)
    tensors = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping):
        raise EngineError(f"“{path.name}” holds no avatar network.", "Choose GAGAvatar.pt.", code="bad_file")
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise EngineError(f"“{path.name}” is no {_KIND}: its entry “{name}” is not a tensor.",
                              "Choose GAGAvatar.pt.", code="bad_file")
    return build_avatar_network(tensors, path.name, device)


def build_avatar_network(tensors: Mapping[str, Tensor], name: str,
                         device: torch.device | str = "cpu") -> AvatarNetwork:
    """A network in evaluation mode made of exactly these tensors; `name` is the file's, for the sentence."""
    with torch.device("meta"):
        network = AvatarNetwork()
    expected = network.state_dict()
    given = {key: value for key, value in tensors.items() if not key.startswith(_UNUSED)}
    check_names(expected, given, name, _KIND)
    state = {key: given[key].to(device=device, dtype=like.dtype) for key, like in expected.items()}
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_(False).eval()


@dataclass(frozen=True)
class Photo:
    """A tracked photo: image (3,H,W) 0 to 1, the head's pose (3,4) in it, FLAME's identity (300,); float32."""

    name: str
    image: NDArray[np.float32]
    pose: NDArray[np.float32]
    shape: NDArray[np.float32]


def read_photos(path: Path) -> dict[str, Any]:
    """The entries of a `tracked.pt` by name, unchecked. Tensors, numpy arrays and plain values are read, no more."""
    with torch.serialization.safe_globals(_numpy_names()):
        content = open_checkpoint(path, mmap=False)     # an older file, or one of numpy arrays, cannot be mapped
    if not isinstance(content, Mapping) or not content or not all(isinstance(name, str) for name in content):
        raise EngineError(f"“{path.name}” holds no tracked photos.", "Choose tracked.pt.", code="bad_file")
    return dict(content)


def photo_of(entries: Mapping[str, Any], name: str, file: str) -> Photo:
    """One entry of `tracked.pt`, checked. Raises EngineError where it is missing or not what it should be."""
    if name not in entries:
        few = ", ".join(f"“{known}”" for known in list(entries)[:5])
        raise EngineError(f"“{file}” holds no photo “{name}”.", f"There are {few}{' …' if len(entries) > 5 else ''}.")
    entry = entries[name]
    if not isinstance(entry, Mapping):
        raise EngineError(f"In “{file}” the entry “{name}” is no tracked photo.", "Choose tracked.pt.",
                          code="bad_file")
    image = _floats(entry, "image", name, file)
    pose, shape = _floats(entry, "transform_matrix", name, file), _floats(entry, "shapecode", name, file)
    if image.ndim != 3 or len(image) != 3 or not all(16 <= side <= 8192 for side in image.shape[1:]):
        raise EngineError(f"The photo “{name}” has the shape {image.shape} where (3, height, width) belongs.",
                          code="bad_file")
    if image.min() < -0.01 or image.max() > 1.01:
        raise EngineError(f"The photo “{name}” has values from {image.min():.3g} to {image.max():.3g} where 0 to 1 "
                          "belong.", code="bad_file")
    if pose.shape != (3, 4) or shape.size != 300:
        raise EngineError(f"The photo “{name}” has a pose of {pose.shape} and {shape.size} identity coefficients where "
                          "(3, 4) and 300 belong.", code="bad_file")
    if np.abs(pose[:, :3] @ pose[:, :3].T - np.eye(3)).max() > 0.01:
        raise EngineError(f"The pose of the photo “{name}” is no rotation.", code="bad_file")
    return Photo(name, image, pose, shape.ravel())


def _floats(entry: Mapping[str, Any], key: str, name: str, file: str) -> NDArray[np.float32]:
    if key not in entry:
        raise EngineError(f"In “{file}” the photo “{name}” lacks “{key}”.", "Choose tracked.pt.", code="bad_file")
    value = entry[key]
    try:
        array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
        array = array.astype(np.float32) if array.dtype.kind in "fiu" else np.array([np.nan], np.float32)
    except (TypeError, ValueError):
        array = np.array([np.nan], np.float32)
    if not array.size or not np.isfinite(array).all():
        raise EngineError(f"In “{file}” the photo “{name}” has no numbers for “{key}”.", code="bad_file")
    return array


def _numpy_names() -> list[Any]:
    """What a pickle of numpy arrays asks for, in the spelling of numpy 1 and of numpy 2."""
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    names: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(kind)) for kind in "fdbhilqBHILQe?"}]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names += [(reconstruct, f"{module}._reconstruct"), (scalar, f"{module}.scalar")]
    return names
