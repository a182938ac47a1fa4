# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting: a motion on another head's shape keys and bones, by name or by geometry, with its error shown."""
