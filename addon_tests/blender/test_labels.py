# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read over buttons, in the undo history and in other languages."""

from __future__ import annotations

import re

import bpy
import pytest
from texts import is_said

from artalk_blender import german, language
from artalk_blender.gaussian.properties import ArtalkAvatarSettings
from artalk_blender.head.settings import ArtalkHeadSettings
from artalk_blender.preferences import ArtalkPreferences
from artalk_blender.properties import ArtalkSceneSettings
from artalk_blender.retarget.properties import ArtalkRetargetSettings
from artalk_blender.ui import panels

BLENDERS_OWN = {"rna_type", "check_existing"}


def operators():
    """Name and RNA of every operator of ours."""
    return {name: getattr(bpy.ops.artalk, name).get_rna_type() for name in dir(bpy.ops.artalk)}


def texts(kind):
    """(name, what is said of it) of every property that people see."""
    for prop in kind.properties:
        if prop.identifier not in BLENDERS_OWN and not prop.is_hidden and prop.is_runtime:
            yield f"{kind.identifier}.{prop.identifier}", prop.name, prop.description


def test_every_operator_says_what_it_does_under_a_sensible_name(extension):
    found = operators()
    assert len(found) > 25
    for name, kind in found.items():
        assert len(kind.description) > 15 and not kind.description.endswith("."), name
        assert re.fullmatch(r"(ARTalk )?[A-Z][\w.-]*( (to|from|[A-Z][\w-]*))*", kind.name), (name, kind.name)
    labels = [kind.name for kind in found.values()]
    assert len(set(labels)) == len(labels)  # each its own in the undo history and in the search


def test_every_undoable_operator_is_known_by_its_label(extension):
    undoable = {name for name in operators() if "UNDO" in getattr(bpy.types, f"ARTALK_OT_{name}").bl_options}
    not_undoable = set(operators()) - undoable
    assert not_undoable == {"avatar_movie", "check_head", "check_sound", "copy_report", "export_face", "export_motion",
                            "export_splats", "free_memory", "preview_avatar", "render_avatar", "retarget_save_preset",
                            "stop_job"}  # they change nothing


def test_every_property_has_a_tooltip(extension):
    settings = (ArtalkSceneSettings, ArtalkHeadSettings, ArtalkRetargetSettings, ArtalkAvatarSettings)
    kinds = [*operators().values(), *(cls.bl_rna for cls in settings)]
    missing = [where for kind in kinds for where, name, description in texts(kind)
               if len(description) < 10 or not name]
    assert not missing
    annotations = ArtalkPreferences.__annotations__
    assert set(annotations) == {"engine_python", "model", "head"}
    for kind in kinds:
        for prop in kind.properties:
            for item in getattr(prop, "enum_items_static", ()):
                assert prop.is_hidden or prop.identifier in BLENDERS_OWN or len(item.description) > 5, item.identifier


# -- other languages


def test_every_translation_is_of_a_text_that_there_is():
    assert [text for text in german.TEXTS if not is_said(text)] == []


def test_german_has_every_label_of_the_panels(extension):
    wanted = {label for _, label, _, _ in panels._PANELS} - {"ARTalk"}
    wanted |= {kind.name for kind in operators().values()}
    wanted |= {name for cls in (ArtalkSceneSettings, ArtalkRetargetSettings, ArtalkAvatarSettings)
               for _, name, _ in texts(cls.bl_rna)}
    assert wanted <= set(german.TEXTS)


@pytest.mark.parametrize("text", german.TEXTS)
def test_a_translation_takes_up_every_value(text):
    assert german.TEXTS[text].count("{}") == text.count("{}")
    assert german.TEXTS[text].strip() and german.TEXTS[text][-1:] not in " "


def test_sentences_are_found_by_their_templates(monkeypatch):
    monkeypatch.setattr(language, "_language", lambda: "de")
    assert language.said("Takes") == "Takes" and language.said("") == ""
    assert language.said("Its strip “Jaw” was moved") == "Sein Streifen „Jaw“ wurde verschoben"
    assert language.said("Keyed 12 frames as “a b”.") == "12 Bilder als „a b“ gekeyt."
    assert language.said("The strip “A. B” is gone. Add it again and generate once more.") == (
        "Der Streifen „A. B“ ist nicht mehr da. Fügen Sie ihn wieder hinzu und erzeugen Sie noch einmal.")
    assert language.said("The strip “x” is gone. Nobody has translated this.") == (
        "Der Streifen „x“ ist nicht mehr da. Nobody has translated this.")
    assert language.said("{nobody} knows {}") == "{nobody} knows {}"


def test_without_a_language_texts_stay_as_they_are():
    for text in german.TEXTS:
        assert language.said(text) == text
