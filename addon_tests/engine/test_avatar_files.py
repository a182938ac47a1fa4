# SPDX-License-Identifier: GPL-3.0-or-later
"""The published avatar files: strict, safe, with a sentence for each that is not one. Tensors of one stored value."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_network import manifest  # noqa: E402

from engine.errors import EngineError  # noqa: E402
from engine.gaussian.camera import axis_angle_matrix  # noqa: E402
from engine.gaussian.render import load_avatar  # noqa: E402
from engine.gaussian.weights import load_avatar_network, photo_of, read_photos  # noqa: E402

Tensors = dict[str, "torch.Tensor"]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Every tensor of the published file by its name and shape, all of one value, which is what is stored."""
    return {entry["name"]: torch.full((1,), 0.01).expand(entry["shape"]) for entry in manifest("gagavatar")}


def save(path: Path, tensors: Tensors) -> Path:
    torch.save({"model": tensors, "meta_cfg": {"MODEL": {"NAME": "GAGAvatar"}}}, path)
    return path


def test_the_whole_file(tensors: Tensors, tmp_path: Path):
    """Every name and shape of the manifest is taken or known to be of no use; the loss's networks are left out."""
    assert len(tensors) == 561
    with_loss = {**tensors, "percep_loss.vgg.weight": torch.ones(3)}
    network = load_avatar_network(save(tmp_path / "GAGAvatar.pt", with_loss))
    held = network.state_dict()
    unused = set(tensors) - set(held)
    assert not set(held) - set(tensors)
    assert all(name.startswith(("base_model.dino_model.mask_token", "base_model.refinenet.0.resConfUnit1.",
                                "upsampler.toRGB.")) for name in unused)
    assert not network.training and not any(value.requires_grad for value in network.parameters())
    assert float(held["upsampler.final_linear.bias"][7]) == pytest.approx(0.01)


@pytest.mark.parametrize(("change", "words"), [
    (lambda given: given.pop("head_base"), "lacks the tensor “head_base”"),
    (lambda given: given.update(head_base=torch.ones(1).expand(5023, 128)), r"shape \(5023, 128\) where \(5023, 256\)"),
    (lambda given: given.update(extra=torch.ones(1)), "“extra”, which is no part"),
    (lambda given: given.update(head_base=torch.ones(1, dtype=torch.int64).expand(5023, 256)), "wrong type"),
    (lambda given: given.update(head_base="none"), "its entry “head_base” is not a tensor"),
])
def test_other_tensors(tensors: Tensors, tmp_path: Path, change: Callable[[dict], object], words: str):
    given = dict(tensors)
    change(given)
    with pytest.raises(EngineError, match=words):
        load_avatar_network(save(tmp_path / "a.pt", given))


class Trap:
    """Runs a command where a pickle is believed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_other_files(tmp_path: Path):
    path, trapped = tmp_path / "GAGAvatar.pt", tmp_path / "trapped"
    for content, words in (([1, 2], "no avatar network"), ({"model": [1]}, "no avatar network"),
                           ({"model": Trap(trapped)}, "no readable checkpoint")):
        torch.save(content, path)
        with pytest.raises(EngineError, match=words):
            load_avatar_network(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(EngineError, match="no readable checkpoint"):
        load_avatar_network(path)
    torch.save({"photo": {"image": Trap(trapped)}}, tmp_path / "tracked.pt")
    with pytest.raises(EngineError, match="no readable checkpoint"):
        read_photos(tmp_path / "tracked.pt")
    assert not trapped.exists(), "nothing of a file is run"


def entry(**changes: object) -> dict:
    """A tracked photo, as numpy arrays, python values or tensors."""
    pose = np.concatenate([axis_angle_matrix(np.array([0.1, 0.2, 0.3])), [[0], [0], [10]]], 1)
    return {"image": np.full((3, 32, 32), 0.5, np.float32), "transform_matrix": pose.astype(np.float32),
            "shapecode": np.zeros(300), "bbox": [0.0, 0.0, 1.0, 1.0], **changes}


def test_photos(tmp_path: Path):
    """Whatever the numbers are kept as: numpy of either spelling, tensors, lists."""
    path = tmp_path / "tracked.pt"
    torch.save({"numpy": entry(), "tensors": {key: torch.as_tensor(value) for key, value in entry().items()},
                "lists": {key: np.asarray(value).tolist() for key, value in entry().items()},
                "scalars": entry(scale=np.float64(2.0))}, path)
    entries = read_photos(path)
    assert list(entries) == ["numpy", "tensors", "lists", "scalars"]
    for name in entries:
        photo = photo_of(entries, name, path.name)
        assert photo.image.shape == (3, 32, 32) and photo.image.dtype == photo.pose.dtype == np.float32
        np.testing.assert_allclose(photo.pose, entry()["transform_matrix"], atol=1e-6)
    other = pickle.dumps(entry()["image"])
    other = other.replace(b"numpy.core.multiarray", b"numpy._core.multiarray") if b"numpy.core." in other else other
    assert b"multiarray" in other, "numpy 1 and 2 spell it in two ways, and both are named in the reader"


@pytest.mark.parametrize(("given", "words"), [
    ({"b": entry()}, "no photo “a”. There are “b”"), ({"a": 3}, "no tracked photo"),
    ({"a": {}}, "lacks “image”"), ({"a": entry(image="x")}, "no numbers for “image”"),
    ({"a": entry(image=np.full((3, 32, 32), np.nan))}, "no numbers for “image”"),
    ({"a": entry(image=np.full((3, 32, 32), 255.0))}, "from 255 to 255 where 0 to 1"),
    ({"a": entry(image=np.ones((32, 32, 3)))}, r"shape \(32, 32, 3\)"),
    ({"a": entry(shapecode=np.zeros(100))}, "100 identity"),
    ({"a": entry(transform_matrix=np.eye(4))}, r"pose of \(4, 4\)"),
    ({"a": entry(transform_matrix=np.ones((3, 4)))}, "no rotation"),
])
def test_other_photos(given: dict, words: str):
    with pytest.raises(EngineError, match=words):
        photo_of(given, "a", "tracked.pt")


def test_folders(tensors: Tensors, tmp_path: Path):
    save(tmp_path / "GAGAvatar.pt", tensors)
    with pytest.raises(EngineError, match=r"tracked.pt"):
        load_avatar(str(tmp_path))
    torch.save({"one.jpg": entry()}, tmp_path / "tracked.pt")
    with pytest.raises(EngineError, match=r"no photo “two.jpg”. There are “one.jpg”"):
        load_avatar(str(tmp_path / "two.jpg"))
    with pytest.raises(EngineError, match=r"no FLAME_with_eye.pt in"):
        load_avatar(str(tmp_path / "one.jpg"))
    torch.save([], tmp_path / "tracked.pt")
    with pytest.raises(EngineError, match="no tracked photos"):
        load_avatar(str(tmp_path))
