"""Which rows share their place in the log with another row. Pure."""

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

_CHUNK: Final = 65_536
"""Offsets whose bits share a chunk: rows of a file are close together in the log."""


class Places:
    """The places seen so far: a bit for each offset, from where a partition's first one is."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int, int], npt.NDArray[np.uint8]] = {}

    def add(self, log: Ints, partition: Ints, offset: Ints) -> npt.NDArray[np.bool_]:
        """Remember the places of some rows, columns (n,), and return (n,) which ones are new.

        Of several rows with one place, the first is.
        """
        if not len(offset):
            return np.ones(0, np.bool_)
        chunk = offset // _CHUNK
        # Stable: rows of one place stay in their order.
        order = np.lexsort((offset, partition, log))
        keys = [column[order] for column in (log, partition, chunk)]
        at = (offset - chunk * _CHUNK)[order]
        is_new = np.ones(len(order), np.bool_)
        changes = np.flatnonzero(np.any([np.diff(key) != 0 for key in keys], axis=0)) + 1
        for start, end in itertools.pairwise([0, *changes.tolist(), len(order)]):
            key = (int(keys[0][start]), int(keys[1][start]), int(keys[2][start]))
            is_new[start:end] = self._add(key, at[start:end])
        found = np.empty_like(is_new)
        found[order] = is_new
        return found

    def _add(self, key: tuple[int, int, int], at: Ints) -> npt.NDArray[np.bool_]:
        """Return (n,) which of some places of one chunk, ascending, are new."""
        bits = np.unpackbits(self._seen.get(key, np.zeros(_CHUNK // 8, np.uint8))).view(np.bool_)
        is_new = ~bits[at]
        is_new[1:] &= np.diff(at) != 0
        bits[at] = True
        self._seen[key] = np.packbits(bits)
        return is_new
