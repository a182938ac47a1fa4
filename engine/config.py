# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of an ARTalk network, read from its configuration. Standard library only.

Two spellings are understood: the published `config.json` (`AR_CONFIG`, `VAE_CONFIG`) and the flat one of
our own `.npz` files (`T_DEPTH`, `WIDTH`, `VAE` ...). Whatever a file leaves out has the published value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

from .errors import EngineError

AUDIO_ENCODERS = ("wav2vec", "mimi", "mel")
SAMPLE_RATE = 16000
FPS = 25
MEL_DEFAULTS = {"BANDS": 80, "WIDTH": 192, "BLOCKS": 6, "KERNEL": 9, "EXPANSION": 2, "STEM_KERNEL": 5}
CHUNK_SAMPLES = 64000
CHUNK_FRAMES = 100

_FLAT_NAMES = {
    "T_DEPTH": "depth", "PREV_RATIO": "prev_ratio", "V_SCALES": "scales", "WIDTH": "width", "HEADS": "heads",
    "CODE_DIM": "code_dim", "MOTION_DIM": "motion_dim", "FFN_RATIO": "ffn_ratio", "COND_DIM": "cond_dim",
    "AUDIO_ENCODER": "audio_encoder", "STYLE_GUIDANCE": "style_guidance", "MEL": "mel",
}
_VAE_NAMES = {"HIDDEN": "vae_width", "DEPTH": "vae_depth", "HEADS": "vae_heads", "FFN_RATIO": "vae_ffn_ratio"}
_STYLE_NAMES = {
    "WIDTH": "style_width", "DEPTH": "style_depth", "HEADS": "style_heads", "HIDDEN": "style_hidden",
    "ROWS": "style_rows",
}
_PUBLISHED_AR = {
    "T_DEPTH": "depth", "T_NUM_HEADS": "heads", "PREV_RATIO": "prev_ratio", "AUDIO_ENCODER": "audio_encoder",
}
_PUBLISHED_VAE = {
    "MOTION_DIM": "motion_dim", "V_CODE_DIM": "code_dim", "V_PATCH_NUMS": "scales",
    "T_HIDDEN_DIM": "vae_width", "T_DEPTH": "vae_depth", "T_NUM_HEADS": "vae_heads",
}


@dataclass(frozen=True)
class NetworkConfig:
    """Every size that the published network fixes, with the published value as the default."""

    depth: int = 12                 # blocks of the generator
    prev_ratio: int = 1             # chunks of history the generator sees
    scales: tuple[int, ...] = (1, 5, 25, 50, 100)
    width: int = 768
    heads: int = 12
    ffn_ratio: float = 4.0
    code_dim: int = 32              # bits of one code
    motion_dim: int = 106
    audio_encoder: str = "wav2vec"
    cond_dim: int = 0               # audio feature width; 0 asks for the encoder's own
    style_guidance: float = 1.1
    vae_width: int = 512
    vae_depth: int = 8
    vae_heads: int = 8
    vae_ffn_ratio: float = 1.5
    style_width: int = 128
    style_depth: int = 4
    style_heads: int = 4
    style_hidden: int = 512
    style_rows: int = 600           # rows of the style encoder's position table
    mel: Mapping[str, Any] = field(default_factory=dict)   # sizes of MelEncoder

    @property
    def tokens(self) -> int:
        """Tokens of one chunk over all scales (181)."""
        return sum(self.scales)

    @property
    def frames(self) -> int:
        """Model frames of one chunk (100)."""
        return self.scales[-1]

    @property
    def audio_width(self) -> int:
        """Width of the audio features that condition the generator."""
        own = {"wav2vec": 1024, "mimi": 512, "mel": self.mel_sizes()["WIDTH"]}
        return self.cond_dim or own[self.audio_encoder]

    def mel_sizes(self) -> dict[str, int]:
        """Sizes of the log-mel encoder, complete."""
        return {name: int(self.mel.get(name, value)) for name, value in MEL_DEFAULTS.items()}

    def spans(self) -> list[tuple[int, int]]:
        """(first token, one past the last) of every scale."""
        ends = [sum(self.scales[: i + 1]) for i in range(len(self.scales))]
        return list(zip([0, *ends[:-1]], ends, strict=True))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkConfig:
        """Read either spelling; unknown entries of the flat spelling are left alone."""
        values: dict[str, Any] = {}
        if "AR_CONFIG" in data or "VAE_CONFIG" in data:
            _take(data.get("AR_CONFIG", {}), _PUBLISHED_AR, values)
            _take(data.get("VAE_CONFIG", {}), _PUBLISHED_VAE, values)
        else:
            _take(data, _FLAT_NAMES, values)
            _take(data.get("VAE", {}), _VAE_NAMES, values)
            _take(data.get("STYLE", {}), _STYLE_NAMES, values)
        try:
            config = cls(**{name: _convert(name, value) for name, value in values.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise EngineError(f"The model's configuration cannot be read: {error}.", code="bad_file") from None
        config.check()
        return config

    def to_dict(self) -> dict[str, Any]:
        """The flat spelling, complete, ready for json."""
        flat: dict[str, Any] = {name: getattr(self, attribute) for name, attribute in _FLAT_NAMES.items()}
        flat["V_SCALES"] = list(self.scales)
        flat["MEL"] = self.mel_sizes()
        flat["VAE"] = {name: getattr(self, attribute) for name, attribute in _VAE_NAMES.items()}
        flat["STYLE"] = {name: getattr(self, attribute) for name, attribute in _STYLE_NAMES.items()}
        return flat

    def check(self) -> None:
        """Raise EngineError naming the first size that cannot be."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int) and entry.name != "cond_dim" and not 0 < value <= 65536:
                raise _bad(f"{entry.name} is {value}")
        for name, value in self.mel_sizes().items():
            if not 0 < value <= 4096:
                raise _bad(f"{name} of its audio encoder is {value}")
        if not (0 < self.ffn_ratio <= 64 and 0 < self.vae_ffn_ratio <= 64):
            raise _bad("its feed-forward layers have no width")
        if self.audio_encoder not in AUDIO_ENCODERS:
            raise _bad(f"the audio encoder {self.audio_encoder!r} is not one of {', '.join(AUDIO_ENCODERS)}")
        rising = all(a < b for a, b in pairwise(self.scales))
        if not self.scales or self.scales[0] < 1 or not rising or self.scales[-1] != CHUNK_FRAMES:
            raise _bad(f"the scales {list(self.scales)} do not rise to {CHUNK_FRAMES} frames")
        for width, heads in ((self.width, self.heads), (self.vae_width, self.vae_heads),
                             (self.style_width, self.style_heads)):
            if width % heads:
                raise _bad(f"a width of {width} cannot be shared by {heads} attention heads")


def _bad(what: str) -> EngineError:
    return EngineError(f"The model's configuration is not usable: {what}.", code="bad_file")


def _take(source: Any, names: Mapping[str, str], into: dict[str, Any]) -> None:
    if not isinstance(source, Mapping):
        raise _bad("a section is not a table of names and values")
    into.update({attribute: source[name] for name, attribute in names.items() if name in source})


def _convert(name: str, value: Any) -> Any:
    """Give a json value the type of its field; refuse what would be cut silently."""
    if name == "scales":
        return tuple(_convert("depth", item) for item in value)
    if name == "mel":
        return {key: _convert("depth", item) for key, item in value.items()}
    kind: type = type(getattr(NetworkConfig, name))
    if kind is int and (isinstance(value, bool) or int(value) != value):
        raise ValueError(f"{name} is {value!r}, not a whole number")
    return kind(value)
