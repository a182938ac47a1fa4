# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a model, whatever it is: the shipped default in numpy, or a checkpoint in torch.

Importing this module imports no torch; `load_model` does, only where the model needs it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .assets import DEFAULT_MODEL
from .blinks import motion_with_blinks, with_blinks, without_blinks
from .chunking import Floats
from .device import check_choice, check_precision, check_torch, choose_device, memory_in_a_sentence, set_threads
from .errors import EngineError
from .passage import WHOLE, Passage
from .portable.network import PortableNetwork

if TYPE_CHECKING:
    from .network import Network

CHECKPOINT_NAMES = ("ARTalk_wav2vec.pt", "ARTalk_mimi.pt")
DEFAULT_NAME = "default"


class LoadedModel:
    """A network with its provenance; what `Pipeline` asks for."""

    def __init__(
        self, name: str, path: Path, network: Network | PortableNetwork, device: str, precision: str = "fp32"
    ) -> None:
        self.name, self.path, self.device, self.precision = name, path, device, precision
        self.network = network

    if TYPE_CHECKING:
        sha256: str     # mypy takes a cached_property for read-only
    else:

        @functools.cached_property
        def sha256(self) -> str:
            """Of the model's file, in hex; computed when first asked for."""
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def blinks_by_rule(self) -> bool:
        """Whether the lids are left to `blinks`: models of the default one's kind are trained without them."""
        return self.network.config.audio_encoder == "mel"

    def chunks(self, samples: Floats, style: Floats | None = None, passage: Passage = WHOLE) -> Iterator[Floats]:
        """Samples (N,) at 16 kHz and a style motion (50,106) -> raw motion (100,106) of every 4-second chunk."""
        with memory_in_a_sentence():
            if self.blinks_by_rule:
                unblinking = replace(passage, history=without_blinks(passage.history))
                yield from with_blinks(self.network.chunks(samples, style, passage=unblinking), passage.history)
            else:
                yield from self.network.chunks(samples, style, passage=passage)

    def together(self, sounds: Sequence[Floats], style: Floats | None = None) -> list[Floats]:
        """Raw motion (100 * chunks, 106) of every sound; in torch several run side by side."""
        if isinstance(self.network, PortableNetwork):
            return [np.concatenate(list(self.chunks(sound, style))) for sound in sounds]
        from .together import motions_together

        with memory_in_a_sentence():
            motions = motions_together(self.network, sounds, style)
        return [motion_with_blinks(motion) for motion in motions] if self.blinks_by_rule else motions


def load_model(
    path: str | Path | None = None, device: str = "auto", precision: str = "fp32", backend: str = "auto"
) -> LoadedModel:
    """The default model (None), a published folder or `.pt`, or an `.npz`.

    `backend` is `numpy` (the default model's kind only), `torch`, or `auto`: numpy for an `.npz` unless a graphics
    card or another precision than fp32 is asked for, else torch. Raises EngineError in one sentence.
    """
    check_choice(device, precision)
    if backend not in ("auto", "numpy", "torch"):
        raise EngineError(f"There is no backend “{backend}”.", "Choose auto, numpy or torch.")
    name = DEFAULT_NAME if path is None else ""
    file = model_file(path)
    plain_wish = device != "cuda" and precision == "fp32"
    if file.suffix == ".npz" and (backend == "numpy" or (backend == "auto" and plain_wish)):
        if precision != "fp32":
            raise EngineError("In numpy a model computes in fp32 only.", "Choose fp32.", code="unsupported")
        network = PortableNetwork.from_file(file)
        if device == "cuda":
            raise EngineError("In numpy a model runs on the processor only.", "Choose the device auto or cpu.",
                              code="unsupported")
        return LoadedModel(name or file.stem, file, network, "cpu")
    if backend == "numpy":
        raise EngineError(f"“{file.name}” needs torch.", "Choose the backend auto.", code="unsupported")
    return _load_torch(name or file.stem, file, device, precision)


def _load_torch(name: str, file: Path, device: str, precision: str) -> LoadedModel:
    check_torch(file.name)
    from .weights import load_network

    chosen = choose_device(device)
    check_precision(precision, chosen)
    set_threads()
    with memory_in_a_sentence():
        network = load_network(file, chosen)
    network.precision = precision
    return LoadedModel(name, file, network, chosen.type, precision)


def model_file(path: str | Path | None) -> Path:
    """The file to load for a path as people give it. Raises EngineError where there is none."""
    if path is None:
        if not DEFAULT_MODEL.is_file():
            raise EngineError(f"The default model is missing: “{DEFAULT_MODEL}”.", "Install the extension again.",
                              code="bad_file")
        return DEFAULT_MODEL
    path = Path(path).expanduser()
    if path.is_dir():
        found = [path / name for name in CHECKPOINT_NAMES if (path / name).is_file()]
        if not found:
            raise EngineError(f"There is no ARTalk model in the folder “{path}”.",
                              f"It should hold {' or '.join(CHECKPOINT_NAMES)}.")
        return found[0]
    if not path.is_file():
        raise EngineError(f"There is no model at “{path}”.", "Check the path.")
    if path.suffix not in (".pt", ".npz"):
        raise EngineError(f"“{path.name}” is no model file.", "Choose a .pt or an .npz file, or a folder.")
    return path
