# SPDX-License-Identifier: GPL-3.0-or-later
"""The default head, made by program (`python -m engine.training.head --out FILE`).

Boundary: numpy and scipy only; no torch, no Blender. Lengths inside this package are
millimetres in the head frame of `sdf.py`; only `build.py` turns them into metres.
"""
