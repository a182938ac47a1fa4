# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the avatar from the worker as a real process, and what it says to wrong requests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from test_worker import answers, ask, worker  # noqa: F401

from engine import protocol
from engine.gaussian.ply import write_rigged_ply
from engine.gaussian.render import load_avatar
from engine.gaussian.requests import AvatarDesk
from engine.gaussian.rigged import camera
from engine.protocol import Array, Message

SIZE = 48


def packed(**arrays: np.ndarray) -> dict[str, Array]:
    return {name: Array("float32", value.shape, np.ascontiguousarray(value, "<f4").tobytes())
            for name, value in arrays.items()}


def speaking(frames: int) -> np.ndarray:
    motion = np.zeros((frames, 106), np.float32)
    motion[:, 103] = 0.1 - 0.1 * np.cos(np.arange(frames) * 0.5)
    motion[:, 101] = 0.1 * np.sin(np.arange(frames) * 0.1)
    return motion


def pixels(message: Message) -> np.ndarray:
    image = message.arrays["image"]
    return np.frombuffer(image.data, image.dtype).reshape(image.shape)


def resident(process: int) -> float | None:
    """Bytes of memory that a process takes, where the system tells."""
    pages = Path(f"/proc/{process}/statm")
    return float(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.is_file() else None


class Direct:
    """A desk without a pipe."""

    def __init__(self) -> None:
        self.desk = AvatarDesk()

    def __call__(self, arrays: dict[str, np.ndarray], cancel_after: int = 10**6,
                 **fields: object) -> tuple[dict[str, object], list[Message]]:
        sent: list[Message] = []
        fields = {"size": SIZE, **fields}
        done = self.desk.answer(Message(protocol.RENDER, 7, fields, packed(**arrays)), sent.append,
                                lambda: sum(m.type == protocol.FRAME for m in sent) >= cancel_after)
        return done, [message for message in sent if message.type == protocol.FRAME]


@pytest.fixture(scope="module")
def direct() -> Direct:
    return Direct()


def test_frames_come_one_by_one_and_the_avatar_stays(worker):  # noqa: F811
    motion = speaking(5)
    ask(worker, Message(protocol.RENDER, 1, {"avatar": "default", "size": SIZE, "frames": [1, 3]},
                        packed(motion=motion)))
    *replies, done = answers(worker, 1)
    assert [(m.type, m.fields.get("index", m.fields.get("done"))) for m in replies] == [
        (protocol.FRAME, 1), (protocol.PROGRESS, 1), (protocol.FRAME, 3), (protocol.PROGRESS, 2)]
    assert done.fields["status"] == protocol.OK and done.fields["frames"] == 2 and done.fields["outside"] == []
    assert done.fields["avatar"] == "default" and len(done.fields["sha256"]) == 64
    first, second = pixels(replies[0]), pixels(replies[2])
    assert first.shape == (SIZE, SIZE, 4) and first.dtype == np.uint8
    assert first[SIZE // 2, SIZE // 2, 3] > 250 and not first[:2, :2].any() and (first != second).any()

    # cancelled between two frames, and alive; the same avatar at the same frame is the same to the bit
    ask(worker, Message(protocol.RENDER, 2, {"size": SIZE}, packed(motion=speaking(2000))))
    while protocol.read_message(worker.stdout).type != protocol.FRAME:
        pass
    ask(worker, Message(protocol.CANCEL, 0, {"target": 2}))
    replies = answers(worker, 2)
    assert replies[-1].fields["status"] == protocol.CANCELLED
    assert sum(message.type == protocol.DONE for message in replies) == 1
    assert sum(message.type == protocol.FRAME for message in replies) < 1000
    held = resident(worker.pid)
    ask(worker, Message(protocol.UNLOAD, 3))
    assert answers(worker, 3)[-1].fields["status"] == protocol.OK
    assert held is None or resident(worker.pid) < held - 30e6, "its memory went back"
    ask(worker, Message(protocol.RENDER, 4, {"avatar": "default", "size": SIZE, "frames": [3]}, packed(motion=motion)))
    np.testing.assert_array_equal(pixels(answers(worker, 4)[0]), second)


def test_light_is_linear_and_times_alpha(direct: Direct):
    motion = speaking(1)
    _, (screen,) = direct({"motion": motion})
    _, (light,) = direct({"motion": motion}, dtype="float16")
    screen, light = pixels(screen) / 255.0, pixels(light).astype(np.float64)
    color = np.where(screen <= 0.04045, screen / 12.92, ((screen + 0.055) / 1.055) ** 2.4)[..., :3]
    np.testing.assert_allclose(light[..., 3], screen[..., 3], atol=0.004)
    np.testing.assert_allclose(light[..., :3], color * screen[..., 3:], atol=0.012)


def test_neck_eyes_identity_and_cameras(direct: Direct):
    """Each changes what it should; the avatar's own camera, told, draws the same picture."""
    motion = speaking(2)
    plain = pixels(direct({"motion": motion}, frames=[0])[1][0])
    shape = np.zeros(300, np.float32)
    shape[:3] = 3
    turned, eyes = np.zeros((2, 3), np.float32), np.zeros((2, 6), np.float32)
    turned[:, 1] = 0.5
    eyes[:, [1, 4]] = 0.5
    changes = [np.abs(pixels(direct({"motion": motion, **more}, frames=[0])[1][0]).astype(int) - plain).max(2) > 20
               for more in ({"neck": turned}, {"eyes": eyes}, {"shape": shape})]
    assert changes[0].mean() > 0.05 and changes[2].any()
    assert changes[1].any() and changes[1].mean() < 0.03, "of the eyes nothing but the eyes moves"
    view, K = camera(SIZE, (0.0, -0.03, 0.0))
    told = pixels(direct({"motion": motion, "view": view, "K": K}, frames=[0])[1][0])
    assert np.abs(told.astype(int) - plain).max() <= 2
    near = view.copy()
    near[2, 3] = 0.25           # the tip of the nose is some 13 cm from the camera
    close = pixels(direct({"motion": motion, "view": near, "K": K}, frames=[0])[1][0])
    assert close[SIZE // 3 : -SIZE // 3, SIZE // 3 : -SIZE // 3, 3].min() > 240
    views, Ks = np.stack([view, view]), np.stack([K, K])
    views[1, 0, 3] += 0.05
    _, (first, second) = direct({"motion": np.stack([motion[0]] * 2), "view": views, "K": Ks}, size=[64, SIZE])
    first, second = pixels(first), pixels(second)
    assert first.shape == (SIZE, 64, 4)
    assert np.abs(first[:, :SIZE].astype(int) - plain).max() <= 2
    middles = [(image[..., 3] * np.arange(64)).sum() / image[..., 3].sum() for image in (first, second)]
    assert 3 < middles[1] - middles[0] < 12, "five centimetres to the right"


def test_what_the_avatar_does_not_know_is_softened_and_told(direct: Direct):
    motion = speaking(4)
    motion[1:3, 17] = (1.2, 3.0)       # jawOpen: at its bound, and far beyond
    given = motion.copy()
    done, frames = direct({"motion": motion}, first_frame=100)
    assert done["outside"] == [(2, 2)] and [frame.fields["outside"] for frame in frames] == [False, False, True, False]
    np.testing.assert_array_equal(motion, given)
    held = motion.copy()
    held[2, 17] = 1.2
    np.testing.assert_array_equal(pixels(frames[2]), pixels(direct({"motion": held}, frames=[2])[1][0]))
    wild = pixels(direct({"motion": motion}, frames=[2], guard=False)[1][0])
    assert (wild != pixels(frames[2])).any()
    sent: list[Message] = []
    direct.desk.answer(Message(protocol.RENDER, 1, {"size": SIZE, "first_frame": 100}, packed(motion=motion)),
                       sent.append, lambda: False)
    (log,) = [message for message in sent if message.type == protocol.LOG]
    assert log.fields == {"level": "warning", "text": "Outside of what the avatar knows, and softened: frames 102."}


def test_a_preview_is_coarse_and_like_the_whole(direct: Direct, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engine.gaussian.rigged_avatar.choose_backend", lambda: "numpy")
    motion = speaking(1)
    whole = pixels(direct({"motion": motion}, size=96)[1][0]).astype(int)
    coarse = pixels(direct({"motion": motion}, size=96, mode="preview")[1][0]).astype(int)
    difference = np.abs(whole[..., :3] - coarse[..., :3])[whole[..., 3] > 250]
    assert 0 < difference.mean() < 12
    assert np.abs(whole[..., 3] - coarse[..., 3]).mean() < 6


def test_a_mark_that_people_see(direct: Direct):
    _, (plain,) = direct({"motion": speaking(1)}, size=96)
    _, (marked,) = direct({"motion": speaking(1)}, size=96, mark=True)
    changed = (pixels(plain) != pixels(marked)).any(2)
    assert changed[-7:, -35:].all() and changed.sum() == 7 * 35
    assert (pixels(marked)[-7:, -35:, 3] == 255).all()


def test_splats_as_a_file(direct: Direct, tmp_path: Path):
    path = tmp_path / "frame.ply"
    place = np.array([[1, 0, 0, 1], [0, 0, -1, 0], [0, 1, 0, 2], [0, 0, 0, 1]], np.float32)
    _, (frame,) = direct({"motion": speaking(3), "placement": place}, mode="splats", frames=[2], paths=[str(path)])
    assert frame.fields["path"] == str(path) and not frame.arrays
    data = path.read_bytes()
    head, _, body = data.partition(b"end_header\n")
    names = [line.split()[-1] for line in head.decode().splitlines() if line.startswith("property")]
    assert names == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1",
                     "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert b"Synthetic" in head
    table = np.frombuffer(body, "<f4").reshape(-1, len(names))
    assert len(table) > 50_000 and np.isfinite(table).all()
    np.testing.assert_allclose(np.linalg.norm(table[:, 13:], axis=1), 1, atol=1e-4)
    middle = table[:, :3].mean(0)
    assert abs(middle[0] - 1) < 0.02 and 1.8 < middle[2] < 2.1, "upright where the head is"
    stretched = np.diag(np.array([1, 2, 1, 1], np.float32))
    with pytest.raises(protocol_error(), match="stretched more in one direction"):
        direct({"motion": speaking(1), "placement": stretched}, mode="splats", paths=[str(path)])
    assert path.read_bytes() == data


def test_cancelled_frames_are_none(direct: Direct):
    with pytest.raises(protocol_error(), match="Cancelled"):
        direct({"motion": speaking(9)}, cancel_after=2)


def protocol_error() -> type[Exception]:
    from engine.errors import EngineError

    return EngineError


def test_wrong_requests_get_a_sentence(direct: Direct, tmp_path: Path):
    good = speaking(3)
    view, K = camera(SIZE, (0.0, -0.03, 0.0))
    wrong: list[tuple[dict[str, np.ndarray], dict[str, object], str]] = [
        ({}, {}, "holds no motion"),
        ({"motion": np.zeros((0, 106))}, {}, "holds no motion"),
        ({"motion": np.zeros((3, 100))}, {}, "of the shape"),
        ({"motion": np.full((3, 106), np.nan)}, {}, "no numbers"),
        ({"motion": good, "neck": np.zeros((2, 3))}, {}, "The neck is of the shape"),
        ({"motion": good, "shape": np.zeros(10)}, {}, "The shape is of the shape"),
        ({"motion": good, "view": view}, {}, "`view` and `K` together"),
        ({"motion": good, "view": view[:3], "K": K}, {}, "camera's view is of the shape"),
        ({"motion": good, "view": np.stack([view] * 2), "K": K}, {}, "2 cameras for 3 frames"),
        ({"motion": good}, {"size": 8}, "Frames of 8 pixels"),
        ({"motion": good}, {"size": "big"}, "`size` must be"),
        ({"motion": good}, {"size": [64, 32]}, "own camera makes square"),
        ({"motion": good}, {"frames": [2, 1]}, "ascending"),
        ({"motion": good}, {"frames": [3]}, "3 frames"),
        ({"motion": good}, {"frames": "all"}, "list of whole"),
        ({"motion": good}, {"fps": 0}, "can't be played"),
        ({"motion": good}, {"mode": "fast"}, "Choose one of full, preview, splats"),
        ({"motion": good}, {"dtype": "float64"}, "Choose one of uint8, float16"),
        ({"motion": good}, {"mode": "splats"}, "`paths` must name"),
        ({"motion": good}, {"avatar": 5}, "named by its path"),
        ({"motion": good}, {"avatar": str(tmp_path)}, "There is no avatar"),
        ({"motion": good}, {"avatar": str(tmp_path / "none.ply")}, "There is no avatar file"),
        ({"motion": good}, {"device": "tpu"}, "no device"),
    ]
    for arrays, fields, words in wrong:
        with pytest.raises(protocol_error(), match=words):
            direct(arrays, **fields)


def test_a_ply_rides_on_the_head(direct: Direct, tmp_path: Path):
    """The default avatar's own splats as a file draw what the default avatar draws."""
    path = tmp_path / "mine.ply"
    write_rigged_ply(path, load_avatar("default").player.splats)
    _, (own,) = direct({"motion": speaking(1)})
    done, (read,) = direct({"motion": speaking(1)}, avatar=str(path))
    assert done["avatar"] == "mine.ply"
    assert np.abs(pixels(own).astype(int) - pixels(read)).max() <= 1
