# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole ARTalk network: samples -> raw motion, chunk after chunk. Needs torch; never imports bpy.

Tensors have the published names: the generator's at the root, `basic_vae.*`, `style_encoder.*`, `audio_encoder.*`.
There are two paths. The plain one (`plain=True`) does what the published program does, one chunk at a time, every
token again at every scale, float32; it is the reference. The fast one gives the same bits, and is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .chunking import FEATURE_FRAMES, feature_windows, padded_mel, split_samples
from .codec import Codec, scale_features
from .config import NetworkConfig
from .fast_generator import FastGenerator
from .generator import Generator, Prediction
from .style import StyleEncoder

if TYPE_CHECKING:
    from .audio_encoder import Wav2VecEncoder

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


@dataclass
class FastPath:
    """The fast path's parts, made from a network's weights."""

    encode: Callable[[Tensor], Tensor]      # chunks of samples (B,64000) -> features (B,F,D); not for mel
    chunks_at_once: int
    generator: FastGenerator


class Network(Generator):
    """Generator, codec, style encoder and audio encoder under one roof.

    `precision` is the fast path's: float32, or bfloat16 for the audio encoder's and the generator's products.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.basic_vae = Codec(config)
        self.style_encoder = StyleEncoder(config)
        self.audio_encoder = build_audio_encoder(config)
        self.precision = torch.float32
        self._fast: tuple[torch.dtype, FastPath] | None = None
        self.register_load_state_dict_post_hook(lambda module, _: setattr(module, "_fast", None))

    def fast(self) -> FastPath:
        """The fast path, made when first asked for; weights that change later by themselves are not seen."""
        if self._fast is None or self._fast[0] != self.precision:
            generator = FastGenerator(self, self.precision)
            path = FastPath(self.audio_encoder, 1, generator)
            if self.config.audio_encoder == "wav2vec":
                from .fast_encoder import CHUNKS_AT_ONCE, FastWav2Vec

                encoder = cast("Wav2VecEncoder", self.audio_encoder)
                path = FastPath(FastWav2Vec(encoder, self.precision), CHUNKS_AT_ONCE, generator)
            self._fast = (self.precision, path)
        return self._fast[1]

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.pos_embed.device

    def audio_features(self, samples: Floats, plain: bool = False) -> Iterator[Tensor]:
        """Samples (N,) -> features (1,F,D) of every chunk; F is 199 (wav2vec), 50 (Mimi) or 200 (mel).

        The first chunk is heard alone, so that its motion is out early, later ones several at once.
        """
        if self.config.audio_encoder == "mel":
            mel = padded_mel(samples)
            for low, start, high in feature_windows(len(mel) // 2, self.config):
                window = torch.from_numpy(mel[2 * low : 2 * high])[None].to(self.device)
                yield self.audio_encoder(window)[:, start - low : start - low + FEATURE_FRAMES]
            return
        pieces = split_samples(samples)
        size, most = 1, 1 if plain else self.fast().chunks_at_once
        while batch := list(islice(pieces, size)):
            yield from self.encode(np.stack(batch), plain).split(1)
            size = min(2 * size, most)

    def encode(self, chunks: Floats, plain: bool = False) -> Tensor:
        """Chunks of samples (B,64000) -> features (B,F,D); wav2vec and Mimi only."""
        encoder = self.audio_encoder if plain else self.fast().encode
        return encoder(torch.from_numpy(chunks).to(self.device))

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
        return self.advance(state, self.predict(state, features, plain))

    def predict(self, state: State, features: Tensor, plain: bool = False) -> Prediction:
        """Features (B,F,D) of the next chunk -> its bits."""
        predict = self.predict_plain if plain else self.fast().generator.predict
        return predict(state.style, state.history, self.pool_audio(features))

    def advance(self, state: State, prediction: Prediction) -> Step:
        """Decode a chunk's bits into motion, and make it the past of the next one."""
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
            features = self.audio_features(samples, plain)
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
