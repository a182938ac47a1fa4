# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME heads as Blender objects."""
