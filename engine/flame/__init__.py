# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME head model: file reading, skinning, landmarks, lip measures. numpy only."""
