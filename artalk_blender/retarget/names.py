# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that rigs use for shape keys and bones, in whatever spelling. No `bpy` module use.

A name is cut into words (at capitals, digits and signs); sides become “left” or “right”; what stands before the known
words is a prefix of the rig's own and is passed over, as is a number behind them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ARKIT = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)
OCULUS = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
VRM = ("aa", "ih", "ou", "ee", "oh")
_VRM_LETTERS = {"a": "aa", "i": "ih", "u": "ou", "e": "ee", "o": "oh"}  # VRM 0 and VRoid
_VRM_FACE = {
    "blink": "0.5*eyeBlinkLeft+0.5*eyeBlinkRight", "blinkleft": "eyeBlinkLeft", "blinkright": "eyeBlinkRight",
    "eyeclose": "0.5*eyeBlinkLeft+0.5*eyeBlinkRight", "eyecloseleft": "eyeBlinkLeft",
    "eyecloseright": "eyeBlinkRight", "lookup": "0.5*eyeLookUpLeft+0.5*eyeLookUpRight",
    "lookdown": "0.5*eyeLookDownLeft+0.5*eyeLookDownRight", "lookleft": "0.5*eyeLookOutLeft+0.5*eyeLookInRight",
    "lookright": "0.5*eyeLookInLeft+0.5*eyeLookOutRight",
}
_SIDES = {"l": "left", "left": "left", "lft": "left", "lf": "left", "r": "right", "right": "right", "rgt": "right",
          "rt": "right"}
_FEWEST_OCULUS, _FEWEST_LETTERS = 5, 4
_MANY_MOUTH = 6  # ARKit mouth shapes: with so many a rig needs no visemes besides

_BONES: dict[str, tuple[str, ...]] = {
    "jaw": ("jawmaster", "jawroot", "jaw", "chinjaw", "mandible", "mjaw", "faciljaw", "facialcjaw", "lowerjaw",
            "unterkiefer", "teethjaw"),
    "eye_left": ("lefteye", "eyeleft", "eyeballleft", "lefteyeball", "faceeyeleft", "leftfaceeye", "mastereyeleft"),
    "eye_right": ("righteye", "eyeright", "eyeballright", "righteyeball", "faceeyeright", "rightfaceeye",
                  "mastereyeright"),
    "head": ("head", "chead", "headcontrol", "headctrl", "kopf"),
    "neck": ("neck", "cneck", "necklower", "necktwist", "necklow", "hals", "upperneck", "neckupper"),
}
_NOT_BONES = {"end", "tip", "nub", "top", "target", "ik", "pole", "def", "org", "mch", "vis", "lid", "brow", "lash"}


def words(name: str) -> list[str]:
    """“CTRL_mouthSmile_L.001” -> ctrl, mouth, smile, left; numbers at the end go."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = [word.lower() for word in re.findall(r"[A-Za-z]+|[0-9]+", spaced)]
    while len(found) > 1 and found[-1].isdigit():
        found.pop()
    return [_SIDES.get(word, word) for word in found]


def _arkit_spellings() -> dict[str, str]:
    """Joined words -> Apple's name; the side may stand before or behind."""
    table = {}
    for name in ARKIT:
        parts = words(name)
        table["".join(parts)] = name
        if parts[-1] in ("left", "right"):
            stem, side = "".join(parts[:-1]), parts[-1]
            table[f"{side}{stem}"] = table[f"{parts[0]}{side}{''.join(parts[1:-1])}"] = name
            table[f"{stem}{side[0]}"] = name
        elif parts[-1] in ("lower", "upper"):
            table["".join([parts[0], parts[-1], *parts[1:-1]])] = name
    return table


_ARKIT_SPELLINGS = _arkit_spellings()


def arkit_columns(names: Sequence[str]) -> list[int]:
    """Where ARKit's 52 stand among the expressions of a head that has them all, in the order of `ARKIT`: heads order
    left and right otherwise. Raises ValueError where one is missing."""
    return [list(names).index(name) for name in ARKIT]


def arkit_name(name: str) -> str:
    """Apple's name that a key's name means, or nothing."""
    parts = words(name)
    for first in range(len(parts)):
        found = _ARKIT_SPELLINGS.get("".join(parts[first:]))
        if found is not None:
            # “upper_jaw_left” must not pass as jawLeft: a prefix is no word of a face
            return found if not set(parts[:first]) & {"upper", "lower", "inner", "outer"} else ""
    return ""


@dataclass(frozen=True)
class Spoken:
    """What a key means: the source expression that moves it, and of which vocabulary it is."""

    key: str
    source: str
    vocabulary: str


def recognise(keys: Iterable[str]) -> tuple[list[Spoken], list[str]]:
    """What the keys of a rig mean, by their names, in their order; and sentences on what was doubtful.

    A viseme is taken for one only in company: single letters are names of many things. Where a rig has ARKit's mouth
    as well, its visemes are left out.
    """
    keys = list(dict.fromkeys(keys))
    notes: list[str] = []
    arkit = _without_doubles({key: arkit_name(key) for key in keys}, notes)
    found = {key: Spoken(key, meant, "ARKit") for key, meant in arkit.items()}
    visemes = _visemes([key for key in keys if key not in found], set(arkit.values()))
    count = sum(spoken.source.startswith("viseme:") for spoken in visemes.values())
    if sum(meant.startswith("mouth") or meant == "jawOpen" for meant in arkit.values()) >= _MANY_MOUTH and count:
        notes.append(f"{count} viseme keys are left alone, because the ARKit keys beside them do the same.")
        visemes = {key: spoken for key, spoken in visemes.items() if not spoken.source.startswith("viseme:")}
    found.update(visemes)
    return [found[key] for key in keys if key in found], notes


def _without_doubles(meant: dict[str, str], notes: list[str]) -> dict[str, str]:
    """The first key of each meaning, plain spellings before those with a number or a prefix."""
    chosen: dict[str, str] = {}
    for key in sorted((key for key in meant if meant[key]), key=lambda key: (len(key), key)):
        other = next((one for one, name in chosen.items() if name == meant[key]), None)
        if other is None:
            chosen[key] = meant[key]
        else:
            notes.append(f"“{key}” and “{other}” both mean {meant[key]}; “{other}” is used.")
    return chosen


def _visemes(keys: list[str], arkit: set[str]) -> dict[str, Spoken]:
    """Oculus' fifteen or VRM's five, whichever is there in company; blinks and gaze of VRM's names beside these or
    beside ARKit's, where they do not do what one of those does."""
    oculus = {name.lower(): name for name in OCULUS}
    last = {key: words(key) for key in keys}
    groups = Counter("".join(parts[:-1]) for parts in last.values() if parts[-1:] and parts[-1] in oculus)
    result: dict[str, Spoken] = {}
    for prefix, count in groups.items():
        if count >= _FEWEST_OCULUS:
            for key, parts in last.items():
                if parts[-1] in oculus and "".join(parts[:-1]) == prefix and parts[-1] != "sil":
                    result[key] = Spoken(key, f"viseme:{oculus[parts[-1]]}", "Oculus visemes")
    vrm = {**_VRM_LETTERS, **{name: name for name in VRM}}
    groups = Counter("".join(parts[:-1]) for parts in last.values() if parts[-1:] and parts[-1] in vrm)
    if not result:
        for prefix, count in groups.items():
            if count >= _FEWEST_LETTERS:
                for key, parts in last.items():
                    if parts[-1] in vrm and "".join(parts[:-1]) == prefix:
                        result[key] = Spoken(key, f"viseme:VRM {vrm[parts[-1]]}", "VRM expressions")
    taken = set()
    for key, parts in last.items():
        for first in range(len(parts)):
            meant = _VRM_FACE.get("".join(parts[first:]))
            if meant and (result or arkit) and meant not in taken and not any(name in meant for name in arkit):
                result[key] = Spoken(key, meant, "VRM expressions")
                taken.add(meant)
                break
    sides = {spoken.source for spoken in result.values()}
    if {"eyeBlinkLeft", "eyeBlinkRight"} <= sides:  # a key for both lids would close them twice
        result = {key: spoken for key, spoken in result.items() if spoken.source != _VRM_FACE["blink"]}
    return result


def bone_role(name: str) -> str:
    """“jaw”, “eye_left”, “eye_right”, “head”, “neck” or nothing."""
    parts = [word for word in words(name.rpartition(":")[2]) if word not in ("bip", "base", "cc", "j", "b", "bn")]
    if not parts or set(parts) & _NOT_BONES:
        return ""
    for first in range(len(parts)):
        joined = "".join(parts[first:])
        for role, spellings in _BONES.items():
            if joined in spellings:
                return role
    return ""


def face_bones(names: Iterable[str]) -> dict[str, list[str]]:
    """Role -> the bones of that name, as they come; “jaw_master” stands for a rig's jaw before “jaw”."""
    found: dict[str, list[str]] = {}
    for name in names:
        role = bone_role(name)
        if role:
            found.setdefault(role, []).append(name)
    for role in ("jaw", "eye_left", "eye_right", "head"):
        if role in found:
            order = _BONES[role]
            found[role] = sorted(found[role], key=lambda name: _rank(name, order))[:1]
    return found


def _rank(name: str, order: tuple[str, ...]) -> tuple[int, int]:
    joined = "".join(words(name.rpartition(":")[2]))
    place = next((index for index, spelling in enumerate(order) if joined.endswith(spelling)), len(order))
    return place, len(name)
