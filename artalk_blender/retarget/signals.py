# SPDX-License-Identifier: GPL-3.0-or-later
"""What a motion says in words that rigs understand: expressions by name, visemes, turns of head, jaw and eyes.

No `bpy` module use. A source whose expressions are ARKit's says most of it by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.assets import DEFAULT_HEAD
from ..engine.flame.file import read_flame
from ..motion.layout import EXPRESSION, HEAD_ROTATION, JAW_POSE
from .names import ARKIT, arkit_columns
from .solve import Problem, solve_frames

Floats = NDArray[np.floating[Any]]

JAW_OPEN = 0.26  # radians of the default head's jaw where jawOpen is 1 (docs/HEAD.md)
JAW_ASIDE = 0.08  # radians by which its jaw turns where its chin lies as far aside as with jawLeft at 1
EYE_TURN = 0.52  # radians that an eye turns at eyeLook 1
VISEME = "viseme:"
ALONE = "key:"

# The mouth of each viseme in ARKit's shapes, full: what a rig's key shows at 1.
_BOTH = ("mouthStretch", "mouthSmile", "mouthLowerDown", "mouthUpperUp", "mouthPress", "mouthDimple")
_VISEMES: dict[str, dict[str, float]] = {
    "PP": {"mouthPress": 0.5, "mouthRollLower": 0.35, "mouthRollUpper": 0.3},
    "FF": {"jawOpen": 0.08, "mouthRollLower": 0.55, "mouthUpperUp": 0.3, "mouthLowerDown": 0.1},
    "TH": {"jawOpen": 0.18, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "DD": {"jawOpen": 0.15, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1, "mouthStretch": 0.1},
    "kk": {"jawOpen": 0.25, "mouthLowerDown": 0.12, "mouthUpperUp": 0.05},
    "CH": {"jawOpen": 0.1, "mouthFunnel": 0.6, "mouthPucker": 0.15},
    "SS": {"jawOpen": 0.05, "mouthStretch": 0.35, "mouthSmile": 0.15, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15},
    "nn": {"jawOpen": 0.2, "mouthLowerDown": 0.15, "mouthUpperUp": 0.08},
    "RR": {"jawOpen": 0.2, "mouthFunnel": 0.35, "mouthPucker": 0.25},
    "aa": {"jawOpen": 0.7, "mouthLowerDown": 0.15, "mouthUpperUp": 0.1},
    "E": {"jawOpen": 0.4, "mouthStretch": 0.3, "mouthSmile": 0.1, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "ih": {"jawOpen": 0.25, "mouthStretch": 0.35, "mouthSmile": 0.25, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "oh": {"jawOpen": 0.5, "mouthFunnel": 0.55, "mouthPucker": 0.15},
    "ou": {"jawOpen": 0.2, "mouthFunnel": 0.4, "mouthPucker": 0.75},
}
_VISEMES.update({f"VRM {name}": _VISEMES[same] for name, same in
                 (("aa", "aa"), ("ih", "ih"), ("ou", "ou"), ("ee", "E"), ("oh", "oh"))})
_CORNERS, _ROLL = 0.5, 0.5  # weight of the corners' depth and of the lips' depth against opening and width
_SMALL, _SPARSE, _SMOOTH = 0.02, 0.01, 0.02


def named_signals(names: Sequence[str], motion: NDArray[np.floating[Any]]) -> dict[str, Floats]:
    """Motion (T,106) of a head whose expressions have these names -> signals (T,) by name.

    Where they are ARKit's, `jawOpen`, `jawLeft` and `jawRight` are what keys and bone of the jaw do together;
    `key:jawOpen` is the key alone.
    """
    expressions = np.asarray(motion, np.float64)[:, EXPRESSION].T
    signals: dict[str, Floats] = dict(zip(names, expressions, strict=True))
    signals.update({f"{ALONE}{name}": values for name, values in zip(names, expressions, strict=True)})
    for axis, letter in enumerate("xyz"):
        signals[f"jaw.{letter}"] = np.asarray(motion[:, JAW_POSE.start + axis], np.float64)
        signals[f"head.{letter}"] = np.asarray(motion[:, HEAD_ROTATION.start + axis], np.float64)
    if "jawOpen" in signals:
        signals["jawOpen"] = signals["jawOpen"] + np.maximum(signals["jaw.x"], 0.0) / JAW_OPEN
    for name, side in (("jawLeft", 1.0), ("jawRight", -1.0)):
        if name in signals:
            signals[name] = signals[name] + np.maximum(side * signals["jaw.y"], 0.0) / JAW_ASIDE
    return signals


def is_arkit(names: Iterable[str]) -> bool:
    return set(ARKIT) <= set(names)


def arkit_table(signals: dict[str, Floats]) -> NDArray[np.float64]:
    """(T,52) in ARKit's order; 0 for what the source does not say."""
    count = len(next(iter(signals.values())))
    return np.stack([np.asarray(signals.get(name, np.zeros(count)), np.float64) for name in ARKIT], 1)


def turns(motion: NDArray[np.floating[Any]], signals: dict[str, Floats]) -> dict[str, NDArray[np.float64]]:
    """Rotation vectors (T,3), radians in FLAME's axes, of “head”, “jaw” and the two eyes.

    The jaw's is all that opens the mouth, whether a bone or a key did so on the source.
    """
    count = len(motion)
    jaw = np.asarray(motion[:, JAW_POSE], np.float64).copy()
    if "jawOpen" in signals:
        jaw[:, 0] = np.minimum(jaw[:, 0], 0.0) + JAW_OPEN * signals["jawOpen"]
    result = {"head": np.asarray(motion[:, HEAD_ROTATION], np.float64), "jaw": jaw,
              "jaw_bone": np.asarray(motion[:, JAW_POSE], np.float64)}
    none = np.zeros(count)
    for eye, side, inwards in (("eye_left", "Left", -1.0), ("eye_right", "Right", 1.0)):
        look = {way: signals.get(f"eyeLook{way}{side}", none) for way in ("Up", "Down", "In", "Out")}
        pitch, yaw = look["Down"] - look["Up"], inwards * (look["In"] - look["Out"])
        result[eye] = EYE_TURN * np.stack([pitch, yaw, none], 1)
    return result


@lru_cache(maxsize=1)
def mouth_features() -> NDArray[np.float64]:
    """(52,F): what each ARKit shape does to the default head's mouth, measured on it, in centimetres.

    Opening, width, and how far the upper lip's and the lower lip's middle and the corners move up and forward.
    """
    model = read_flame(DEFAULT_HEAD)
    moves = np.asarray(model.expressiondirs, np.float64)[:, :, arkit_columns(model.expression_names)] * 100.0
    rest = np.asarray(model.v_template, np.float64)
    from ..head.regions import find_lips

    lips = find_lips(model)
    if lips is None:
        raise ValueError("the default head has lips")
    upper, lower, ring = lips.upper, lips.lower, lips.ring
    near = np.abs(rest[upper, 0]) < 0.006
    up, down = moves[upper[near]].mean(0), moves[lower[near]].mean(0)
    left, right = moves[ring[rest[ring, 0].argmax()]], moves[ring[rest[ring, 0].argmin()]]
    corners = 0.5 * (left + right)
    features = [up[1] - down[1], left[0] - right[0], up[1], down[1], _ROLL * up[2], _ROLL * down[2],
                _CORNERS * corners[1], _CORNERS * corners[2]]
    return np.stack(features, 1)


def viseme_recipe(name: str) -> NDArray[np.float64]:
    """(52,) ARKit values of a viseme at 1; `name` as in names.OCULUS, or “VRM aa”."""
    result = np.zeros(len(ARKIT))
    for shape, value in _VISEMES[name].items():
        for full in ([f"{shape}Left", f"{shape}Right"] if shape in _BOTH else [shape]):
            result[ARKIT.index(full)] = value
    return result


def viseme_signals(wanted: Sequence[str], arkit: NDArray[np.float64]) -> dict[str, Floats]:
    """ARKit values (T,52) -> weights (T,) 0..1 of the visemes `wanted` whose mouths together come nearest to theirs.

    Least squares, within the limits, over what both do to the default head's mouth (`mouth_features`): opening, width
    and rounding, so that a mouth opens as far as it should, whichever visemes a rig has.
    """
    wanted = [name for name in wanted if name in _VISEMES]
    if not wanted or not len(arkit):
        return {}
    features = mouth_features()
    basis = np.stack([viseme_recipe(name) for name in wanted]) @ features  # (K,F)
    target = arkit @ features
    gram = basis @ basis.T
    scale = float(np.trace(gram)) / len(wanted)
    problem = Problem(gram + _SMALL * scale * np.eye(len(wanted)), np.zeros_like(gram),
                      np.tile((0.0, 1.0), (len(wanted), 1)), np.full(len(wanted), _SPARSE * scale), _SMOOTH)
    weights = solve_frames(problem, target @ basis.T, np.zeros(len(target)), np.zeros((len(target), len(wanted))))
    return {f"{VISEME}{name}": weights[:, index] for index, name in enumerate(wanted)}
