# SPDX-License-Identifier: GPL-3.0-or-later
"""Torch files read without torch: the same arrays, and nothing executed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.files import read_style
from engine.torch_zip import read_torch_file


def test_reads_what_torch_saved(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    content = {
        "plain": base, "view": base[1:3, ::2], "transposed": base.t(), "half": base.half(), "int": base.long(),
        "flag": base > 3, "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "nested": {"list": [base[0]]},
        "text": "words", "number": 3,
    }
    torch.save(content, tmp_path / "t.pt")
    read = read_torch_file(tmp_path / "t.pt")
    for name in ("plain", "view", "transposed", "half", "int", "flag", "empty", "scalar"):
        assert np.array_equal(read[name], content[name].numpy()) and read[name].dtype == content[name].numpy().dtype
    assert np.array_equal(read["nested"]["list"][0], base[0].numpy())
    assert (read["text"], read["number"]) == ("words", 3)


def test_a_style_is_a_view_into_a_longer_recording(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    recording = torch.randn(920, 106)
    torch.save(recording[300:350], tmp_path / "style.pt")
    assert np.array_equal(read_style(tmp_path / "style.pt"), recording[300:350].numpy())


def test_styles_as_npy_and_npz(tmp_path: Path) -> None:
    style = np.random.default_rng(0).normal(size=(60, 106)).astype(np.float32)
    np.save(tmp_path / "s.npy", style)
    np.savez(tmp_path / "s.npz", motion=style)
    assert np.array_equal(read_style(tmp_path / "s.npy"), style[:50])
    assert np.array_equal(read_style(tmp_path / "s.npz"), style[:50])
    np.save(tmp_path / "short.npy", style[:20])
    with pytest.raises(EngineError, match="50 frames"):
        read_style(tmp_path / "short.npy")


def hostile_file(path: Path, payload: bytes, storage: bytes = b"\0" * 16, compress: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        archive.writestr("x/data.pkl", payload)
        archive.writestr("x/data/0", storage)
    return path


def tensor_pickle(size: tuple, stride: tuple, offset: int = 0, count: int = 4) -> bytes:
    """The pickle torch would write for one float32 tensor, built by hand so that it can lie."""
    quoted = "".join(f"I{n}\n" for n in size)
    steps = "".join(f"I{n}\n" for n in stride)
    return (f"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{count}\ntQI{offset}\n"
            f"({quoted}t({steps}tI00\nNtR.").encode()


def test_the_hand_made_pickle_is_read_when_it_is_honest(tmp_path: Path) -> None:
    path = hostile_file(tmp_path / "h.pt", tensor_pickle((2, 2), (2, 1)), np.arange(4, dtype="<f4").tobytes())
    assert np.array_equal(read_torch_file(path), [[0, 1], [2, 3]])


@pytest.mark.parametrize("payload", [
    tensor_pickle((1 << 40,), (0,)),  # an expanded tensor: a small file, a huge copy
    tensor_pickle((5,), (1,)),
    tensor_pickle((2,), (1,), offset=3),
    tensor_pickle((2,), (-1,), offset=1),
    tensor_pickle((2,), (1,), offset=-1),
    tensor_pickle((4,), (1,), count=1 << 40),
    tensor_pickle((2, 2), (1,)),
    b"cos\nsystem\n(Vecho executed\ntR.",
    b"cbuiltins\neval\n(V1\ntR.",
    b"ctorch.storage\n_load_from_bytes\n(V1\ntR.",
    b"cnumpy\nfromfile\n(V/etc/passwd\ntR.",
    b"\x80\x04\x95",
    b"",
], ids=range(13))
def test_lies_and_calls_are_refused(tmp_path: Path, payload: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError) as caught:
        read_torch_file(hostile_file(tmp_path / "h.pt", payload))
    assert str(caught.value).endswith(".")
    assert "executed" not in capfd.readouterr().out


def test_compressed_data_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    honest = tensor_pickle((1 << 22,), (1,), count=1 << 22)
    path = hostile_file(tmp_path / "bomb.pt", honest, bytes(1 << 24), compress=True)
    with pytest.raises(EngineError, match="does not fit"):
        read_torch_file(path)
