# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels and menus: they draw and never compute."""
