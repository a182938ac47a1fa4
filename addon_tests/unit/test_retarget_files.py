# SPDX-License-Identifier: GPL-3.0-or-later
"""Visemes out of ARKit's values, and the files of other programs."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from retarget_targets import source_face

from artalk_blender.errors import ArtalkError
from artalk_blender.retarget.interchange import (
    FaceValues,
    read_live_link,
    vrm_weights,
    write_audio2face,
    write_live_link,
    write_vrma,
)
from artalk_blender.retarget.names import ARKIT, OCULUS, VRM
from artalk_blender.retarget.signals import (
    JAW_ASIDE,
    JAW_OPEN,
    arkit_table,
    mouth_features,
    named_signals,
    turns,
    viseme_recipe,
    viseme_signals,
)

NAMES = [*ARKIT, *(f"expression_{index:03d}" for index in range(52, 100))]
VISEMES = [name for name in OCULUS if name != "sil"]


def values(frames: int = 50) -> FaceValues:
    random = np.random.default_rng(0)
    time = np.arange(frames)[:, None] / 25.0
    wave = np.clip(np.sin(2 * np.pi * random.uniform(0.2, 1.5, 52) * time + random.uniform(0, 6, 52)), 0, 1)
    return FaceValues(wave, 0.2 * np.sin(time * [1.0, 2.0, 3.0]))


@pytest.mark.parametrize("wanted", [VISEMES, [f"VRM {name}" for name in VRM]], ids=["Oculus", "VRM"])
def test_visemes_open_and_widen_the_mouth_as_much(wanted):
    """What the visemes chosen for a mouth make of it, measured on the default head: opening and width."""
    mouths = np.stack([viseme_recipe(name) for name in VISEMES])
    found = viseme_signals(wanted, np.repeat(mouths, 20, 0))
    weights = np.stack([found[f"viseme:{name}"] for name in wanted], 1)[10::20]
    assert weights.min() >= 0.0 and weights.max() <= 1.0
    reached = weights @ np.stack([viseme_recipe(name) for name in wanted]) @ mouth_features()
    asked = mouths @ mouth_features()
    off = 10.0 * np.abs(reached - asked)[:, :2]  # mm
    assert off[:, 0].max() < 4.0 and np.median(off[:, 0]) < 1.5, "opening"
    assert np.median(off[:, 1]) < 2.5, "width"


def test_a_closed_mouth_asks_for_no_viseme():
    assert max(np.abs(weights).max() for weights in viseme_signals(VISEMES, np.zeros((9, 52))).values()) < 1e-3


def test_the_jaws_bone_and_key_are_one_signal():
    motion = np.zeros((3, 106), np.float32)
    motion[:, 103], motion[1, ARKIT.index("jawOpen")] = 0.5 * JAW_OPEN, 0.25
    signals = named_signals(NAMES, motion)
    np.testing.assert_allclose(signals["jawOpen"], [0.5, 0.75, 0.5], atol=1e-6)
    np.testing.assert_allclose(signals["key:jawOpen"], [0.0, 0.25, 0.0])
    turned = turns(motion, signals)
    np.testing.assert_allclose(turned["jaw"][:, 0], JAW_OPEN * signals["jawOpen"], atol=1e-6)
    np.testing.assert_allclose(turned["jaw_bone"][:, 0], 0.5 * JAW_OPEN, atol=1e-6)


def test_a_jaw_turned_aside_is_the_same_whether_bone_or_key():
    motion = np.zeros((2, 106), np.float32)
    motion[:, 104] = 0.5 * JAW_ASIDE, -0.5 * JAW_ASIDE
    signals = named_signals(NAMES, motion)
    np.testing.assert_allclose(signals["jawLeft"], [0.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(signals["jawRight"], [0.0, 0.5], atol=1e-6)
    assert not signals["key:jawLeft"].any()
    source, keyed = source_face(), np.zeros_like(motion)
    keyed[0, source.names.index("jawLeft")] = keyed[1, source.names.index("jawRight")] = 0.5
    chin = np.linalg.norm(source.neutral - source.landmarks["chin"], axis=1).argsort()[:20]
    by_bone, by_key = (source.positions(one, chin)[:, :, 0] - source.neutral[chin, 0] for one in (motion, keyed))
    np.testing.assert_allclose(by_bone.mean(1), by_key.mean(1), rtol=0.1)
    assert by_key[0].mean() > 2e-3


def test_eyes_look_where_the_shapes_say():
    motion = np.zeros((1, 106), np.float32)
    motion[0, ARKIT.index("eyeLookOutLeft")] = motion[0, ARKIT.index("eyeLookInRight")] = 1.0
    turned = turns(motion, named_signals(NAMES, motion))
    assert turned["eye_left"][0, 1] > 0.3 and turned["eye_right"][0, 1] == pytest.approx(turned["eye_left"][0, 1])


def test_live_link_there_and_back(tmp_path):
    path, face = tmp_path / "take.csv", values()
    write_live_link(path, face)
    header = path.read_text().splitlines()[0].split(",")
    assert header[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"] and len(header) == 63
    found = read_live_link(path)
    assert not found.notes and abs(len(found.arkit) - len(face.arkit)) <= 1
    count = min(len(found.arkit), len(face.arkit))
    np.testing.assert_allclose(found.head[:count], face.head[:count], atol=2e-3)
    assert np.abs(found.arkit[:count] - face.arkit[:count]).max() < 0.1 and \
        np.abs(found.arkit[:count] - face.arkit[:count]).mean() < 5e-3, "60 fps between 25 fps samples is straight"
    motion = found.motion(NAMES)
    np.testing.assert_allclose(arkit_table(named_signals(NAMES, motion)), found.arkit, atol=1e-6)
    with pytest.raises(ArtalkError, match="not ARKit's"):
        found.motion([f"expression_{index}" for index in range(100)])


def test_turns_have_live_link_faces_signs(tmp_path):
    """A head that looks up, to its own left, its left ear raised, with eyes that look down and to its right."""
    arkit = np.zeros((3, 52))
    for name in ("eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookOutRight"):
        arkit[:, ARKIT.index(name)] = 0.5
    arkit[:, ARKIT.index("jawRight")] = 0.25
    path = tmp_path / "turn.csv"
    write_live_link(path, FaceValues(arkit, np.tile([-0.1, 0.2, 0.3], (3, 1))))  # about its left, its up, its front
    names, row = (line.split(",") for line in path.read_text().splitlines()[:2])
    said = dict(zip(names, row, strict=True))
    assert [float(said[f"Head{turn}"]) for turn in ("Yaw", "Pitch", "Roll")] == pytest.approx([0.2, 0.1, 0.3])
    for side in ("Left", "Right"):
        assert float(said[f"{side}EyePitch"]) > 0.2 and float(said[f"{side}EyeYaw"]) > 0.2
    assert names[-9:-6] == ["HeadYaw", "HeadPitch", "HeadRoll"], "some programs go by the place of a column"
    assert names.index("JawRight") + 1 == names.index("JawLeft") and float(said["JawRight"]) == 0.25
    found = read_live_link(path)
    np.testing.assert_allclose(found.head, [[-0.1, 0.2, 0.3]] * len(found.head), atol=1e-6)
    np.testing.assert_allclose(found.arkit, arkit[:len(found.arkit)], atol=1e-6)


def test_time_codes_count(tmp_path):
    """A recording at 30 frames a second across a minute, with a gap."""
    rows = [(59, frame * 2) for frame in range(30)] + [(60, frame * 2) for frame in range(15, 30)]
    lines = [",".join(["Timecode", "BlendShapeCount", *ARKIT])]
    lines += [f"10:{20 + second // 60:02d}:{second % 60:02d}:{frame:02d}.250,61," +
              ",".join(["%.3f" % (index / len(rows))] * 52) for index, (second, frame) in enumerate(rows)]
    path = tmp_path / "gap.csv"
    path.write_text("\n".join(lines))
    found = read_live_link(path)
    assert len(found.arkit) == int((1.0 + 58 / 60) * 25) + 1


@pytest.mark.parametrize("content", [
    b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"Timecode," + ",".join(ARKIT).encode() + b"\n",
    b"Timecode," + ",".join(ARKIT).encode() + b"\n0:0:0:0," + b",".join([b"x"] * 52),
    b"Timecode," + ",".join(ARKIT).encode() + b"\n0:0:0:0," + b",".join([b"inf"] * 52),
    b"Timecode," + ",".join(ARKIT).encode() + b"\n0:0:0:0," + b",".join([b"1e30"] * 52),
])
def test_what_is_no_recording_is_said(tmp_path, content):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(ArtalkError):
        read_live_link(path)


def test_audio2face(tmp_path):
    face = values()
    write_audio2face(tmp_path / "a.json", face)
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["numPoses"], found["numFrames"], found["exportFps"]) == (52, 50, 25.0)
    assert found["facsNames"] == list(ARKIT)
    np.testing.assert_allclose(found["weightMat"], face.arkit, atol=1e-6)


def test_vrm_animation_is_a_whole_glb(tmp_path):
    face = values()
    write_vrma(tmp_path / "a.vrma", face)
    data = (tmp_path / "a.vrma").read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    document = json.loads(data[20 : 20 + size])
    body = data[20 + size + 8:]
    assert kind == b"JSON" and len(body) == document["buffers"][0]["byteLength"] and size % 4 == 0
    expressions = document["extensions"]["VRMC_vrm_animation"]["expressions"]
    assert set(expressions["preset"]) >= {*VRM, "blinkLeft", "lookUp"} and len(expressions["custom"]) == 52
    node = expressions["preset"]["aa"]["node"]
    channel = next(one for one in document["animations"][0]["channels"] if one["target"]["node"] == node)
    accessor = document["accessors"][document["animations"][0]["samplers"][channel["sampler"]]["output"]]
    view = document["bufferViews"][accessor["bufferView"]]
    moved = np.frombuffer(body, "<f4", 3 * accessor["count"], view["byteOffset"]).reshape(-1, 3)
    np.testing.assert_allclose(moved[:, 0], vrm_weights(face)["aa"], atol=1e-6)
    assert not moved[:, 1:].any()
