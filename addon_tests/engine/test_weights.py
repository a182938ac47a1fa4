# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading: exact names and sizes, safe reading, and one plain sentence for everything that does not fit."""

from __future__ import annotations

import collections
import json
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_network import manifest  # noqa: E402
from seeded_weights import synthetic_audio  # noqa: E402

from engine import device  # noqa: E402
from engine.config import MEL_DEFAULTS, NetworkConfig  # noqa: E402
from engine.errors import EngineError  # noqa: E402
from engine.mel_encoder import DEFAULT_CONFIG  # noqa: E402
from engine.mimi_encoder import UNUSED_PREFIXES  # noqa: E402
from engine.model import load_model, model_file  # noqa: E402
from engine.network import Network  # noqa: E402
from engine.weights import load_network, read_checkpoint, save_npz  # noqa: E402

SMALL = {
    "T_DEPTH": 2, "PREV_RATIO": 2, "WIDTH": 48, "HEADS": 4, "CODE_DIM": 16, "AUDIO_ENCODER": "mel",
    "VAE": {"HIDDEN": 32, "DEPTH": 2, "HEADS": 4}, "STYLE": {"WIDTH": 32, "DEPTH": 1, "HEADS": 4, "HIDDEN": 64},
    "MEL": {"WIDTH": 40, "BLOCKS": 2},
}
STATED = {"AR_CONFIG": {"T_DEPTH": 2, "T_NUM_HEADS": 4, "PREV_RATIO": 2, "AUDIO_ENCODER": "mel"}, "VAE_CONFIG": {
    "MOTION_DIM": 106, "V_CODE_DIM": 16, "T_DEPTH": 2, "T_NUM_HEADS": 4, "T_HIDDEN_DIM": 32,
    "V_PATCH_NUMS": [1, 5, 25, 50, 100]}}


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(9)
    return Network(NetworkConfig.from_dict(SMALL)).eval().requires_grad_(False)


@pytest.fixture
def model(network: Network, tmp_path: Path) -> Path:
    save_npz(network, tmp_path / "small.npz")
    return tmp_path / "small.npz"


def rewritten(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> Path:
    """The same `.npz` with its arrays changed."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["artalk_wav2vec", "artalk_wav2vec_16x2", "artalk_mimi"])
def test_names_and_shapes_are_the_published_ones(name: str):
    encoder = "mimi" if name.endswith("mimi") else "wav2vec"
    sizes = {"depth": 16, "prev_ratio": 2} if name.endswith("16x2") else {}
    with torch.device("meta"):
        state = Network(NetworkConfig(audio_encoder=encoder, **sizes)).state_dict()
    unused = tuple(f"audio_encoder.{prefix}" for prefix in UNUSED_PREFIXES)
    wanted = {entry["name"]: entry for entry in manifest(name) if not entry["name"].startswith(unused)}
    assert set(state) == set(wanted)
    for key, tensor in state.items():
        assert list(tensor.shape) == wanted[key]["shape"], key
        assert str(tensor.dtype) == f"torch.{wanted[key]['dtype']}", key


def test_a_saved_model_is_the_same_model(network: Network, model: Path):
    samples = synthetic_audio(2, 1.0)
    loaded = load_model(model, backend="torch", device="cpu")
    assert loaded.name == "small"
    assert len(loaded.sha256) == 64
    np.testing.assert_array_equal(next(loaded.network.chunks(samples)), next(network.chunks(samples)))


def test_half_precision_files_compute_in_single(network: Network, tmp_path: Path):
    save_npz(network, tmp_path / "half.npz", np.float16)
    loaded = load_network(tmp_path / "half.npz")
    assert loaded.pos_embed.dtype == torch.float32
    assert torch.equal(loaded.basic_vae.motion_mean, network.basic_vae.motion_mean)


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda a: a.pop("null_style_cond"), "lacks the tensor “null_style_cond”"),
    (lambda a: a.update(extra=np.zeros(3, np.float32)), "holds the tensor “extra”"),
    (lambda a: a.update(logits_head=np.zeros(3)), "holds the tensor “logits_head”"),
    (lambda a: a.update({"logits_head.bias": np.zeros(5, np.float32)}), r"“logits_head.bias” has the shape \(5,\)"),
    (lambda a: a.update(pos_embed=np.zeros((1, 181, 48), np.int32)), "“pos_embed” has the wrong type"),
    (lambda a: a.pop("config"), "holds no configuration"),
    (lambda a: a.update(config=np.array("{")), "no readable model"),
    (lambda a: a.update(config=np.array(json.dumps({**SMALL, "HEADS": 7}))), "cannot be shared by 7"),
    (lambda a: a.update(config=np.array(json.dumps({**SMALL, "T_DEPTH": "two"}))), "cannot be read"),
    (lambda a: a.update(config=np.array(json.dumps({**SMALL, "V_SCALES": [1, 5]}))), "do not rise to 100"),
    (lambda a: a.update(config=np.array(json.dumps({**SMALL, "AUDIO_ENCODER": "ear"}))), "'ear' is not one of"),
])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_what_does_not_fit_is_named(model: Path, backend: str, change: Callable, sentence: str):
    with pytest.raises(EngineError, match=sentence) as caught:
        load_model(rewritten(model, change), backend=backend, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 5000, -100])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_truncated_npz(model: Path, backend: str, keep: int):
    model.write_bytes(model.read_bytes()[:keep])
    with pytest.raises(EngineError, match="no readable model"):
        load_model(model, backend=backend, device="cpu")


def test_pickled_arrays_are_refused(model: Path):
    with pytest.raises(EngineError, match="no readable model"):
        load_model(rewritten(model, lambda a: a.update(pos_embed=np.array([{}], object))))


def save_folder(network: Network, folder: Path) -> Path:
    """A folder as published; the file's name decides nothing, its tensors do."""
    state = {key: value for key, value in network.state_dict().items() if "_head." not in key or "logits" in key}
    torch.save(state, folder / "ARTalk_wav2vec.pt")
    (folder / "config.json").write_text(json.dumps(STATED))
    return folder


def test_folder_as_published(network: Network, tmp_path: Path):
    samples = synthetic_audio(2, 1.0)
    loaded = load_model(save_folder(network, tmp_path), device="cpu")
    assert loaded.name == "ARTalk_wav2vec"
    assert loaded.device == "cpu"
    np.testing.assert_array_equal(next(loaded.network.chunks(samples)), next(network.chunks(samples)))


def test_tensors_overrule_the_configuration(network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = save_folder(network, tmp_path)
    wrong = {**STATED, "AR_CONFIG": {**STATED["AR_CONFIG"], "T_DEPTH": 5}}
    (folder / "config.json").write_text(json.dumps(wrong))
    with caplog.at_level(logging.WARNING):
        assert load_network(folder / "ARTalk_wav2vec.pt").config.depth == 2
    assert "has depth 2 where its configuration says 5" in caplog.text


def test_old_weight_norm_names_and_ordered_dicts(tmp_path: Path):
    prefix = "audio_encoder.encoder.pos_conv_embed.conv."
    state = collections.OrderedDict({prefix + f"weight_{part}": torch.ones(1, 1, 4) for part in "gv"})
    state._metadata = {"": {"version": 1}}
    torch.save(state, tmp_path / "old.pt")
    names = list(read_checkpoint(tmp_path / "old.pt"))
    assert names == [prefix + "parametrizations.weight.original0", prefix + "parametrizations.weight.original1"]


class Hostile:
    def __reduce__(self) -> tuple:
        return os.system, ("touch hostile_was_here",)


@pytest.mark.parametrize(("content", "sentence"), [
    (lambda path: path.write_bytes(b""), "no readable checkpoint"),
    (lambda path: path.write_bytes(b"not a checkpoint"), "no readable checkpoint"),
    (lambda path: path.write_bytes(pickle.dumps(Hostile())), "no readable checkpoint"),
    (lambda path: torch.save(Hostile(), path), "no readable checkpoint"),
    (lambda path: torch.save([torch.ones(2)], path), "holds no table of tensors"),
    (lambda path: torch.save({"flame_model": {"f": torch.ones(2)}}, path), "its entry “flame_model” is not a tensor"),
    (lambda path: torch.save({"pos_embed": torch.ones(2)}, path), "lacks the tensor"),
])
def test_wrong_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Callable, sentence: str):
    monkeypatch.chdir(tmp_path)
    content(tmp_path / "model.pt")
    with pytest.raises(EngineError, match=sentence) as caught:
        load_model(tmp_path / "model.pt", device="cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hostile_was_here").exists()


def test_truncated_checkpoint(network: Network, tmp_path: Path):
    path = save_folder(network, tmp_path) / "ARTalk_wav2vec.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(EngineError, match="no readable checkpoint"):
        load_model(tmp_path, device="cpu")


def test_paths_that_lead_nowhere(tmp_path: Path):
    for path, sentence in ((tmp_path, "no ARTalk model in the folder"), (tmp_path / "x.pt", "There is no model at")):
        with pytest.raises(EngineError, match=sentence):
            model_file(path)
    (tmp_path / "notes.txt").write_text("?")
    with pytest.raises(EngineError, match="is no model file"):
        model_file(tmp_path / "notes.txt")


@pytest.mark.parametrize(("choice", "sentence"), [
    ({"device": "tpu"}, "no device “tpu”"), ({"precision": "fp8"}, "no precision “fp8”"),
    ({"precision": "int8"}, "int8 is not offered"), ({"precision": "fp16", "device": "cpu"}, "compute in fp16"),
    ({"precision": "bf16", "backend": "numpy"}, "fp32 only"), ({"backend": "jax"}, "no backend “jax”"),
    ({"device": "cuda", "backend": "numpy"}, "processor only"),
])
def test_choices_are_never_ignored(model: Path, choice: dict[str, str], sentence: str):
    with pytest.raises(EngineError, match=sentence):
        load_model(model, **choice)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_a_missing_graphics_card_is_said(model: Path):
    with pytest.raises(EngineError, match="cannot use a graphics card"):
        load_model(model, device="cuda")


def test_threads_leave_busy_cores_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(device.THREADS_VARIABLE, raising=False)
    assert 1 <= device.wanted_threads() <= (os.cpu_count() or 1)
    monkeypatch.setattr(device, "_allowed_cores", lambda: 4)
    monkeypatch.setattr(device, "_quota_cores", lambda: 8)
    for idle, threads in ((64, 4), (3, 3), (0, 1)):
        monkeypatch.setattr(device, "_idle_cores", lambda idle=idle: idle)
        assert device.wanted_threads() == threads
    monkeypatch.setenv(device.THREADS_VARIABLE, "2")
    assert device.wanted_threads() == 2
    monkeypatch.setenv(device.THREADS_VARIABLE, "many")
    with pytest.raises(EngineError, match="not a number of threads"):
        device.wanted_threads()


def test_configurations_survive_a_round_trip():
    config = NetworkConfig.from_dict(SMALL)
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))).to_dict() == config.to_dict()
    published = NetworkConfig.from_dict({"AR_CONFIG": {"T_DEPTH": 16, "PREV_RATIO": 2}})
    assert (published.depth, published.prev_ratio, published.width) == (16, 2, 768)
    assert MEL_DEFAULTS == DEFAULT_CONFIG
