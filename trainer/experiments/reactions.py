"""What users were shown and clicked, each counted once. Pure.

An impression or a click that was sent twice counts once: both are identified by `(request_id,
instrument_id)`. A click counts if there is an impression for it, in any order in the log.
"""

from array import array
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.feedback import Feedback

Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


class Impressions(NamedTuple):
    """What was shown, each item of an answer once."""

    users: Hashes
    """(n,) to whom"""
    clicked: Flags
    """(n,) whether it was clicked"""
    unmatched: int
    """clicks without an impression"""


class Reactions:
    """Feedback: 16 bytes a message, however often it was sent.

    Ids are hashed to 64 bits. Two of 5 million have the same hash with a probability of 10^-6.
    """

    def __init__(self) -> None:
        self._shown = array("Q")
        """(impressions,) what was shown, in the order of the log"""
        self._shown_to = array("Q")
        """(impressions,) to which user"""
        self._chosen = array("Q")
        """(clicks,) what was clicked"""

    def add(self, message: Feedback) -> None:
        """Take an impression or a click."""
        identity = _hash(f"{message.request_id}/{message.instrument_id}")
        if message.type == "click":
            self._chosen.append(identity)
        else:
            self._shown.append(identity)
            self._shown_to.append(_hash(message.user_id))

    def users(self) -> Hashes:
        """Return the users that anything was shown to, each once."""
        return np.unique(np.frombuffer(self._shown_to, np.uint64))

    def impressions(self) -> Impressions:
        """Return what was shown, in no order."""
        shown, first = np.unique(np.frombuffer(self._shown, np.uint64), return_index=True)
        chosen = np.unique(np.frombuffer(self._chosen, np.uint64))
        users = np.frombuffer(self._shown_to, np.uint64)[first]
        unmatched = int((~np.isin(chosen, shown)).sum())
        return Impressions(users, np.isin(shown, chosen), unmatched)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
