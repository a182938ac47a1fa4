# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that belong to a scene: how takes are tuned and keyed. No logic."""

from __future__ import annotations

from typing import Any

import bpy

from . import styles
from .audio.speech import SPEEDS, all_voices
from .engine.passage import STRONGEST
from .head.handle import head_of
from .live_tuning import show_settings, update_of  # noqa: F401
from .motion.process import RANGES, ProcessSettings
from .motion.timing import EXACT, NECK_BONE, OFF, ROOT_BONE, SHARED, WHOLE, Keying
from .preferences import read_preferences

_MODES = (
    (EXACT, "Exact", "A key for every frame of the motion where it belongs in time, between scene frames if need be"),
    (WHOLE, "Whole Frames", "Keys on whole scene frames only; the motion is resampled, closed lips are kept"),
)
_TARGETS = (
    (ROOT_BONE, "Root", "The bone “root” turns with the head, as in FLAME"),
    (NECK_BONE, "Neck", "The bone “neck” turns with the head, the shoulders stay"),
    (SHARED, "Shared", "Root and neck share the head's turning"),
    (OFF, "Off", "Root and neck are left alone, for your own animation"),
)


_style_items: list[tuple[str, str, str, str, int]] = []


def _gain(name: str, field: str, description: str) -> Any:
    """A factor: 1 as generated, 0 still."""
    low, high = RANGES[field]
    return bpy.props.FloatProperty(name=name, default=1.0, min=low, max=high, soft_max=2.0, description=description,
                                   update=update_of(field))


def _styles(_settings: Any, context: Any) -> list[tuple[str, str, str, str, int]]:
    """Blender does not keep the texts of a list that is made anew, so we do; it keeps which one is chosen by number."""
    global _style_items
    if context is not None or not _style_items:
        listed = styles.items(context.scene, read_preferences(context).model) if context is not None else styles.FIRST
        found = [(*item, "NONE", styles.number_of(item[0])) for item in listed]
        if found != _style_items:
            _style_items = found
    return _style_items


def _voices(_settings: Any, _context: Any, typed: str) -> list[str]:
    return [voice.label for voice in all_voices() if typed.casefold() in voice.label.casefold()]


def _is_head(_settings: Any, thing: bpy.types.Object) -> bool:
    return thing.type == "ARMATURE" and head_of(thing) is not None


class ArtalkSceneSettings(bpy.types.PropertyGroup):
    """How a new take is keyed, and how one is tuned; names as in ProcessSettings and Keying."""

    smooth: bpy.props.BoolProperty(
        name="Smooth", default=True, description="Take the jitter out of the motion, as the published model does",
        update=update_of("smooth"),
    )
    smoothing: bpy.props.FloatProperty(
        name="More Smoothing", default=0.0, min=RANGES["smoothing"][0], max=RANGES["smoothing"][1], soft_max=0.2,
        subtype="TIME_ABSOLUTE", unit="TIME_ABSOLUTE", step=1, precision=3,
        description="Smooth the motion further, over about so many seconds; quick syllables get softer",
        update=update_of("smoothing"),
    )
    intensity: _gain("Intensity", "intensity", "How much all of it moves: 1 as generated, 0 is the resting face")
    lips: _gain("Lips and Jaw", "lips", "How much lips and jaw move: 1 as generated")
    cheeks: _gain("Cheeks", "cheeks", "How much cheeks and nose move: 1 as generated")
    brows: _gain("Brows and Lids", "brows", "How much brows and eyelids move: 1 as generated")
    head_gain: _gain("Head Motion", "head_gain", "How much the head turns: 1 as generated, 0 holds it still")
    jaw_gain: _gain("Jaw", "jaw_gain", "How far the jaw opens, within Lips and Jaw: 1 as generated")
    offset_ms: bpy.props.FloatProperty(
        name="Sync Offset (ms)", default=0.0, min=RANGES["offset_ms"][0], max=RANGES["offset_ms"][1],
        soft_min=-200.0, soft_max=200.0, step=100, precision=0,
        description="Milliseconds by which the face comes later than the sound (earlier, if negative)",
        update=update_of("offset_ms"),
    )
    silence_gate: bpy.props.FloatProperty(
        name="Rest in Pauses", default=0.0, min=0.0, max=1.0, subtype="FACTOR",
        description="How far lips and jaw come to rest where nobody speaks: 0 as generated, 1 closed and still",
        update=update_of("silence_gate"),
    )
    blinks: bpy.props.FloatProperty(
        name="Blinks a Minute", default=0.0, min=RANGES["blinks"][0], max=RANGES["blinks"][1], step=100, precision=0,
        description="About so many blinks a minute are wanted (people: 12 to 20); 0 leaves them as generated",
        update=update_of("blinks"),
    )
    blink_seed: bpy.props.IntProperty(
        name="Blink Seed", default=0, min=0, description="Another number, other moments to blink",
        update=update_of("blink_seed"),
    )
    clamp: bpy.props.BoolProperty(
        name="Sane Range", default=True, description="Bend what no face can do back into what faces do",
        update=update_of("clamp"),
    )
    mode: bpy.props.EnumProperty(
        name="Keys", items=_MODES, default=EXACT, description="Where in time the keys lie",
        update=update_of("mode"),
    )
    head: bpy.props.EnumProperty(
        name="Head Turns", items=_TARGETS, default=ROOT_BONE, description="Which bones turn with the head",
        update=update_of("head"),
    )
    neck_share: bpy.props.FloatProperty(
        name="Neck's Share", default=0.5, min=0.0, max=1.0, subtype="FACTOR",
        description="How much of the head's turning the neck takes, where it is shared; the root takes the rest",
        update=update_of("neck_share"),
    )


    live: bpy.props.BoolProperty(
        name="Live", default=True, description="Apply what is changed here to the take that plays, at once",
    )
    head_object: bpy.props.PointerProperty(
        name="Head", type=bpy.types.Object, poll=_is_head,
        description="The head that is meant; empty: the one that is selected, or the only one there is",
    )
    strip: bpy.props.StringProperty(
        name="Sound Strip", description="The strip that is spoken; empty: the active one, or the only one there is",
    )
    selected_strips: bpy.props.BoolProperty(
        name="All Selected Strips", default=False,
        description="Every selected sound strip is a line of one take, with the pauses between them",
    )


    style: bpy.props.EnumProperty(
        name="Style", items=_styles, description="The manner in which the next line is spoken",
    )
    style_file: bpy.props.StringProperty(
        name="Style File", subtype="FILE_PATH", description="A .npy, .npz or .pt file with two seconds of motion",
    )
    style_strength: bpy.props.FloatProperty(
        name="Strength", default=1.1, min=0.0, max=STRONGEST, soft_max=2.0, step=5,
        description="How far the style is followed: 1.1 as published, 0 the model's own manner",
    )


    speech_text: bpy.props.StringProperty(name="Text", description="What Speak Text says")
    speech_voice: bpy.props.StringProperty(
        name="Voice", search=_voices, search_options={"SUGGESTION"},
        description="Name or language of an installed voice; empty: the engine's own",
    )
    speech_speed: bpy.props.FloatProperty(
        name="Speed", default=1.0, min=SPEEDS[0], max=SPEEDS[1], description="1 as the voice speaks by itself",
    )


    range_variation: bpy.props.IntProperty(
        name="Variation", default=1, min=0,
        description="Of Regenerate Range: another number, another motion; 0 is what the model finds likeliest",
    )
    range_in_place: bpy.props.BoolProperty(
        name="In Place", default=False,
        description="Regenerate Range changes the take itself, unless it was edited by hand; else makes a new one",
    )


def process_settings(scene: bpy.types.Scene) -> ProcessSettings:
    """The scene's tuning as plain data."""
    return ProcessSettings(**{name: getattr(scene.artalk, name) for name in ProcessSettings.__dataclass_fields__})


def keying(scene: bpy.types.Scene) -> Keying:
    """The scene's keying as plain data."""
    return Keying(**{name: getattr(scene.artalk, name) for name in Keying.__dataclass_fields__})


def register() -> None:
    bpy.utils.register_class(ArtalkSceneSettings)
    bpy.types.Scene.artalk = bpy.props.PointerProperty(type=ArtalkSceneSettings)


def unregister() -> None:
    del bpy.types.Scene.artalk
    bpy.utils.unregister_class(ArtalkSceneSettings)
