# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussian avatar in Blender: which one, what it plays, its frames on disk, and where they are shown."""
