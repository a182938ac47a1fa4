# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a network's sizes from its tensors, so that a missing or wrong configuration does no harm. Needs torch."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from .config import NetworkConfig
from .errors import EngineError

_LOG = logging.getLogger(__name__)
_STATED = ("depth", "heads", "prev_ratio", "code_dim", "scales", "vae_width", "vae_depth")
_MOST_TOKENS = 65536


def config_for(tensors: Mapping[str, Tensor], stated: NetworkConfig | None, name: str) -> NetworkConfig:
    """The sizes that the tensors of the file `name` have; what they cannot tell is as stated, or as published.

    Where the tensors contradict what is stated they are believed, and a warning is logged.
    """
    base = stated or NetworkConfig()
    found: dict[str, Any] = {"audio_encoder": _audio_encoder(tensors, base)}
    found |= _generator(tensors) | _codec(tensors) | _style(tensors)
    if found["audio_encoder"] == "mel":
        found["mel"] = {**base.mel, **_mel(tensors)}
    if base.audio_encoder != found["audio_encoder"]:
        found["cond_dim"] = 0
    try:
        config = replace(base, **found)
        config.check()
    except EngineError as error:
        raise EngineError(f"“{name}” is no usable ARTalk model: {error.message}", code="bad_file") from None
    for key in _STATED if stated is not None else ():
        if getattr(stated, key) != getattr(config, key):
            _LOG.warning("“%s” has %s %s where its configuration says %s; the file is believed.",
                         name, key, getattr(config, key), getattr(stated, key))
    return config


def _shape(tensors: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...] | None:
    """A tensor's shape, or None where it is missing or has another number of axes (which loading will report)."""
    tensor = tensors.get(name)
    return tuple(tensor.shape) if tensor is not None and tensor.ndim == axes else None


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the highest number that the pattern's group finds in the names."""
    return 1 + max((int(found[1]) for found in map(re.compile(pattern).match, tensors) if found), default=-1)


def _audio_encoder(tensors: Mapping[str, Tensor], base: NetworkConfig) -> str:
    for encoder, part in (("mimi", "acoustic_model."), ("wav2vec", "feature_extractor."), ("mel", "stem.")):
        if any(name.startswith(f"audio_encoder.{part}") for name in tensors):
            return encoder
    return base.audio_encoder


def _generator(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    positions, history = _shape(tensors, "pos_embed", 3), _shape(tensors, "prev_pos_embed", 3)
    if positions:
        found["width"] = positions[2]
        if history and history[1] >= positions[1] > 0:
            found["prev_ratio"] = history[1] // positions[1]
    if temperature := _shape(tensors, "attn_blocks.0.attn.scale_mul_1H11", 4):
        found["heads"] = temperature[1]
    if embed := _shape(tensors, "vqfeat_embed.weight", 2):
        found["code_dim"] = embed[1]
    if depth := _count(tensors, r"attn_blocks\.(\d+)\."):
        found["depth"] = depth
    levels = tensors.get("lvl_idx")
    if levels is not None and 0 < levels.numel() <= _MOST_TOKENS and not levels.is_floating_point():
        numbers, counts = levels.flatten().unique(return_counts=True)
        if numbers.tolist() == list(range(len(numbers))):
            found["scales"] = tuple(counts.tolist())
    return found


def _codec(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if inner := _shape(tensors, "basic_vae.encoder.code_mapping.weight", 2):
        found["vae_width"] = inner[1]
    if layers := _count(tensors, r"basic_vae\.encoder\.encoder_transformer\.(\d+)\."):
        found["vae_depth"] = (layers + 1) // 2
    return found


def _style(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if table := _shape(tensors, "style_encoder.PE.pe", 3):
        found["style_rows"], found["style_width"] = table[1:]
    if hidden := _shape(tensors, "style_encoder.encoder.transformer.layers.0.linear1.weight", 2):
        found["style_hidden"] = hidden[0]
    if depth := _count(tensors, r"style_encoder\.encoder\.transformer\.layers\.(\d+)\."):
        found["style_depth"] = depth
    return found


def _mel(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    found: dict[str, int] = {}
    if stem := _shape(tensors, "audio_encoder.stem.weight", 3):
        found |= {"WIDTH": stem[0], "BANDS": stem[1], "STEM_KERNEL": stem[2]}
    if conv := _shape(tensors, "audio_encoder.blocks.0.conv.weight", 3):
        found["KERNEL"] = conv[2]
    if (rise := _shape(tensors, "audio_encoder.blocks.0.rise.weight", 2)) and rise[1]:
        found["EXPANSION"] = rise[0] // rise[1]
    if blocks := _count(tensors, r"audio_encoder\.blocks\.(\d+)\."):
        found["BLOCKS"] = blocks
    return found
