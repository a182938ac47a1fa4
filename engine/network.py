# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole ARTalk network: samples -> raw motion, chunk after chunk. Needs torch; never imports bpy.

Tensors have the published names: the generator's at the root, `basic_vae.*`, `style_encoder.*`, `audio_encoder.*`.
There are two paths. The plain one (`plain=True`) does what the published program does, one chunk at a time, every
token again at every scale, float32; it is the reference. The fast one gives the same bits, and is what runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .chunking import FEATURE_FRAMES, feature_windows, padded_mel, split_samples
from .codec import Codec, scale_features
from .config import NetworkConfig
from .device import set_tf32
from .errors import EngineError
from .fast_codec import FastCodec
from .fast_generator import FastGenerator
from .generator import Generator, Prediction
from .passage import WHOLE, Passage
from .recorded import Recorded
from .style import StyleEncoder

if TYPE_CHECKING:
    from .audio_encoder import Wav2VecEncoder

Floats = NDArray[np.float32]


@dataclass
class State:
    """What one chunk hands to the next."""

    style: Tensor           # (B,1,W), or (1,1,W) for all
    history: Tensor         # (B,R,180,C) features of the R chunks before, oldest first
    previous_bits: Tensor   # (B,181,C) re-encoded bits of the chunk before
    motion: Tensor | None = None    # (B,100,106) the chunk before, where it has not been read back yet

    def first(self, count: int) -> State:
        """The state of the first `count` clips; a single clip's stands for all of them."""
        def narrow(x: Tensor) -> Tensor:
            return x.expand(count, *x.shape[1:]) if len(x) == 1 else x[:count]

        motion = None if self.motion is None else narrow(self.motion)
        return State(narrow(self.style), narrow(self.history), narrow(self.previous_bits), motion)


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


def remembered(history: Tensor, bits: Tensor, scales: Sequence[int]) -> Tensor:
    """History (B,R,180,C) without its oldest chunk and with one of these bits (B,181,C)."""
    return torch.cat([history[:, 1:], scale_features(bits, scales)[:, None]], dim=1)


DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CHUNKS_ON_A_CARD = 32
_BYTES_PER_CHUNK = 100e6    # the encoder's largest intermediate results of one chunk, generously


class FastPath:
    """The fast path's parts, made from a network's weights."""

    def __init__(self, network: Network) -> None:
        dtype = DTYPES[network.precision]
        self.generator = FastGenerator(network, dtype)
        self.codec = FastCodec(network.basic_vae)
        self.encode: Callable[[Tensor], Tensor] = network.audio_encoder     # not asked for by mel
        self.chunks_at_once = 1
        if network.config.audio_encoder == "wav2vec":
            from .fast_encoder import CHUNKS_AT_ONCE, FastWav2Vec

            self.encode = FastWav2Vec(cast("Wav2VecEncoder", network.audio_encoder), dtype)
            self.chunks_at_once = CHUNKS_AT_ONCE
        if network.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(network.device)
            self.chunks_at_once = max(1, min(_CHUNKS_ON_A_CARD, int(free / 2 / _BYTES_PER_CHUNK)))
        self.scales = network.config.scales
        self._pool = network.pool_audio
        self.predict = Recorded(self._predict, self.generator.forget)
        self.decode = Recorded(self._decode)
        self.recall = Recorded(self._recall)

    def _predict(self, style: Tensor, history: Tensor, features: Tensor, *noise: Tensor) -> tuple[Tensor, ...]:
        found = self.generator.predict(style, history, self._pool(features), *noise)
        return found.bits, found.logits

    def _decode(self, previous_bits: Tensor, bits: Tensor, logits: Tensor) -> tuple[Tensor, ...]:
        motion = self.codec.bits_to_motion(previous_bits, bits)
        # a bit is always yes or no: without this, logits that overflowed would pass for a prediction
        return (motion.masked_fill(~torch.isfinite(logits).all(), torch.nan),)

    def _recall(self, motion: Tensor, history: Tensor) -> tuple[Tensor, ...]:
        bits = self.codec.motion_to_bits(motion)
        return bits, remembered(history, bits, self.scales)


class Network(Generator):
    """Generator, codec, style encoder and audio encoder under one roof.

    `precision` is the fast path's: fp32; tf32 (float32 whose factors a graphics card rounds); bf16 or fp16 for the
    products of the audio encoder and the generator. The plain path is always fp32.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.basic_vae = Codec(config)
        self.style_encoder = StyleEncoder(config)
        self.audio_encoder = build_audio_encoder(config)
        self.precision = "fp32"
        self._fast: tuple[tuple[str, torch.device], FastPath] | None = None
        self.register_load_state_dict_post_hook(lambda module, _: setattr(module, "_fast", None))

    def fast(self) -> FastPath:
        """The fast path, made when first asked for; weights that change later by themselves are not seen."""
        key = (self.precision, self.device)
        if self._fast is None or self._fast[0] != key:
            self._fast = None       # before another is made: both may not fit
            self._fast = (key, FastPath(self))
        return self._fast[1]

    def _set_tf32(self, plain: bool) -> None:
        """Before computing on a graphics card: torch keeps one switch for the whole process."""
        if self.device.type == "cuda":
            set_tf32(self.precision == "tf32" and not plain)

    def to_device(self, array: Floats) -> Tensor:
        """An array where the weights lie; a graphics card fetches it without being waited for."""
        tensor = torch.from_numpy(np.require(array, requirements="W"))      # torch has no read-only tensors
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.pos_embed.device

    def audio_features(self, samples: Floats, plain: bool = False, passage: Passage = WHOLE) -> Iterator[Tensor]:
        """Samples (N,) -> features (1,F,D) of the passage's chunks; F is 199 (wav2vec), 50 (Mimi) or 200 (mel).

        The first chunk is heard alone, so that its motion is out early, later ones several at once.
        """
        if self.config.audio_encoder == "mel":
            mel = padded_mel(samples, passage)
            chunks = passage.chunks(len(samples))
            for low, start, high in feature_windows(len(mel) // 2, self.config, 2 * passage.start_frame, chunks):
                window = self.to_device(mel[2 * low : 2 * high])[None]
                yield self.audio_encoder(window)[:, start - low : start - low + FEATURE_FRAMES]
            return
        pieces = split_samples(samples, passage)
        size, most = 1, 1 if plain else self.fast().chunks_at_once
        while batch := list(islice(pieces, size)):
            yield from self.encode(np.stack(batch), plain).split(1)
            size = min(2 * size, most)

    def encode(self, chunks: Floats, plain: bool = False) -> Tensor:
        """Chunks of samples (B,64000) -> features (B,F,D); wav2vec and Mimi only."""
        self._set_tf32(plain)
        encoder = self.audio_encoder if plain else self.fast().encode
        prepare = getattr(self.audio_encoder, "prepare", None)      # Mimi hears at another rate
        return encoder(self.to_device(chunks if prepare is None else prepare(chunks)))

    def start(self, style: Floats | None, passage: Passage = WHOLE, plain: bool = False) -> State:
        """The state before the first chunk; where there is no motion before, its codes are those of zeros."""
        codes = None
        if style is not None:
            codes = self.style_encoder(self.to_device(style)[None])
        rest = self.pos_embed.new_zeros(1, self.config.frames, self.config.motion_dim)
        bits = self.basic_vae.motion_to_bits(rest)
        features = scale_features(bits, self.config.scales)
        history = features[:, None].expand(-1, self.config.prev_ratio, -1, -1)
        state = State(self.style_condition(codes, strength=passage.strength), history, bits)
        for past in passage.pasts(self.config):
            state.motion = self.to_device(past)[None]
            self.recall(state, plain)
        return state

    def step(self, state: State, features: Tensor, plain: bool = False, noise: Tensor | None = None) -> Step:
        """Features (B,F,D) of the next chunk -> its motion; moves `state` on."""
        self.recall(state, plain)
        return self.advance(state, self.predict(state, features, plain, noise), plain)

    def predict(self, state: State, features: Tensor, plain: bool = False, noise: Tensor | None = None) -> Prediction:
        """Features (B,F,D) of the next chunk -> its bits; the chunk before must have been recalled."""
        self._set_tf32(plain)
        if plain:
            return self.predict_plain(state.style, state.history, self.pool_audio(features), noise)
        more = () if noise is None else (noise,)
        return Prediction(*self.fast().predict(state.style, state.history, features, *more))

    def advance(self, state: State, prediction: Prediction, plain: bool = False) -> Step:
        """Decode a chunk's bits into motion, and make it the past of the next one."""
        if plain:
            motion = self.basic_vae.bits_to_motion(state.previous_bits, prediction.bits)
        else:
            (motion,) = self.fast().decode(state.previous_bits, prediction.bits, prediction.logits)
        state.motion = motion
        return Step(motion, prediction, state.previous_bits)

    def recall(self, state: State, plain: bool = False) -> None:
        """Read the history back from the last motion, not from the predicted bits: so the model was trained.

        Done only when another chunk follows.
        """
        if state.motion is None:
            return
        if plain:
            state.previous_bits = self.basic_vae.motion_to_bits(state.motion)
            state.history = remembered(state.history, state.previous_bits, self.config.scales)
        else:
            state.previous_bits, state.history = self.fast().recall(state.motion, state.history)
        state.motion = None

    def steps(self, samples: Floats, style: Floats | None = None, plain: bool = False,
              passage: Passage = WHOLE) -> Iterator[Step]:
        """Samples (N,) at 16 kHz -> the result of every chunk; `plain` takes the slow reference path."""
        with torch.inference_mode():
            state = self.start(style, passage, plain)
            features = self.audio_features(samples, plain, passage)
        for index in count():
            with torch.inference_mode():    # not held across yields: the caller's own mode is its own matter
                chunk = next(features, None)
                if chunk is None:
                    return
                noise = passage.noise(index, self.config)
                result = self.step(state, chunk, plain, None if noise is None else self.to_device(noise)[None])
            yield result

    def chunks(self, samples: Floats, style: Floats | None = None, plain: bool = False,
               passage: Passage = WHOLE) -> Iterator[Floats]:
        """Samples (N,) at 16 kHz -> raw motion (100,106) of every chunk."""
        fetched = (self.fetch(result.motion[0]) for result in self.steps(samples, style, plain, passage))
        # a graphics card is given its next chunk before the last one is waited for
        ahead = 1 if self.device.type == "cuda" else 0
        waiting: deque[Fetched] = deque()
        for one in fetched:
            waiting.append(one)
            if len(waiting) > ahead:
                yield waiting.popleft().array()
        yield from (one.array() for one in waiting)

    def fetch(self, motion: Tensor) -> Fetched:
        """Begin to copy motion (...,100,106) from where it is computed."""
        return Fetched(motion, self.precision)


class Fetched:
    """Motion on its way from the device."""

    def __init__(self, motion: Tensor, precision: str) -> None:
        self._precision, self._event = precision, None
        self._host = motion.float()
        if motion.device.type == "cuda":
            self._host = torch.empty(motion.shape, dtype=torch.float32, pin_memory=True)
            self._host.copy_(motion, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def array(self) -> Floats:
        """The motion, once it is there. Raises EngineError where the network's numbers overflowed."""
        if self._event is not None:
            self._event.synchronize()
        motion: Floats = self._host.numpy()
        if not np.isfinite(motion).all():
            remedy = "Fetch the model again." if self._precision == "fp32" else "Choose the precision fp32."
            raise EngineError(f"With this model numbers grow beyond what {self._precision} can hold.", remedy)
        return motion
