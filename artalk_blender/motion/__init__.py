# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion: its 106 channels, its time base, what is done to it before it is keyed. Plain numpy, no `bpy` module use."""
