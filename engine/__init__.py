# SPDX-License-Identifier: GPL-3.0-or-later
"""ARTalk inference: speech in, FLAME motion out. No `bpy` module use; importing this package imports no torch."""

__version__ = "0.1.0"
