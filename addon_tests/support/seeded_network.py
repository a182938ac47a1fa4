# SPDX-License-Identifier: GPL-3.0-or-later
"""Full-size seeded weights, for comparing with the published implementation's outputs. No learned data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from seeded_weights import normal, seeded_array

DATA = Path(__file__).resolve().parent.parent / "data"
GOLDEN = DATA / "golden"
SCALES = (1, 5, 25, 50, 100)
WEIGHT_SEED = 7


def golden(name: str) -> dict[str, NDArray[Any]]:
    """All arrays of a golden file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def manifest(name: str) -> list[dict[str, Any]]:
    """Names, shapes and kinds of a published checkpoint's tensors, in order."""
    return json.loads((DATA / "manifests" / f"{name}.json").read_text())["state_dict"]


def seeded_tensors(
    name: str, prefix: str = "", reuse: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Every tensor of a published checkpoint under a prefix, seeded; buffers as the published program makes them.

    A tensor's values follow from its name and shape, so those of another checkpoint can be taken from `reuse`.
    """
    tensors: dict[str, torch.Tensor] = {}
    for entry in manifest(name):
        key, shape = entry["name"], tuple(entry["shape"])
        if not key.startswith(prefix):
            continue
        if reuse is not None and key in reuse and tuple(reuse[key].shape) == shape:
            tensors[key] = reuse[key]
        elif entry["kind"] == "buffer":
            tensors[key] = torch.from_numpy(_buffer(key, shape))
        else:
            tensors[key] = torch.from_numpy(seeded_array(key, shape, WEIGHT_SEED))
    return tensors


def _buffer(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Masks, tables and statistics, made here a second time, independently of the engine."""
    if name.endswith(("motion_mean", "motion_std")):
        return golden("motion_stats")[name.rsplit("_", 1)[1]]
    if name == "lvl_idx":
        return np.repeat(np.arange(len(SCALES)), SCALES)[None]
    if name == "attn_bias_for_masking":
        level = np.repeat(np.arange(len(SCALES)), SCALES)
        own = np.where(level[:, None] < level[None, :], -np.inf, 0.0)
        past = np.zeros((len(level), shape[-1] - len(level)))
        return np.concatenate([past, own], axis=1)[None, None].astype(np.float32)
    if name == "basic_vae.attn_mask":
        mask = np.zeros(shape, np.float32)
        mask[..., : shape[2] // 2, shape[3] // 2 :] = -np.inf
        return mask
    if name == "style_encoder.PE.pe":
        angle = np.arange(shape[1])[:, None] * np.exp(-np.arange(0, shape[2], 2) * (math.log(10000.0) / shape[2]))
        table = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
        return table.reshape(shape).astype(np.float32)
    if ".noises." in name:
        return normal(68, name.rpartition(".")[2], shape)
    if name.endswith("embed_sum"):
        return normal(WEIGHT_SEED, name, shape)
    if name.endswith(("initialized", "cluster_usage")):
        return np.ones(shape, np.float32)
    raise KeyError(name)


def unpack_bits(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(..., 724) packed -> (..., 181, 32)."""
    return np.unpackbits(packed, axis=-1).reshape(*packed.shape[:-1], 181, 32).astype(bool)


@contextmanager
def outputs(modules: Mapping[str, torch.nn.Module]) -> Iterator[dict[str, list[NDArray[Any]]]]:
    """What each of the modules gives, call by call, without the batch's axis, while the context lasts."""
    seen: dict[str, list[NDArray[Any]]] = {name: [] for name in modules}

    def note(name: str) -> Any:
        return lambda module, inputs, output: seen[name].append(output.detach()[0].numpy())

    hooks = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
