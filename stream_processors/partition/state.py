"""The states of a partition's life."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a partition is in its life."""

    CLAIMING = "claiming"
    RESUMING = "resuming"
    FOLDING = "folding"
    FLUSHING = "flushing"
    REVOKED = "revoked"
    REPLACED = "replaced"
    STOPPED = "stopped"


PASSING: Final = (State.CLAIMING, State.RESUMING, State.FLUSHING)
"""States that normally last only moments."""
