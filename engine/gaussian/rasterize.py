# SPDX-License-Identifier: GPL-3.0-or-later
"""One door to every rasteriser of Gaussians. Importing this module imports neither torch nor numba.

`plain` is torch's, slow, the measure of all others; `numba` is compiled for the processor at its first use; `numpy`
needs nothing else; `gsplat`, `diff` and `diff32` are other people's, for graphics cards (card.py).
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import EngineError

BACKENDS = ("auto", "numba", "gsplat", "diff", "diff32", "plain", "numpy")
ON_CARDS = {"gsplat": "gsplat", "diff": "diff_gaussian_rasterization", "diff32": "diff_gaussian_rasterization_32d"}
Image = Any     # a tensor where tensors were given, else a numpy array


@functools.cache
def is_there(package: str) -> bool:
    """Whether this Python has a package, without importing it."""
    return importlib.util.find_spec(package) is not None


def choose_backend(wish: str = "auto", device: str = "cpu") -> str:
    """The backend for a wish; `card` is the fastest of those that are there. Raises EngineError where it is unknown,
    or not to be had here."""
    if wish not in BACKENDS:
        raise EngineError(f"There is no rasteriser “{wish}”.", f"Choose one of {', '.join(BACKENDS)}.")
    if wish == "auto":
        if device != "cpu":
            return "card" if any(map(is_there, ON_CARDS.values())) else "plain"
        return "numba" if is_there("numba") else "numpy"
    if wish in ON_CARDS and device == "cpu":
        raise EngineError(f"{wish} draws on a graphics card only.", "Choose the rasteriser auto.", code="unsupported")
    package = {"plain": "torch", **ON_CARDS}.get(wish, wish)
    if not is_there(package):
        raise EngineError(f"The rasteriser “{wish}” needs {package}, which this Python lacks.",
                          "Choose the rasteriser auto.", code="unsupported")
    return wish


def rasterize(means: Any, quats: Any, scales: Any, opacities: Any, colors: Any, viewmats: Any, Ks: Any,
              size: tuple[int, int], background: Any = None, backend: str = "auto") -> Image:
    """Draw N Gaussians: image (C,H,W) float32. Names and shapes are gsplat's.

    means (N,3); quats (N,4) w, x, y, z, taken as they are; scales (N,3) standard deviations; opacities (N,) 0 to 1;
    colors (N,C), any number of channels; viewmats (4,4) world to camera, +z forward, y down; Ks (3,3) in pixels;
    size (width, height) in pixels; background (C,), black when left out. Either all are tensors of one device, or
    all numpy arrays. Raises EngineError where a shape doesn't fit.
    """
    return rasterize_with_alpha(means, quats, scales, opacities, colors, viewmats, Ks, size, background, backend)[0]


def rasterize_with_alpha(means: Any, quats: Any, scales: Any, opacities: Any, colors: Any, viewmats: Any, Ks: Any,
                         size: tuple[int, int], background: Any = None, backend: str = "auto") -> tuple[Image, Image]:
    """As `rasterize`, and what of every pixel is hidden by Gaussians: (H,W) from 0 to 1."""
    _check(means, quats, scales, opacities, colors, viewmats, Ks, size)
    tensors = _is_tensor(means)
    chosen = choose_backend(backend, str(means.device.type) if tensors else "cpu")
    given = (means, quats, scales, opacities, colors, viewmats, Ks)
    image, light = _BACKENDS[chosen](given, size, tensors)
    if background is not None:
        image = image + background[:, None, None] * light
    return image, 1 - light


def _check(means: Any, quats: Any, scales: Any, opacities: Any, colors: Any, viewmats: Any, Ks: Any,
           size: tuple[int, int]) -> None:
    count = len(means)
    wanted = (("means", means, (count, 3)), ("quats", quats, (count, 4)), ("scales", scales, (count, 3)),
              ("opacities", opacities, (count,)), ("viewmats", viewmats, (4, 4)), ("Ks", Ks, (3, 3)))
    for name, value, shape in wanted:
        if tuple(value.shape) != shape:
            raise EngineError(f"The Gaussians' {name} have the shape {tuple(value.shape)} where {shape} belongs.")
    if colors.ndim != 2 or len(colors) != count or not colors.shape[1]:
        raise EngineError(f"The Gaussians' colors have the shape {tuple(colors.shape)} where ({count}, channels) "
                          "belongs.")
    if not all(0 < length <= 16384 for length in size):
        raise EngineError(f"A picture of {size[0]} x {size[1]} pixels can't be drawn.", "Choose 1 to 16384.")


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _plain(given: tuple[Any, ...], size: tuple[int, int], tensors: bool) -> tuple[Image, Image]:
    import torch

    from .plain import rasterize_plain

    with torch.inference_mode():
        means, quats, scales, opacities, colors, viewmat, K = (torch.as_tensor(value) for value in given)
        image, light = rasterize_plain(means, quats, scales, opacities, colors, viewmat, K, size)
    return (image, light) if tensors else (image.numpy(), light.numpy())


def _on_card(backend: str) -> Callable[[tuple[Any, ...], tuple[int, int], bool], tuple[Image, Image]]:
    def draw(given: tuple[Any, ...], size: tuple[int, int], tensors: bool) -> tuple[Image, Image]:
        from .card import FASTEST, draw_diff, draw_gsplat

        ways = {name: draw_gsplat if name == "gsplat" else functools.partial(draw_diff, package)
                for name, package in ON_CARDS.items() if backend == name or (backend == "card" and is_there(package))}
        return next(iter(ways.values()))(given, size) if len(ways) == 1 else FASTEST(ways, given, size)

    return draw


def _numba(given: tuple[Any, ...], size: tuple[int, int], tensors: bool) -> tuple[Image, Image]:
    from .kernel import rasterize_fast

    return _in_numpy(rasterize_fast, given, size, tensors)


def _numpy(given: tuple[Any, ...], size: tuple[int, int], tensors: bool) -> tuple[Image, Image]:
    from .portable import rasterize_portable

    return _in_numpy(rasterize_portable, given, size, tensors)


def _in_numpy(draw: Callable[..., tuple[Image, Image]], given: tuple[Any, ...], size: tuple[int, int],
              tensors: bool) -> tuple[Image, Image]:
    if not tensors:
        return draw(*(np.asarray(value) for value in given), size)
    import torch

    image, light = draw(*(value.detach().cpu().numpy() for value in given), size)
    return torch.from_numpy(image).to(given[0].device), torch.from_numpy(light).to(given[0].device)


_BACKENDS: dict[str, Callable[[tuple[Any, ...], tuple[int, int], bool], tuple[Image, Image]]] = {
    "plain": _plain, "numba": _numba, "numpy": _numpy, **{name: _on_card(name) for name in ("card", *ON_CARDS)},
}
