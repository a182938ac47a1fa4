# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a bug report tells nobody where a person keeps files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from artalk_blender.report import mask_paths


@pytest.mark.parametrize(("text", "masked"), [
    ("There is no audio file “/data/secret client/take one.wav”.", "There is no audio file “…/take one.wav”."),
    (r"C:\Users\Ann Other\work\head.npz is gone", r"…\head.npz is gone"),
    (f"{Path.home()}/projects/film/a.blend", "…/a.blend"),
    ("3/4 of 12 at https://example.org/a/b", "3/4 of 12 at https://example.org/a/b"),
    ('File "/opt/tools/x/y.py", line 3', 'File "…/y.py", line 3'),
    (f"{sys.prefix}/lib/a.py", "<python>/lib/a.py"),
    ("nothing", "nothing"),
])
def test_folders_are_masked(text, masked):
    assert mask_paths(text) == masked
