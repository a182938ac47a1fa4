# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing Gaussians: every rasteriser against the golden scenes, whose pixels follow the published CUDA program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.gaussian.rasterize import ON_CARDS, choose_backend, is_there, rasterize, rasterize_with_alpha

SCENES = ("rgb64", "rgb128", "dense64", "feat64", "cull_wide_100x70", "head12_128")
BACKENDS = [
    pytest.param("plain", marks=pytest.mark.skipif(not is_there("torch"), reason="needs torch")),
    "numpy",
    pytest.param("numba", marks=pytest.mark.skipif(not is_there("numba"), reason="needs numba")),
]
every_backend = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def scenes() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parents[1] / "data" / "golden" / "raster.npz") as file:
        return {key: file[key] for key in file.files}


def arguments(scenes: dict[str, np.ndarray], name: str) -> tuple:
    """A golden scene as `rasterize` takes it, background included."""
    part = {key.split("/")[1]: value for key, value in scenes.items() if key.startswith(f"{name}/")}
    width, height, tan_x, tan_y = part["params"]
    K = np.array([[width / (2 * tan_x), 0, width / 2], [0, height / (2 * tan_y), height / 2], [0, 0, 1]])
    channels = part.get("image_channels", np.arange(part["colors"].shape[1]))
    return (part["xyz"], part["rotations"], part["scales"], part["opacity"][:, 0], part["colors"][:, channels],
            part["view"].T, K, (int(width), int(height)), part["bg"][channels])


@every_backend
@pytest.mark.parametrize("name", SCENES)
def test_golden_scenes(scenes: dict, name: str, backend: str):
    given = arguments(scenes, name)
    image, alpha = rasterize_with_alpha(*given, backend=backend)
    wanted, light = scenes[f"{name}/image"], scenes[f"{name}/final_T"]
    assert image.dtype == np.float32 and image.shape == wanted.shape
    fragile = np.unpackbits(scenes[f"{name}/fragile"])[: light.size].reshape(light.shape).astype(bool)
    assert fragile.mean() < 0.05
    error = np.abs(image - wanted).max(0)
    span = np.abs(given[4]).max()
    assert error[~fragile].max() <= 1e-4 * max(1.0, span)
    assert error[fragile].max(initial=0) <= span * 1.1 / 255, "one Gaussian more or less"
    assert np.abs(1 - alpha - light)[~fragile].max() <= 1e-4


@every_backend
def test_nothing_to_see(scenes: dict, backend: str):
    """No Gaussian, and Gaussians that are behind, nameless or boundless, leave the background."""
    means, quats, scales, opacities, colors, view, K, size, _ = arguments(scenes, "rgb64")
    background = np.array([0.1, 0.2, 0.3], np.float32)
    wanted = np.broadcast_to(background[:, None, None], (3, 64, 64))
    none = rasterize(means[:0], quats[:0], scales[:0], opacities[:0], colors[:0], view, K, size, background, backend)
    np.testing.assert_allclose(none, wanted, atol=1e-7)
    broken = means.copy()
    broken[:] = (0, 0, -50)
    broken[1::4], broken[2::4] = np.nan, (np.inf, 0, 0)
    boundless = scales.copy()
    broken[3::4], boundless[3::4] = means[3::4], np.inf
    image = rasterize(broken, quats, boundless, opacities, colors, view, K, size, background, backend)
    np.testing.assert_allclose(image, wanted, atol=1e-7)


@every_backend
def test_order_of_ties(backend: str):
    """Two Gaussians at one depth: the first given is in front."""
    means = np.zeros((2, 3), np.float32)
    quats = np.tile(np.array([1, 0, 0, 0], np.float32), (2, 1))
    scales, opacities = np.full((2, 3), 0.5, np.float32), np.array([0.9, 0.9], np.float32)
    view = np.eye(4)
    view[2, 3] = 5
    K = np.array([[40.0, 0, 16.5], [0, 40.0, 16.5], [0, 0, 1]])
    image = rasterize(means, quats, scales, opacities, np.eye(2, dtype=np.float32), view, K, (33, 33), backend=backend)
    np.testing.assert_allclose(image[:, 16, 16], (0.9, 0.09), atol=1e-5)


@pytest.mark.parametrize("backend", list(ON_CARDS))
@pytest.mark.parametrize("name", SCENES)
def test_on_a_graphics_card(scenes: dict, name: str, backend: str):
    """gsplat has no tile borders, so it is compared as a whole: what is left of a Gaussian there is 1/90 at most."""
    torch = pytest.importorskip("torch")
    if not (torch.cuda.is_available() and is_there(ON_CARDS[backend])):
        pytest.skip(f"needs {ON_CARDS[backend]} and a graphics card")
    given = [torch.from_numpy(np.asarray(value, np.float32)).cuda() for value in arguments(scenes, name)[:7]]
    size, background = arguments(scenes, name)[7:]
    image = rasterize(*given, size, torch.from_numpy(background).cuda(), backend=backend).cpu().numpy()
    error = np.abs(image - scenes[f"{name}/image"])
    assert error.mean() < 2e-3
    assert np.percentile(error, 99) < 0.02


@pytest.mark.skipif(not is_there("torch"), reason="needs torch")
def test_clip_space_of_cards(scenes: dict):
    """What diff-gaussian-rasterization makes of our matrices is the pixel that the plain one draws to."""
    import torch

    from engine.gaussian.card import clip_matrix
    from engine.gaussian.plain import project

    means, quats, scales, _, _, view, K, size, _ = (
        torch.from_numpy(np.array(value, np.float64)) if isinstance(value, np.ndarray) else value
        for value in arguments(scenes, "cull_wide_100x70"))
    K[0, 2] += 7.0      # also where the picture's middle is not the camera's
    shown = project(means, quats, scales, view, K, size)
    clip = torch.cat([means, torch.ones_like(means[:, :1])], 1) @ (clip_matrix(K, size) @ view).T
    edges = clip[:, :2] / (clip[:, 3:] + 1e-7)
    pixel = ((edges + 1) * torch.tensor(size) - 1) / 2
    assert shown.seen.sum() > 50
    torch.testing.assert_close(pixel[shown.seen], shown.pixel[shown.seen], atol=1e-3, rtol=0)


@pytest.mark.skipif(not is_there("torch"), reason="needs torch")
def test_the_fastest_is_measured_once_for_a_size():
    import torch

    from engine.gaussian.card import Fastest

    asked = []

    def way(name: str):
        return lambda given, size: (asked.append(name), torch.zeros(1))

    def clock(work):
        work()
        return {"slow": 2.0, "quick": 1.0}[asked[-1]]

    fastest, given = Fastest(clock), (None,) * 4 + (torch.zeros(5, 32),)
    ways = {"slow": way("slow"), "quick": way("quick")}
    for _ in range(2):
        fastest(ways, given, (64, 64))
    assert asked == ["slow"] * 3 + ["quick"] * 5
    assert fastest.choice(32, (64, 64)) == "quick"
    assert fastest.choice(3, (64, 64)) == ""


def test_the_choice_of_a_rasteriser():
    assert choose_backend() == ("numba" if is_there("numba") else "numpy")
    assert choose_backend(device="cuda") == ("card" if any(map(is_there, ON_CARDS.values())) else "plain")
    with pytest.raises(EngineError, match="graphics card only"):
        choose_backend("gsplat")


def test_tensors_in_tensors_out(scenes: dict):
    torch = pytest.importorskip("torch")
    given = arguments(scenes, "rgb64")
    image = rasterize(*(torch.from_numpy(np.asarray(value, np.float32)) for value in given[:7]), given[7])
    assert isinstance(image, torch.Tensor)
    np.testing.assert_allclose(image.numpy(), rasterize(*given[:8]), atol=1e-4)


def test_sentences(scenes: dict):
    means, quats, scales, opacities, colors, view, K, size, _ = arguments(scenes, "rgb64")
    with pytest.raises(EngineError, match=r"quats have the shape \(199, 4\) where \(200, 4\) belongs"):
        rasterize(means, quats[:-1], scales, opacities, colors, view, K, size)
    with pytest.raises(EngineError, match=r"colors have the shape \(200,\)"):
        rasterize(means, quats, scales, opacities, colors[:, 0], view, K, size)
    with pytest.raises(EngineError, match="no rasteriser “vulkan”"):
        rasterize(means, quats, scales, opacities, colors, view, K, size, backend="vulkan")
    with pytest.raises(EngineError, match="0 x 64 pixels"):
        rasterize(means, quats, scales, opacities, colors, view, K, (0, 64))


@pytest.mark.skipif(not (is_there("numba") and is_there("torch")), reason="needs numba and torch")
@pytest.mark.parametrize(("threads", "channels", "size"), [(1, 3, (97, 50)), (3, 32, (64, 64))])
def test_fast_as_plain(threads: int, channels: int, size: tuple[int, int]):
    """Large and small, long and short, faint and thick Gaussians, some outside: the compiled kernel draws the same."""
    import torch

    from engine.gaussian.kernel import rasterize_fast
    from engine.gaussian.plain import rasterize_plain

    rng = np.random.default_rng(channels)
    count = 4000
    given = [rng.normal(size=(count, 3)) * 1.5, rng.normal(size=(count, 4)) * rng.uniform(0.01, 1, (count, 1)),
             np.exp(rng.normal(-3, 1.2, (count, 3))), rng.uniform(0, 1, count) ** 3,
             rng.normal(size=(count, channels)), np.eye(4)]
    given[5][:3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.eye(3, 4)
    given[5][2, 3] = 4
    K = np.array([[70.0, 0, size[0] / 2], [0, 80.0, size[1] / 2], [0, 0, 1]])
    given = [value.astype(np.float32) for value in (*given, K)]
    image, light = rasterize_fast(*given, size, threads)
    wanted, light_wanted = rasterize_plain(*(torch.from_numpy(value) for value in given), size)
    error = np.abs(image - wanted.numpy()).max(0)
    assert error.mean() < 1e-5 and (error > 1e-4).mean() < 0.01 and error.max() < 0.05
    assert np.abs(light - light_wanted.numpy()).mean() < 1e-6 < light.mean()
