# SPDX-License-Identifier: GPL-3.0-or-later
"""Editing an armature's rest bones, wherever its object is and whatever an artist is doing with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy


@contextmanager
def edit_bones(armature: Any, context: Any) -> Iterator[Any]:
    """Edit bones of an armature, by way of a passing object, so that the head may be hidden or be posed meanwhile."""
    active = context.view_layer.objects.active
    mirror, armature.use_mirror_x = armature.use_mirror_x, False  # would move the other eye
    passing = bpy.data.objects.new("ARTalk joints", armature)
    context.scene.collection.objects.link(passing)
    context.view_layer.objects.active = passing
    try:
        bpy.ops.object.mode_set(mode="EDIT")
        try:
            yield armature.edit_bones
        finally:
            bpy.ops.object.mode_set(mode="OBJECT")
    finally:
        bpy.data.objects.remove(passing)
        context.view_layer.objects.active = active
        armature.use_mirror_x = mirror
