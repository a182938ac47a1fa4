# SPDX-License-Identifier: GPL-3.0-or-later
"""Deterministic stand-ins for model weights, a FLAME-shaped head, audio and motion.

Numpy only.  Every value is derived from the raw 64-bit Philox counter stream
by integer arithmetic and single IEEE operations (no ziggurat tables, no libm
in the bulk path), so the same (seed, name, shape) gives the same bits on any
machine and any numpy >= 1.17.  Nothing here is learned: the numbers only keep
activations at a healthy size, so that two implementations of the same network
can be compared.

    manifest = json.load(open("manifests/artalk_wav2vec.json"))
    weights = seeded_state(manifest, seed=7)       # {name: float32 array}

Only entries of kind "parameter" are produced.  Buffers (masks, statistics,
position tables, noise maps) are left to the model's own constructor.
"""
import re
import zlib

import numpy as np

_BLOCK = 1 << 18                       # raw words handled at once (fits in cache)
# variance of the sum of four independent uniform 16-bit integers
_INV_STD = np.float32(1.0 / np.sqrt(4.0 * (65536.0 ** 2 - 1.0) / 12.0))


def _raw(seed, name):
    """Philox bit generator for one tensor."""
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, zlib.crc32(name.encode("utf-8"))],
                   dtype=np.uint64)
    return np.random.Philox(key=key)


def normal(seed, name, shape):
    """float32 array, mean 0 and variance 1, close to Gaussian.

    Each 64-bit word gives one value: the centred sum of its four 16-bit
    quarters (Irwin-Hall of order 4, support +-3.46 sigma).
    """
    count = int(np.prod(shape, dtype=np.int64)) if len(shape) else 1
    out = np.empty(count, dtype=np.float32)
    bits = _raw(seed, name)
    low = np.uint64(0x0000FFFF0000FFFF)
    for start in range(0, count, _BLOCK):
        n = min(_BLOCK, count - start)
        word = bits.random_raw(n)
        pair = (word & low) + ((word >> np.uint64(16)) & low)
        total = (pair & np.uint64(0xFFFFFFFF)) + (pair >> np.uint64(32))
        centred = total.astype(np.int32)
        centred -= 131070
        np.multiply(centred, _INV_STD, out=out[start:start + n], casting="unsafe",
                    dtype=np.float32)
    return out.reshape(shape)


def uniform(seed, name, shape):
    """float64 array in [0, 1), 53-bit."""
    count = int(np.prod(shape, dtype=np.int64)) if len(shape) else 1
    word = _raw(seed, name).random_raw(count)
    return ((word >> np.uint64(11)).astype(np.float64) * 2.0 ** -53).reshape(shape)


# --------------------------------------------------------------------------
# scale rules: first match wins.  Each rule is (name pattern, shape test or
# None, mean, std).  std may be a number or a function of the shape.

def _fan_in(gain=1.0):
    return lambda shape: gain / np.sqrt(np.prod(shape[1:], dtype=np.float64))


def _fan_in_transposed(shape):         # transposed conv with stride == kernel
    return 1.0 / np.sqrt(float(shape[0]))


def _fan_in_modulated(shape):          # leading batch axis of size one
    return 1.0 / np.sqrt(np.prod(shape[2:], dtype=np.float64))


_RULES = [
    # --- attention temperature of the speech-to-motion transformer (log scale)
    (r"\.scale_mul_1H11$", None, float(np.log(4.0)), 0.1),
    # --- weight-normalised convolution: g keeps the output near unit variance
    (r"(weight_g|parametrizations\.weight\.original0)$", None, 2.0, 0.1),
    # --- layer scales
    (r"\.ls[12]\.gamma$", None, 0.3, 0.05),
    (r"_layer_scale\.scale$", None, 0.1, 0.02),
    # --- motion codec: latents near +-0.2 so that every scale flips some bits,
    #     decoded motion near one standard deviation of the statistics
    (r"\.code_mapping\.weight$", None, 0.0, _fan_in(0.12)),
    (r"\.code_mapping\.bias$", None, 0.0, 0.02),
    (r"\.out_mapping\.weight$", None, 0.0, _fan_in(0.18)),
    # --- style generator
    (r"\.style_conv(1|s\.\d+)\.weight$", lambda s: s == (1,), 0.0, 0.0),   # noise off
    (r"\.modulation\.bias$", None, 1.0, 0.1),
    (r"\.modulation\.weight$", None, 0.0, _fan_in(0.3)),
    (r"\.to_rgbs?\d*(\.\d+)?\.modulated_conv\.weight$", None, 0.0,
     lambda shape: 0.5 * _fan_in_modulated(shape)),
    (r"\.modulated_conv\.weight$", None, 0.0, _fan_in_modulated),
    (r"\.style_mlp\.\d+\.weight$", None, 0.0, _fan_in(1.35)),
    (r"\.constant_input\.weight$", None, 0.0, 1.0),
    (r"\.condition_scale\.\d+\.2\.bias$", None, 1.0, 0.1),
    (r"\.condition_(scale|shift)\.\d+\.2\.weight$", None, 0.0, _fan_in(0.15)),
    (r"\.conv_body_(down|up)\.\d+\.(conv2|skip)\.weight$", None, 0.0, _fan_in(0.8)),
    # --- learned tables and tokens
    (r"(^|\.)(pos_embed|prev_pos_embed|lvl_embed\.weight)$", lambda s: s[-1] == 768 and s[-2] <= 400, 0.0, 0.3),
    (r"(enc_pos_embed|dec_pos_embed)$", None, 0.0, 0.1),
    (r"(null_style_cond|masked_spec_embed|head_base|cls_token|pos_embed|mask_token)$", None, 0.0, 0.5),
    # --- plain layers
    (r"resize_layers\.[01]\.weight$", None, 0.0, _fan_in_transposed),
    (r"gaussian_conv\.6\.weight$", None, 0.0, _fan_in(0.6)),
    (r"(gaussian_conv|feature_layers|color_layers|opacity_layers|scale_layers|rotation_layers)\.\d+\.weight$",
     None, 0.0, _fan_in(1.4)),
    (r"(bias|in_proj_bias)$", None, 0.0, 0.02),
    (r"weight$", lambda s: len(s) == 1, 1.0, 0.1),                         # norm layers
    (r"(weight|in_proj_weight|original1|weight_v)$", lambda s: len(s) >= 2, 0.0, _fan_in()),
]
_RULES = [(re.compile(p), t, m, s) for p, t, m, s in _RULES]


def scale_rule(name, shape):
    """(mean, std) for one tensor; raises KeyError when no rule covers it."""
    shape = tuple(shape)
    for pattern, test, mean, std in _RULES:
        if pattern.search(name) and (test is None or test(shape)):
            return mean, float(std(shape) if callable(std) else std)
    raise KeyError(f"no scale rule for {name} {shape}")


def seeded_array(name, shape, seed):
    """One parameter tensor, float32."""
    mean, std = scale_rule(name, shape)
    if std == 0.0:
        return np.full(tuple(shape), np.float32(mean), dtype=np.float32)
    value = normal(seed, name, tuple(shape))
    value *= np.float32(std)
    if mean:
        value += np.float32(mean)
    return value


def seeded_state(manifest, seed, prefix=""):
    """{name: float32 array} for the parameters of a manifest.

    `manifest` is the loaded json (or its "state_dict" list).  `prefix` limits
    the result to names that start with it (names are kept whole).
    """
    entries = manifest["state_dict"] if isinstance(manifest, dict) else manifest
    return {e["name"]: seeded_array(e["name"], e["shape"], seed)
            for e in entries if e["kind"] == "parameter" and e["name"].startswith(prefix)}


# --------------------------------------------------------------------------
# a FLAME-shaped head (no FLAME data): right array names, shapes and topology
# sizes, smooth blend shapes, valid faces, rows of the weights sum to one

N_VERTS, N_FACES, N_JOINTS = 5023, 9976, 5
_HEAD_VERTS, _EYE_VERTS = 3931, 546


def _snap(x, bits=20):
    """Round to a binary grid, so last-bit libm differences cannot show."""
    return np.round(np.asarray(x, np.float64) * 2.0 ** bits) / 2.0 ** bits + 0.0   # no -0.0


def _sphere_grid(around, rings):
    """Closed unit sphere: 2 poles + around*rings vertices, 2*around*rings faces."""
    lat = np.pi * (np.arange(rings) + 1.0) / (rings + 1.0)
    lon = 2.0 * np.pi * np.arange(around) / around
    body = np.stack([np.sin(lat)[:, None] * np.sin(lon)[None],
                     np.cos(lat)[:, None] * np.ones(around)[None],
                     np.sin(lat)[:, None] * np.cos(lon)[None]], -1).reshape(-1, 3)
    verts = np.concatenate([[[0.0, 1.0, 0.0]], body, [[0.0, -1.0, 0.0]]])
    j = np.arange(around)
    k = (j + 1) % around
    faces = [np.stack([np.zeros(around, int), 1 + j, 1 + k], 1)]
    for r in range(rings - 1):
        a, b = 1 + r * around, 1 + (r + 1) * around
        faces += [np.stack([a + j, b + j, b + k], 1), np.stack([a + j, b + k, a + k], 1)]
    last = 1 + (rings - 1) * around
    faces.append(np.stack([last + j, np.full(around, last + around), last + k], 1))
    return verts, np.concatenate(faces)


def synthetic_flame(seed=0):
    """Dict of dicts of numpy arrays, laid out like the published FLAME file."""
    # head: 57 rings of 68 plus poles = 3878, then 53 faces split at the centre
    hv, hf = _sphere_grid(68, 57)
    hv = hv * [0.075, 0.125, 0.095]
    bump = np.exp(-((hv[:, 0] / 0.012) ** 2 + ((hv[:, 1] + 0.01) / 0.02) ** 2)) * (hv[:, 2] > 0)
    hv[:, 2] += 0.025 * bump
    hf = hf[:-58]                                   # open at the neck
    pick = 400 + 37 * np.arange(53)
    centres = hv[hf[pick]].mean(1)
    new = len(hv) + np.arange(53)
    split = np.concatenate([np.stack([hf[pick][:, i], hf[pick][:, (i + 1) % 3], new], 1) for i in range(3)])
    hf = np.concatenate([np.delete(hf, pick, 0), split])
    hv = np.concatenate([hv, centres])
    ev, ef = _sphere_grid(17, 32)
    ev = ev * 0.012
    left, right = np.array([0.032, 0.02, 0.078]), np.array([-0.032, 0.02, 0.078])
    verts = _snap(np.concatenate([hv, ev + left, ev + right]))
    faces = np.concatenate([hf, ef + _HEAD_VERTS, ef + _HEAD_VERTS + _EYE_VERTS]).astype(np.int64)
    assert verts.shape == (N_VERTS, 3) and faces.shape == (N_FACES, 3)

    def field(tag, count, amplitude):
        """Smooth random vector fields over the surface, (5023, 3, count)."""
        freq = 30.0 * (uniform(seed, tag + ".freq", (count, 3)) * 2 - 1)
        phase = 2 * np.pi * uniform(seed, tag + ".phase", (count,))
        direction = normal(seed, tag + ".dir", (3, count)).astype(np.float64)
        wave = np.sin(verts @ freq.T + phase)
        return _snap(wave[:, None, :] * direction[None] * amplitude, 24)

    shape = field("shape", 300, 0.004 / np.sqrt(1.0 + np.arange(300)))
    expr = field("expression", 100, 0.003 / np.sqrt(1.0 + np.arange(100)))
    pose = field("pose", 36, np.full(36, 0.002))

    joints = np.array([[0.0, -0.11, -0.02], [0.0, -0.06, -0.01], [0.0, -0.02, 0.02], left, right])
    head = verts[:_HEAD_VERTS]
    near = 1.0 / (1e-4 + ((head[:, None] - joints[None, :3]) ** 2).sum(-1))
    regress = np.zeros((N_JOINTS, N_VERTS))
    regress[:3, :_HEAD_VERTS] = (near ** 3).T
    regress[3, _HEAD_VERTS:_HEAD_VERTS + _EYE_VERTS] = 1.0
    regress[4, _HEAD_VERTS + _EYE_VERTS:] = 1.0
    regress[regress < regress.max(1, keepdims=True) * 1e-2] = 0.0
    regress /= regress.sum(1, keepdims=True)

    neck = np.clip((-0.05 - head[:, 1]) / 0.06, 0, 1)             # root near the bottom
    jaw = np.clip((0.0 - head[:, 1]) / 0.05, 0, 1) * np.clip(head[:, 2] / 0.05, 0, 1) * (1 - neck)
    skin = np.zeros((N_VERTS, N_JOINTS))
    skin[:_HEAD_VERTS, 0] = neck
    skin[:_HEAD_VERTS, 2] = jaw
    skin[:_HEAD_VERTS, 1] = 1.0 - neck - jaw
    skin[_HEAD_VERTS:_HEAD_VERTS + _EYE_VERTS, 3] = 1.0
    skin[_HEAD_VERTS + _EYE_VERTS:, 4] = 1.0

    def landmarks(tag, lead):
        idx = (uniform(seed, tag + ".face", lead) * 7000).astype(np.int64)
        bary = uniform(seed, tag + ".bary", tuple(lead) + (3,)) + 0.1
        return idx, (bary / bary.sum(-1, keepdims=True)).astype(np.float32)

    f32 = np.float32
    static, dynamic, full, dense = (landmarks(t, s) for t, s in (
        ("static", (51,)), ("dynamic", (79, 17)), ("full", (1, 70)), ("mediapipe", (105,))))
    return {
        "flame_model": {
            "f": faces,
            "v_template": verts.astype(f32),
            "shapedirs": np.concatenate([shape, expr], 2).astype(f32),
            "posedirs": pose.astype(f32),
            "J_regressor": _snap(regress, 30).astype(f32),
            "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.int64),
            "weights": _snap(skin, 22).astype(f32),
        },
        "lmk_embeddings": {
            "static_lmk_faces_idx": static[0], "static_lmk_bary_coords": static[1],
            "dynamic_lmk_faces_idx": dynamic[0], "dynamic_lmk_bary_coords": dynamic[1],
            "full_lmk_faces_idx_with_eye": full[0], "full_lmk_bary_coords_with_eye": full[1],
        },
        "lmk_embeddings_mediapipe": {
            "lmk_face_idx": dense[0], "lmk_b_coords": dense[1],
            "landmark_indices": np.arange(105, dtype=np.int64),
        },
    }


# --------------------------------------------------------------------------
# audio and motion

def synthetic_audio(seed, seconds, rate=16000):
    """Speech-like mono float32: voiced syllables, noise bursts, pauses; peak 0.7."""
    total = round(seconds * rate)
    out = np.zeros(total, dtype=np.float64)
    draw = uniform(seed, "audio.plan", (4096, 8))
    noise = normal(seed, "audio.noise", (total + rate,)).astype(np.float64)
    at, k = int(0.05 * rate), 0
    while at < total and k < len(draw):
        r = draw[k]
        length = int((0.08 + 0.17 * r[0]) * rate)
        t = np.arange(min(length, total - at)) / rate
        envelope = np.sin(np.pi * np.arange(len(t)) / length) ** 0.7
        if r[1] < 0.62:                                   # voiced: pulse train through three resonances
            pitch = 95.0 + 130.0 * r[2]
            phase = pitch * t + 0.5 * (40.0 * (r[3] - 0.5)) * t * t
            voice = np.zeros(len(t))
            for h in range(1, 24):
                f = pitch * h
                gain = sum(a / (1.0 + ((f - c) / w) ** 2) for a, c, w in (
                    (1.0, 300 + 600 * r[4], 90.0), (0.6, 900 + 1500 * r[5], 130.0), (0.3, 2500 + 900 * r[6], 200.0)))
                voice += gain * np.sin(2 * np.pi * h * phase)
            piece = voice * (0.4 + 0.6 * r[7]) + 0.01 * noise[at:at + len(t)]
        elif r[1] < 0.84:                                 # unvoiced burst
            piece = np.diff(noise[at:at + len(t) + 1]) * (0.15 + 0.35 * r[2])
        else:                                             # pause
            piece = np.zeros(len(t))
        out[at:at + len(t)] += envelope * piece
        at += int(length * (0.85 + 0.5 * r[3]))
        k += 1
    out += 1e-3 * noise[:total]
    peak = np.abs(out).max() if total else 1.0
    return _snap(out * (0.7 / max(peak, 1e-9)), 22).astype(np.float32)


def synthetic_motion(seed, frames, mean=None, std=None):
    """Smooth motion codes (frames, 106) float32; scaled by mean/std when given."""
    t = np.arange(frames, dtype=np.float64)[:, None]
    freq = 0.01 + 0.09 * uniform(seed, "motion.freq", (4, 106))
    phase = 2 * np.pi * uniform(seed, "motion.phase", (4, 106))
    gain = normal(seed, "motion.gain", (4, 106)).astype(np.float64) * 0.6
    wave = sum(gain[i] * np.sin(2 * np.pi * freq[i] * t + phase[i]) for i in range(4))
    if std is not None:
        wave = wave * np.asarray(std, np.float64) + np.asarray(mean, np.float64)
    return _snap(wave, 22).astype(np.float32)


# --------------------------------------------------------------------------
# avatar-side inputs

def synthetic_image(seed, size=512):
    """(3, size, size) float32 in [0, 1], values on the 8-bit grid: smooth waves,
    an oval and fine texture (so that resampling differences show)."""
    y, x = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    draw = uniform(seed, "image.waves", (3, 5, 4))
    oval = 1.0 / (1.0 + np.exp(30.0 * (np.sqrt((x / 0.55) ** 2 + (y / 0.75) ** 2) - 1.0)))
    grain = normal(seed, "image.grain", (3, size, size)).astype(np.float64)
    planes = []
    for c in range(3):
        wave = sum(np.sin((2 + 14 * d[0]) * x + (2 + 14 * d[1]) * y + 6.3 * d[2]) * (0.4 + d[3]) for d in draw[c])
        planes.append(0.45 + 0.09 * wave + 0.2 * oval * (1.0 - 0.3 * c) + 0.02 * grain[c])
    return (np.round(np.clip(np.stack(planes), 0, 1) * 255.0) / 255.0).astype(np.float32)


def synthetic_features(seed, channels=32, size=512):
    """(channels, size, size) float32 smooth feature image, roughly unit variance."""
    t = np.linspace(-1, 1, size)
    draw = uniform(seed, "features.waves", (channels, 4, 4))
    out = np.empty((channels, size, size), np.float32)
    for c in range(channels):
        plane = np.zeros((size, size))
        for d in draw[c]:
            row = np.sin((1 + 20 * d[0]) * t + 6.3 * d[1])
            col = np.cos((1 + 20 * d[2]) * t + 6.3 * d[3])
            plane += row[:, None] * col[None]
        out[c] = _snap(plane, 20)
    return out


def synthetic_transform(seed):
    """(3, 4) float32 camera near the tracker's frontal pose, rotation orthonormal to 1e-7."""
    a, b, c = (uniform(seed, "camera", (3,)) - 0.5) * 0.5
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    rot = rz @ ry @ rx @ np.diag([-1.0, 1.0, -1.0])
    return _snap(np.concatenate([rot, [[0.03], [-0.05], [9.9]]], 1), 24).astype(np.float32)
