# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong, said so that a person can put it right. No `bpy` module use."""

from __future__ import annotations

from .engine.errors import EngineError


class ArtalkError(EngineError):
    """One plain sentence (`message`) and what to do (`remedy`).

    It is the engine's own exception under the extension's name, so that one `except EngineError` at the edge
    (an operator, a command line) catches what either side has to say.
    """


__all__ = ["ArtalkError", "EngineError"]
