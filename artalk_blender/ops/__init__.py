# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators: they gather, call and report."""
