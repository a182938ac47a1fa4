# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the `.npz` form of a model: tensors under the published names and `config` as json. numpy only.

Nothing in the file is executed (no pickle), and sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import NetworkConfig
from ..errors import EngineError

_UNPACKED_LIMIT = 8 << 30
TRAINING_ONLY = ("audio_encoder.phone_head.", "audio_encoder.lip_head.")

Arrays = dict[str, NDArray[Any]]


def read_npz(path: Path) -> tuple[NetworkConfig, Arrays]:
    """(configuration, arrays by name); float arrays come as float32, whatever they are stored as."""
    if not path.is_file():
        raise EngineError(f"There is no model file “{path}”.", "Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > _UNPACKED_LIMIT:
            raise EngineError(f"“{path.name}” would unpack to {unpacked >> 30} GB.", "Choose another.", code="bad_file")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: _usable(file[name]) for name in file.files if name != "config"}
            data = json.loads(str(file["config"])) if "config" in file.files else None
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, OSError, EOFError, MemoryError,
            NotImplementedError):
        raise EngineError(f"“{path.name}” is no readable model, or it is damaged.", "Fetch it again.",
                          code="bad_file") from None
    if not isinstance(data, dict):
        raise EngineError(f"“{path.name}” holds no configuration, so it is no model of ours.", "Choose another.",
                          code="bad_file")
    return NetworkConfig.from_dict(data), arrays


def _usable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, np.float32)
    return array


def check_arrays(arrays: Mapping[str, NDArray[Any]], config: NetworkConfig, name: str) -> None:
    """Raise EngineError naming the first array that is missing, mis-shaped, of the wrong kind or not expected."""
    expected = expected_shapes(config)
    for key, shape in expected.items():
        if key not in arrays:
            raise EngineError(f"“{name}” lacks the tensor “{key}”.", "Choose a complete model.", code="bad_file")
        if arrays[key].shape != shape:
            raise EngineError(
                f"In “{name}” the tensor “{key}” has the shape {arrays[key].shape} where {shape} belongs.",
                "Choose a complete model.", code="bad_file",
            )
        if arrays[key].dtype.kind != ("i" if key == "lvl_idx" else "f"):
            raise EngineError(f"In “{name}” the tensor “{key}” has the wrong type, {arrays[key].dtype}.",
                              "Choose a complete model.", code="bad_file")
    for key in arrays:
        if key not in expected and not key.startswith(TRAINING_ONLY):
            raise EngineError(f"“{name}” holds the tensor “{key}”, which is no part of this network.",
                              "Choose a model of ours.", code="bad_file")


def expected_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a network whose audio encoder is the log-mel one."""
    width, tokens, audio = config.width, config.tokens, config.audio_width
    past = tokens * config.prev_ratio
    shapes: dict[str, tuple[int, ...]] = {
        "null_style_cond": (1, 1, width), "pos_embed": (1, tokens, width), "prev_pos_embed": (1, past, width),
        "attn_bias_for_masking": (1, 1, tokens, past + tokens), "lvl_idx": (1, tokens),
        "lvl_embed.weight": (len(config.scales), width),
    }
    shapes |= _linear("vqfeat_embed", config.code_dim, width)
    shapes |= _linear("style_cond_embed", config.style_width, width)
    shapes |= _linear("cond_logits_head.ada_lin.1", audio, 2 * width)
    shapes |= _linear("logits_head", width, 2 * config.code_dim)
    hidden = round(config.ffn_ratio * width)
    for index in range(config.depth):
        block = f"attn_blocks.{index}."
        shapes[block + "attn.scale_mul_1H11"] = (1, config.heads, 1, 1)
        shapes[block + "attn.key.weight"] = (width, width)
        for part in ("query", "value", "proj"):
            shapes |= _linear(block + "attn." + part, width, width)
        shapes |= _linear(block + "ffn.0", width, hidden) | _linear(block + "ffn.2", hidden, width)
        shapes |= _linear(block + "ada_lin.1", audio, 6 * width)
    return shapes | _codec_shapes(config) | _style_shapes(config) | _mel_shapes(config)


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {name + ".weight": (outputs, inputs), name + ".bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {name + ".weight": (width,), name + ".bias": (width,)}


def _codec_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    rows, width, motion, code = 2 * config.frames, config.vae_width, config.motion_dim, config.code_dim
    hidden = int(config.vae_ffn_ratio * width)
    shapes: dict[str, tuple[int, ...]] = {
        "enc_pos_embed": (1, rows, motion), "dec_pos_embed": (1, rows, code), "attn_mask": (1, 1, rows, rows),
        "motion_mean": (motion,), "motion_std": (motion,),
    }
    shapes |= _linear("encoder.inp_mapping.0", motion, width) | _linear("encoder.code_mapping", width, code)
    shapes |= _linear("decoder.inp_mapping.0", code, width) | _linear("decoder.out_mapping", width, motion)
    for half in ("encoder", "decoder"):
        for index in range(config.vae_depth):
            attention = f"{half}.{half}_transformer.{2 * index}."
            shapes |= _norm(attention + "norm", width) | _linear(attention + "to_out", width, width)
            shapes[attention + "to_qkv.weight"] = (3 * width, width)
            forward = f"{half}.{half}_transformer.{2 * index + 1}."
            shapes |= _linear(forward + "0", width, hidden) | _linear(forward + "2", hidden, width)
    return {"basic_vae." + name: shape for name, shape in shapes.items()}


def _style_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    width, motion = config.style_width, config.motion_dim
    shapes: dict[str, tuple[int, ...]] = {
        "motion_mean": (motion,), "motion_std": (motion,), "PE.pe": (1, config.style_rows, width),
    }
    shapes |= _linear("encoder.motion_proj", motion, width)
    for index in range(config.style_depth):
        layer = f"encoder.transformer.layers.{index}."
        shapes[layer + "self_attn.in_proj_weight"] = (3 * width, width)
        shapes[layer + "self_attn.in_proj_bias"] = (3 * width,)
        shapes |= _linear(layer + "self_attn.out_proj", width, width)
        shapes |= _linear(layer + "linear1", width, config.style_hidden)
        shapes |= _linear(layer + "linear2", config.style_hidden, width)
        shapes |= _norm(layer + "norm1", width) | _norm(layer + "norm2", width)
    return {"style_encoder." + name: shape for name, shape in shapes.items()}


def _mel_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    sizes = config.mel_sizes()
    width, kernel = sizes["WIDTH"], sizes["KERNEL"]
    hidden = width * sizes["EXPANSION"]
    shapes: dict[str, tuple[int, ...]] = {
        "stem.weight": (width, sizes["BANDS"], sizes["STEM_KERNEL"]), "stem.bias": (width,),
    }
    shapes |= _norm("norm", width)
    for index in range(sizes["BLOCKS"]):
        block = f"blocks.{index}."
        shapes |= {block + "conv.weight": (width, 1, kernel), block + "conv.bias": (width,)}
        shapes |= _norm(block + "norm", width)
        shapes |= _linear(block + "rise", width, hidden) | _linear(block + "fall", hidden, width)
    return {"audio_encoder." + name: shape for name, shape in shapes.items()}
