"""The one exception that a user of the pipeline is meant to read."""

from __future__ import annotations


class PelageError(Exception):
    """Something in the user's data or parameters has to be mended.

    The message is one paragraph: what is wrong, in which file and row, and what to do about it.
    Stage scripts print it without a traceback and exit with status 1 (`pelage.common.stage`).
    """
