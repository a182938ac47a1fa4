# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pages' pictures: docs/talk.png and docs/retarget.png by rendering, docs/guide/ from a desktop Blender.

    python addon_tests/tools/pictures.py [NAME ...]

The built zip is installed in the `blender` on the PATH, which the desktop tests' own scenarios drive by clicks and
keys; what is on the screen then is cut to what matters. Without names all of them are made.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "addon_tests" / "support")]
from desktop import DEMO, SIZE, Desktop, find_desktop  # noqa: E402
from strangers import BESIDES  # noqa: E402

DOCS = ROOT / "docs"
RENDERED = {"talk": ("readme_picture.py", 1600), "retarget": ("retarget_picture.py", 960)}  # script, largest width
# name in docs/guide: scenario, the picture it takes, the largest width in pixels
GUIDE = {
    "minute": ("first_use", "played", 1200),
    "panel": ("first_use", "ready", 400),
    "takes": ("work_with_takes", "takes", 400),
    "range": ("work_with_takes", "range", 400),
    "check": ("check_and_mend", "check", 1200),
    "speech": ("manner_and_text", "spoken", 400),
    "style": ("manner_and_text", "style", 400),
    "heads": ("manner_and_text", "two_heads", 1200),
    "characters": ("speak_together", "together_open", 1200),
    "landmarks": ("retarget_by_clicks", "clicking", 1200),
    "avatar": ("show_avatar", "preview_scene", 1200),
    "avatar_nodes": ("show_avatar", "compositor", 1200),
    "avatar_render": ("show_avatar", "rendered", 512),
    "german": ("german", "german", 400),
}
_STATUS_BAR = 26  # pixels
_COLORS, _ROUNDS = 256, 3  # of a palette, and of fitting it: a third of the bytes, and hardly anybody sees it


def save_small(source: Path, target: Path, width: int) -> None:
    """A picture as a PNG with a palette, at most `width` pixels wide."""
    image = Image.open(source).convert("RGB")
    if image.size == SIZE:     # the bar at the bottom may name this machine's folders
        image = image.crop((0, 0, image.width, image.height - _STATUS_BAR))
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(_COLORS, kmeans=_ROUNDS, dither=Image.Dither.NONE).save(target, optimize=True)
    size = target.stat().st_size / 1000
    print(f"{target.relative_to(ROOT)}: {image.width} x {image.height}, {size:.0f} kB", flush=True)


def render(names: list[str], folder: Path) -> None:
    """Moments of the demo speech, each picture by its script."""
    blend = folder / "talk.blend"
    command = [sys.executable, "-m", "artalk_blender", "talk", DEMO, "--out", blend]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True)
    for name in names:
        script, width = RENDERED[name]
        picture = folder / f"{name}.png"
        subprocess.run([sys.executable, str(Path(__file__).with_name(script)), str(blend), str(picture)], cwd=ROOT,
                       check=True)
        save_small(picture, DOCS / f"{name}.png", width)


def photograph(names: list[str], blender: str, folder: Path) -> None:
    """Plays every scenario that these pictures of the guide need, once."""
    build = [sys.executable, str(ROOT / "build_addon.py"), "--out", str(folder)]
    subprocess.run(build, check=True, capture_output=True)
    desktop = Desktop(blender, folder)
    desktop.install(next(folder.glob("*.zip")))
    for scenario in dict.fromkeys(GUIDE[name][0] for name in names):
        besides = [BESIDES[scenario](folder)] if scenario in BESIDES else []
        found = desktop.run(scenario, DEMO, *besides)
        if found.status:
            sys.exit(f"The scenario {scenario} failed:\n{found.facts.get('failure') or found.output[-3000:]}")
        for name in names:
            if GUIDE[name][0] == scenario:
                save_small(found.pictures[GUIDE[name][1]], DOCS / "guide" / f"{name}.png", GUIDE[name][2])


def main() -> None:
    names = sys.argv[1:] or [*RENDERED, *GUIDE]
    unknown = set(names) - {*RENDERED, *GUIDE}
    if unknown:
        known = ", ".join((*RENDERED, *GUIDE))
        sys.exit(f"There is no picture {', '.join(sorted(unknown))}: there are {known}.")
    rendered, guide = [name for name in names if name in RENDERED], [name for name in names if name in GUIDE]
    blender, reason = find_desktop()
    with tempfile.TemporaryDirectory(prefix="artalk-pictures-") as folder:
        if rendered:
            render(rendered, Path(folder))
        if guide and blender:
            photograph(guide, blender, Path(folder))
    if guide and not blender:
        print(f"The guide's pictures stay as they are. {reason.replace('nothing is tried', 'none is taken')}")


if __name__ == "__main__":
    main()
