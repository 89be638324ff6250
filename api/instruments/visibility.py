"""Which instruments may be shown and are boosted: one, many at once, or all of them. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats, Ints

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]

_TABLE_MOST: Final = 1 << 22
"""Up to this id, a table of up to 16 MB has the numbers; if one is higher, a dict has all of them,
which takes thirty times as long for thousands of instruments at once."""


class Numbers:
    """A number above 0 for each instrument of a catalog, and 0 for all others."""

    def __init__(self, ids: Ints) -> None:
        """Number distinct instruments in their order, (n,)."""
        self.ids = ids
        highest = int(ids.max(initial=-1))
        self._of_large: dict[int, int] | None = None
        self._table = np.zeros(0, np.int32)
        """Indexed by id; the last one is of all ids above."""
        if highest < _TABLE_MOST:
            self._table = np.zeros(highest + 2, np.int32)
            self._table[ids] = np.arange(1, len(ids) + 1)
        else:
            self._of_large = {item: number for number, item in enumerate(ids.tolist(), 1)}

    def of(self, instrument_id: int) -> int:
        """Return the number of an instrument."""
        if self._of_large is not None:
            return self._of_large.get(instrument_id, 0)
        return int(self._table[min(instrument_id, len(self._table) - 1)])

    def of_all(self, ids: Ints) -> npt.NDArray[np.integer]:
        """Return the number of each of some instruments, (k,)."""
        if self._of_large is not None:
            number_of = self._of_large.get
            return np.array([number_of(item, 0) for item in ids.tolist()], np.int64)
        return self._table[np.minimum(ids, len(self._table) - 1)]


class Shown:
    """A filter of instruments."""

    def __init__(self, numbers: Numbers, may_be: Mask) -> None:
        """Show by the number of an instrument, (1 + n,): the first is of those without one."""
        self._numbers = numbers
        self._may_be = may_be

    def __call__(self, instrument_id: int) -> bool:
        """Return whether an instrument may be shown."""
        return bool(self._may_be[self._numbers.of(instrument_id)])

    def of(self, ids: Ints) -> Mask:
        """Return whether each of some instruments may be shown, (k,)."""
        may_be: Mask = self._may_be[self._numbers.of_all(ids)]
        return may_be

    def listed(self) -> Ints:
        """Return the instruments of the catalog that may be shown, in its order, (k,)."""
        return self._numbers.ids[self._may_be[1:]]


class Boosts:
    """What the scores of instruments are multiplied by."""

    def __init__(self, numbers: Numbers, met: Codes, factors: Floats) -> None:
        """Boost by the number of an instrument.

        Args:
            numbers: of instruments.
            met: which conditions an instrument meets, a bit for each, (1 + n,) by its number.
            factors: of each combination of conditions, (2^c,).
        """
        self._numbers = numbers
        self._met = met
        self._factors = factors

    def __call__(self, instrument_id: int) -> float:
        """Return the factor of an instrument."""
        return float(self._factors[self._met[self._numbers.of(instrument_id)]])

    def of(self, ids: Ints) -> Floats:
        """Return the factor of each of some instruments, (k,)."""
        factors: Floats = self._factors[self._met[self._numbers.of_all(ids)]]
        return factors
