# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole ARTalk network: samples -> raw motion, chunk after chunk. Needs torch; never imports bpy.

Tensors have the published names: the generator's at the root, `basic_vae.*`, `style_encoder.*`, `audio_encoder.*`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .chunking import FEATURE_FRAMES, feature_windows, padded_mel, split_samples
from .codec import Codec, scale_features
from .config import NetworkConfig
from .generator import Generator, Prediction
from .style import StyleEncoder

Floats = NDArray[np.float32]


@dataclass
class State:
    """What one chunk hands to the next."""

    style: Tensor           # (1,1,W)
    history: Tensor         # (1,R,180,C) features of the R chunks before, oldest first
    previous_bits: Tensor   # (1,181,C) re-encoded bits of the chunk before


@dataclass
class Step:
    """One chunk's result."""

    motion: Tensor          # (1,100,106) raw
    prediction: Prediction
    previous_bits: Tensor   # (1,181,C) what the decoder was given for the chunk before


def build_audio_encoder(config: NetworkConfig) -> nn.Module:
    """The encoder the configuration names; sizes of wav2vec and Mimi are those of the published models."""
    if config.audio_encoder == "wav2vec":
        from .audio_encoder import Wav2VecEncoder

        return Wav2VecEncoder()
    if config.audio_encoder == "mimi":
        from .mimi_encoder import MimiEncoder

        return MimiEncoder()
    from .mel_encoder import MelEncoder

    return MelEncoder(config.mel_sizes())


class Network(Generator):
    """Generator, codec, style encoder and audio encoder under one roof."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.basic_vae = Codec(config)
        self.style_encoder = StyleEncoder(config)
        self.audio_encoder = build_audio_encoder(config)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.pos_embed.device

    def audio_features(self, samples: Floats) -> Iterator[Tensor]:
        """Samples (N,) -> features (1,F,D) of every chunk; F is 199 (wav2vec), 50 (Mimi) or 200 (mel)."""
        if self.config.audio_encoder == "mel":
            mel = padded_mel(samples)
            for low, start, high in feature_windows(len(mel) // 2, self.config):
                window = torch.from_numpy(mel[2 * low : 2 * high])[None].to(self.device)
                yield self.audio_encoder(window)[:, start - low : start - low + FEATURE_FRAMES]
            return
        for piece in split_samples(samples):
            yield self.audio_encoder(torch.from_numpy(piece)[None].to(self.device))

    def start(self, style: Floats | None) -> State:
        """The state before the first chunk; the history is the codes of a motion of zeros."""
        codes = None
        if style is not None:
            codes = self.style_encoder(torch.tensor(style, device=self.device)[None])
        rest = self.pos_embed.new_zeros(1, self.config.frames, self.config.motion_dim)
        bits = self.basic_vae.motion_to_bits(rest)
        features = scale_features(bits, self.config.scales)
        history = features[:, None].expand(-1, self.config.prev_ratio, -1, -1)
        return State(self.style_condition(codes), history, bits)

    def step(self, state: State, features: Tensor, plain: bool = False) -> Step:
        """Features (1,F,D) of the next chunk -> its motion; moves `state` on.

        The history is read back from the motion, not from the predicted bits: so the model was trained.
        """
        predict = self.predict_plain if plain else self.predict
        prediction = predict(state.style, state.history, self.pool_audio(features))
        motion = self.basic_vae.bits_to_motion(state.previous_bits, prediction.bits)
        result = Step(motion, prediction, state.previous_bits)
        state.previous_bits = self.basic_vae.motion_to_bits(motion)
        newest = scale_features(state.previous_bits, self.config.scales)[:, None]
        state.history = torch.cat([state.history[:, 1:], newest], dim=1)
        return result

    def steps(self, samples: Floats, style: Floats | None = None, plain: bool = False) -> Iterator[Step]:
        """Samples (N,) at 16 kHz -> the result of every chunk; `plain` takes the slow reference path."""
        with torch.inference_mode():
            state = self.start(style)
            features = self.audio_features(samples)
        while True:
            with torch.inference_mode():    # not held across yields: the caller's own mode is its own matter
                chunk = next(features, None)
                if chunk is None:
                    return
                result = self.step(state, chunk, plain)
            yield result

    def chunks(self, samples: Floats, style: Floats | None = None, plain: bool = False) -> Iterator[Floats]:
        """Samples (N,) at 16 kHz -> raw motion (100,106) of every chunk."""
        for result in self.steps(samples, style, plain):
            yield result.motion[0].float().cpu().numpy()
