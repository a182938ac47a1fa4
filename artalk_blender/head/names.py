# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of what a head is made of, and what its materials look like. No `bpy` module use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BONES = ("root", "neck", "jaw", "eye_left", "eye_right")
ROOT, JAW = 0, 2

# ID properties by which a head is known again; they survive without the extension
HEAD_KEY = "artalk_head"  # on the armature object: dict of name, path, sha256, version, expression_keys
SHIFT_KEY = "artalk_joint_shift"  # on the armature object: (5,3,100) float64, flat: metres of a joint per expression
JOINTS_KEY = "artalk_joints"  # on the armature object: the object whose points the bones turn about; or not there
REGIONS_KEY = "artalk_regions"  # on the armature object: (3,100,100) float32, flat: Gram matrices of the regions
BLINK_KEY = "artalk_blink"  # on the armature object: (100,) float32 expressions that close the lids; or not there
LIPS_KEY = "artalk_lips"  # on the armature object: dict of upper, lower (opposite vertices) and ring
IDENTITY_KEY = "artalk_identity"  # on the armature object: (300,) float64 that the head is to have
BUILT_KEY = "artalk_identity_in_mesh"  # on the armature object: (300,) float64 that mesh and joints have
ROLE_KEY = "artalk_role"  # on the mesh object

DEFAULT_NAME = "ARTalk Head"
_GENDERS = ("generic", "neutral", "female", "male")  # female before male, which is in it


def corrective_key(bone: int, row: int, column: int) -> str:
    """Shape key of one pose corrective: it follows (R - I)[row, column] of a bone."""
    return f"pose_{BONES[bone]}_{row}{column}"


def head_name(path: Path | None, is_default: bool) -> str:
    """What to call a head from this file: FLAME and whose head it is, where the file's name says so."""
    if is_default or path is None:
        return DEFAULT_NAME
    gender = next((word for word in _GENDERS if word in path.stem.lower()), "")
    if gender or "flame" in path.stem.lower():
        return f"FLAME {gender.capitalize()} Head".replace("  ", " ")
    return path.stem if "head" in path.stem.lower() else f"{path.stem} Head"


@dataclass(frozen=True)
class Look:
    """Linear RGB, roughness."""

    colour: tuple[float, float, float]
    roughness: float


_SKIN = Look((0.72, 0.475, 0.375), 0.5)
# the first entry whose word is in a material's name is taken, so narrower words stand first
_LOOKS: tuple[tuple[str, Look], ...] = (
    ("pupil", Look((0.006, 0.006, 0.007), 0.7)),
    ("iris", Look((0.070, 0.150, 0.190), 0.45)),
    ("sclera", Look((0.80, 0.78, 0.75), 0.2)),
    ("eye_white", Look((0.80, 0.78, 0.75), 0.2)),
    ("brow", Look((0.090, 0.050, 0.032), 0.8)),
    ("lash", Look((0.030, 0.020, 0.016), 0.8)),
    ("lip", Look((0.54, 0.200, 0.180), 0.38)),
    ("teeth", Look((0.80, 0.76, 0.66), 0.25)),
    ("tooth", Look((0.80, 0.76, 0.66), 0.25)),
    ("gum", Look((0.42, 0.14, 0.13), 0.4)),
    ("tongue", Look((0.48, 0.16, 0.15), 0.4)),
    ("mouth", Look((0.16, 0.040, 0.036), 0.6)),
    ("nostril", Look((0.20, 0.085, 0.065), 0.7)),
    ("backdrop", Look((0.150, 0.170, 0.195), 1.0)),
    ("hair", Look((0.060, 0.038, 0.028), 0.7)),
)


def look_of(material_name: str) -> Look:
    """The look of a head's material, by its name; anything unknown is skin."""
    name = material_name.lower()
    return next((look for word, look in _LOOKS if word in name), _SKIN)
