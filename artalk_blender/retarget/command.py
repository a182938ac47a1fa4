# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m artalk_blender retarget`: a take of a .blend onto one of its characters, saved as another .blend."""

from __future__ import annotations

from argparse import Namespace

import bpy

from ..animation.take_data import takes
from ..errors import ArtalkError
from ..runner import finish
from ..steps import Steps
from ..talk import save_whole
from .player import retarget_of_take
from .work import retargeting

_MOST_NAMES = 20  # that a sentence lists


def retarget_file(options: Namespace, steps: Steps) -> None:
    """Raises EngineError with one sentence for what a person can put right; nothing is written then."""
    if options.out.suffix.lower() != ".blend":
        raise ArtalkError(f"“{options.out}” must end in .blend.", f"Name it “{options.out.stem or 'out'}.blend”.")
    if not options.blend.is_file():
        raise ArtalkError(f"There is no file “{options.blend}”.", "Name a .blend with a take.")
    if options.preset is not None and not options.preset.is_file():
        raise ArtalkError(f"There is no file “{options.preset}”.", "Name a rig preset, or leave it out.")
    with steps.step("open") as step, steps.quiet():
        try:
            bpy.ops.wm.open_mainfile(filepath=str(options.blend), load_ui=False)
        except RuntimeError as error:
            raise ArtalkError(f"“{options.blend}” could not be opened: {str(error).strip()}.",
                              "Name a .blend file.") from None
        step.note(str(options.blend))
    _look_for(options)
    folders = (options.preset,) if options.preset is not None else ()
    with steps.step("retarget") as step:
        with steps.quiet():
            name = finish(retargeting(options.take, options.target, tuple(options.others), options.method,
                                      folders=folders,
                                      tell=lambda share, what: step.progress(round(100 * share), 100)))
        report = retarget_of_take(bpy.data.actions[name]).report
        found = report.get("lips_mm")
        step.note(f"“{name}”" + (f", lips {found[0]:.2f} mm off (median), {found[2]:.2f} mm at most" if found else ""))
    for sentence in (*report.get("missing", ()), *report.get("notes", ())):
        steps.warn(str(sentence))
    with steps.step("blend") as step, steps.quiet():
        save_whole(options.out)
        step.note(str(options.out))


def _look_for(options: Namespace) -> None:
    """Raises ArtalkError, with the names that there are, where take or target is none of the file's."""
    known = [action.name for action in takes()]
    if options.take not in known:
        raise ArtalkError(f"There is no take “{options.take}” in “{options.blend.name}”.",
                          f"It has {_listed(known)}." if known else "Generate one there first.")
    objects = [thing.name for thing in bpy.data.objects if thing.type in ("MESH", "ARMATURE")]
    for name in (options.target, *options.others):
        if name not in bpy.data.objects:
            raise ArtalkError(f"There is no object “{name}” in “{options.blend.name}”.",
                              f"It has {_listed(objects)}." if objects else "Add the character first.")


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in sorted(names)[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
