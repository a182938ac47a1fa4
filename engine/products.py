# SPDX-License-Identifier: GPL-3.0-or-later
"""Matrix products of the fast paths: the precision of the weights, the kernel that suits the machine. Needs torch.

Two libraries inside torch multiply float32 matrices on a processor: MKL, which is made for Intel's, and oneDNN.
Measured (addon_tests/benchmarks/bench_products.py): on an AMD Zen 4 oneDNN is 1.1 to 2 times as fast whatever the
number of rows, on an Intel Xeon only for 2 to 32 rows. Where torch has no oneDNN, `F.linear` does it all.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .device import is_intel

_FEW_ROWS = range(2, 33)
_USUAL_ROWS = 200


@functools.cache
def has_onednn() -> bool:
    """Whether this torch offers oneDNN's product and its packing of weights; they are no public names."""
    found = torch.backends.mkldnn.is_available()
    return found and all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (...,I) through weight (O,I), both in the weight's precision, and so is the result (...,O)."""
    x = x.to(weight.dtype)
    if weight.is_mkldnn or (weight.device.type == "cpu" and weight.dtype == torch.float32 and _suits(x)):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def _suits(x: Tensor) -> bool:
    """Whether oneDNN is the faster one for float32 x (...,I)."""
    return has_onednn() and (not is_intel() or x.shape[:-1].numel() in _FEW_ROWS)


def packed(weight: Tensor) -> Tensor:
    """A bfloat16 weight (O,I) in the order in which the processor takes it, which else is made at every product."""
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or not has_onednn():
        return weight
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _USUAL_ROWS)


def fuse(layers: Sequence[nn.Linear], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights (sum of O, I) and biases (sum of O,) of layers with one input, one after another.

    In float32 the layers' own weights become views of the result, so that nothing is held twice.
    """
    weight = torch.cat([layer.weight.detach() for layer in layers]).to(dtype)
    zero = layers[0].weight.new_zeros(layers[0].out_features)
    bias = torch.cat([zero if layer.bias is None else layer.bias.detach() for layer in layers]).to(dtype)
    if dtype == layers[0].weight.dtype:
        for layer, part in zip(layers, weight.split([layer.out_features for layer in layers]), strict=True):
            layer.weight.data = part
    return weight, bias


@dataclass
class Affine:
    """A linear layer's weight (O,I) and bias (O,) in the precision of the path."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, layer: nn.Linear, dtype: torch.dtype) -> Affine:
        """The layer's own weights; copies only where the precision is another."""
        bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        return cls(packed(layer.weight.detach().to(dtype)), bias)

    def __call__(self, x: Tensor) -> Tensor:
        """The result is float32."""
        return product(x, self.weight, self.bias).float()

    def in_precision(self, x: Tensor) -> Tensor:
        """The result stays in the precision of the path."""
        return product(x, self.weight, self.bias)
