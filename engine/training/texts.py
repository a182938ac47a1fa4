# SPDX-License-Identifier: GPL-3.0-or-later
"""Something to say, in many languages, for the training speech.

Sentences come from the translated messages of the programs installed on this machine (real grammar, many
languages), words from its word lists, and pseudo-words are made up: full of lip sounds and of the sounds that
are mistaken for them. Standard library only.
"""

from __future__ import annotations

import gettext
import random
import re
from functools import lru_cache
from pathlib import Path
from unicodedata import category

_LOCALES = Path("/usr/share/locale")
_WORD_LISTS = {"en": "american-english", "fr": "french", "de": "ngerman", "es": "spanish", "it": "italian",
               "nl": "dutch", "pt": "portuguese"}  # fmt: skip
_MESSAGES_A_LANGUAGE = 4000
_OWN_SCRIPT = {
    "ru",
    "uk",
    "bg",
    "el",
    "hi",
    "mr",
    "te",
    "ko",
    "sr",
}  # where a Latin word would be spelled out or skipped
_LATIN = "abvgdezijklmnoprstufhcw"
_CYRILLIC = dict(zip(_LATIN, "абвгдезийклмнопрстуфхцв", strict=True))
_DEVANAGARI = dict(zip(_LATIN, "ाबवगदेजिजकलमनोपरसतुफहचव", strict=True))
_DEVANAGARI_FIRST = dict(zip("aeiou", "आएइओउ", strict=True))  # vowels that follow no consonant
_TELUGU_OFFSET = 0x300  # both blocks are laid out alike
_UNSPOKEN = re.compile(
    r"<[^>]*>|\{[^}]*\}|%\(?[\w$#.*+ -]*\)?[a-zA-Z%]|&\w+;|[_&|`\"“”«»„\[\]()*=~^\\/@#$]|\S*[.:]\S+|--?\w+"
)


def _spoken(message: str) -> str:
    """A program message as one would read it out; empty where nothing sensible is left."""
    message = _UNSPOKEN.sub(" ", message.replace("_", "").replace("\n", " "))
    # Marks (the vowels of Indian scripts) are no word characters to the regular expression, yet they
    # are read.
    marked = (c if c.isalnum() or c in " ,.;:!?'’-" or category(c)[0] == "M" else " " for c in message)
    message = "".join(marked)
    message = re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", message)).strip(" ,.;:-'’")
    letters = sum(character.isalpha() or category(character)[0] == "M" for character in message)
    shouted = sum(character.isupper() for character in message)
    if letters < 12 or letters < 0.7 * len(message) or shouted > 0.3 * letters:
        return ""
    return message


@lru_cache(maxsize=64)
def messages(language: str) -> tuple[str, ...]:
    """Sentences of 12 letters to 90 characters from the message catalogues of a locale such as "de"; English
    is "en".
    """
    # English messages are the keys of any other language's catalogues; French has about the most.
    folder = _LOCALES / ("fr" if language == "en" else language) / "LC_MESSAGES"
    listed: set[str] = set()
    for path in sorted(folder.glob("*.mo")):
        try:
            with path.open("rb") as stream:
                catalogue = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        except (OSError, UnicodeDecodeError, ValueError):
            continue
        pairs = ((key if language == "en" else value) for key, value in catalogue.items())
        listed.update(message for message in pairs if isinstance(message, str) and 12 <= len(message) <= 140)
    candidates = sorted(listed)
    random.Random(language).shuffle(candidates)
    kept: dict[str, None] = {}
    for message in candidates:
        text = _spoken(message)
        foreign = language in _OWN_SCRIPT and re.search("[A-Za-z]", text)
        if text and len(text) <= 90 and not foreign:
            kept[text] = None
        if len(kept) == _MESSAGES_A_LANGUAGE:
            break
    return tuple(kept)


@lru_cache(maxsize=64)
def words(language: str) -> tuple[str, ...]:
    """Words of 3 to 14 letters from the word list of a language, or else from its messages."""
    listed = Path("/usr/share/dict") / _WORD_LISTS.get(language[:2], "none")
    if listed.exists():
        source = listed.read_text(encoding="utf-8", errors="ignore").splitlines()
        step = max(1, len(source) // 20000)
        source = source[::step]
    else:
        source = " ".join(messages(language)).split()
    kept = {word.strip(",.;:!?'") for word in source}
    return tuple(
        sorted(w for w in kept if 3 <= len(w) <= 14 and not w.isupper() and not re.search(r"[\d\W]{2}", w))
    )


def pseudo_word(rng: random.Random) -> str:
    """One to three syllables, most of them beginning with a lip sound."""
    parts: list[str] = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        onset = rng.choice("ppbbmmfvw") if rng.random() < 0.65 else rng.choice("tdknglrszh")
        if rng.random() < 0.12 and onset in "pbf":
            onset += rng.choice("lr")
        parts.append(onset + rng.choice("aaaeeiioouu"))
    coda = rng.choice(("", "", "", "m", "n", "p", "b", "l", "s", "t"))
    return "".join(parts) + coda


def minimal_set(rng: random.Random) -> str:
    """The same pseudo-word with one consonant changed again and again: "bami dami gami", in random order."""
    families = "mn mn mnw mnl nmv bdg ptk bv pf mbp wvb nd mw gb kp"
    family = rng.choice(families.split())
    vowel, other = rng.choice("aeiou"), rng.choice("aeiou")
    tail = rng.choice(("", "", "n", "l", "s")) if rng.random() < 0.5 else rng.choice("tdnlskr") + other
    head = rng.choice(("", "", "a", "e", "i", "o", "u"))
    members = [head + consonant + vowel + tail for consonant in family] * rng.choice((1, 2))
    rng.shuffle(members)
    return " ".join(members)


def in_script(made: str, language: str) -> str:
    """A Latin pseudo-word sentence in the script that a language's voices can read."""
    if language in ("ru", "uk", "bg"):
        return "".join(_CYRILLIC.get(letter, letter) for letter in made)
    if language not in ("hi", "mr", "te"):
        return made
    out: list[str] = []
    for before, letter in zip(" " + made, made, strict=False):
        table = (
            _DEVANAGARI_FIRST
            if letter in "aeiou" and (before in "aeiou" or not before.isalpha())
            else _DEVANAGARI
        )
        written = table.get(letter, letter)
        shifted = language == "te" and written != letter
        out.append(chr(ord(written) + _TELUGU_OFFSET) if shifted else written)
    return "".join(out)


def text(language: str, rng: random.Random) -> str:
    """One utterance's text: nearly half the time a message, a quarter of the time words, else pseudo-words and
    minimal sets.
    """
    kind = rng.random()
    sentences, lexicon = messages(language), words(language)
    if kind < 0.46 and sentences:
        return rng.choice(sentences)
    if kind < 0.7 and lexicon:
        return _punctuated([rng.choice(lexicon) for _ in range(rng.randint(2, 8))], rng)
    if rng.random() < 0.5:
        return in_script(minimal_set(rng), language)
    return in_script(_punctuated([pseudo_word(rng) for _ in range(rng.randint(2, 7))], rng), language)


def _punctuated(listed: list[str], rng: random.Random) -> str:
    """Words as a sentence with a comma now and then."""
    spoken = [
        word + ("," if rng.random() < 0.12 and index < len(listed) - 1 else "")
        for index, word in enumerate(listed)
    ]
    return " ".join(spoken) + rng.choice((".", ".", "?", "!"))
