# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME head model: file reading, skinning, lip measures. numpy only."""
