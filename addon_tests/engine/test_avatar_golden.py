# SPDX-License-Identifier: GPL-3.0-or-later
"""The avatar network at full size on seeded weights: every part against the published implementation's outputs.

Takes about 3 GB and half a minute, most of it the making of the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seeded_network import golden, seeded_tensors  # noqa: E402
from seeded_weights import synthetic_features, synthetic_flame, synthetic_image  # noqa: E402

from engine.device import set_threads  # noqa: E402
from engine.flame.model import FlameModel  # noqa: E402
from engine.flame.skinning import skin  # noqa: E402
from engine.gaussian.avatar import FOREHEAD, Avatar, head_points  # noqa: E402
from engine.gaussian.camera import direction_code, head_poses, photo_plane, view_matrix  # noqa: E402
from engine.gaussian.network import HEAD, Identity  # noqa: E402
from engine.gaussian.rasterize import is_there, rasterize_with_alpha  # noqa: E402
from engine.gaussian.rigged import camera  # noqa: E402
from engine.gaussian.shot import Played, Shot  # noqa: E402
from engine.gaussian.weights import Photo, build_avatar_network  # noqa: E402

WANTED = golden("gagavatar")
PARTS = {"g": slice(0, HEAD), "l0": slice(HEAD, HEAD + 296 * 296), "l1": slice(HEAD + 296 * 296, None)}


@pytest.fixture(scope="module")
def head() -> FlameModel:
    """The FLAME-shaped head that the golden points were made with."""
    model = synthetic_flame(3)["flame_model"]
    parents = model["kintree_table"][0].copy()
    parents[0] = -1
    directions = model["shapedirs"]
    return FlameModel(
        v_template=model["v_template"], faces=model["f"], shapedirs=directions[:, :, :300],
        expressiondirs=directions[:, :, 300:], posedirs=model["posedirs"], J_regressor=model["J_regressor"],
        parents=parents, lbs_weights=model["weights"], expression_names=tuple(f"e{i}" for i in range(100)),
    )


@dataclass
class Made:
    """An avatar and what its network gave on the way."""

    avatar: Avatar
    blocks: list[np.ndarray]
    local: np.ndarray
    whole: np.ndarray


@pytest.fixture(scope="module")
def made(head: FlameModel) -> Iterator[Made]:
    before = torch.get_num_threads()
    set_threads()
    network = build_avatar_network(seeded_tensors("gagavatar"), "seeded")
    seen: dict = {}
    hooks = [network.base_model.dino_model.register_forward_hook(lambda _, __, out: seen.update(blocks=out)),
             network.base_model.register_forward_hook(lambda _, __, out: seen.update(ends=out))]
    photo = Photo("seeded", synthetic_image(61), WANTED["transform_matrix"], WANTED["shapecode"])
    avatar = Avatar(network, photo, head)
    for hook in hooks:
        hook.remove()
    local, whole = seen["ends"]
    yield Made(avatar, [block[0].numpy() for block in seen["blocks"]], local[0].numpy(), whole.numpy())
    torch.set_num_threads(before)


def test_cameras_and_planes():
    points, direction = photo_plane(WANTED["transform_matrix"])
    np.testing.assert_allclose(points.reshape(296, 296, 3)[::37, ::37], WANTED["plane_points_step37"], atol=1e-5)
    np.testing.assert_allclose(direction, WANTED["plane_dirs"], atol=1e-6)
    np.testing.assert_allclose(direction_code(direction), WANTED["harmonic_out"][0], atol=1e-6)
    poses = head_poses(WANTED["emoca_rotation"], np.zeros((3, 4), np.float32))
    np.testing.assert_allclose(poses[:, :, :3], WANTED["emoca_to_p3d"][:, :, :3], atol=1e-6)
    for pose, view in zip(WANTED["cams"], WANTED["view_matrix"], strict=True):
        np.testing.assert_allclose(view_matrix(pose).T, view, atol=1e-6)


def test_points_and_poses_of_frames(head: FlameModel):
    """The forehead runs behind, the head's turn is in the camera, and the caller's motion stays as it is."""
    motion = WANTED["motion"].copy()
    motion.setflags(write=False)
    points = list(head_points(head, motion, WANTED["shapecode"], range(len(motion))))
    poses = head_poses(motion[:, 100:103], WANTED["transform_matrix"])
    for frame in range(3):
        np.testing.assert_allclose(points[frame][::9], WANTED[f"t_points_{frame}_step9"], atol=1e-5)
        np.testing.assert_allclose(points[frame][FOREHEAD], WANTED[f"t_forehead_{frame}"], atol=1e-5)
        np.testing.assert_allclose(poses[frame], WANTED[f"t_transform_{frame}"], atol=1e-6)
    (last,) = head_points(head, motion, WANTED["shapecode"], [2])
    np.testing.assert_array_equal(last, points[2])
    assert len(set(FOREHEAD)) == 68


def test_photo_features(made: Made):
    for layer, patches in zip(range(8, 12), made.blocks, strict=True):
        np.testing.assert_allclose(patches[::37, ::11], WANTED[f"dino_layer{layer}_step37x11"], atol=1e-3)
    np.testing.assert_allclose(made.whole, WANTED["dino_global"], atol=1e-3)
    np.testing.assert_array_equal(made.whole[0], made.blocks[3][0])
    np.testing.assert_allclose(np.abs(made.local).mean((1, 2)), WANTED["dino_out_mean_abs_per_channel"], atol=1e-3)
    step = made.local[::8, ::13, ::13]
    np.testing.assert_allclose(step, WANTED["dino_out_step13"], atol=1e-3)


def test_gaussians(made: Made):
    identity: Identity = made.avatar.identity
    values = {"colors": identity.colors, "opacities": identity.opacities[:, None], "scales": identity.scales,
              "rotations": identity.quats, "xyz": identity.means}
    compared = 0
    for part, rows in PARTS.items():
        step = 23 if part == "g" else 487
        for name, value in values.items():
            if (key := f"{part}_{name}_step{step}") in WANTED:
                np.testing.assert_allclose(value[rows].numpy()[::step], WANTED[key], atol=1e-3, err_msg=key)
                compared += 1
    assert compared == 14
    rows = identity.colors[PARTS["l0"]].numpy()[: 2 * 296].reshape(2, 296, 32)
    np.testing.assert_allclose(rows[:, :8], WANTED["l0_colors_rows0to1"], atol=1e-3)


def test_upsampler(made: Made):
    upsampler = made.avatar.network.upsampler
    features = torch.from_numpy(synthetic_features(67))[None].contiguous(memory_format=torch.channels_last)
    strengths = [weight for name, weight in upsampler.named_parameters() if weight.shape == (1,)]
    assert len(strengths) == 15
    with torch.inference_mode():
        logits = upsampler.logits(features)[0]
        np.testing.assert_allclose(logits[:, ::8, ::8], WANTED["upsampler_presigmoid_step8"], atol=1e-4)
        np.testing.assert_allclose(logits.sigmoid()[:, ::8, ::8], WANTED["upsampler_out_step8"], atol=1e-4)
        for strength in strengths:
            strength.fill_(float(WANTED["upsampler_fixed_noise_strength"]))
        try:
            noisy = upsampler(features)[0, :, ::8, ::8]
            np.testing.assert_allclose(noisy, WANTED["upsampler_fixed_noise_step8"], atol=1e-4)
            fresh = upsampler(features, torch.Generator().manual_seed(1))[0, :, ::8, ::8]
            assert np.abs(fresh - noisy).mean() > 1e-3, "other noise, another picture"
        finally:
            for strength in strengths:
                strength.zero_()
        rounded = copy.deepcopy(upsampler).bfloat16()(features.bfloat16())[0, :, ::8, ::8].float()
        error = np.abs(rounded - WANTED["upsampler_out_step8"])
        assert error.mean() < 1 / 255 and error.max() < 6 / 255, "bf16 is seen by nobody"


def test_frame(made: Made):
    """The third frame end to end. Gaussians at almost one depth may change places, so it is compared as a whole."""
    if not is_there("numba"):
        pytest.skip("the plain rasteriser takes half a minute for a frame; it is compared scene by scene")
    wanted = golden("gagavatar_frame")
    motion = WANTED["motion"].copy()
    (points,) = head_points(made.avatar.head, motion, WANTED["shapecode"], [2])
    pose = head_poses(motion[2:3, 100:103], WANTED["transform_matrix"])[0]
    with torch.inference_mode():
        features, alpha = made.avatar.features(points, pose)
    compare(features[:, ::8, ::8], wanted["features_step8"])
    compare(features[:3, ::2, ::2], wanted["features_rgb_step2"].astype(np.float32))
    compare(1 - alpha[::4, ::4], wanted["final_T_step4"])
    (rgba,) = made.avatar.pictures(Played(motion), Shot(512, 512), [2])
    assert rgba.shape == (4, 512, 512) and rgba.dtype == np.float32
    compare(rgba[:3, ::4, ::4], wanted["sr_step4"])
    np.testing.assert_array_equal(motion, WANTED["motion"])
    (small,) = made.avatar.pictures(Played(motion), Shot(128, 128, coarse=True), [2])
    assert small.shape == (4, 128, 128) and small[3].mean() > 0.99
    blurred = torch.nn.functional.interpolate(features[None, :3].clamp(0, 1), (128, 128), mode="area")[0].numpy()
    assert np.abs(small[:3] - blurred).mean() < 0.05, "the preview shows the same"


def test_the_scenes_camera_sees_the_head_where_flame_has_it(made: Made):
    """The turn is FLAME's about its root; the splats handed over, drawn in metres, are the picture."""
    motion = np.zeros((1, 106), np.float32)
    motion[0, 100:106] = WANTED["motion"][2, 100:106]
    avatar, shape = made.avatar, WANTED["shapecode"]
    (pose,) = head_poses(motion[:, 100:103], avatar.photo.pose)
    turned = avatar._turned(pose)
    straight_on, wanted = (skin(avatar.head, motion[:, :100], root=root, jaw=motion[:, 103:106], shape=shape)[0]
                           for root in (None, motion[:, 100:103]))
    np.testing.assert_allclose(straight_on @ turned[:, :3].T + turned[:, 3], wanted, atol=1e-5)

    view, K = camera(96, (0.0, 0.0, 0.0))
    view[0, 3], K[0, 2] = 0.05, 70
    played, shot = Played(motion), Shot(140, 96, True, view, K)
    (picture,) = avatar.pictures(played, shot, [0])
    splats = avatar.splats_at(played, 0)
    np.testing.assert_allclose(np.linalg.norm(splats.quats, axis=1), 1, atol=1e-5)
    image, alpha = rasterize_with_alpha(splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
                                        view, K, (140, 96))
    compare(picture[:3] * picture[3], np.clip(image / np.maximum(alpha, 1e-6), 0, 1) * alpha)
    compare(picture[3], alpha)
    (whole,) = avatar.pictures(played, Shot(140, 96, False, view, K), [0])
    assert whole.shape == (4, 96, 140)
    assert np.abs(whole[3] - alpha).mean() < 0.01, "drawn at 512 and made smaller, so edges are finer"


def test_the_forehead_is_as_slow_at_other_rates(head: FlameModel):
    motion = np.zeros((41, 106), np.float32)
    motion[1:, :20] = 1
    (usual,) = head_points(head, motion[:21], WANTED["shapecode"], [20])
    (double,) = head_points(head, motion, WANTED["shapecode"], [40], rate=50.0)
    np.testing.assert_allclose(double, usual, atol=1e-5)
    assert np.abs(next(head_points(head, motion, WANTED["shapecode"], [40]))[FOREHEAD] - usual[FOREHEAD]).max() > 1e-3


def compare(values, expected: np.ndarray) -> None:
    error = np.abs(np.asarray(values) - expected)
    assert error.mean() < 1e-3 and np.percentile(error, 99) < 1e-2, (error.mean(), np.percentile(error, 99))
