# SPDX-License-Identifier: GPL-3.0-or-later
"""Free speech synthesisers that tell when each phone sounds: eSpeak NG, Flite and Festival.

Each turns a text into 16-bit samples at its own rate and labelled phones. eSpeak NG and Flite run through
their shared libraries, Festival as a program that reads a batch of texts. Training only; the Debian packages
are espeak-ng, flite, festival and festvox-*.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from .phones import Phone, cut, labels_of_ipa, labels_of_symbol


@dataclass
class Speech:
    """One synthesised utterance."""

    samples: np.ndarray  # (N,) int16
    rate: int  # Hz
    phones: list[Phone]
    unknown: list[str] = field(default_factory=list)  # symbols that had no label


class SynthesisError(RuntimeError):
    """A synthesiser is missing or refused to work."""


# --- eSpeak NG ------------------------------------------------------------------------------------

_ESPEAK_PHONEME = 7
_CLOSURE_LEVEL = 8  # of 32767
_ESPEAK_RATE, _ESPEAK_PITCH, _ESPEAK_RANGE = 1, 3, 4


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _EventId),
    ]


class Espeak:
    """The one eSpeak NG of this process."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise SynthesisError(f"eSpeak NG is not installed: {error}") from error
        synchronous, phoneme_events_in_ipa = 2, 1 | 2
        self.rate = int(self._library.espeak_Initialize(synchronous, 0, None, phoneme_events_in_ipa))
        self._pieces: list[bytes] = []
        self._events: list[tuple[int, str]] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback = kind(self._receive)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(
        self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type:
            if events[index].type == _ESPEAK_PHONEME:
                name = bytes(events[index].id.string).decode("utf-8", "ignore")
                self._events.append((events[index].sample, name))
            index += 1
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int, pitch_range: int) -> Speech:
        """Speak a text; voice such as "de+f2", speed in words per minute, pitch and range 0..100."""
        self._pieces.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SynthesisError(f"eSpeak NG has no voice {voice}")
        settings = ((_ESPEAK_RATE, speed), (_ESPEAK_PITCH, pitch), (_ESPEAK_RANGE, pitch_range))
        for parameter, value in settings:
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        utf8 = 1
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        samples = np.frombuffer(b"".join(self._pieces), dtype=np.int16)
        return self._labelled(samples)

    def _labelled(self, samples: np.ndarray) -> Speech:
        phones: list[Phone] = []
        unknown: list[str] = []
        ends = [sample for sample, _ in self._events[1:]] + [len(samples)]
        for (sample, name), end in zip(self._events, ends, strict=True):
            labels = labels_of_ipa(name)
            start_s, end_s = sample / self.rate, min(end, len(samples)) / self.rate
            if labels:
                phones += cut(start_s, end_s, labels)
            elif not name.strip("ˈˌ |_:"):
                phones.append((start_s, end_s, "sil"))
            else:
                # A glottal stop or a modifier of its own belongs to the sound before it.
                unknown.append(name)
                if phones:
                    phones[-1] = (phones[-1][0], end_s, phones[-1][2])
        return Speech(samples, self.rate, _with_closures(samples, self.rate, phones), unknown)


def _with_closures(samples: np.ndarray, rate: int, phones: list[Phone]) -> list[Phone]:
    """Give each voiceless stop the silence before it: eSpeak NG reports a stop at its burst, not at its
    closure.
    """
    silent = np.abs(samples.astype(np.int32)) <= _CLOSURE_LEVEL
    out: list[Phone] = []
    for start, end, label in phones:
        if label in ("P", "T", "K", "CH") and out:
            before = out[-1]
            pause = before[2] == "sil"
            earliest = max(before[0] + (0.0 if pause else 0.02), start - (0.06 if pause else 0.2))
            # The burst itself may begin a few milliseconds before its event.
            at = int(start * rate)
            for _ in range(int(0.012 * rate)):
                if at > 0 and at < len(silent) and not silent[at]:
                    at -= 1
            while at > earliest * rate and silent[at - 1]:
                at -= 1
            closed = at / rate
            if closed < start - 0.012 and closed >= earliest - 1.0 / rate:
                out[-1] = (before[0], closed, before[2])
                start = closed
        out.append((start, end, label))
    return out


# --- Flite ----------------------------------------------------------------------------------------

FLITE_VOICES = ("slt", "awb", "rms", "kal", "kal16")


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("features", ctypes.c_void_p)]


class Flite:
    """Flite's compiled-in English voices."""

    def __init__(self) -> None:
        try:
            names = ("", "_usenglish", "_cmulex")
            libraries = [ctypes.CDLL(f"libflite{name}.so.1", mode=ctypes.RTLD_GLOBAL) for name in names]
        except OSError as error:
            raise SynthesisError(f"Flite is not installed: {error}") from error
        self._library = libraries[0]
        self._voices: dict[str, ctypes._Pointer[_Voice]] = {}
        pointer, text, single = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float
        for name, result, arguments in (
            ("flite_synth_text", pointer, [text, pointer]), ("utt_wave", ctypes.POINTER(_Wave), [pointer]),
            ("utt_relation", pointer, [pointer, text]), ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]), ("item_feat_string", text, [pointer, text]),
            ("item_feat_float", single, [pointer, text]), ("delete_utterance", None, [pointer]),
            ("feat_set_float", None, [pointer, text, single]),
        ):  # fmt: skip
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._library.flite_init()

    def _voice(self, name: str) -> ctypes._Pointer[_Voice]:
        if name not in self._voices:
            library = ctypes.CDLL(f"libflite_cmu_us_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
            register = getattr(library, f"register_cmu_us_{name}")
            register.restype, register.argtypes = ctypes.POINTER(_Voice), [ctypes.c_void_p]
            self._voices[name] = register(None)
        return self._voices[name]

    def say(self, text: str, voice: str, stretch: float = 1.0, pitch_hz: float | None = None) -> Speech:
        """Speak an English text; stretch > 1 is slower, pitch is the mean fundamental."""
        handle = self._voice(voice)
        features = handle.contents.features
        self._library.feat_set_float(features, b"duration_stretch", stretch)
        if pitch_hz is not None:
            self._library.feat_set_float(features, b"int_f0_target_mean", pitch_hz)
        utterance = self._library.flite_synth_text(
            text.encode("ascii", "ignore"), ctypes.cast(handle, ctypes.c_void_p)
        )
        if not utterance:
            raise SynthesisError("Flite could not speak a text")
        wave = self._library.utt_wave(utterance).contents
        samples = np.ctypeslib.as_array(wave.samples, shape=(wave.count,)).copy()
        segments: list[tuple[float, str]] = []
        item = self._library.relation_head(self._library.utt_relation(utterance, b"Segment"))
        while item:
            name = self._library.item_feat_string(item, b"name").decode()
            segments.append((self._library.item_feat_float(item, b"end"), name))
            item = self._library.item_next(item)
        speech = labelled_segments(samples, wave.rate, segments, "en")
        self._library.delete_utterance(utterance)
        return speech


def labelled_segments(
    samples: np.ndarray, rate: int, segments: list[tuple[float, str]], language: str
) -> Speech:
    """Speech of segments given as (end s, symbol)."""
    phones: list[Phone] = []
    unknown: list[str] = []
    start = 0.0
    for end, symbol in segments:
        labels = labels_of_symbol(language, symbol)
        if labels:
            phones += cut(start, end, labels)
        else:
            if labels is None:
                unknown.append(symbol)
            if phones:
                phones[-1] = (phones[-1][0], end, phones[-1][2])
        start = end
    return Speech(samples, rate, phones, unknown)


# --- Festival -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FestivalVoice:
    """A Festival voice by the name that its `voice_` function bears."""

    name: str
    language: str
    encoding: str = "ascii"


FESTIVAL_VOICES = (
    FestivalVoice("cmu_us_slt_arctic_hts", "en"), FestivalVoice("kal_diphone", "en"),
    FestivalVoice("ked_diphone", "en"),
    FestivalVoice("lp_diphone", "it"), FestivalVoice("pc_diphone", "it"),
    FestivalVoice("hy_fi_mv_diphone", "fi", "latin-1"), FestivalVoice("suo_fi_lj_diphone", "fi", "latin-1"),
    FestivalVoice("upc_ca_ona_hts", "ca", "latin-1"),
    FestivalVoice("czech_dita", "cs", "iso8859-2"), FestivalVoice("czech_machac", "cs", "iso8859-2"),
    FestivalVoice("czech_ph", "cs", "iso8859-2"), FestivalVoice("czech_krb", "cs", "iso8859-2"),
    FestivalVoice("msu_ru_nsh_clunits", "ru", "utf-8"),
    FestivalVoice("hindi_NSK_diphone", "hi", "utf-8"), FestivalVoice("marathi_NSK_diphone", "mr", "utf-8"),
    FestivalVoice("telugu_NSK_diphone", "te", "utf-8"),
)  # fmt: skip

# A text that a voice cannot speak is an error in Scheme; it must not end the batch.
_FESTIVAL_SCRIPT = """(voice_{voice})
(define (speak number text stretch)
  (unwind-protect
    (begin
      (Parameter.set 'Duration_Stretch stretch)
      (set! utterance (utt.synth (eval (list 'Utterance 'Text text))))
      (utt.save.wave utterance (format nil "{folder}/%d.wav" number) 'riff)
      (utt.save.segs utterance (format nil "{folder}/%d.lab" number)))
    (format t "failed %d" number)))
"""


def festival(voice: FestivalVoice, texts: list[str], stretches: list[float]) -> Iterator[tuple[int, Speech]]:
    """Speak texts with one voice, each with its number; those that it cannot speak are left out."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [_FESTIVAL_SCRIPT.format(voice=voice.name, folder=folder).encode()]
        for number, (text, stretch) in enumerate(zip(texts, stretches, strict=True)):
            quoted = text.replace("\\", " ").replace('"', " ").encode(voice.encoding, "ignore")
            lines.append(b'(speak %d "%s" %.3f)\n' % (number, quoted, stretch))
        script = Path(folder) / "batch.scm"
        script.write_bytes(b"".join(lines))
        try:
            subprocess.run(["festival", "-b", str(script)], capture_output=True, check=False, timeout=3600)
        except FileNotFoundError as error:
            raise SynthesisError("Festival is not installed") from error
        for number in range(len(texts)):
            label, wave = Path(folder) / f"{number}.lab", Path(folder) / f"{number}.wav"
            if not label.exists() or not wave.exists():
                continue
            rate, samples = wavfile.read(wave)
            rows = [
                line.split()
                for line in label.read_text(errors="replace").splitlines()
                if not line.startswith("#")
            ]
            segments = [(float(row[0]), row[2]) for row in rows if len(row) >= 3]
            yield number, labelled_segments(samples.astype(np.int16), rate, segments, voice.language)
