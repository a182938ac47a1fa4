# SPDX-License-Identifier: GPL-3.0-or-later
"""Checked loading of the full network: nothing of a file runs, and every tensor is named and sized. Needs torch.

The sizes are taken from the tensors themselves; a `config.json` that disagrees is overruled, and it is said so.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .architecture import config_for
from .config import NetworkConfig
from .errors import EngineError
from .mimi_encoder import UNUSED_PREFIXES
from .network import Network
from .portable.weights import TRAINING_ONLY, read_npz

_UNUSED = {
    "mimi": tuple(f"audio_encoder.{prefix}" for prefix in UNUSED_PREFIXES),
    "mel": TRAINING_ONLY,
}
_OLD_WEIGHT_NORM = {
    "audio_encoder.encoder.pos_conv_embed.conv.weight_g": "original0",
    "audio_encoder.encoder.pos_conv_embed.conv.weight_v": "original1",
}
_NEW_WEIGHT_NORM = "audio_encoder.encoder.pos_conv_embed.conv.parametrizations.weight."


def load_network(path: Path, device: torch.device | str = "cpu") -> Network:
    """A network from a published `.pt` (with or without `config.json` beside it) or from our `.npz`.

    Raises EngineError with one sentence that names the first thing that does not fit.
    """
    stated: NetworkConfig | None
    if path.suffix == ".npz":
        stated, arrays = read_npz(path)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    else:
        tensors = read_checkpoint(path)
        stated = read_config(path.with_name("config.json"))
    return build_network(config_for(tensors, stated, path.name), tensors, path.name, device)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.pt` file by name, mapped from the file rather than read; weight norm in the new spelling."""
    content = open_checkpoint(path)
    if not isinstance(content, Mapping) or not content:
        raise EngineError(f"“{path.name}” holds no table of tensors.", "Choose an ARTalk checkpoint.", code="bad_file")
    tensors: dict[str, Tensor] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise EngineError(
                f"“{path.name}” is no ARTalk checkpoint: its entry “{name}” is not a tensor.",
                "Choose ARTalk_wav2vec.pt or ARTalk_mimi.pt.", code="bad_file",
            )
        new_name = _NEW_WEIGHT_NORM + _OLD_WEIGHT_NORM[name] if name in _OLD_WEIGHT_NORM else name
        tensors[new_name] = value
    return tensors


def open_checkpoint(path: Path, mmap: bool = True) -> Any:
    """What a `.pt` file holds, read without running anything of it; tensors are mapped from the file with `mmap`."""
    if not path.is_file():
        raise EngineError(f"There is no model file “{path}”.", "Check the path.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, EOFError, OSError, pickle.UnpicklingError):
        raise EngineError(
            f"“{path.name}” is no readable checkpoint, or it is damaged.", "Fetch it again and compare its size.",
            code="bad_file",
        ) from None


def read_config(path: Path) -> NetworkConfig | None:
    """The sizes that a `config.json` states, or None where there is no such file."""
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise EngineError(f"“{path.name}” beside the model is not readable json.", "Fetch it again.",
                          code="bad_file") from None
    if not isinstance(data, dict):
        raise EngineError(f"“{path.name}” beside the model holds no table.", "Fetch it again.", code="bad_file")
    return NetworkConfig.from_dict(data)


def build_network(
    config: NetworkConfig, tensors: Mapping[str, Tensor], name: str, device: torch.device | str = "cpu"
) -> Network:
    """A network in evaluation mode made of exactly these tensors; `name` is the file's, for the sentence."""
    unused = _UNUSED.get(config.audio_encoder, ())
    with torch.device("meta"):      # sizes only: the weights come from the file, not from an initialiser
        network = Network(config)
    expected = {key: value for key, value in network.state_dict().items() if not key.startswith(TRAINING_ONLY)}
    given = {key: value for key, value in tensors.items() if not key.startswith(unused)}
    check_names(expected, given, name)
    state = {key: given[key].to(device=device, dtype=like.dtype) for key, like in expected.items()}
    if config.audio_encoder == "mel":
        del network.audio_encoder.phone_head, network.audio_encoder.lip_head
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def check_names(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], name: str,
                kind: str = "ARTalk model") -> None:
    """Raise EngineError naming the first tensor that is missing, mis-shaped, or not part of the network."""
    for key, like in expected.items():
        if key not in given:
            raise EngineError(f"“{name}” lacks the tensor “{key}”.", f"Choose a complete {kind}.", code="bad_file")
        shape, wanted = tuple(given[key].shape), tuple(like.shape)
        if shape != wanted:
            raise EngineError(f"In “{name}” the tensor “{key}” has the shape {shape} where {wanted} belongs.",
                              "Choose the configuration that goes with the model.", code="bad_file")
        if given[key].is_floating_point() != like.is_floating_point():
            raise EngineError(f"In “{name}” the tensor “{key}” has the wrong type, {given[key].dtype}.",
                              f"Choose a complete {kind}.", code="bad_file")
    for key in given:
        if key not in expected:
            raise EngineError(f"“{name}” holds the tensor “{key}”, which is no part of this network.",
                              f"Choose a{'n' if kind[0] in 'AEIO' else ''} {kind}.", code="bad_file")


def save_npz(network: Network, path: Path, dtype: type[np.floating[Any]] = np.float32) -> None:
    """Write a network in our own format: tensors by their names, and `config`; training heads are left out.

    Statistics and position tables stay float32 whatever `dtype` says: they are small, and motion is read by them.
    """
    arrays: dict[str, Any] = {"config": np.array(json.dumps(network.config.to_dict()))}
    buffers = {key for key, _ in network.named_buffers()}
    for key, tensor in network.state_dict().items():
        if key.startswith(TRAINING_ONLY):
            continue
        array = tensor.detach().cpu().numpy()
        arrays[key] = array.astype(dtype) if array.dtype.kind == "f" and key not in buffers else array
    np.savez_compressed(path, **arrays)
