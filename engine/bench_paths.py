# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's ways to compute a chunk, taken apart into stages for the bench. Importing this imports no torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .chunking import Floats
from .portable.layers import scale_features
from .portable.network import Block, PortableNetwork

if TYPE_CHECKING:
    from .network import Network


class Stages(Protocol):
    """Stages of one chunk after the other; the state is made by `begin` and belongs to one sound."""

    name: str

    def begin(self, samples: Floats) -> dict[str, Any]: ...

    def hear(self, state: dict[str, Any]) -> None: ...

    def scales(self, state: dict[str, Any]) -> None: ...

    def decode(self, state: dict[str, Any]) -> None: ...

    def wait(self) -> None: ...

    def motion(self, samples: Floats) -> Iterator[Floats]: ...

    def bits(self, state: dict[str, Any]) -> NDArray[np.bool_]: ...


def torch_is_there() -> bool:
    """Whether this Python has torch; does not import it."""
    return importlib.util.find_spec("torch") is not None


class TorchPath:
    """A torch network's plain or fast path."""

    def __init__(self, name: str, network: Network, plain: bool) -> None:
        import torch

        self.name, self.network, self.plain = name, network, plain
        self._mode = torch.inference_mode
        self._cuda = network.device.type == "cuda"

    def begin(self, samples: Floats) -> dict[str, Any]:
        """Nothing is computed yet but the state before the first chunk."""
        with self._mode():
            features = self.network.audio_features(samples, self.plain)
            return {"features": features, "state": self.network.start(None)}

    def hear(self, state: dict[str, Any]) -> None:
        """The audio encoder; on the fast path every few chunks for all of them."""
        with self._mode():
            state["heard"] = next(state["features"])

    def scales(self, state: dict[str, Any]) -> None:
        """The generator over all scales."""
        with self._mode():
            state["prediction"] = self.network.predict(state["state"], state["heard"], self.plain)

    def decode(self, state: dict[str, Any]) -> None:
        """The codec both ways."""
        with self._mode():
            self.network.advance(state["state"], state["prediction"], self.plain)
            self.network.recall(state["state"], self.plain)

    def motion(self, samples: Floats) -> Iterator[Floats]:
        """Raw motion (100,106) of every chunk, with nothing measured in between."""
        return self.network.chunks(samples, plain=self.plain)

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self._cuda:
            import torch

            torch.cuda.synchronize()

    def bits(self, state: dict[str, Any]) -> NDArray[np.bool_]:
        """The chunk's bits (181,C)."""
        result: NDArray[np.bool_] = state["prediction"].bits[0].cpu().numpy()
        return result


class NumpyPath:
    """The default model's network in numpy."""

    def __init__(self, name: str, network: PortableNetwork) -> None:
        self.name, self.network = name, network

    def begin(self, samples: Floats) -> dict[str, Any]:
        """The state before the first chunk, as in `PortableNetwork.steps`."""
        network, config = self.network, self.network.config
        weights = network._weights
        previous = network.codec.motion_to_bits(np.zeros((config.frames, config.motion_dim), np.float32))
        return {
            "features": network.audio_encoder.chunks(samples), "style": network.style_condition(None),
            "blocks": [Block(config, weights.under(f"attn_blocks.{index}.")) for index in range(config.depth)],
            "previous": previous, "history": [scale_features(previous, config.scales)] * config.prev_ratio,
        }

    def hear(self, state: dict[str, Any]) -> None:
        """The audio encoder."""
        state["heard"] = next(state["features"])

    def scales(self, state: dict[str, Any]) -> None:
        """The generator over all scales."""
        audio = self.network.pool_audio(state["heard"])
        state["bits"], _ = self.network.predict(state["blocks"], state["style"], state["history"], audio)

    def decode(self, state: dict[str, Any]) -> None:
        """The codec both ways."""
        codec, scales = self.network.codec, self.network.config.scales
        motion = codec.bits_to_motion(state["previous"], state["bits"])
        state["previous"] = codec.motion_to_bits(motion)
        state["history"] = [*state["history"][1:], scale_features(state["previous"], scales)]

    def motion(self, samples: Floats) -> Iterator[Floats]:
        """Raw motion (100,106) of every chunk."""
        return self.network.chunks(samples)

    def wait(self) -> None:
        """numpy is done when it returns."""

    def bits(self, state: dict[str, Any]) -> NDArray[np.bool_]:
        """The chunk's bits (181,C)."""
        result: NDArray[np.bool_] = state["bits"]
        return result
