# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions, slots, F-curves."""
