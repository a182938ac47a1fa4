# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that make the default head and the default model; the extension itself never imports them."""
