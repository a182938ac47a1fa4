# SPDX-License-Identifier: GPL-3.0-or-later
"""The phone labels of the training speech, and how each synthesiser's own symbols become them.

Thirty-five ARPAbet-like phones and silence. Diphthongs are cut in two, so a label always means one mouth
shape; languages share the labels, each sound going to the one whose lips look the same. Standard library
only.
"""

from __future__ import annotations

SILENCE = "sil"
VOWELS = ("AA", "AE", "AH", "AO", "AX", "EH", "ER", "IH", "IY", "UH", "UW")
CONSONANTS = ("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH",
              "T", "TH", "V", "W", "Y", "Z", "ZH")  # fmt: skip
LABELS = (SILENCE, *VOWELS, *CONSONANTS)
BILABIALS = ("P", "B", "M")
INDEX = {label: index for index, label in enumerate(LABELS)}

Phone = tuple[float, float, str]  # start (s), end (s), label

# Symbols of the international phonetic alphabet, one character each; modifiers that change no lip are left
# out.
_IPA = {
    "AA": "aɑ", "AE": "æ", "AH": "ʌɐɜ", "AO": "ɔɒo", "AX": "əɤɘ", "EH": "eɛε", "ER": "ɚɝøœɵɞɶ",
    "IH": "ɪɨᵻɯ", "IY": "i",
    "UH": "ʊɷ", "UW": "uʉyʏ", "B": "bβɓʙ", "D": "dɖɗ", "DH": "ð", "F": "fɸ", "G": "ɡgɟɢɣɰɠʛ", "HH": "hɦxχħçʜ",
    "K": "kqc", "L": "lɫɭʎɬɮʟ", "M": "m", "N": "nɲɳ", "NG": "ŋɴ", "P": "p", "R": "rɹɾʁʀɻɽɺ", "S": "s",
    "SH": "ʃɕʂ",
    "T": "tʈ", "TH": "θ", "V": "vʋɱ", "W": "wʍɥ", "Y": "jʝ", "Z": "z", "ZH": "ʒʑʐ",
}  # fmt: skip
_IPA_LABEL = {symbol: label for label, symbols in _IPA.items() for symbol in symbols}
_IPA_PAIRS = {"tʃ": "CH", "tɕ": "CH", "ʈʂ": "CH", "dʒ": "JH", "dʑ": "JH", "ɖʐ": "JH"}

_PAUSES = ("pau", "h#", "brth", "#", "##", "SIL")
# The Festival and Flite phone sets. A symbol that is missing here and is no ARPAbet name counts as unknown.
_US_ENGLISH = {
    "aw": "AA UH", "ay": "AA IH", "oy": "AO IH", "ey": "EH IH", "ow": "AO UH",
    "dx": "D", "el": "L", "em": "M", "en": "N", "nx": "N", "hv": "HH", "axr": "ER",
}  # fmt: skip
_ITALIAN = {
    "a": "AA", "e": "EH", "E": "EH", "i": "IY", "o": "AO", "O": "AO", "u": "UW", "j": "Y", "ts": "T S",
    "dz": "D Z", "tS": "CH", "dZ": "JH", "S": "SH", "Z": "ZH", "J": "N", "ng": "NG", "nf": "V", "L": "L",
}  # fmt: skip
_FINNISH = {
    "a": "AA", "e": "EH", "i": "IY", "o": "AO", "u": "UW", "h": "HH", "y": "UW", "@": "AE", "7": "ER",
    "&": "AX", "T": "T", "S": "SH", "N": "NG", "j": "Y",
}  # fmt: skip
_CATALAN = {
    "_": "sil", "ax": "AX", "a": "AA", "e": "EH", "E": "EH", "i": "IY", "o": "AO", "O": "AO", "u": "UW",
    "J": "N", "L": "L", "rr": "R", "S": "SH", "Z": "ZH", "j": "Y", "ts": "T S",
}  # fmt: skip
_CZECH = {
    "_": "", "a": "AA", "e": "EH", "i": "IY", "o": "AO", "u": "UW", "c": "T S", "c~": "CH", "ch": "HH",
    "d~": "D", "dz": "D Z", "dz~": "JH", "j": "Y", "n*": "NG", "n~": "N", "r~": "ZH", "r~*": "SH", "s~": "SH",
    "t~": "T", "z~": "ZH", "h": "HH",
}  # fmt: skip
_RUSSIAN = {
    "ii": "IY", "i": "IH", "yy": "IH", "y": "IH", "uu": "UW", "u": "UH", "ee": "EH", "e": "IH", "oo": "AO",
    "aa": "AA",
    "a": "AH", "ae": "IH", "ay": "AX", "ur": "UH", "c": "T S", "ch": "CH", "sh": "SH", "sch": "SH",
    "zh": "ZH",
    "h": "HH", "hh": "HH", "j": "Y",
}  # fmt: skip
_INDIAN = {
    "h": "HH", "a": "AH", "aa": "AA", "ee": "IY", "oo": "UW", "oh": "AO", "ay": "EH", "aw": "AO", "D": "D",
    "N": "N", "L": "L",
    "R": "R", "T": "T", "th": "T", "dh": "D", "bh": "B", "gh": "G", "kh": "K", "j": "JH", "td": "T",
    "tth": "T",
    "ddh": "D", "x": "HH", "y": "Y", "ksh": "K SH", "sri": "SH R", "@": "AX",
}  # fmt: skip
_TABLES = {"en": _US_ENGLISH, "it": _ITALIAN, "fi": _FINNISH, "ca": _CATALAN, "cs": _CZECH, "ru": _RUSSIAN,
           "hi": _INDIAN, "te": _INDIAN, "mr": _INDIAN}  # fmt: skip


def labels_of_ipa(symbols: str) -> list[str]:
    """Labels of one phone written in IPA, such as a diphthong or an affricate; empty when it holds none
    known.
    """
    found: list[str] = []
    position = 0
    while position < len(symbols):
        pair = symbols[position : position + 2]
        if pair in _IPA_PAIRS:
            found.append(_IPA_PAIRS[pair])
            position += 2
            continue
        label = _IPA_LABEL.get(symbols[position])
        # In "əl" and the like each part keeps its own label; a doubled letter is one long sound.
        if label is not None and found[-1:] != [label]:
            found.append(label)
        position += 1
    return found


def labels_of_symbol(language: str, symbol: str) -> list[str] | None:
    """Labels of a Festival or Flite phone; None when the symbol is unknown, empty when it belongs to its
    neighbour.
    """
    if symbol in _PAUSES:
        return [SILENCE]
    table = _TABLES[language]
    for key in (symbol, symbol.rstrip("1:")):
        if key in table:
            return table[key].split()
    plain = symbol.rstrip("1:").upper()
    if plain in INDEX:
        return [plain]
    # Russian writes a palatalised consonant double; its lips are those of the plain one.
    if len(plain) == 2 and plain[0] == plain[1] and plain[0] in INDEX:
        return [plain[0]]
    return None


def cut(start: float, end: float, labels: list[str]) -> list[Phone]:
    """One phone's time shared among its labels: the first part of a diphthong is the longer one."""
    if len(labels) == 1:
        return [(start, end, labels[0])]
    shares = [0.55, 0.45] if len(labels) == 2 else [1.0 / len(labels)] * len(labels)
    phones: list[Phone] = []
    at = start
    for share, label in zip(shares, labels, strict=True):
        phones.append((at, at + share * (end - start), label))
        at = phones[-1][1]
    return phones


def tidy(phones: list[Phone], duration: float, shortest_pause: float = 0.060) -> list[Phone]:
    """Phones covering 0..duration without gaps: short pauses go to the phone before, equal neighbours are
    joined.

    Phones of no length are dropped. Gaps become silence.
    """
    filled: list[Phone] = []
    at = 0.0
    for start, end, label in sorted(phones):
        start, end = max(start, at), min(end, duration)
        if end - start < 1e-4:
            continue
        if start - at > 1e-4:
            filled.append((at, start, SILENCE))
        filled.append((start, end, label))
        at = end
    if duration - at > 1e-4:
        filled.append((at, duration, SILENCE))
    joined: list[Phone] = []
    for start, end, label in filled:
        previous = joined[-1] if joined else None
        short = label == SILENCE and end - start < shortest_pause and start > 0.0 and end < duration
        if previous is not None and (short or previous[2] == label):
            joined[-1] = (previous[0], end, previous[2])
        else:
            joined.append((start, end, label))
    return joined
