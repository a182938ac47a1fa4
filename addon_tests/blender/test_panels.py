# SPDX-License-Identifier: GPL-3.0-or-later
"""Every panel draws in every state of a scene: what it names exists, and what it says is there."""

from __future__ import annotations

import bpy
import pytest

from artalk_blender.audio.strip import add_sound_strip
from artalk_blender.ui import panels, sections


class Layout:
    """Takes the place of Blender's layout, which only exists in a window: asks Blender for all that is drawn."""

    enabled = True

    def __init__(self, texts=None):
        self.texts = [] if texts is None else texts

    def row(self, align=False):
        return Layout(self.texts)

    column = row

    def split(self, factor=0.0):
        return Layout(self.texts)

    def box(self):
        return Layout(self.texts)

    def template_list(self, kind, unique, data, name, active_data, active, rows=5):
        assert hasattr(bpy.types, kind)
        assert name in data.bl_rna.properties
        assert active in active_data.bl_rna.properties

    def label(self, text="", icon="NONE", translate=True):
        icon_exists(icon)
        self.texts.append(text)

    def operator(self, idname, text=None, icon="NONE", translate=True):
        icon_exists(icon)
        kind = getattr(bpy.ops.artalk, idname.partition(".")[2]).get_rna_type()
        self.texts.append(kind.name if text is None else text)
        return Properties(kind)

    def prop(self, data, name, slider=False, text=None, toggle=False, icon="NONE", placeholder="", emboss=True):
        icon_exists(icon)
        assert name in data.bl_rna.properties
        self.texts.append(data.bl_rna.properties[name].name)

    def prop_decorator(self, data, name):
        assert data.bl_rna.properties[name].is_animatable

    def prop_search(self, data, name, search, collection, text=None, icon="NONE"):
        assert name in data.bl_rna.properties
        assert collection in search.bl_rna.properties

    def progress(self, factor=0.0, text="", translate=True):
        assert 0.0 <= factor <= 1.0
        self.texts.append(text)


class Properties:
    """Settings of a drawn button."""

    def __init__(self, kind):
        object.__setattr__(self, "kind", kind)

    def __setattr__(self, name, value):
        assert name in self.kind.properties


def icon_exists(icon):
    icons = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
    assert icon in icons


def drawn(context):
    texts = {}
    for name, _, show, _ in panels._PANELS:
        layout = Layout()
        show(layout, context)
        texts[name] = layout.texts
    return texts


def test_an_empty_scene_says_what_to_do(scene, extension):
    texts = drawn(bpy.context)
    assert "Add a head, or select one" in texts["head"]
    assert "No sound strip is chosen" in texts["speech"]
    assert any("Select a head" in text for text in texts["generate"])


def test_from_head_to_take(scene, extension, speech):
    bpy.ops.artalk.add_head()
    assert "ARTalk Head Rig" in drawn(bpy.context)["head"]
    scene.sequence_editor_create()
    add_sound_strip(scene, speech, 1)
    texts = drawn(bpy.context)
    assert "speech" in texts["speech"] and "1.5 s" in texts["speech"]
    assert any(text.startswith("About ") for text in texts["generate"])
    assert bpy.ops.artalk.generate_motion() == {"FINISHED"}
    texts = drawn(bpy.context)
    assert "ARTalk speech" in texts["takes"]
    bpy.ops.artalk.check_head(count=3)
    said = next(text for text in drawn(bpy.context)["identity"] if "µm at most" in text)
    assert float(said.split()[3]) < 10.0
    scene.sequence_editor.strips[0].mute = True
    assert any("is muted" in text for text in drawn(bpy.context)["generate"])


def test_both_sidebars_have_all_panels(extension):
    for space, prefix in (("VIEW_3D", ""), ("SEQUENCE_EDITOR", "sequencer_")):
        for name, label, _, _ in panels._PANELS:
            panel = getattr(bpy.types, f"ARTALK_PT_{prefix}{name}")
            assert (panel.bl_space_type, panel.bl_label) == (space, label)


@pytest.mark.parametrize("text", ["", "one", "a " * 200, "x" * 100])
def test_sentences_are_wrapped(text):
    layout = Layout()
    sections.wrapped(layout, text)
    assert " ".join(layout.texts) == " ".join(text.split())
    assert all(len(line) <= sections._WIDTH or " " not in line for line in layout.texts)
