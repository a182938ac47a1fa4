# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads of Gaussian splats: rasterising, the GAGAvatar network, splats that ride on a mesh. Imports no torch."""
