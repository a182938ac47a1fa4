# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that reaches people. Standard library only."""

from __future__ import annotations


class EngineError(Exception):
    """Something a person or a file got wrong, said in one plain sentence.

    `message` says what is wrong, `remedy` what to do, `code` is a short word for programs
    (`bad_input`, `bad_file`, `unsupported`, `cancelled`, `internal`).
    """

    def __init__(self, message: str, remedy: str = "", code: str = "bad_input") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()
