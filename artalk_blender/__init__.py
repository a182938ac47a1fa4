# SPDX-License-Identifier: GPL-3.0-or-later
"""ARTalk for Blender: speech in, a keyed talking head out. Importing this package imports neither `bpy` nor torch."""

from . import paths

# the engine lies in this package once it is zipped, and beside it in a checkout: either way it is `.engine`
# from here on
paths.mount_engine()


def register() -> None:
    """Called by Blender when the extension is switched on."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is switched off."""
    from . import registration

    registration.unregister()
