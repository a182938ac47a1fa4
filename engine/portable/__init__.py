# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model's network in numpy alone: no torch, no scipy, no bpy, so that it runs in Blender's own Python."""
