# SPDX-License-Identifier: GPL-3.0-or-later
"""The child process that infers, and the job that waits for it."""
