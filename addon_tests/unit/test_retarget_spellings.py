# SPDX-License-Identifier: GPL-3.0-or-later
"""Spellings of keys and bones; tables and presets that come from anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from artalk_blender.errors import ArtalkError
from artalk_blender.retarget.bones import FACINGS, chain_shares, face_axes, local_turns
from artalk_blender.retarget.mapping import KEY, MOST_ROWS, SOLVED, TURN, Row, Table, apply_rows, terms
from artalk_blender.retarget.names import ARKIT, OCULUS, arkit_name, bone_role, face_bones, recognise
from artalk_blender.retarget.rigs import SHIPPED, Preset, find_preset, fitted, read_preset, write_preset


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


SPELLINGS = {
    "Apple": str,
    "Pascal": lambda name: name[0].upper() + name[1:],
    "sides": lambda name: name.replace("Left", "_L").replace("Right", "_R"),
    "points": lambda name: name.replace("Left", ".L").replace("Right", ".R"),
    "snake": snake,
    "SNAKE": lambda name: snake(name).upper(),
    "spaces": lambda name: snake(name).replace("_", " ").title(),
    "prefix": lambda name: "CTRL_expressions_" + name,
    "Maya": lambda name: "faceBlends." + name,
    "numbers": lambda name: name + ".001",
    "lower": str.lower,
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_arkit_in_any_spelling(spell):
    assert [arkit_name(spell(name)) for name in ARKIT] == list(ARKIT)


@pytest.mark.parametrize("name", ["Basis", "jaw", "Key 1", "smile", "upper_jawLeft", "mouth", "eyeBlink", ""])
def test_what_is_no_arkit_name(name):
    assert arkit_name(name) == ""


def test_doubles_are_named_and_the_plain_one_is_used():
    spoken, notes = recognise(["jawOpen.001", "jawOpen", "xx_jawOpen"])
    assert [one.key for one in spoken] == ["jawOpen"] and len(notes) == 2


def test_visemes_only_in_company():
    assert [one.source for one in recognise([f"viseme_{name}" for name in OCULUS])[0]] == [
        f"viseme:{name}" for name in OCULUS if name != "sil"]
    chat = recognise(["vrc.v_pp", "vrc.v_ff", "vrc.v_aa", "vrc.v_oh", "vrc.v_ou"])[0]
    assert chat[0].source == "viseme:PP" and len(chat) == 5
    letters = [one.source for one in recognise(["A", "I", "U", "E", "O", "Blink_L", "Blink_R", "Blink"])[0]]
    assert letters == ["viseme:VRM aa", "viseme:VRM ih", "viseme:VRM ou", "viseme:VRM ee", "viseme:VRM oh",
                       "eyeBlinkLeft", "eyeBlinkRight"]
    assert recognise(["A", "B", "C", "O"])[0] == []
    spoken, notes = recognise([*ARKIT, *(f"viseme_{name}" for name in OCULUS)])
    assert len(spoken) == 52 and any("visemes" in note or "viseme" in note for note in notes)


@pytest.mark.parametrize(("name", "role"), [
    ("mixamorig:Head", "head"), ("CC_Base_JawRoot", "jaw"), ("J_Adj_L_FaceEye", "eye_left"), ("LeftEye", "eye_left"),
    ("eye.R", "eye_right"), ("jaw_master", "jaw"), ("neck_01", "neck"), ("CC_Base_NeckTwist01", "neck"),
    ("DEF-jaw", ""), ("Head_End", ""), ("lid.T.L", ""), ("J_Bip_C_Neck", "neck"), ("forearm", ""),
])
def test_bones_in_common_spellings(name, role):
    assert bone_role(name) == role


def test_a_rigs_jaw_control_comes_before_its_parts():
    assert face_bones(["jaw", "jaw_master", "head", "Head"])["jaw"] == ["jaw_master"]


# -- bones -------------------------------------------------------------------------------------------------------------

def test_a_turn_about_the_faces_axes_in_a_bone_that_lies_anyhow():
    random = np.random.default_rng(0)
    rest, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turn = random.normal(size=(4, 3))
    local = local_turns(turn, FACINGS["-Y"], rest, 0.5)
    np.testing.assert_allclose(local @ rest.T, 0.5 * turn @ FACINGS["-Y"].T, atol=1e-12)


@pytest.mark.parametrize("facing", FACINGS)
def test_the_sides_tell_which_way_the_face_looks(facing):
    axes = FACINGS[facing]
    lean = axes @ np.array([0.05, 1.0, 0.1])
    found = face_axes([(axes @ [0.1, 0, 0], axes @ [-0.1, 0.01, 0])], lean, np.zeros(3))
    np.testing.assert_allclose(found, axes, atol=1e-12)
    assert np.isclose(np.linalg.det(axes), 1.0)
    assert face_axes([], lean, np.zeros(3)) is None


def test_a_chain_shares_all_of_the_turn():
    shares = chain_shares({"head": 0.2, "neck": 0.05, "neck2": 0.15}, "head", 0.4)
    assert sum(shares.values()) == pytest.approx(1.0) and shares["neck2"] == pytest.approx(0.45)


# -- tables ------------------------------------------------------------------------------------------------------------

def test_rows_add_signals_within_limits():
    signals = {"a": np.array([0.0, 1.0, 2.0]), "b b": np.array([1.0, 1.0, 1.0])}
    row = Row("x", "0.5*a+b b", gain=2.0, offset=-1.0, low=0.0, high=2.0)
    found = apply_rows([row, Row("y", SOLVED), Row("z", "nothing"), Row("n", "a", mute=True)], signals,
                       {"y": np.ones(3)}, 3)
    np.testing.assert_allclose(found.values[row], [1.0, 2.0, 2.0])
    assert len(found.values) == 3 and any("nothing" in note for note in found.notes)
    assert any("limits" in note for note in found.notes)
    assert terms(" ") == [] and terms("1e-1*a") == [(0.1, "a")]


@pytest.mark.parametrize("row", [
    {"target": ""}, {"target": "a", "source": "**"}, {"target": "a", "source": "b", "gain": float("nan")},
    {"target": "a", "source": "b", "gain": "1"}, {"target": "a", "source": "b", "low": 1, "high": 0},
    {"target": "a", "source": "b", "kind": "turn"}, {"target": "a", "source": "b", "kind": "axis", "path": "matrix"},
    {"target": "a" * 500, "source": "b"}, {"target": ["a"], "source": "b"}, {"source": "b"}, 7, None,
    {"target": "a", "source": "b", "mute": 1}, {"target": "a", "source": "b", "kind": "__class__"},
])
def test_hostile_rows_are_refused_in_a_sentence(row):
    with pytest.raises(ArtalkError, match="no mapping table"):
        Table.from_dict({"rows": [row]})


@pytest.mark.parametrize("table", [None, [], {}, {"rows": {}}, {"rows": [{}] * (MOST_ROWS + 1)},
                                   {"rows": [], "landmarks": {"chin": [1, 2]}},
                                   {"rows": [], "landmarks": {"chin": [1, 2, float("inf")]}},
                                   {"rows": [], "strengths": {"l1": "x"}}])
def test_hostile_tables_are_refused_in_a_sentence(table):
    with pytest.raises(ArtalkError, match="no mapping table"):
        Table.from_dict(table)


# -- presets -----------------------------------------------------------------------------------------------------------

def test_presets_are_found_by_fingerprint_before_names(tmp_path):
    own = Preset("own", Table((Row("a", "jawOpen"),)), "f" * 64)
    write_preset(tmp_path / "own.json", own)
    (tmp_path / "broken.json").write_text("{")
    names = ["Fcl_MTH_A", "Fcl_MTH_I", "Fcl_MTH_U", "Fcl_MTH_E", "Fcl_MTH_O", "Fcl_EYE_Close_L", "Fcl_EYE_Close_R"]
    found = find_preset("f" * 64, names, [tmp_path, tmp_path / "nowhere"])
    assert found is not None and (found.name, found.table) == ("own", own.table)
    shipped = find_preset("0" * 64, names, [tmp_path])
    assert shipped is not None and shipped.name == "VRoid Studio"
    assert find_preset("0" * 64, ["a", "b"], [tmp_path]) is None


def test_shipped_presets_are_whole():
    paths = sorted(SHIPPED.glob("*.json"))
    assert len(paths) >= 5
    for path in paths:
        preset = read_preset(path)
        there = {row.target for row in preset.table.rows}
        assert preset.table.rows and preset.knows, path
        sources = {name for row in preset.table.rows if row.kind == KEY for _, name in terms(row.source)}
        assert all(name in ARKIT or name.startswith("viseme:") for name in sources), path
        assert there


def test_a_preset_fits_what_the_rig_has():
    preset = Preset("p", Table((Row("a", "jawOpen", low=-1.0, high=2.0), Row("gone", "jawOpen"),
                                Row("jaw", "jaw", TURN))))
    table, notes = fitted(preset, {"a": (0.0, 1.0)}, ["jaw"])
    assert [row.target for row in table.rows] == ["a", "jaw"] and (table.rows[0].low, table.rows[0].high) == (0.0, 1.0)
    assert "gone" in notes[0]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "artalk rig preset"}', "[" * 100_000,
                                     json.dumps({"kind": "artalk rig preset", "version": 99, "table": {"rows": []}}),
                                     json.dumps({"kind": "artalk rig preset", "version": 1, "table": 3})])
def test_hostile_files_are_refused_in_a_sentence(tmp_path: Path, content):
    path = tmp_path / "preset.json"
    path.write_text(content)
    with pytest.raises(ArtalkError):
        read_preset(path)


def test_one_key_for_both_eyes_follows_both_of_them():
    both = "0.5*eyeBlinkLeft+0.5*eyeBlinkRight"
    found = {one.key: one.source for one in recognise(["jawOpen", "mouthPucker", "Blink", "LookUp"])[0]}
    assert found["Blink"] == both and found["LookUp"] == "0.5*eyeLookUpLeft+0.5*eyeLookUpRight"
    assert {one.key for one in recognise(["jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "blink"])[0]} == {
        "jawOpen", "eyeBlinkLeft", "eyeBlinkRight"}
    assert recognise(["blink", "Schnute"])[0] == [], "alone it may mean anything"
