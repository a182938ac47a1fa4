# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels, menus, and what lies over the views: they draw and never compute."""
