# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussian avatars in Blender: frames asked of the worker, kept beside the .blend, shown wherever pictures are."""
