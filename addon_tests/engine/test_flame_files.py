# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME as people have it: pickles of every age, `.npz` made of them, and files that lie."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from flame_pickles import chumpy, flame_dict, node, python2
from scipy import sparse
from seeded_weights import synthetic_flame

from engine.errors import EngineError
from engine.flame.file import read_flame
from engine.flame.model import FlameModel
from engine.flame.pickle_arrays import read_pickle_arrays

PARTS = ("v_template", "faces", "shapedirs", "expressiondirs", "posedirs", "J_regressor", "parents", "lbs_weights")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Every tenth vertex of a FLAME-shaped head: quick to write."""
    whole = synthetic_flame(3)["flame_model"]
    cut = {name: whole[name][::10] for name in ("v_template", "shapedirs", "posedirs", "weights")}
    count = len(cut["v_template"])
    regressor = whole["J_regressor"][:, ::10]
    return {**cut, "J_regressor": regressor, "f": whole["f"][::10] % count, "kintree_table": whole["kintree_table"]}


@pytest.fixture(scope="module")
def plain(arrays: dict, tmp_path_factory: pytest.TempPathFactory) -> FlameModel:
    path = tmp_path_factory.mktemp("plain") / "flame.npz"
    np.savez(path, **arrays)
    return read_flame(path)


def assert_same(head: FlameModel, plain: FlameModel) -> None:
    for name in PARTS:
        assert np.array_equal(getattr(head, name), getattr(plain, name)), name
    assert head.parents.tolist() == [-1, 0, 1, 1, 1] and len(head.sha256) == 64


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("layout", ["csc", "csr"])
@pytest.mark.parametrize("with_chumpy", [True, False])
@pytest.mark.parametrize("writer", ["2.0", "2.2", "3.0", "3.2", "3.3", "3.4", "3.5"])
def test_pickles_of_every_python_give_the_same_head(arrays: dict, plain: FlameModel, tmp_path: Path, writer: str,
                                                    with_chumpy: bool, layout: str) -> None:
    major, protocol = map(int, writer.split("."))
    with chumpy() as classes:
        content = flame_dict(arrays, classes if with_chumpy else None, layout)
        data = python2(content, protocol) if major == 2 else pickle.dumps(content, protocol)
    assert "chumpy" not in sys.modules
    if major == 2:
        assert b"copy_reg" in data or protocol == 2
        assert b"scipy.sparse." + layout.encode() + b"\n" in data and b"_core" not in data
    assert_same(read_flame(write(tmp_path / "generic_model.pkl", data)), plain)


@pytest.mark.filterwarnings("ignore:Please import `csc_matrix`")
def test_the_python_2_bytes_are_what_python_itself_reads(arrays: dict) -> None:
    """Guards the test's own writer: the real unpickler, told latin1, finds the same arrays."""
    content = flame_dict(arrays, None)
    for protocol in (0, 2):  # scipy's old module names are what the file is about
        again = pickle.loads(python2(content, protocol), encoding="latin1")
        assert np.array_equal(again["shapedirs"], content["shapedirs"]) and again["bs_type"] == "lrotmin"
        assert np.array_equal(again["J_regressor"].toarray(), arrays["J_regressor"])


def test_reading_needs_numpy_alone(arrays: dict, tmp_path: Path) -> None:
    with chumpy() as classes:
        write(tmp_path / "generic_model.pkl", python2(flame_dict(arrays, classes), 2))
    code = ("import sys; from engine.flame.file import read_flame; import engine.motion_files; "
            f"read_flame({str(tmp_path / 'generic_model.pkl')!r}); "
            "print(sorted({'scipy', 'chumpy', 'torch', 'pickle'} & {name.split('.')[0] for name in sys.modules}))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=Path(__file__).resolve().parents[2])
    # numpy itself imports pickle; nobody else is there
    assert done.stdout.strip() in ("['pickle']", "[]"), done.stderr


def test_an_npz_made_of_the_pickle_holds_the_regressor_as_an_object(arrays: dict, plain: FlameModel,
                                                                     tmp_path: Path) -> None:
    path = tmp_path / "flame.npz"
    np.savez(path, **flame_dict(arrays, None))
    with zipfile.ZipFile(path) as archive:
        assert b"csc_matrix" in archive.read("J_regressor.npy")
    assert_same(read_flame(path), plain)


@pytest.mark.parametrize("mark", ["_", "."])
@pytest.mark.parametrize("layout", ["csc", "csr"])
def test_a_regressor_in_the_parts_that_scipy_saves(arrays: dict, plain: FlameModel, tmp_path: Path, layout: str,
                                                   mark: str) -> None:
    matrix = getattr(sparse, f"{layout}_matrix")(arrays["J_regressor"])
    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix)
    with np.load(io.BytesIO(buffer.getvalue())) as saved:
        parts = {f"J_regressor{mark}{name}": saved[name] for name in saved.files}
    rest = {name: value for name, value in arrays.items() if name != "J_regressor"}
    path = tmp_path / "flame.npz"
    np.savez(path, **rest, **parts)
    assert_same(read_flame(path), plain)
    parts[f"J_regressor{mark}indices"] = parts[f"J_regressor{mark}indices"] + 10**6
    np.savez(path, **rest, **parts)
    with pytest.raises(EngineError, match="J_regressor"):
        read_flame(path)


def test_a_head_cut_to_150_components_is_filled_up(arrays: dict, plain: FlameModel, tmp_path: Path) -> None:
    cut = dict(arrays)
    cut["shapedirs"] = np.concatenate([arrays["shapedirs"][..., :100], arrays["shapedirs"][..., 300:350]], 2)
    head = read_flame(write(tmp_path / "flame.pkl", pickle.dumps(flame_dict(cut, None))))
    assert np.array_equal(head.shapedirs[..., :100], plain.shapedirs[..., :100]) and not head.shapedirs[..., 100:].any()
    assert np.array_equal(head.expressiondirs[..., :50], plain.expressiondirs[..., :50])
    assert head.expressiondirs.shape[2] == 100 and not head.expressiondirs[..., 50:].any()


@pytest.mark.parametrize(("joints", "sentence"), [
    (4, "without a jaw"), (24, "SMPL body"), (52, "SMPL.H body"), (55, "SMPL-X body"), (16, "MANO hand"),
    (7, "another model"),
])
def test_other_models_of_the_family_are_named(arrays: dict, tmp_path: Path, joints: int, sentence: str) -> None:
    other = flame_dict(arrays, None)
    other["kintree_table"] = np.stack([np.arange(joints) - 1, np.arange(joints)]) % 2**32
    other["weights"] = np.ones((len(arrays["v_template"]), joints))
    path = write(tmp_path / "model.pkl", pickle.dumps(other, 2))
    with pytest.raises(EngineError, match=sentence):
        read_flame(path)


def test_the_published_head_without_a_jaw_is_known_by_its_name(arrays: dict, tmp_path: Path) -> None:
    path = write(tmp_path / "flame2023_no_jaw.pkl", pickle.dumps(flame_dict(arrays, None), 2))
    with pytest.raises(EngineError, match=r"without a jaw joint.*Choose the FLAME with the jaw"):
        read_flame(path)


class Run:
    """Pickles as a call."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def array_pickle(shape: bytes, dtype: bytes = b"f8", raw: bytes = b"U\x08" + bytes(8)) -> bytes:
    """{"v_template": array} by hand, so that it can lie about its shape (opcodes of a tuple's numbers)."""
    return (b"\x80\x02}U\nv_templatecnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01(" + shape + b"tcnumpy\ndtype\nU\x02" + dtype + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
            b"J\xff\xff\xff\xffK\x00tb\x89" + raw + b"tbs.")


def doubling(levels: int) -> object:
    """Concatenations of the same thing with itself: 2**levels pieces out of a few bytes."""
    with chumpy() as classes:
        thing = node(classes.Ch, x=np.zeros(1))
        for _ in range(levels):
            thing = node(classes.Concatenate, dterms=["m0", "m1"], axis=0, m0=thing, m1=thing)
        return pickle.dumps({"v_template": thing}, 2)


def sparse_pickle(shape: tuple[int, int]) -> bytes:
    matrix = sparse.csc_matrix(np.eye(5))
    matrix._shape = shape
    return pickle.dumps({"J_regressor": matrix}, 2)


HOSTILE = {
    "system": lambda: pickle.dumps({"v_template": Run(os.system, "echo executed")}, 2),
    "system by name": lambda: b"cos\nsystem\n(S'echo executed'\ntR.",
    "eval": lambda: pickle.dumps({"f": Run(eval, "print('executed')")}),
    "eval in python 2": lambda: b"\x80\x02c__builtin__\neval\nU\x11print('executed')\x85R.",
    "getattr": lambda: b"\x80\x02c__builtin__\ngetattr\ncos\nX\x06\x00\x00\x00system\x86R.",
    "nested": lambda: pickle.dumps({"f": [[Run(list, Run(os.system, "echo executed"))]]}, 4),
    "in a chumpy object": lambda: b"\x80\x02cchumpy.ch\nCh\n)\x81}U\x01xcos\nsystem\nU\x0decho executed\x85Rsb.",
    "numpy's own": lambda: b"\x80\x02cnumpy\nfromfile\nU\x0b/etc/passwd\x85R.",
    "numpy's runner": lambda: b"\x80\x02cnumpy.testing._private.utils\nrunstring\nU\x01xU\x01y\x86R.",
    "torch": lambda: b"ctorch.storage\n_load_from_bytes\n(V1\ntR.",
    "stack global": lambda: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "persistent": lambda: b"P1\n.",
    "extension": lambda: b"\x80\x02\x82\x01.",
    "called twice": lambda: b"\x80\x02c__builtin__\nobject\n)R)R.",
    "huge array": lambda: array_pickle(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f"),
    "overflowing array": lambda: array_pickle(b"\x8a\x09\x01\x00\x00\x00\x00\x00\x00\x00\x01K\x01"),
    "negative array": lambda: array_pickle(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff"),
    "many axes": lambda: array_pickle(b"K\x01" * 40),
    "objects": lambda: array_pickle(b"K\x01", b"O8", b"]Na"),
    "structured": lambda: array_pickle(b"K\x01", b"V8"),
    "short": lambda: array_pickle(b"K\x02"),
    "sparse": lambda: sparse_pickle((5, 10**12)),
    "sparse outside": lambda: sparse_pickle((2, 5)),
    "doubling": lambda: doubling(18),
    "nested deeply": lambda: doubling(200),
    "itself": lambda: b"\x80\x02}q\x00U\nv_templatecchumpy.ch\nCh\n)\x81q\x01}U\x01xh\x01sbs.",
    "formula": lambda: b"\x80\x02}U\nv_templatecchumpy.ch_ops\nadd\n)\x81}U\x01xNsbs.",
    "long number": lambda: b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "many digits": lambda: b"I" + b"9" * 10**6 + b"\n.",
    "text longer than the file": lambda: b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",
    "bytes longer than the file": lambda: b"\x80\x02T\xff\xff\xff\x7f.",
    "negative length": lambda: b"\x80\x02T\xff\xff\xff\xff.",
    "endless": lambda: b"\x80\x02" + b"N0" * 1_000_000 + b".",
    "empty": lambda: b"",
    "no stop": lambda: b"\x80\x02}",
    "nothing on the stack": lambda: b"\x80\x02.",
    "below the mark": lambda: b"\x80\x02](a.",
    "text": lambda: b"hello" * 100,
    "a list": lambda: pickle.dumps([1, 2, 3]),
    "an empty dict": lambda: pickle.dumps({}),
    "another dict": lambda: pickle.dumps({"weights": np.zeros(3), "name": "x"}),
    "an array": lambda: pickle.dumps(np.zeros((5023, 3))),
    "words for an array": lambda: pickle.dumps({"v_template": np.array(["a"])}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_foreign_pickles_get_a_sentence(kind: str, tmp_path: Path,
                                                    capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "head.pkl", HOSTILE[kind]())
    with pytest.raises(EngineError) as caught:
        read_flame(path)
    text = str(caught.value)
    assert text.startswith("“head.pkl” is ") and text.endswith(".") and "\n" not in text
    assert "executed" not in capfd.readouterr().out


def test_the_hand_made_array_is_read_where_it_is_honest() -> None:
    found = read_pickle_arrays(array_pickle(b"K\x01"), "x.pkl")
    assert found["v_template"].tolist() == [0.0]


def test_hostile_objects_inside_an_npz_are_refused(arrays: dict, tmp_path: Path,
                                                   capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "head.npz"
    np.savez(path, **{**arrays, "J_regressor": np.array(Run(print, "executed"), object)})
    with pytest.raises(EngineError, match="asks to run"):
        read_flame(path)
    assert "executed" not in capfd.readouterr().out


def damage(data: bytes, random: np.random.Generator) -> bytes:
    """Cut off, with bytes changed, with a piece doubled somewhere else, or with one missing."""
    place, end = sorted(random.integers(len(data), size=2))
    match random.integers(4):
        case 0:
            return data[:end]
        case 1:
            changed = bytearray(data)
            for at in random.integers(len(data), size=random.integers(1, 6)):
                changed[at] = random.integers(256)
            return bytes(changed)
        case 2:
            at = random.integers(len(data))
            return data[:at] + data[place : min(end, place + 80)] + data[at:]
        case _:
            return data[:place] + data[place + random.integers(1, 20) :]


@pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
@pytest.mark.parametrize("writer", ["2.0", "2.2", "3.2", "3.4", "3.5"])
def test_damaged_pickles_never_do_more_than_complain(writer: str) -> None:
    """Arrays or a sentence, nothing else, and never for long."""
    random = np.random.default_rng(int(writer.replace(".", "")))
    small = {"f": np.arange(12).reshape(4, 3) % 6, "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
             "v_template": np.ones((6, 3)), "posedirs": np.ones((6, 3, 2)), "shapedirs": np.ones((6, 3, 4)),
             "J_regressor": np.eye(5, 6), "weights": np.ones((6, 5))}
    major, protocol = map(int, writer.split("."))
    with chumpy() as classes:
        content = flame_dict(small, classes)
        data = python2(content, protocol) if major == 2 else pickle.dumps(content, protocol)
    assert set(read_pickle_arrays(data, "x.pkl")) == {*small, "J"}
    whole, said = 0, set()
    for _ in range(800):
        try:
            found = read_pickle_arrays(damage(data, random), "x.pkl")
            whole += 1
            assert all(isinstance(value, np.ndarray) and value.size < 10**6 for value in found.values())
        except EngineError as error:
            said.add(str(error))
    assert all(text.startswith("“x.pkl” is ") and "\n" not in text for text in said)
    assert 0 < whole < 400


def test_a_file_far_too_big_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "head.pkl"
    with path.open("wb") as file:
        file.truncate(600 << 20)
    with pytest.raises(EngineError, match="far more than a head needs"):
        read_flame(path)
