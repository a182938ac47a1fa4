# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes assets/default_model.npz: one seeded command from nothing to the finished file.

    python -m engine.training.make_default_model                     # everything: some hours on two cores
    python -m engine.training.make_default_model --from generator    # that step and all after it, again

The steps: corpus, encoder, codec, imagined (pre-training without sound), sounds, lessons, generator, pack, styles.
Each step leaves its result in build/, and a step whose result is there is not repeated unless --from names it
or one before. Needs torch, scipy and the free speech synthesisers that engine.training.corpus names.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..config import NetworkConfig
from ..mel_encoder import MelEncoder, load_encoder
from ..network import Network
from . import lessons as lesson_module
from . import train_codec, train_generator
from .default_sizes import BUILD, MODEL_FILE, default_config, lip_gains
from .hearing import Hearing
from .lessons import Heard, Lesson
from .phones import LABELS
from .visemes import activations

CODEC, IMAGINED, GENERATOR = "codec.pt", "generator_imagined.pt", "generator.pt"
SOUNDS, LESSONS = "sounds.pkl", "lessons.pkl"
FITTED = 80
"""Lessons that fit one kind of features to another."""
SILENT_SHARE = 0.03
"""Lessons of silence for each lesson of speech."""


def imagined_lessons(count: int, seed: int, width: int) -> list[Lesson]:
    """Lessons of random phone strings, half a minute each."""
    gains = lip_gains()
    return [
        lesson_module.imagined_lesson(seed * 1_000_000 + index, 30.0, width, gains) for index in range(count)
    ]


def heard_sounds(corpus: Path, seed: int, minutes: float) -> list[Heard]:
    """Synthetic speech as it may be heard, up to so many minutes; three in five groups disturbed."""
    from .corpus import load_corpus
    from .disturb import disturbed_mel

    rng = np.random.default_rng(seed)
    utterances = list(load_corpus(corpus))
    made: list[Heard] = []
    total = 0.0
    for group in lesson_module.grouped((utterances[i] for i in rng.permutation(len(utterances))), 24.0):
        sounds, _phones, _seconds = lesson_module.joined(group)
        made.append(lesson_module.heard(group, disturbed_mel(sounds, rng, clean=rng.random() < 0.4)))
        total += made[-1].seconds
        if total >= 60 * minutes:
            break
    return made


def assemble(config: NetworkConfig, encoder: MelEncoder, trainee: train_generator.Trainee) -> Network:
    """All trained parts under the published names."""
    network = Network(config)
    network.load_state_dict(trainee.generator.state_dict(), strict=False)
    network.basic_vae.load_state_dict(trainee.codec.state_dict())
    network.style_encoder.load_state_dict(trainee.style_encoder.state_dict())
    network.audio_encoder.load_state_dict(encoder.state_dict(), strict=False)
    quiet = (
        trainee.codec.motion_std == train_codec.UNUSED_STD
    )  # channels that never move stay exactly at rest
    network.basic_vae.decoder.out_mapping.weight.data[quiet] = 0
    network.basic_vae.decoder.out_mapping.bias.data[quiet] = 0
    return network


def write_model(network: Network, path: Path) -> None:
    """One npz, the same bytes for the same weights: float16 tensors under sorted names, `config` as json."""
    arrays: dict[str, np.ndarray] = {"config": np.array(json.dumps(network.config.to_dict(), sort_keys=True))}
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().numpy()
        arrays[name] = array.astype(np.float16) if array.dtype == np.float32 else array
    partial = path.with_name(path.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    partial.replace(path)


def pack(codec: Path, generator: Path, encoder_file: Path, out: Path) -> None:
    """Put the trained parts into one file."""
    encoder = load_encoder(encoder_file)
    config = default_config(dict(encoder.config))
    trainee = train_generator.new_trainee(config, codec)
    trainee.hearing = Hearing(encoder)
    train_generator.load_into(trainee, generator)
    encoder = trainee.hearing.student
    write_model(assemble(config, encoder, trainee), out)
    print(f"{out.name}: {out.stat().st_size / 1e6:.2f} MB")


def _call(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"engine.training.{module}", *arguments], check=True)


def _encoder(given: argparse.Namespace) -> None:
    _call(
        "train_mel_encoder",
        "--corpus",
        str(given.corpus),
        "--out",
        str(given.encoder.parent),
        "--steps",
        str(given.encoder_steps),
    )


def _imagined(given: argparse.Namespace) -> None:
    config = default_config()
    trainee = train_generator.new_trainee(config, given.build / CODEC)
    lessons = imagined_lessons(given.imagined_lessons, given.seed, config.audio_width)
    schedule = train_generator.Schedule(given.imagined_steps, seed=given.seed, own_errors_from=2.0)
    train_generator.train(trainee, lessons, schedule, given.build / IMAGINED)


def _sounds(given: argparse.Namespace) -> None:
    (given.build / SOUNDS).write_bytes(pickle.dumps(heard_sounds(given.corpus, given.seed, given.minutes)))


def _lessons(given: argparse.Namespace) -> None:
    encoder, gains = load_encoder(given.encoder), lip_gains()
    made = [
        lesson_module.heard_lesson(
            sound, encoder, gains, given.seed * 1000 + index, given.trust, given.threshold
        )
        for index, sound in enumerate(pickle.loads((given.build / SOUNDS).read_bytes()))
    ]
    silent = lesson_module.silent_lesson(encoder, 30.0)
    made += [silent] * round(SILENT_SHARE * len(made))
    (given.build / LESSONS).write_bytes(pickle.dumps(made))
    print(f"{len(made)} lessons, {sum(lesson.frames for lesson in made) / 1500:.0f} minutes")


def _generator(given: argparse.Namespace) -> None:
    """From the imagined generator, or from --start, which may be used to another encoder (--start-encoder).
    """
    encoder = load_encoder(given.encoder)
    config = default_config(dict(encoder.config))
    trainee = train_generator.new_trainee(config, given.build / CODEC)
    train_generator.load_into(trainee, given.start or given.build / IMAGINED)
    lessons = pickle.loads((given.build / LESSONS).read_bytes())
    few = pickle.loads((given.build / SOUNDS).read_bytes())[:FITTED]
    if given.start is None:
        rehear(trainee, lessons[:FITTED], imagined_for(few, config.audio_width))
    elif given.start_encoder is not None:
        rehear(trainee, lessons[:FITTED], heard_by(few, load_encoder(given.start_encoder)))
    if not given.frozen_encoder:
        trainee.hearing = Hearing(encoder)
        if given.start is not None and given.start_encoder is None:
            train_generator.load_into(trainee, given.start)
    schedule = train_generator.Schedule(given.steps, given.rate, seed=given.seed, kept=given.keep)
    train_generator.train(trainee, lessons, schedule, given.build / GENERATOR)


def heard_by(sounds: list[Heard], encoder: MelEncoder) -> list[np.ndarray]:
    """Features (N50,D) of the sounds by an encoder."""
    with torch.inference_mode():
        return [encoder(torch.from_numpy(sound.mel.astype(np.float32))[None])[0].numpy() for sound in sounds]


def rehear(trainee: train_generator.Trainee, lessons: list[Lesson], old: list[np.ndarray]) -> None:
    """Change the generator over to the lessons' features from the ``old`` ones of the same moments, (N50,D)
    each.
    """
    sizes = [min(len(lesson.features), len(before)) for lesson, before in zip(lessons, old, strict=True)]
    before = np.concatenate([features[:size] for features, size in zip(old, sizes, strict=True)])
    after = np.concatenate([lesson.features[:size] for lesson, size in zip(lessons, sizes, strict=True)])
    train_generator.change_hearing(trainee.generator, before, after)


def imagined_for(sounds: list[Heard], width: int) -> list[np.ndarray]:
    """What the imagined features of heard speech would be."""
    active = [activations(sound.phones, len(sound.prosody.pitch), LABELS) for sound in sounds]
    return [
        lesson_module.imagined_features(phones, sound.prosody, width)
        for phones, sound in zip(active, sounds, strict=True)
    ]


def _corpus(given: argparse.Namespace) -> None:
    _call("corpus", "--hours", str(given.hours), "--out", str(given.corpus))


def _codec(given: argparse.Namespace) -> None:
    _call(
        "train_codec",
        "--steps",
        str(given.codec_steps),
        "--clips",
        str(given.codec_clips),
        "--out",
        str(given.build / CODEC),
    )


def _pack(given: argparse.Namespace) -> None:
    pack(given.build / CODEC, given.build / GENERATOR, given.encoder, given.out)


def _styles(given: argparse.Namespace) -> None:
    _call(
        "make_styles", "--model", str(given.out), "--out", str(given.out.parent), "--talks", str(given.style_talks)
    )


STEPS: dict[str, tuple[str | None, Callable[[argparse.Namespace], None]]] = {
    "corpus": (None, _corpus),
    "encoder": (None, _encoder),
    "codec": (CODEC, _codec),
    "imagined": (IMAGINED, _imagined),
    "sounds": (SOUNDS, _sounds),
    "lessons": (LESSONS, _lessons),
    "generator": (GENERATOR, _generator),
    "pack": (None, _pack),
    "styles": (None, _styles),
}
"""The steps in order: the file in BUILD that says that a step is done (None: decided in `is_done`), and its
doing.
"""


def is_done(name: str, given: argparse.Namespace) -> bool:
    """Whether a step's result is there, or not needed."""
    if name in ("pack", "styles"):
        return False
    if name == "imagined" and given.start is not None:
        return True
    file = STEPS[name][0]
    return (
        (given.build / file).exists()
        if file
        else {"corpus": given.corpus, "encoder": given.encoder}[name].exists()
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="first", choices=STEPS, help="repeat this step and all after it")
    parser.add_argument("--until", choices=STEPS, default="styles", help="stop after this step")
    parser.add_argument("--out", type=Path, default=MODEL_FILE)
    parser.add_argument("--build", type=Path, default=BUILD, help="folder for the steps' results")
    parser.add_argument("--corpus", type=Path, default=None, help="left out: BUILD/corpus")
    parser.add_argument("--encoder", type=Path, default=None, help="left out: BUILD/mel_encoder/latest.npz")
    parser.add_argument("--hours", type=float, default=14.0, help="of speech in the corpus")
    parser.add_argument("--encoder-steps", type=int, default=12000)
    parser.add_argument("--codec-steps", type=int, default=1600)
    parser.add_argument("--codec-clips", type=int, default=400, help="of teacher motion, 40 s each")
    parser.add_argument("--start", type=Path, default=None, help="go on from this generator")
    parser.add_argument(
        "--start-encoder", type=Path, default=None, help="the encoder that generator was used to"
    )
    parser.add_argument(
        "--frozen-encoder", action="store_true", help="do not train the audio encoder further"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--imagined-lessons", type=int, default=400)
    parser.add_argument("--imagined-steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=180.0, help="of speech in the lessons")
    parser.add_argument(
        "--trust", type=float, default=1.0, help="share of the encoder's own phones in the targets"
    )
    parser.add_argument("--threshold", type=float, default=0.2, help="bilabial share that closes the lips")
    parser.add_argument("--steps", type=int, default=4000, help="of the generator; 0: only used to another encoder")
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--keep", type=float, default=0.0, help="share of --start's weights in the generator written")
    parser.add_argument("--style-talks", type=int, default=12, help="talks that each named style is chosen from")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.corpus = given.corpus or given.build / "corpus"
    given.encoder = given.encoder or given.build / "mel_encoder" / "latest.npz"
    torch.set_num_threads(given.threads)
    names = list(STEPS)
    for name in names[: names.index(given.until) + 1]:
        asked = given.first is not None and names.index(name) >= names.index(given.first)
        if asked or not is_done(name, given):
            print(f"== {name}", flush=True)
            STEPS[name][1](given)


if __name__ == "__main__":
    main()
