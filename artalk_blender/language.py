# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read, in the language of Blender's interface.

Blender translates labels and descriptions of classes and properties, and `text=` in layouts, by itself, where they are
in a dictionary. Sentences with a name or a number in them are in none: `said` finds them by their template, which is
the sentence with {} in place of each value. Dictionaries are plain data, one module a language (german.py).
"""

from __future__ import annotations

import re
from functools import lru_cache

import bpy

from . import __package__ as _extension
from . import german

DICTIONARIES = {"de": german.TEXTS}
_CONTEXTS = ("*", "Operator")  # where Blender looks texts up
_VALUE = "{}"
_SENTENCE = re.compile(r"\s*((?:“[^”]*”|.)+?(?:[.!?](?=\s+[^a-z])|$))", re.DOTALL)  # names in “” may hold anything


def said(text: object) -> str:
    """A sentence, or several in a row, in the interface's language; as it is where there is no translation."""
    words = str(text)
    language = _language()
    if language not in DICTIONARIES or not words:
        return words
    found = _translated(words, language)
    if found is None:
        parts = _SENTENCE.findall(words)
        found = " ".join(_translated(part, language) or part for part in parts)
    return found


def _language() -> str:
    """Such as “de”; empty where Blender's interface is not translated."""
    if not bpy.context.preferences.view.use_translate_interface:
        return ""
    return bpy.app.translations.locale.partition("_")[0]


def _translated(text: str, language: str) -> str | None:
    found = DICTIONARIES[language].get(text)
    if found is not None:
        return found
    for pattern, translation in _templates(language):
        match = pattern.fullmatch(text)
        if match:
            return translation.format(*match.groups())
    return None


@lru_cache
def _templates(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Patterns of the sentences with values, those with the most words of their own first."""
    texts = [(text, translation) for text, translation in DICTIONARIES[language].items() if _VALUE in text]
    texts.sort(key=lambda pair: -len(pair[0].replace(_VALUE, "")))
    return [(re.compile(re.escape(text).replace(re.escape(_VALUE), "(.+?)"), re.DOTALL), translation)
            for text, translation in texts]


def register() -> None:
    bpy.app.translations.register(_extension, {
        language: {(context, text): translation for text, translation in texts.items() for context in _CONTEXTS}
        for language, texts in DICTIONARIES.items()})


def unregister() -> None:
    bpy.app.translations.unregister(_extension)
