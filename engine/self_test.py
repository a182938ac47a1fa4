# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the model that is loaded compute here what it should? For people, and for a report of a fault.

Compares the path that runs with the slow plain one, and a reduced precision or a graphics card with float32 on the
processor: the share of bits that differ, and how far the lips are moved. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .assets import DEFAULT_HEAD, DEMO_SPEECH
from .audio_file import read_audio
from .bench import device_and_threads, machine_name
from .bench_paths import torch_is_there
from .chunking import Floats
from .flame.file import read_flame
from .model import LoadedModel, load_model
from .pipeline import SAMPLE_RATE, frame_count
from .portable.network import PortableNetwork

if TYPE_CHECKING:
    from .network import Network
    from .precision import Chunk, Difference


@dataclass
class SelfTest:
    """What was compared, in lines for people; `faults` is empty where all is well."""

    lines: list[str]
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, difference: Difference, cause: str) -> None:
        """One comparison; a difference that can be seen is a fault."""
        self.lines.append(f"{what}: {100 * difference.bits:.3f} % of the bits and {difference.lip_millimetres:.4f} mm "
                          f"rms at the lips unlike {difference.reference}")
        if difference.visible:
            self.faults.append(difference.sentence(cause))

    def text(self) -> str:
        """All of it."""
        verdict = [f"FAULT: {fault}" for fault in self.faults] or ["All is well."]
        return "\n".join([*self.lines, *verdict])


def self_test(path: Path | None, device: str = "auto", precision: str = "fp32", seconds: float = 8.0) -> SelfTest:
    """Run a model on the demo speech, `seconds` long, in the ways that must agree."""
    samples = np.resize(read_audio(DEMO_SPEECH), max(1, round(seconds * SAMPLE_RATE)))
    model = load_model(path, device=device, precision=precision)
    result = SelfTest([f"model    {model.name} {model.sha256[:12]}", f"machine  {machine_name()}",
                       f"settings {device_and_threads(model)}, {precision}"])
    if isinstance(model.network, PortableNetwork):
        _compare_numpy(result, model, samples)
        return result
    from .precision import difference, network_chunks

    frames, head = frame_count(len(samples)), read_flame(DEFAULT_HEAD)
    plain = network_chunks(model.network, samples, plain=True)
    fast = network_chunks(model.network, samples, precision="fp32")
    result.add("fast path", difference(plain, fast, frames, head, "the plain path, both in fp32"), "The fast path")
    if precision != "fp32" or model.device == "cuda":
        result.add(f"{precision} on {model.device}", difference_of(model, samples), precision)
    return result


def difference_of(model: LoadedModel, samples: Floats) -> Difference:
    """A torch model as it runs against itself in float32 on the processor."""
    from .precision import difference, network_chunks

    network = _torch_network(model)
    reference, name = network, "fp32"
    if network.device.type == "cuda":
        reference, name = _torch_network(load_model(model.path, device="cpu", backend="torch")), "fp32 on the processor"
    wanted = network_chunks(reference, samples, precision="fp32")
    return difference(wanted, network_chunks(network, samples), frame_count(len(samples)), read_flame(DEFAULT_HEAD),
                      name)


def _torch_network(model: LoadedModel) -> Network:
    assert not isinstance(model.network, PortableNetwork)
    return model.network


def _compare_numpy(result: SelfTest, model: LoadedModel, samples: Floats) -> None:
    assert isinstance(model.network, PortableNetwork)
    if not torch_is_there():
        motion = np.concatenate(list(model.chunks(samples)))
        result.lines.append(f"{len(motion)} frames in numpy; without torch there is nothing to compare them with")
        if not np.isfinite(motion).all():
            result.faults.append("The motion holds values that are not numbers.")
        return
    from .precision import difference, network_chunks

    network = _torch_network(load_model(model.path, device="cpu", backend="torch"))
    wanted = network_chunks(network, samples, plain=True)
    got = _numpy_chunks(model.network, samples)
    result.add("numpy", difference(wanted, got, frame_count(len(samples)), read_flame(DEFAULT_HEAD),
                                   "torch's plain path"), "numpy")


def _numpy_chunks(network: PortableNetwork, samples: Floats) -> Iterator[Chunk]:
    for step in network.steps(samples):
        yield step.bits, step.motion
